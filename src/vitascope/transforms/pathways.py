"""One clip as the inputs of a model with several pathways (SlowFast, arXiv:1812.03982)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vitascope.errors import ConfigError
from vitascope.spec import ClipSpec
from vitascope.transforms.functional import uniform_temporal_subsample_repeated


def pack_pathways(clip: Tensor, strides: Sequence[int]) -> Tensor | list[Tensor]:
    """Gives each pathway every stride-th frame, evenly spaced from the first to the last one.

    Args:
        clip: ... T H W.
        strides: stride of each pathway, slowest first: (4, 1) for SlowFast with alpha 4; empty
            for a model with one pathway.

    Returns:
        A clip for each pathway, or the clip itself without strides.
    """
    if not strides:
        return clip
    return uniform_temporal_subsample_repeated(clip, strides)


class PackPathway(nn.Module):
    """Packs clips C T H W for the pathways of a `ClipSpec`.

    Args:
        strides: see `pack_pathways`; or a `ClipSpec`, whose `pathways` are taken.

    Raises:
        ConfigError: a stride that does not divide the frames of the `ClipSpec`.
    """

    def __init__(self, strides: Sequence[int] | ClipSpec) -> None:
        super().__init__()
        if isinstance(strides, ClipSpec):
            frames, strides = strides.num_frames, strides.pathways
            for stride in strides:
                if frames % stride:
                    raise ConfigError(f"pathway stride {stride} does not divide {frames} frames")
        self.strides = tuple(strides)

    def forward(self, clip: Tensor) -> Tensor | list[Tensor]:
        """See `pack_pathways`."""
        return pack_pathways(clip, self.strides)
