"""The suites that come with the framework; nothing is loaded before one of them is used."""

from ..hookspecs import hookimpl


@hookimpl
def mtl_suites() -> dict[str, str]:
    """The embedded suites by name."""
    return {
        "alphabets": "mtl_framework.data.alphabets:alphabets",
        "arrays": "mtl_framework.data.arrays:arrays",
        "celeba": "mtl_framework.data.celeba:celeba",
        "cifar10": "mtl_framework.data.cifar10:cifar10",
        "cifar100": "mtl_framework.data.cifar100:cifar100",
        "crispr": "mtl_framework.data.crispr:crispr",
        "digits": "mtl_framework.data.digits:digits",
        "dkl_mnist": "mtl_framework.data.dkl_mnist:dkl_mnist",
        "folders": "mtl_framework.data.folders:folders",
        "muir_synthetic": "mtl_framework.data.muir_synthetic:muir_synthetic",
        "omniglot": "mtl_framework.data.omniglot:omniglot",
        "table": "mtl_framework.data.table:table",
        "three_modalities": "mtl_framework.data.three_modalities:three_modalities",
        "wikitext2": "mtl_framework.data.wikitext:wikitext2",
    }
