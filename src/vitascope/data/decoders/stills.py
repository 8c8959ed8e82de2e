"""Whether GIF and JPEG images are whole, from their own structure."""

from __future__ import annotations

from collections.abc import Callable

# Gives a number of bytes from a place; fewer at the end.
Read = Callable[[int, int], bytes]

_TAIL = 4096


def is_whole(picture: bytes) -> bool:
    """Whether a GIF or JPEG image reaches its end; True for anything else."""

    def read(place: int, count: int) -> bytes:
        return picture[place : place + count]

    if picture[:3] == b"GIF" or picture[:1] in (b"\x21", b"\x2c"):
        return gif_is_whole(read, len(picture), closed=False)
    return picture[:2] != b"\xff\xd8" or jpeg_is_whole(read, len(picture))


def jpeg_is_whole(read: Read, size: int) -> bool:
    """Whether the last JPEG image in a row of them is ended."""
    tail = read(max(size - _TAIL, 0), _TAIL)
    return tail.rfind(b"\xff\xd9") > tail.rfind(b"\xff\xd8")


def gif_is_whole(read: Read, size: int, closed: bool) -> bool:
    """Whether all blocks of a GIF are there; what is no block ends them.

    Args:
        read: access to the content.
        size: its length in bytes.
        closed: whether the byte that ends the file must be there.
    """
    place = 0
    if read(0, 3) == b"GIF":
        place = 13 + _colors(read(10, 1))
    while place < size:
        head = read(place, 10)
        if head[:1] == b"\x21":
            place += 2
        elif head[:1] == b"\x2c" and len(head) == 10:
            place += 11 + _colors(head[9:])
        else:
            return head[:1] != b"\x2c"
        length = 1
        while length and place < size:
            length = read(place, 1)[0]
            place += 1 + length
        if length:
            return False
    return place == size and not closed


def _colors(flags: bytes) -> int:
    """Bytes of a table of colors."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0
