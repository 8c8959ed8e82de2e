"""A whole pipeline of transforms in one call, with the arguments of PyTorchVideo."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vitascope.errors import ConfigError, UnknownChoiceError, WrongTypeError
from vitascope.transforms.augmix import AugMix
from vitascope.transforms.rand_augment import RandAugment
from vitascope.transforms.spatial import pair
from vitascope.transforms.transforms import (
    ApplyTransformToKey,
    CenterCrop,
    Compose,
    ConvertUint8ToFloat,
    Normalize,
    Permute,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomShortSideScale,
    RemoveKey,
    ShortSideScale,
    Transform,
    UniformTemporalSubsample,
)

_RESIZED_CROP = {"scale": (0.08, 1.0), "aspect_ratio": (3 / 4, 4 / 3)}
_AUGMENTATIONS: Mapping[str, Callable[..., Transform]] = {"randaug": RandAugment, "augmix": AugMix}


def create_video_transform(
    mode: str,
    video_key: str | None = None,
    remove_key: Sequence[str] | None = None,
    num_samples: int | None = 8,
    convert_to_float: bool = True,
    video_mean: Sequence[float] = (0.45, 0.45, 0.45),
    video_std: Sequence[float] = (0.225, 0.225, 0.225),
    min_size: int = 256,
    max_size: int = 320,
    crop_size: int | tuple[int, int] = 224,
    horizontal_flip_prob: float = 0.5,
    aug_type: str = "default",
    aug_paras: Mapping[str, Any] | None = None,
    random_resized_crop_paras: Mapping[str, Any] | None = None,
    *,
    legacy_no_flip: bool = False,
) -> Compose:
    """The transforms that most video classifiers are trained or tested with.

    In order: frames are subsampled, augmented as `aug_type` says, scaled to 0..1 and normalized;
    then training scales the short side at random, crops and mirrors at random (or cuts a random
    window instead of the first two), and testing scales the short side and cuts the middle.

    Args:
        mode: "train" or "val".
        video_key: entry of a sample that holds the clip C T H W; None: the sample is the clip.
        remove_key: entries that are dropped from the sample.
        num_samples: frames that are kept, evenly spaced; None keeps all.
        convert_to_float: divide a uint8 clip by 255; another one is refused then.
        video_mean: mean of each channel.
        video_std: standard deviation of each channel.
        min_size: short side in testing; smallest one in training.
        max_size: largest short side in training.
        crop_size: height and width of the result; one number is a square.
        horizontal_flip_prob: probability of a mirror image in training.
        aug_type: "default" (none), "randaug" or "augmix"; training only.
        aug_paras: arguments of `RandAugment` or `AugMix`.
        random_resized_crop_paras: arguments of `RandomResizedCrop`, where they differ from 8 to
            100 % of the area and ratios from 3/4 to 4/3; None scales and crops instead.
        legacy_no_flip: with a random resized crop, never mirror, as PyTorchVideo does.

    Returns:
        A callable for a clip or a sample; random numbers as in `transforms`.

    Raises:
        ConfigError: another mode, or arguments that contradict each other: a crop larger than
            `min_size`, keys to remove without `video_key`, `aug_paras` without an augmentation,
            another target size than `crop_size` among `random_resized_crop_paras`.
        UnknownChoiceError: another augmentation.
        WrongTypeError: a crop size of another type, or unknown names among `aug_paras` or
            `random_resized_crop_paras`.
    """
    if mode not in ("train", "val"):
        raise ConfigError(f"mode = {mode!r}; legal values: train, val")
    if remove_key and video_key is None:
        raise ConfigError("remove_key needs samples with keys: give video_key as well")
    if not isinstance(crop_size, int | tuple | list):
        raise WrongTypeError(f"crop_size = {crop_size!r}; expected one or two numbers of pixels")
    crop = pair(crop_size)
    resized = mode == "train" and random_resized_crop_paras is not None
    if max(crop) > min_size and not resized:
        raise ConfigError(
            f"crop_size = {crop_size} does not fit into frames whose short side is scaled to "
            f"min_size = {min_size}"
        )
    augmentation = augmentation_steps(aug_type, aug_paras or {})
    steps: list[Transform] = []
    if num_samples is not None:
        steps.append(UniformTemporalSubsample(num_samples))
    if mode == "train":
        steps += augmentation
    if convert_to_float:
        steps.append(ConvertUint8ToFloat())
    steps.append(Normalize(video_mean, video_std))
    flip = [RandomHorizontalFlip(horizontal_flip_prob)]
    if mode == "val":
        steps += [ShortSideScale(min_size), CenterCrop(crop)]
    elif random_resized_crop_paras is None:
        steps += [RandomShortSideScale(min_size, max_size), RandomCrop(crop), *flip]
    else:
        steps.append(_resized_crop(crop, random_resized_crop_paras))
        steps += [] if legacy_no_flip else flip
    if video_key is None:
        return Compose(steps)
    keys = [remove_key] if isinstance(remove_key, str) else remove_key or ()
    removal = [RemoveKey(key) for key in keys]
    return Compose([ApplyTransformToKey(video_key, Compose(steps)), *removal])


def augmentation_steps(aug_type: str, paras: Mapping[str, Any]) -> list[Transform]:
    """The augmentation of `create_video_transform`, for clips C T H W.

    Args:
        aug_type: "default" (none), "randaug" or "augmix".
        paras: its arguments.

    Raises:
        ConfigError: arguments for none.
        UnknownChoiceError: another augmentation.
        WrongTypeError: an argument that it does not have.
    """
    if aug_type == "default":
        if paras:
            raise ConfigError("aug_paras needs an augmentation: aug_type = 'randaug' or 'augmix'")
        return []
    if aug_type not in _AUGMENTATIONS:
        raise UnknownChoiceError(
            f"aug_type = {aug_type!r}; legal values: default, {', '.join(_AUGMENTATIONS)}"
        )
    build = _AUGMENTATIONS[aug_type]
    _check_names("aug_paras", paras, build)
    # Augmentations work on T C H W.
    return [Permute((1, 0, 2, 3)), build(**paras), Permute((1, 0, 2, 3))]


def _resized_crop(crop: tuple[int, int], paras: Mapping[str, Any]) -> Transform:
    sides = {"target_height": crop[0], "target_width": crop[1]}
    _check_names("random_resized_crop_paras", paras, RandomResizedCrop)
    for name, side in sides.items():
        if paras.get(name, side) != side:
            raise ConfigError(
                f"random_resized_crop_paras has {name} = {paras[name]}, crop_size says {side}"
            )
    return RandomResizedCrop(**{**_RESIZED_CROP, **paras, **sides})


def _check_names(argument: str, given: Mapping[str, Any], build: Callable[..., Any]) -> None:
    known = inspect.signature(build).parameters
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise WrongTypeError(
            f"{argument} has {', '.join(unknown)}; legal names: {', '.join(known)}"
        )
