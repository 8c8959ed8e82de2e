"""The elements of a Matroska file, as far as they tell whether something is missing."""

from __future__ import annotations

from collections.abc import Iterator

from vitascope.data.decoders.stills import Read

_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK = 0xA3, 0xA0, 0xA1

# Name, begin and end of the content; the end is 0 if the length is not known.
Element = tuple[int, int, int]


def element(read: Read, place: int) -> Element | None:
    """The element at a place; None where there is none."""
    head = read(place, 12)
    if len(head) < 2 or not head[0]:
        return None
    name = 9 - head[0].bit_length()
    if name > 4 or len(head) <= name or not head[name]:
        return None
    width = 9 - head[name].bit_length()
    digits = head[name : name + width]
    length = int.from_bytes(digits, "big") & ((1 << 7 * width) - 1)
    begin = place + name + width
    known = length != (1 << 7 * width) - 1
    return int.from_bytes(head[:name], "big"), begin, begin + length if known else 0


def segment(read: Read) -> Element | None:
    """The element that holds everything; None if this is no Matroska file."""
    header = element(read, 0)
    found = element(read, header[2]) if header is not None else None
    return found if found is not None and found[0] == _SEGMENT else None


def is_last_of_track(read: Read, size: int, place: int) -> bool:
    """Whether no frame of a track can follow one of its frames.

    True only if all elements from there to the end of the file are sound, and none of them is a
    frame of the same track.

    Args:
        read: access to the content.
        size: its length in bytes.
        place: a place in the block of the frame.
    """
    whole = segment(read)
    if whole is None or not 0 < whole[2] <= size:
        return False
    track = b""
    for outer in _elements(read, whole[1], whole[2]):
        if outer is None:
            return False
        if outer[0] != _CLUSTER or outer[2] <= place:
            continue
        for inner in _elements(read, outer[1], outer[2]):
            if inner is None:
                return False
            if inner[2] <= place or inner[0] not in (_SIMPLE_BLOCK, _BLOCK_GROUP):
                continue
            own = _track(read, inner)
            if not own or own == track:
                return False
            track = track or own
    return bool(track)


def _elements(read: Read, place: int, end: int) -> Iterator[Element | None]:
    """The elements that fill a stretch exactly; None where it is not filled by them."""
    while place < end:
        found = element(read, place)
        if found is None or not place < found[2] <= end:
            yield None
            return
        yield found
        place = found[2]


def _track(read: Read, block: Element) -> bytes:
    """The number of the track that a block belongs to, as it is stored; empty if unsound."""
    if block[0] == _BLOCK_GROUP:
        inner = [e for e in _elements(read, block[1], block[2]) if e and e[0] == _BLOCK]
        if len(inner) != 1:
            return b""
        block = inner[0]
    head = read(block[1], 8)
    return head[: 9 - head[0].bit_length()] if head and head[0] else b""
