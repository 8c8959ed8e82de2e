"""PyTorchVideo's video file with the arguments of its torchvision decoder."""

from vitascope.compat.ptv.data.encoded_video import (
    EncodedVideoTorchVision as EncodedVideoTorchVision,
)
from vitascope.compat.ptv.data.utils import pts_to_secs as pts_to_secs
from vitascope.compat.ptv.data.utils import secs_to_pts as secs_to_pts
from vitascope.compat.ptv.data.utils import thwc_to_cthw as thwc_to_cthw
from vitascope.compat.ptv.data.video_base import Video as Video

__all__ = ["EncodedVideoTorchVision"]
