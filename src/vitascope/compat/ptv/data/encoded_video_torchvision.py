"""PyTorchVideo's video file with the arguments of its torchvision decoder."""

from vitascope.compat.ptv.data.encoded_video import (
    EncodedVideoTorchVision as EncodedVideoTorchVision,
)

__all__ = ["EncodedVideoTorchVision"]
