"""What has to hold where targets are maps of images that are transformed."""

from ..support.errors import MtlError
from .examples import Examples
from .objectives import Objective
from .transforms import ImageTransform

#: They move pixels along rows and columns, or do not move them.
FIT = (
    "CenterCrop", "ColorJitter", "GaussianBlur", "GaussianNoise", "Grayscale", "Identity", "RGB",
    "RandomAdjustSharpness", "RandomAutocontrast", "RandomChannelPermutation", "RandomCrop",
    "RandomEqualize", "RandomGrayscale", "RandomHorizontalFlip", "RandomInvert",
    "RandomPhotometricDistort", "RandomPosterize", "RandomResizedCrop", "RandomSolarize",
    "RandomVerticalFlip", "Resize",
)  # fmt: skip


def check_maps(examples: Examples, objective: Objective, split: str) -> None:
    """Refuse transforms that would leave images and maps apart.

    Raises:
        MtlError: naming the transform, or the sizes.
    """
    transform = examples.transform
    if not objective.is_map or transform is None:
        return
    if split != "train":
        raise MtlError("images of maps are transformed in training only: resize the data instead")
    sizes = tuple(examples.inputs.shape[-2:]), tuple(examples.targets.shape[-2:])
    if sizes[0] != sizes[1]:
        raise MtlError(
            f"images that are transformed with their maps have to be as large, found {sizes[0]} "
            f"and maps of {sizes[1]}"
        )
    check_fit(transform)


def check_fit(transform: ImageTransform) -> None:
    """Refuse a transform that cannot be done to maps as well.

    Raises:
        MtlError: naming it.
    """
    for entry in transform.entries:
        if entry["name"] not in FIT:
            raise MtlError(
                f"transform {entry['name']} cannot be done to maps as well; tasks with maps take "
                f"{', '.join(FIT)}"
            )
