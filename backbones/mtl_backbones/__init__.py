"""The small networks of the papers' experiments, as backbones."""

from mtl_framework import hookimpl


@hookimpl
def mtl_backbones() -> dict[str, str]:
    """Convolutional networks of Prellberg and Kramer 2020."""
    return {
        "dkl_convnet": "mtl_backbones.convnets:DklConvNet",
        "cifar_convnet": "mtl_backbones.convnets:CifarConvNet",
        "omniglot_convnet": "mtl_backbones.convnets:OmniglotConvNet",
    }
