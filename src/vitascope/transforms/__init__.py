"""From decoded frames to the input of a model: pure functions, callables, and whole pipelines.

`preprocess` and `train` are what the engine uses. The rest carries PyTorchVideo's names and
results, and PySlowFast's in `boxes`, `color`, `erasing`, `image_augment`, `masking`,
`spatial_sampling` and `frame_lists`.
"""

from vitascope.transforms.augmentations import AugmentTransform
from vitascope.transforms.augmix import AugMix
from vitascope.transforms.mix import CutMix, MixUp, MixVideo, RandomMix
from vitascope.transforms.pathways import PackPathway
from vitascope.transforms.preprocess import evaluation_transform, normalize
from vitascope.transforms.rand_augment import RandAugment
from vitascope.transforms.train import TrainTransform
from vitascope.transforms.transforms import (
    ApplyTransformToKey,
    CenterCrop,
    Compose,
    ConvertFloatToUint8,
    ConvertUint8ToFloat,
    Div255,
    MoveChannelFront,
    MoveChannelRear,
    Normalize,
    OpSampler,
    Permute,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomShortSideScale,
    RemoveKey,
    ShortSideScale,
    UniformCropVideo,
    UniformTemporalSubsample,
    UniformTemporalSubsampleRepeated,
)
from vitascope.transforms.transforms_factory import create_video_transform

__all__ = [
    "ApplyTransformToKey",
    "AugMix",
    "AugmentTransform",
    "CenterCrop",
    "Compose",
    "ConvertFloatToUint8",
    "ConvertUint8ToFloat",
    "CutMix",
    "Div255",
    "MixUp",
    "MixVideo",
    "MoveChannelFront",
    "MoveChannelRear",
    "Normalize",
    "OpSampler",
    "PackPathway",
    "Permute",
    "RandAugment",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomMix",
    "RandomResizedCrop",
    "RandomShortSideScale",
    "RemoveKey",
    "ShortSideScale",
    "TrainTransform",
    "UniformCropVideo",
    "UniformTemporalSubsample",
    "UniformTemporalSubsampleRepeated",
    "create_video_transform",
    "evaluation_transform",
    "normalize",
]
