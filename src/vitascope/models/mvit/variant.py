"""Where PySlowFast's multiscale vision transformers go beyond PyTorchVideo's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitascope.errors import ConfigError

FUSIONS = ("add", "avg", "concat", "max", "min")


def _choose(name: str, value: str, legal: tuple[str, ...]) -> None:
    if value not in legal:
        raise ConfigError(f"{name} = {value!r}; legal values: {', '.join(legal)}")


@dataclass(frozen=True, kw_only=True)
class Reversible:
    """A model of two streams whose activations are computed back instead of kept.

    Attributes:
        buffer_layers: blocks that change width or grid, between reversible ones.
        pre_q_fusion: how such a block joins the two streams: "add", "avg", "max", "min", "concat",
            "concat_linear", "concat_linear_K" or "concat_linear_K_P" (a perceptron of K times the
            width with dropout P beside the joined streams), the last three also with "ln+" in front
            (a norm before the perceptron).
        respath_fuse: how the two streams are joined at the end; the same values.
        res_path: way around the attention of such a block: "conv" is pooled like the queries,
            "max" by the largest value.
    """

    buffer_layers: tuple[int, ...] = ()
    pre_q_fusion: str = "avg"
    respath_fuse: str = "concat"
    res_path: str = "conv"

    def __post_init__(self) -> None:
        object.__setattr__(self, "buffer_layers", tuple(self.buffer_layers))
        _choose("res_path", self.res_path, ("conv", "max"))
        for name in ("pre_q_fusion", "respath_fuse"):
            mode = getattr(self, name)
            if "concat_linear" not in mode:
                _choose(name, mode, FUSIONS)


@dataclass(frozen=True, kw_only=True)
class RoIVariant:
    """A detecting head instead of a classifying one.

    Attributes:
        resolution: cells (height and width) to which a box is sampled.
        scale: pixels of the clip for each position of the last grid.
        aligned: positions are pixel centers (PySlowFast).
    """

    resolution: int = 7
    scale: float = 16.0
    aligned: bool = True


@dataclass(frozen=True, kw_only=True)
class MViTVariant:
    """What PyTorchVideo's builder cannot say. The defaults are PyTorchVideo's model.

    Attributes:
        origin: "pytorchvideo" or "pyslowfast": whose start values and rounding of widths.
        positions: "learned", "sincos" (fixed) or "none" absolute positions.
        rel_pos_spatial: relative rows and columns in every attention (MViTv2).
        rel_pos_temporal: relative frames in every attention.
        rel_pos_zero_init: relative positions start at 0.
        residual_pool_cls: with `residual_pool`, the class token gets its query too (PyTorchVideo);
            PySlowFast leaves it out.
        layer_scale: start value of a factor for each channel of every branch; 0 for none.
        norm_stem: a norm before the first block.
        mean_pooling: average the tokens of patches, then norm (fine-tuning of MaskFeat and MAE).
        head_in_evaluation: the head's activation is left out in training (PySlowFast), so that a
            loss which applies it itself fits.
        head_init_scale: factor of the head's start values.
        detach_head: no gradient passes from the head to what is before it (linear probing).
        reversible: two streams whose activations are computed back; needs no class token.
        roi: a head for boxes.
    """

    origin: str = "pytorchvideo"
    positions: str = "learned"
    rel_pos_spatial: bool = False
    rel_pos_temporal: bool = False
    rel_pos_zero_init: bool = False
    residual_pool_cls: bool = True
    layer_scale: float = 0.0
    norm_stem: bool = False
    mean_pooling: bool = False
    head_in_evaluation: bool = False
    head_init_scale: float = 1.0
    detach_head: bool = False
    reversible: Reversible | None = None
    roi: RoIVariant | None = None

    def __post_init__(self) -> None:
        _choose("origin", self.origin, ("pytorchvideo", "pyslowfast"))
        _choose("positions", self.positions, ("learned", "none", "sincos"))
        if self.reversible is not None and self.roi is not None:
            raise ConfigError("a reversible model has no head for boxes")

    @classmethod
    def of(cls, value: MViTVariant | Mapping[str, Any] | None) -> MViTVariant:
        """Reads a variant from a dictionary of its attributes (as in a contract); None is default.

        Raises:
            ConfigError: an attribute that does not exist, or an illegal value.
        """
        if isinstance(value, MViTVariant):
            return value
        kinds = {"reversible": Reversible, "roi": RoIVariant}
        values = dict(value or {})
        try:
            for name, kind in kinds.items():
                if isinstance(values.get(name), Mapping):
                    values[name] = kind(**values[name])
            return cls(**values)
        except TypeError as error:
            raise ConfigError(f"variant: {error}") from error
