"""The small networks of the papers' experiments, as backbones."""

from mtl_framework import hookimpl


@hookimpl
def mtl_backbones() -> dict[str, str]:
    """Return the networks of Prellberg and Kramer 2020, and of Meyerson and Miikkulainen 2019."""
    return {
        "dkl_convnet": "mtl_backbones.convnets:DklConvNet",
        "cifar_convnet": "mtl_backbones.convnets:CifarConvNet",
        "omniglot_convnet": "mtl_backbones.convnets:OmniglotConvNet",
        "lenet": "mtl_backbones.lenet:LeNet",
        "wrn_40_1": "mtl_backbones.wide_resnet:WideResNet",
        "lstm_language_model": "mtl_backbones.language_model:LstmLanguageModel",
        "deepbind": "mtl_backbones.deepbind:DeepBind",
        "linear": "mtl_backbones.linear:Linear",
        "two_features": "mtl_backbones.two_features:TwoFeatures",
    }
