"""PyTorchVideo's video file with the arguments of its pyav decoder."""

from vitascope.compat.ptv.data.encoded_video import EncodedVideoPyAV as EncodedVideoPyAV

__all__ = ["EncodedVideoPyAV"]
