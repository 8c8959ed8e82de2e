"""Which packets show no image, from the headers in them: what is not coded is no frame.

Encoders write such packets for a scene that stands still ("not coded"), for images that others
are built on and nobody sees ("hidden"), and for messages that travel by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from vitascope.data.decoders.non_reference import units

Hidden = Callable[[bytes], bool]

# Messages are short; a longer packet has an image, and is not searched for one.
_LONGEST_MESSAGE = 4096
_ANY = 1 << 62
# First bytes of parameters, messages, delimiters, ends and filling: no reference, no error bit.
_H264_MESSAGES = frozenset([*range(0x06, 0x0D), 0x27, 0x28, 0x47, 0x48, 0x67, 0x68])
_HEVC_MESSAGES = frozenset(range(2 * 32, 2 * 41))

_VOL = re.compile(rb"\x00\x00\x01[\x20-\x2f]")
_VOP = b"\x00\x00\x01\xb6"


def hidden(codec: str, setup: bytes | None) -> tuple[Hidden | None, int]:
    """The test for packets of one stream, in the order of the file; None where all show an image.

    The number is the length in bytes beyond which a packet need not be asked about.

    Args:
        codec: FFmpeg's name of the codec.
        setup: the stream's extradata.
    """
    setup = setup or b""
    boxed = len(setup) > 4 and setup[0] == 1
    if codec == "mpeg4":
        return _Mpeg4(setup), _ANY
    if codec in ("vp8", "libvpx"):
        # Reference images that are never shown are packets of their own.
        return lambda packet: not packet[0] & 0x10, _ANY
    if codec in ("vp9", "libvpx-vp9"):
        return _vp9, _ANY
    if codec == "h264":
        size = (setup[4] & 3) + 1 if boxed else 0
        return partial(_only_messages, size=size, names=_H264_MESSAGES), _LONGEST_MESSAGE
    if codec == "hevc" and (not boxed or len(setup) > 22):
        size = (setup[21] & 3) + 1 if boxed else 0
        return partial(_only_messages, size=size, names=_HEVC_MESSAGES), _LONGEST_MESSAGE
    return None, 0


def _only_messages(packet: bytes, size: int, names: frozenset[int]) -> bool:
    """Whether a sound packet has no part of an image; a damaged one must reach the decoder."""
    return all(unit and unit[0] in names for unit in units(packet, size))


def _vp9(packet: bytes) -> bool:
    """An image by itself (several in one packet are marked at the end) that is not shown."""
    if len(packet) < 2 or packet[0] >> 6 != 2 or packet[-1] >> 5 == 6:
        return False
    place = 5 if packet[0] >> 4 & 3 == 3 else 4  # behind the profile, which has a bit more if 3
    shown_again, _, shown = (packet[0] >> 7 - place - n & 1 for n in range(3))
    return not shown_again and not shown


class _Mpeg4:
    """MPEG-4 part 2: the flag "coded" stands behind a time whose width the setup tells."""

    def __init__(self, setup: bytes) -> None:
        self._width = _time_bits(setup)

    def __call__(self, packet: bytes) -> bool:
        self._width = _time_bits(packet) or self._width
        if not self._width or packet.count(_VOP) != 1:
            return False
        bits = _Bits(packet, packet.index(_VOP) + 4)
        bits.take(2)  # kind of image
        while bits.take(1) and bits.left:  # whole seconds
            pass
        bits.take(1 + self._width + 1)
        return bits.left > 0 and not bits.take(1)


def _time_bits(setup: bytes) -> int:
    """Bits of the part of a second in each image; 0 if the setup is not there."""
    found = _VOL.search(setup)
    if found is None:
        return 0
    bits = _Bits(setup, found.end())
    bits.take(1 + 8)  # random access, kind of object
    version = 1
    if bits.take(1):
        version = bits.take(4)
        bits.take(3)
    if bits.take(4) == 15:  # shape of pixels
        bits.take(16)
    if bits.take(1):  # how it is controlled
        bits.take(2 + 1)
        if bits.take(1):
            bits.take(79)
    if bits.take(2) == 3 and version != 1:  # kind of shape
        bits.take(4)
    bits.take(1)
    resolution = bits.take(16)
    return max((resolution - 1).bit_length(), 1) if resolution and bits.left > 0 else 0


class _Bits:
    """Reads numbers of some bits, the highest first; zeros behind the end."""

    def __init__(self, content: bytes, place: int) -> None:
        part = content[place : place + 64]
        self._value, self.left = int.from_bytes(part, "big"), 8 * len(part)

    def take(self, count: int) -> int:
        """The number in the next `count` bits."""
        self.left -= count
        if self.left < 0:
            return 0
        return self._value >> self.left & (1 << count) - 1
