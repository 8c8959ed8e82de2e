"""Size of published models, measured: parameters, and multiply-adds of a view."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vitascope.models.base import VideoModel, count_parameters
from vitascope.models.card import ModelCard
from vitascope.models.measure.flops import NORM_RULES, FlopCounter, NormRule
from vitascope.models.net import DetectionBBoxNetwork
from vitascope.spec import Cost

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a model is measured to be.

    Attributes:
        parameters: number of parameters.
        flops: multiply-adds of one view under each rule for norms, see `FlopCounter`.
        shapes: input of the view, a shape for each pathway.
        stages: name, and shape of the output for each pathway, of every stage.
    """

    parameters: int
    flops: dict[NormRule, int]
    shapes: tuple[Shape, ...]
    stages: tuple[tuple[str, tuple[Shape, ...]], ...] = ()

    @property
    def gflops(self) -> float:
        """10^9 multiply-adds as fvcore counts them today."""
        return self.flops["fvcore"] / 1e9


def input_shapes(card: ModelCard, model: VideoModel, crop: int | None = None) -> tuple[Shape, ...]:
    """Shapes B C T H W of one view, one for each pathway.

    Args:
        card: gives frames and crop.
        model: its model; a pathway that the card does not describe (sound) has the smallest
            shape that fits.
        crop: height and width in place of the card's.
    """
    height, width = (crop, crop) if crop else card.pixels.crop
    strides = card.clip.pathways or (1,)
    shapes: list[Shape] = [
        (1, len(card.pixels.mean), card.clip.num_frames // stride, height, width)
        for stride in strides
    ]
    if model.inputs is not None:
        more = range(len(shapes), len(model.inputs.channels))
        shapes += [(1, model.inputs.channels[i], *model.inputs.minimum[i]) for i in more]
    return tuple(shapes)


def measure(card: ModelCard, crop: int | None = None) -> Size:
    """Builds the model of a card and counts; nothing is computed but shapes.

    Args:
        card: a published model. A detecting one is counted with one box.
        crop: height and width of the view; None takes the card's.
    """
    with torch.device("meta"):
        model = card.build().eval()
        shapes = input_shapes(card, model, crop)
        parts = [torch.empty(shape) for shape in shapes]
    seen: dict[str, tuple[Shape, ...]] = {}
    for info in model.feature_info:
        _remember(model, info.name, seen)
    with torch.no_grad(), FlopCounter() as counter:
        features = model.forward_features(parts if len(parts) > 1 else parts[0])
        if not isinstance(model, DetectionBBoxNetwork):
            counter.watch(model)
            model.forward_head(features)
    flops = dict(counter.by_rule)
    if isinstance(model, DetectionBBoxNetwork):
        # Boxes decide what is computed, so the head is counted by hand: one linear layer.
        owner, name = model.head_linear()
        linear = getattr(owner, name).weight.numel()
        flops = {rule: flops[rule] + linear for rule in NORM_RULES}
    stages = tuple((name, seen[name]) for name in seen)
    return Size(parameters=count_parameters(model), flops=flops, shapes=shapes, stages=stages)


def _remember(model: VideoModel, name: str, seen: dict[str, tuple[Shape, ...]]) -> None:
    def note(_: object, args: object, out: object) -> None:
        parts = out if isinstance(out, list | tuple) else [out]
        shapes = [tuple(part.shape) for part in parts if isinstance(part, Tensor)]
        seen[name] = tuple(shapes)

    model.get_submodule(name).register_forward_hook(note)


def counting_rule(size: Size, cost: Cost) -> NormRule | None:
    """The rule for norms under which a published count is the measured one.

    Returns:
        Today's rule if it gives the published number, or else the one that comes nearest; None
        where no count was published.
    """
    if cost.gflops is None:
        return None
    published = cost.gflops
    if agrees(size.gflops, published):
        return "fvcore"
    return min(NORM_RULES, key=lambda rule: abs(size.flops[rule] / 1e9 - published))


def agrees(measured: float, published: float) -> bool:
    """Whether a number is the published one as far as its digits go."""
    digits = len(f"{published:g}".partition(".")[2])
    return abs(measured - published) <= 0.5 * 0.1**digits + 1e-9


def explain_difference(size: Size, cost: Cost) -> tuple[bool, str]:
    """Whether a published size is the measured one, and what it counted or why it differs."""
    rule = counting_rule(size, cost)
    same = cost.parameters is None or agrees(size.parameters / 1e6, cost.parameters)
    if rule is not None and cost.gflops is not None:
        same &= agrees(size.flops[rule] / 1e9, cost.gflops)
    said = [_RULES[rule]] if rule is not None else []
    if cost.crop is not None:
        said.append(f"at the training crop, {cost.crop} pixels")
    if cost.note:
        said.append(cost.note)
    return same, "; ".join(said)


_RULES: dict[NormRule, str] = {
    "fvcore": "norms counted as fvcore does today",
    "five": "norms counted as 5 for each value",
    "none": "norms not counted",
}
