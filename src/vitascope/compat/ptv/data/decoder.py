"""PyTorchVideo's names of decoders."""

from vitascope.data.decoder import DecoderType as DecoderType

__all__ = ["DecoderType"]
