"""This plugin has the suites that come with the framework; each is imported when it is used."""

from mtl_framework import hookimpl


@hookimpl
def mtl_suites() -> dict[str, str]:
    """Contribute the suites that come with the framework: where each is defined, by name."""
    return {
        "alphabets": "mtl_suites.alphabets:alphabets",
        "arrays": "mtl_suites.arrays:arrays",
        "celeba": "mtl_suites.celeba:celeba",
        "cityscapes": "mtl_suites.dense_folders:cityscapes",
        "cifar10": "mtl_suites.cifar10:cifar10",
        "cifar100": "mtl_suites.cifar100:cifar100",
        "crispr": "mtl_suites.crispr:crispr",
        "dense_folders": "mtl_suites.dense_folders:dense_folders",
        "digits": "mtl_suites.digits:digits",
        "dkl_mnist": "mtl_suites.dkl_mnist:dkl_mnist",
        "folders": "mtl_suites.folders:folders",
        "muir_synthetic": "mtl_suites.muir_synthetic:muir_synthetic",
        "nyuv2": "mtl_suites.dense_folders:nyuv2",
        "omniglot": "mtl_suites.omniglot:omniglot",
        "pascal_context": "mtl_suites.pascal_context:pascal_context",
        "scenes": "mtl_suites.scenes:scenes",
        "table": "mtl_suites.table:table",
        "taskonomy": "mtl_suites.taskonomy:taskonomy",
        "three_modalities": "mtl_suites.three_modalities:three_modalities",
        "two_groups": "mtl_suites.two_groups:two_groups",
        "wikitext2": "mtl_suites.wikitext:wikitext2",
    }
