"""Whether a file is all there: what its containers promise, held against what it has.

Files are cut while they are copied, downloaded or recorded. Most then decode without any error up
to the place of the cut, so the decoder cannot tell; the container can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction

import av

from vitascope.data.decoders.ebml import element, is_last_of_track, segment
from vitascope.data.decoders.source import Source
from vitascope.data.decoders.stills import Read, gif_is_whole, jpeg_is_whole
from vitascope.data.decoders.timeline import Timeline

_LONGEST_TABLE = 1 << 26  # bytes


def cut_off(source: Source, timeline: Timeline | None = None) -> str | None:
    """What is missing at the end of a file, cut while it was copied or downloaded.

    Args:
        source: the open file; nothing is decoded, and its place does not change.
        timeline: its frames, for formats that tell how long they should be; None asks only
            what is said of bytes.

    Returns:
        A sentence, or None if nothing is known to be missing.
    """
    promised = promised_end(source, timeline.start) if timeline is not None else None
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
    walk = _WALKS.get(_format(source))
    if need <= size and walk is not None:
        with source.content() as read:
            need, what = walk(read, size), "what is in it goes on"
    if need <= size:
        return None
    if need == size + 1:
        return f"the file is cut off: it breaks off at byte {size}, before its end"
    return f"the file is cut off: {what} to byte {need}, it ends at byte {size}"


def promised_end(source: Source, start: Fraction | None = None) -> Fraction | None:
    """The end of the stream in seconds as the header has it; None where it is no promise.

    MP4 has a table of its frames, which is the proof of what there should be; only where the
    frames come in fragments is the header all that speaks of those that are missing. The tag
    DURATION is Matroska's own: other formats carry it where a program copied the tags of a
    stream. It is never longer than the file that it was written for.

    Args:
        source: the open file.
        start: of the first frame in seconds, which is before the stored one if that is odd.
    """
    stream = source.stream
    if (
        source.is_mp4
        and not has_table(source)
        and stream.duration
        and stream.start_time is not None
    ):
        begin = int(stream.start_time) * source.time_base
        begin = begin if start is None else min(begin, start)
        return begin + int(stream.duration) * source.time_base
    if _format(source) != "matroska":
        return None
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag is None:
        return None
    end = int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3])
    whole = source.container.duration
    return min(end, Fraction(int(whole), av.time_base)) if whole else end


def held_until(source: Source, end: Fraction, place: int | None) -> Fraction | None:
    """The end of the last frame in seconds where only the header has it; None if it is not known.

    Matroska stores no length with most frames. If the file is sound and has no further frame, the
    last one stays until the time that the header has.

    Args:
        source: the open file.
        end: where the last frame ends at least.
        place: of the last frame in the file.
    """
    promised = promised_end(source) if _format(source) == "matroska" else None
    if promised is None or promised <= end or place is None:
        return None
    with source.content() as read:
        return promised if is_last_of_track(read, source.size, place) else None


def last_in_table(source: Source) -> int | None:
    """How long the last packet in the table of an MP4 is, in ticks; None if there is no table.

    FFmpeg takes the lengths of some codecs (VP9) from their usual rate instead.
    """
    with source.content() as read:
        place = 0
        for kind, end in _top(read, source.size):
            if kind == b"moov" and end - place <= _LONGEST_TABLE:
                return _last_delta(read(place, end - place)[8:], source.stream.id)
            place = end
    return None


def _last_delta(movie: bytes, track: int) -> int | None:
    for body in _inside(movie, b"trak"):
        header = next(_inside(body, b"tkhd"), b"")
        place = 20 if header[:1] == b"\1" else 12
        if int.from_bytes(header[place : place + 4], "big") != track:
            continue
        for kind in (b"mdia", b"minf", b"stbl", b"stts"):
            body = next(_inside(body, kind), b"")
        count = int.from_bytes(body[4:8], "big")
        if count and len(body) >= 8 + 8 * count:
            return int.from_bytes(body[4 + 8 * count : 8 + 8 * count], "big")
    return None


def _inside(content: bytes, kind: bytes) -> Iterator[bytes]:
    """What is in the boxes of a kind among those that are in a box."""
    place = 0
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        if length < 8:
            return
        if content[place + 4 : place + 8] == kind:
            yield content[place + 8 : place + length]
        place += length


def _format(source: Source) -> str:
    return str(source.container.format.name).split(",")[0]


def has_table(source: Source) -> bool:
    """Whether a file has a table of all its frames: an MP4 that does not come in fragments."""
    if not source.is_mp4:
        return False
    with source.content() as read:
        return not any(kind == b"moof" for kind, _ in _top(read, source.size))


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


def _top(read: Read, size: int) -> Iterator[tuple[bytes, int]]:
    """Kind and end of each box that is not in another."""
    place = 0
    while place < size:
        head = read(place, 16)
        kind = head[4:8]
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if kind not in _NEEDED | _OTHER or length < 8:
            return  # something was added behind the video, or this box has the rest of the file
        place += length
        yield kind, place


def _boxes(read: Read, size: int) -> int:
    """MP4: boxes in a row, each with its length."""
    return max((end for kind, end in _top(read, size) if kind in _NEEDED), default=0)


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
    whole = segment(read)
    if whole is None:
        return 0
    if whole[2]:
        return whole[2]
    place = whole[1]
    while place < size:
        found = element(read, place)
        if found is None or not found[2]:
            return 0  # not known: a live recording
        place = found[2]
    return place


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
