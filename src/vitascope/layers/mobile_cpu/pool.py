"""Poolings."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vitascope.layers.mobile_cpu.base import BlobSize, EfficientBlockBase, NoOpConvertBlock


class AdaptiveAvgPool3d(NoOpConvertBlock):
    """Adaptive average pooling of clips, deployed as it is."""

    def __init__(self, output_size: int | tuple[int, ...]) -> None:
        super().__init__(nn.AdaptiveAvgPool3d(output_size))


class AdaptiveAvgPool2d(NoOpConvertBlock):
    """Adaptive average pooling of images, deployed as it is."""

    def __init__(self, output_size: int | tuple[int, ...]) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(output_size))


class _Mean(EfficientBlockBase):
    """Mean over all positions; deployed with the window of the input that it was converted for."""

    def __init__(self, pool: nn.Module, window: type[nn.Module]) -> None:
        super().__init__()
        self.pool = pool
        self._window = window
        self.convert_flag = False

    def convert(self, input_blob_size: BlobSize, **kwargs: Any) -> None:
        """Fixes the window.

        Args:
            input_blob_size: shape B C ... of the input.
            kwargs: not used here.
        """
        assert not self.convert_flag, "converted already"
        self.pool = self._window(tuple(input_blob_size[2:]))
        self.convert_flag = True

    def forward(self, x: Tensor) -> Tensor:
        """Averages over all positions, which stay as dimensions of size 1."""
        out: Tensor = self.pool(x)
        return out


class AdaptiveAvgPool3dOutSize1(_Mean):
    """Mean over T, H and W."""

    def __init__(self) -> None:
        super().__init__(nn.AdaptiveAvgPool3d(1), nn.AvgPool3d)


class AdaptiveAvgPool2dOutSize1(_Mean):
    """Mean over H and W."""

    def __init__(self) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.AvgPool2d)
