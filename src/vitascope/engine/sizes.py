"""Which clips a model takes: windows that fit the clip, and what it says of one that does not.

Everything here is worked out without memory for weights, in well under a second.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from vitascope.errors import ConfigError, MissingExtraError, UnknownNameError, VitascopeError
from vitascope.models.base import VideoModel
from vitascope.models.card import ModelCard
from vitascope.models.measure.flops import FlopCounter
from vitascope.models.measure.meta import build_meta
from vitascope.models.registry import get_card
from vitascope.spec import ClipSpec, PixelSpec
from vitascope.transforms.pathways import pack_pathways

# Names by which builders ask for the frames of a clip, and for the side of its crop in pixels.
CLIP_ARGS = ("input_clip_length", "num_frames", "temporal_size")
CROP_ARGS = ("input_crop_size", "image_size", "spatial_size")
# And for the window of the pooling at their end: one, or one for each pathway.
WINDOW_ARGS = ("head_pool_kernel_size", "head_pool_kernel_sizes")

_STEP, _TRIES = 16, 12  # pixels from one size that is tried to the next, and how many are


def require_arguments(card: ModelCard, names: Iterable[str]) -> None:
    """Refuses arguments that the builder of a model does not have.

    Args:
        card: the model.
        names: arguments of its builder.

    Raises:
        UnknownNameError: says the near ones.
    """
    known = inspect.signature(card.builder).parameters
    for name in names:
        if name not in known:
            raise UnknownNameError(f"argument of {card.name}", name, known)


def size_args(
    card: ModelCard, clip: ClipSpec, pixels: PixelSpec, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments of a builder that follow from a clip which is not the card's own.

    Frames and crop go to builders that ask for them. Where the last features are smaller than
    the window of the pooling after them, the window becomes as small, so a ResNet that was
    published for 256 pixels works on 64.

    Args:
        card: the model.
        clip: its frames.
        pixels: their size.
        given: arguments that are settled; those come before.
    """
    known = inspect.signature(card.builder).parameters
    args: dict[str, Any] = {}
    if clip.num_frames != card.clip.num_frames:
        args |= {name: clip.num_frames for name in CLIP_ARGS if name in known}
    if pixels.crop != card.pixels.crop:
        args |= {name: min(pixels.crop) for name in CROP_ARGS if name in known}
    name = next((n for n in WINDOW_ARGS if n in known and n not in given), None)
    if name is not None and (clip, pixels.crop) != (card.clip, card.pixels.crop):
        args |= _window(card, clip, pixels, {**args, **given}, name)
    return args


