"""Data: tasks and suites, their objectives and transforms, and the batches that training reads.

Everything about data that a plugin needs is importable from here. Names are loaded when first
used, so that importing the package does not import torch.
"""

from typing import TYPE_CHECKING

from ..support.facade import lazy_names as _lazy_names

if TYPE_CHECKING:
    from .array_inputs import flat_hints as flat_hints
    from .array_inputs import image_hints as image_hints
    from .array_inputs import is_images as is_images
    from .array_inputs import to_features as to_features
    from .array_inputs import to_images as to_images
    from .batches import BalancedBatches as BalancedBatches
    from .batches import Batch as Batch
    from .colour_tags import colour_lines as colour_lines
    from .colour_tags import unconverted_colours as unconverted_colours
    from .given import guess_kind as guess_kind
    from .given_labels import MISSING_MARKERS as MISSING_MARKERS
    from .head_choice import AuxiliaryHead as AuxiliaryHead
    from .head_choice import HeadChoice as HeadChoice
    from .images import ImageNormalization as ImageNormalization
    from .images import read_image as read_image
    from .levels import byte_levels as byte_levels
    from .listing import is_litter as is_litter
    from .listing import pictures_below as pictures_below
    from .metrics.metric import Gathered as Gathered
    from .metrics.metric import Metric as Metric
    from .objectives import Binary as Binary
    from .objectives import BinaryMap as BinaryMap
    from .objectives import Classification as Classification
    from .objectives import Depth as Depth
    from .objectives import GaussianRegression as GaussianRegression
    from .objectives import LanguageModel as LanguageModel
    from .objectives import MapObjective as MapObjective
    from .objectives import MapRegression as MapRegression
    from .objectives import MultiLabel as MultiLabel
    from .objectives import Normals as Normals
    from .objectives import Objective as Objective
    from .objectives import Ordinal as Ordinal
    from .objectives import PoissonRegression as PoissonRegression
    from .objectives import Regression as Regression
    from .objectives import Segmentation as Segmentation
    from .pictures import PictureOptions as PictureOptions
    from .pictures import check_picture_size as check_picture_size
    from .pictures import picture_suffixes as picture_suffixes
    from .readers import batches_per_epoch as batches_per_epoch
    from .resizing import resize_map as resize_map
    from .splits import SPLIT_NAMES as SPLIT_NAMES
    from .splits import SplitSizes as SplitSizes
    from .splits import known_split as known_split
    from .splits import make_splits as make_splits
    from .splits import split_name as split_name
    from .stratify import class_codes as class_codes
    from .streaming import LazyInputs as LazyInputs
    from .tasks import SPLITS as SPLITS
    from .tasks import Examples as Examples
    from .tasks import Suite as Suite
    from .tasks import Task as Task
    from .transforms import ImageTransform as ImageTransform
    from .transforms import Transforms as Transforms

_HOMES = {
    "AuxiliaryHead": "head_choice",
    "HeadChoice": "head_choice",
    "BalancedBatches": "batches",
    "Batch": "batches",
    "BinaryMap": "objectives",
    "Depth": "objectives",
    "MapObjective": "objectives",
    "MapRegression": "objectives",
    "Normals": "objectives",
    "Segmentation": "objectives",
    "Binary": "objectives",
    "Classification": "objectives",
    "Examples": "tasks",
    "Gathered": "metrics.metric",
    "GaussianRegression": "objectives",
    "ImageNormalization": "images",
    "ImageTransform": "transforms",
    "LanguageModel": "objectives",
    "LazyInputs": "streaming",
    "Metric": "metrics.metric",
    "MultiLabel": "objectives",
    "Objective": "objectives",
    "Ordinal": "objectives",
    "Regression": "objectives",
    "PictureOptions": "pictures",
    "PoissonRegression": "objectives",
    "SPLITS": "tasks",
    "MISSING_MARKERS": "given_labels",
    "SPLIT_NAMES": "splits",
    "SplitSizes": "splits",
    "class_codes": "stratify",
    "colour_lines": "colour_tags",
    "known_split": "splits",
    "make_splits": "splits",
    "split_name": "splits",
    "Suite": "tasks",
    "Task": "tasks",
    "Transforms": "transforms",
    "batches_per_epoch": "readers",
    "guess_kind": "given",
    "byte_levels": "levels",
    "flat_hints": "array_inputs",
    "image_hints": "array_inputs",
    "is_images": "array_inputs",
    "to_features": "array_inputs",
    "to_images": "array_inputs",
    "check_picture_size": "pictures",
    "is_litter": "listing",
    "picture_suffixes": "pictures",
    "pictures_below": "listing",
    "read_image": "images",
    "resize_map": "resizing",
    "unconverted_colours": "colour_tags",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = _lazy_names(__name__, _HOMES)
