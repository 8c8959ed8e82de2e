"""Features of boxes: RoIAlign (arXiv:1703.06870) and RoI pooling (arXiv:1504.08083).

Bilinear sampling on a grid is separable: the value of an output cell is `rows @ map @ columns`,
where a row of weights holds how much each row of the map counts for the cell. So RoIAlign is two
small matrix products for each box, differentiable, on any device, and made of plain operators that
every exporter knows. The numbers are those of torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.errors import InputError

# Samples for each cell while a graph is captured, where a number that depends on the boxes would
# make the graph depend on them: enough for boxes up to this many times the size of the map.
_CAPTURED_REACH = 2


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    height, width = value
    return int(height), int(width)


def _rows(boxes: Tensor | Sequence[Tensor], x: Tensor) -> Tensor:
    """Boxes as R rows (index in the batch, x1, y1, x2, y2), at least float32."""
    if not isinstance(boxes, Tensor):
        index = [b.new_full((len(b), 1), float(i)) for i, b in enumerate(boxes)]
        boxes = torch.cat(
            [torch.cat([i, b], dim=1) for i, b in zip(index, boxes, strict=True)]
            or [x.new_zeros(0, 5)]
        )
    if x.dim() != 4 or boxes.dim() != 2 or boxes.shape[1] != 5:
        raise InputError(
            f"boxes are R rows (index in the batch, x1, y1, x2, y2) of a map B C H W, got boxes "
            f"{'x'.join(map(str, boxes.shape))} and a map {'x'.join(map(str, x.shape))}"
        )
    return boxes.to(torch.promote_types(x.dtype, torch.float32))


def _capturing() -> bool:
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None


def _weights(start: Tensor, length: Tensor, cells: int, sampling_ratio: int, size: int) -> Tensor:
    """How much each of `size` positions counts for each of `cells` cells of R boxes: R cells size.

    Args:
        start: lower edge of each box on the map, R.
        length: extent of each box on the map, R.
        cells: cells along this side.
        sampling_ratio: samples for each cell; 0 or less takes one for each position it covers.
        size: positions of the map along this side.
    """
    cell = length / cells
    if sampling_ratio > 0:
        count = torch.full_like(length, float(sampling_ratio))
        most = sampling_ratio
    else:
        count = torch.ceil(length / cells)
        if _capturing():
            most = -(-_CAPTURED_REACH * size // cells)
            count = count.clamp(max=float(most))
        else:
            most = max(int(count.max()), 1) if len(count) else 1
    sample = torch.arange(most, device=start.device, dtype=start.dtype)
    counted = torch.clamp(count, min=1.0)[:, None, None]
    corner = start[:, None] + torch.arange(cells, device=start.device) * cell[:, None]
    place = corner[:, :, None] + (sample + 0.5) * cell[:, None, None] / counted
    used = (sample < count[:, None, None]) & (place >= -1.0) & (place <= size)
    position = torch.arange(size, device=start.device, dtype=start.dtype)
    # Bilinear interpolation is a hat around each position; beyond the border it is constant.
    hat = 1.0 - (place.clamp(0.0, size - 1.0)[..., None] - position).abs()
    return (hat.clamp(min=0.0) * used[..., None]).sum(2) / counted


def roi_align(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """Averages bilinear samples of a map over the cells of boxes.

    Args:
        input: map B C H W.
        boxes: R rows (index in the batch, x1, y1, x2, y2), or a list with the boxes (x1, y1, x2,
            y2) of each map of the batch.
        output_size: cells (height, width); one number is a square.
        spatial_scale: positions of the map for each unit of the boxes.
        sampling_ratio: samples for each cell and side; 0 or less takes one for each position of
            the map that a cell covers.
        aligned: positions of the map are pixel centers, half a position from its corner. Without
            it boxes are shifted by half a position, and none is smaller than one position (the
            form of the first publication, which PyTorchVideo's detection models were trained with).

    Returns:
        R C height width. No gradient flows to the boxes.

    Raises:
        InputError: boxes or map of another shape.
    """
    rows = _rows(boxes, input).detach()
    height, width = _pair(output_size)
    offset = 0.5 if aligned else 0.0
    x1, y1, x2, y2 = (rows[:, 1:] * spatial_scale - offset).unbind(1)
    wide, high = x2 - x1, y2 - y1
    if not aligned:
        wide, high = wide.clamp(min=1.0), high.clamp(min=1.0)
    vertical = _weights(y1, high, height, sampling_ratio, input.shape[2])
    across = _weights(x1, wide, width, sampling_ratio, input.shape[3])
    maps = input[rows[:, 0].long()]
    return torch.matmul(
        torch.matmul(vertical.to(input.dtype)[:, None], maps),
        across.to(input.dtype)[:, None].transpose(2, 3),
    )


def _spans(start: Tensor, end: Tensor, cells: int, size: int) -> Tensor:
    """Which of `size` positions lie in each of `cells` cells of R boxes: R cells size, boolean."""
    length = (end - start + 1).clamp(min=1.0)
    cell = (length / cells)[:, None]
    steps = torch.arange(cells, device=start.device, dtype=start.dtype)
    low = (torch.floor(steps * cell) + start[:, None]).clamp(0, size)
    high = (torch.ceil((steps + 1) * cell) + start[:, None]).clamp(0, size)
    position = torch.arange(size, device=start.device, dtype=start.dtype)
    return (position >= low[..., None]) & (position < high[..., None])


def roi_pool(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
) -> Tensor:
    """Largest value of a map in each cell of boxes whose borders are rounded to positions.

    Args:
        input: map B C H W.
        boxes: R rows (index in the batch, x1, y1, x2, y2), or a list with the boxes of each map.
        output_size: cells (height, width); one number is a square.
        spatial_scale: positions of the map for each unit of the boxes.

    Returns:
        R C height width; 0 where a cell covers no position.

    Raises:
        InputError: boxes or map of another shape.
    """
    rows = _rows(boxes, input).detach()
    height, width = _pair(output_size)
    scaled = rows[:, 1:] * spatial_scale
    # Halves away from zero, as C rounds.
    x1, y1, x2, y2 = (torch.floor(scaled.abs() + 0.5) * scaled.sign()).unbind(1)
    vertical = _spans(y1, y2, height, input.shape[2])
    across = _spans(x1, x2, width, input.shape[3])
    maps = input[rows[:, 0].long()]
    lowest = torch.finfo(input.dtype).min
    columns = [
        maps.masked_fill(~across[:, None, None, i], lowest).max(dim=3).values for i in range(width)
    ]
    strips = torch.stack(columns, dim=3)  # R C H width
    cells = [
        strips.masked_fill(~vertical[:, None, i, :, None], lowest).max(dim=2).values
        for i in range(height)
    ]
    covered = vertical.any(2)[:, :, None] & across.any(2)[:, None, :]
    return torch.stack(cells, dim=2).masked_fill(~covered[:, None], 0.0)


class RoIAlign(nn.Module):
    """`roi_align` as a layer; arguments as there.

    Args:
        output_size: cells (height, width).
        spatial_scale: positions of the map for each unit of the boxes.
        sampling_ratio: samples for each cell and side; 0 or less adapts to the box.
        aligned: positions of the map are pixel centers.
    """

    def __init__(
        self,
        output_size: int | Sequence[int],
        spatial_scale: float,
        sampling_ratio: int,
        aligned: bool = False,
    ) -> None:
        super().__init__()
        self.output_size = _pair(output_size)
        self.spatial_scale = spatial_scale
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned

    def forward(self, input: Tensor, rois: Any) -> Tensor:
        """Maps B C H W and boxes to R C height width."""
        return roi_align(
            input, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned
        )

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
            f"sampling_ratio={self.sampling_ratio}, aligned={self.aligned}"
        )


class RoIPool(nn.Module):
    """`roi_pool` as a layer; arguments as there.

    Args:
        output_size: cells (height, width).
        spatial_scale: positions of the map for each unit of the boxes.
    """

    def __init__(self, output_size: int | Sequence[int], spatial_scale: float) -> None:
        super().__init__()
        self.output_size = _pair(output_size)
        self.spatial_scale = spatial_scale

    def forward(self, input: Tensor, rois: Any) -> Tensor:
        """Maps B C H W and boxes to R C height width."""
        return roi_pool(input, rois, self.output_size, self.spatial_scale)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"output_size={self.output_size}, spatial_scale={self.spatial_scale}"