def _window(
    card: ModelCard, clip: ClipSpec, pixels: PixelSpec, args: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """The window of the last pooling where that of the card is larger than the features."""
    default = inspect.signature(card.builder).parameters[name].default
    window = card.args.get(name, default)
    model = build_meta(card, args).eval()
    if window is None:
        return {}
    single = isinstance(window[0], int)
    windows = [window] if single else window
    inputs = _clip(model, clip, pixels)
    if inputs is None:
        return {}
    try:
        with torch.no_grad():
            features = model.forward_features(model.unpack(inputs))
    except (VitascopeError, RuntimeError):  # the clip is too small for what comes before, too
        smallest = ((1, 1, 1),) * len(windows)
        return {name: smallest[0] if single else smallest}
    maps = features if isinstance(features, list | tuple) else [features]
    fitted = [
        tuple(min(w, n) for w, n in zip(own, part.shape[2:], strict=True))
        for own, part in zip(windows, maps, strict=True)
    ]
    if fitted == [tuple(own) for own in windows]:
        return {}
    return {name: fitted[0] if single else tuple(fitted)}


def require_size(
    name: str, clip: ClipSpec, pixels: PixelSpec, given: Mapping[str, Any] | None = None
) -> None:
    """Refuses a clip that a model cannot take, and says which it takes.

    Args:
        name: card of the model.
        clip: frames of the clip.
        pixels: their size.
        given: arguments of the builder that are settled.

    Raises:
        UnknownNameError: no such model, or no such argument of its builder.
        ConfigError: the clip is too small, or of a size that the model was not built for.
    """
    given = given or {}
    card = get_card(name, given)
    require_arguments(card, given)
    reason = _refusal(card, clip, pixels, given)
    if reason is None:
        return
    height, width = pixels.crop
    raise ConfigError(
        f"clip.num_frames = {clip.num_frames}, pixels.crop = {height},{width}: {card.name} cannot "
        f"take such clips; {reason.rstrip('. ')}. It takes "
        f"{_known_sizes(card, clip, pixels, given)}"
    )


def _refusal(
    card: ModelCard, clip: ClipSpec, pixels: PixelSpec, given: Mapping[str, Any]
) -> str | None:
    """Why the model does not take the clip; None where it does."""
    try:
        _run(card, clip, pixels, given)
    except (UnknownNameError, MissingExtraError):
        raise
    except VitascopeError as error:
        return str(error)
    except (ValueError, TypeError, RuntimeError, IndexError, AssertionError, ArithmeticError) as e:
        # Of torch, or of the library that the model is from.
        first = str(e).strip().partition("\n")[0] or type(e).__name__
        return f"its layers do not fit a clip of this size ({first:.120})"
    return None


def _run(
    card: ModelCard, clip: ClipSpec, pixels: PixelSpec, given: Mapping[str, Any]
) -> int | None:
    """Multiply-adds of a forward pass, which computes shapes only; None without an input."""
    model = build_meta(card, {**size_args(card, clip, pixels, given), **given}).eval()
    inputs = _clip(model, clip, pixels)
    if inputs is None:
        return None
    inputs = model.unpack(inputs)
    model.check_input(inputs)
    with torch.no_grad(), FlopCounter() as counter:
        counter.watch(model)
        model.forward_head(model.forward_features(inputs))
    return int(counter.by_rule["fvcore"])


def _clip(model: VideoModel, clip: ClipSpec, pixels: PixelSpec) -> Tensor | list[Tensor] | None:
    """A clip without content for the model; None where it takes more than clips, as boxes."""
    device = next(model.parameters()).device
    if model.inputs is not None and len(model.inputs.channels) != max(1, len(clip.pathways)):
        return None
    if hasattr(model, "detection_head"):
        return None
    video = torch.zeros(1, len(pixels.mean), clip.num_frames, *pixels.crop, device=device)
    return pack_pathways(video, clip.pathways)


def _known_sizes(
    card: ModelCard, clip: ClipSpec, pixels: PixelSpec, given: Mapping[str, Any]
) -> str:
    """The sizes nearest to the one asked for that work, in words."""
    found = []
    for tries in (*_other_crops(clip, pixels), *_other_frames(clip, pixels)):
        for one, size in tries:
            if _refusal(card, one, size, given) is None:
                found.append(_say(one.num_frames, size.crop))
                break
    if not found:  # neither the frames nor the crop fit
        even = [n for n in dict.fromkeys((clip.num_frames & ~1, -(-clip.num_frames // 8) * 8)) if n]
        both = (p for n in even for p in _other_crops(replace(clip, num_frames=n), pixels)[0])
        fits = (p for p in both if _refusal(card, *p, given) is None)
        found = [_say(one.num_frames, size.crop) for one, size in islice(fits, 1)]
    published = f"{_say(card.clip.num_frames, card.pixels.crop)}, as it was published"
    return " or ".join([*dict.fromkeys(found), published])


Sizes = Iterator[tuple[ClipSpec, PixelSpec]]


def _other_crops(clip: ClipSpec, pixels: PixelSpec) -> tuple[Sizes, Sizes]:
    """Squares of multiples of 16 pixels, smaller and larger ones, the nearest first."""
    below = (max(pixels.crop) - 1) // _STEP
    sides = ([_STEP * (below - n) for n in range(_TRIES)],
             [_STEP * (max(pixels.crop) // _STEP + 1 + n) for n in range(_TRIES)])  # fmt: skip
    smaller, larger = (
        ((clip, replace(pixels, crop=(s, s), short_side=s)) for s in row if s > 0) for row in sides
    )
    return smaller, larger


def _other_frames(clip: ClipSpec, pixels: PixelSpec) -> tuple[Sizes, Sizes]:
    """Fewer and more frames of the same size, the nearest first."""
    own = clip.num_frames
    fewer, more = (
        ((replace(clip, num_frames=n), pixels) for n in row if n > 0)
        for row in (range(own - 1, own - _TRIES, -1), range(own + 1, own + _TRIES))
    )
    return fewer, more


def _say(frames: int, crop: tuple[int, int]) -> str:
    return f"{frames} frame{'s' * (frames != 1)} of {crop[0]}x{crop[1]}"


def multiply_adds(
    name: str, clip: ClipSpec, pixels: PixelSpec, given: Mapping[str, Any] | None = None
) -> int | None:
    """Multiply-adds of a forward pass of one clip; None where a clip alone is no input.

    Args:
        name: card of the model.
        clip: frames of the clip.
        pixels: their size.
        given: arguments of the builder that are settled.

    Raises:
        VitascopeError: no such model, or it cannot take the clip.
    """
    given = given or {}
    return _run(get_card(name, given), clip, pixels, given)
