"""Whether a file is all there: what its containers promise, held against what it has.

Files are cut while they are copied, downloaded or recorded. Most then decode without any error up
to the place of the cut, so the decoder cannot tell; the container can.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from vitascope.data.decoders.source import Source
from vitascope.data.decoders.stills import Read, gif_is_whole, jpeg_is_whole
from vitascope.data.decoders.timeline import Timeline


def cut_off(source: Source, timeline: Timeline | None = None) -> str | None:
    """What is missing at the end of a file, cut while it was copied or downloaded.

    Args:
        source: the open file; nothing is decoded, and its place does not change.
        timeline: its frames, for formats that tell how long they should be; None asks only
            what is said of bytes.

    Returns:
        A sentence, or None if nothing is known to be missing.
    """
    promised = promised_end(source) if timeline is not None else None
    if timeline is not None and promised is not None:
        end, gap = timeline.start + timeline.duration, timeline.duration / len(timeline)
        if promised - end > max(3 * gap, Fraction(1, 5)):
            return (
                f"the file is cut off: its header promises "
                f"{float(promised - timeline.start):.3f} s, "
                f"the frames end at {float(timeline.duration):.3f} s"
            )
    size = source.size
    if size <= 0:
        return None
    need, what = _table_end(source), "its table leads"
    walk = _WALKS.get(source.container.format.name.split(",")[0])
    if need <= size and walk is not None:
        with source.content() as read:
            need, what = walk(read, size), "what is in it goes on"
    if need <= size:
        return None
    if need == size + 1:
        return f"the file is cut off: it breaks off at byte {size}, before its end"
    return f"the file is cut off: {what} to byte {need}, it ends at byte {size}"


def promised_end(source: Source) -> Fraction | None:
    """The end of the stream in seconds as the header has it; None where it is only a guess."""
    stream = source.stream
    if source.is_mp4 and stream.duration and stream.start_time is not None:
        return Fraction(int(stream.start_time + stream.duration)) * source.time_base
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3])
    return None


def _table_end(source: Source) -> int:
    """Where the last entry of an MP4's table of frames ends; 0 for other formats."""
    if not source.is_mp4:
        return 0
    entries = source.stream.index_entries
    return int(entries[-1].pos + entries[-1].size) if len(entries) else 0


# Each walk gives the byte at which the file should end at least, 0 if it cannot tell. One byte
# more than the file has stands for "an unknown number of them".

# Boxes without which frames are missing, and boxes that may be cut without harm.
_NEEDED = frozenset(b"ftyp moov mdat moof".split())
_OTHER = frozenset(b"mfra free skip wide uuid sidx styp pnot meta".split())


def _boxes(read: Read, size: int) -> int:
    """MP4: boxes in a row, each with its length."""
    place = needed = 0
    while place < size:
        head = read(place, 16)
        kind = head[4:8]
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if kind not in _NEEDED | _OTHER or length < 8:
            break  # something was added behind the film, or this box has the rest of the file
        place += length
        needed = place if kind in _NEEDED else needed
    return needed


def _riff(read: Read, size: int) -> int:
    """AVI: lists with frames, each with its length; a recording that was not closed has none.

    The index behind the frames may be missing.
    """
    place = needed = 0
    while place < size:
        head = read(place, 12)
        length = int.from_bytes(head[4:8], "little")
        if length in (0, 0xFFFFFFFF):
            break
        if head[:4] == b"RIFF":
            place += 12
            continue
        if not head[:4].isalnum():
            break
        place += 8 + length + length % 2
        if head[:4] == b"LIST" and head[8:] == b"movi":
            # The last one may lack the byte that makes its length even.
            needed = place - length % 2
    return needed


def _ebml(read: Read, size: int) -> int:
    """Matroska: a segment with its length, or clusters with theirs in a segment without."""
    header = _element(read, 0)
    segment = _element(read, header[2]) if header is not None else None
    if segment is None or segment[0] != 0x18538067:
        return 0
    if segment[2]:
        return segment[2]
    place = segment[1]
    while place < size:
        element = _element(read, place)
        if element is None or not element[2]:
            return 0  # not known: a live recording
        place = element[2]
    return place


def _element(read: Read, place: int) -> tuple[int, int, int] | None:
    """Name, begin and end of the content; the end is 0 if the length is not known."""
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


_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def _asf(read: Read, size: int) -> int:
    """ASF and WMV: the header has the size of the file, unless it was broadcast."""
    head = read(0, 65536)
    place = head.find(_ASF_PROPERTIES)
    if head[:16] != _ASF or place < 0 or len(head) < place + 92:
        return 0
    broadcast = head[place + 88] & 1
    return 0 if broadcast else int.from_bytes(head[place + 40 : place + 48], "little")


def _flv(read: Read, size: int) -> int:
    """FLV: the length of each tag stands behind it once more."""
    length = int.from_bytes(read(size - 4, 4), "big")
    head = read(size - 4 - length, 4) if 11 <= length <= size - 13 else b""
    agree = len(head) == 4 and int.from_bytes(head[1:4], "big") == length - 11
    return 0 if agree else size + 1


def _gif(read: Read, size: int) -> int:
    """GIF: blocks in a row, then a byte that ends them."""
    return 0 if gif_is_whole(read, size, closed=True) else size + 1


def _png(read: Read, size: int) -> int:
    """PNG and APNG: chunks in a row up to the one that ends them."""
    place = 8
    while place < size:
        head = read(place, 8)
        if head[4:] == b"IEND":
            return place + 12
        if not head[4:].isalpha():
            return 0
        place += 12 + int.from_bytes(head[:4], "big")
    return max(place, size + 1)


def _jpeg(read: Read, size: int) -> int:
    """JPEG, one or several in a row: two bytes end each."""
    return 0 if jpeg_is_whole(read, size) else size + 1


def _ivf(read: Read, size: int) -> int:
    """IVF: frames in a row, each with its length."""
    place = int.from_bytes(read(6, 2), "little")
    while 0 < place < size:
        place += 12 + int.from_bytes(read(place, 4), "little")
    return place


def _ogg(read: Read, size: int) -> int:
    """Ogg: the last page of a stream is marked as the last."""
    begin = max(size - (1 << 17), 0)
    tail = read(begin, 1 << 17)
    page = tail.rfind(b"OggS\0")
    if page < 0 or not tail[page + 5 : page + 6] >= b"\4":
        return size + 1
    parts = tail[page + 26 : page + 27]
    lengths = tail[page + 27 : page + 27 + parts[0]] if parts else b""
    return begin + page + 27 + len(lengths) + sum(lengths) if lengths else size + 1


_WALKS: dict[str, Callable[[Read, int], int]] = {
    "mov": _boxes,
    "avi": _riff,
    "matroska": _ebml,
    "asf": _asf,
    "flv": _flv,
    "gif": _gif,
    "png_pipe": _png,
    "apng": _png,
    "jpeg_pipe": _jpeg,
    "mjpeg": _jpeg,
    "ivf": _ivf,
    "ogg": _ogg,
}
