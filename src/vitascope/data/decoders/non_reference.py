"""Which packets hold nothing but images that no other image is built on.

Read from the headers in the packet itself, and only if the packet is sound as far as they tell: a
damaged packet must reach the decoder, or the damage would go unnoticed in the images after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

Rule = Callable[[bytes], bool]

_START = re.compile(rb"\x00\x00\x01")


def rule(codec: str, setup: bytes | None) -> Rule | None:
    """The test for packets of one stream; None where nothing can be passed over.

    Args:
        codec: FFmpeg's name of the codec.
        setup: the stream's extradata; its form tells how a packet is divided.
    """
    setup = setup or b""
    boxed = len(setup) > 4 and setup[0] == 1
    if codec == "h264":
        size = (setup[4] & 3) + 1 if boxed else 0
        return lambda packet: _all_units(packet, size, _h264)
    if codec == "hevc" and boxed and len(setup) > 22 and setup[21] >> 3 & 7 == 1:
        # With several temporal layers "not a reference" holds within one layer only.
        size = (setup[21] & 3) + 1
        return lambda packet: _all_units(packet, size, _hevc)
    if codec in ("mpeg1video", "mpeg2video"):
        return _mpeg12
    if codec == "mpeg4":
        return _mpeg4
    return None


def _h264(unit: bytes) -> bool | None:
    kind, reference = unit[0] & 31, unit[0] >> 5 & 3
    if kind == 1:  # a slice of an image that is no fresh start
        return reference == 0 and not unit[0] & 0x80
    return None if kind in (6, 9, 12) else False  # messages, delimiters, filling


def _hevc(unit: bytes) -> bool | None:
    kind, layer = unit[0] >> 1 & 63, (unit[0] & 1) << 5 | unit[1] >> 3
    if kind < 32:
        # Even numbers below 10 are the images that are no reference; one temporal layer.
        return kind in (0, 2, 4, 6, 8) and layer == 0 and unit[1] & 7 == 1
    return None if kind in (35, 38, 39, 40) else False  # delimiters, filling, messages


def _all_units(packet: bytes, size: int, judge: Callable[[bytes], bool | None]) -> bool:
    """Whether every image in the packet is disposable, and there is one."""
    found = False
    for unit in units(packet, size):
        verdict = judge(unit) if len(unit) > 2 else False
        if verdict is False:
            return False
        found = found or verdict is True
    return found


def units(packet: bytes, size: int) -> Iterator[bytes]:
    """The first bytes of each unit; an empty one where the packet is not divided as it should."""
    if size:
        place = 0
        while place < len(packet):
            length = int.from_bytes(packet[place : place + size], "big")
            place += size
            if length < 1 or place + length > len(packet):
                yield b""
                return
            yield packet[place : place + 3]
            place += length
        return
    marks = [match.end() for match in _START.finditer(packet)]
    if not marks:
        yield b""
    for mark in marks:
        yield packet[mark : mark + 3]


def _mpeg12(packet: bytes) -> bool:
    kinds = [
        packet[match.end() + 1] >> 3 & 7
        for match in re.finditer(rb"\x00\x00\x01\x00", packet)
        if match.end() + 1 < len(packet)
    ]
    headers = re.search(rb"\x00\x00\x01[\xb3\xb8]", packet)  # sequence or group begins here
    return bool(kinds) and set(kinds) == {3} and headers is None


def _mpeg4(packet: bytes) -> bool:
    kinds = [
        packet[match.end()] >> 6
        for match in re.finditer(rb"\x00\x00\x01\xb6", packet)
        if match.end() < len(packet)
    ]
    headers = re.search(rb"\x00\x00\x01[\xb0\xb3\x20-\x2f]", packet)
    return bool(kinds) and set(kinds) == {2} and headers is None
