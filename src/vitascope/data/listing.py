"""What counts as a video on disk: suffixes, hidden names, folders of frames."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .264 .265 .amv .asf .av1 .avi .dav .divx .drc .dv .f4v .flv .gif .h264 .h265 .hevc "
    ".insv .ivf .lrv .m1v .m2t .m2ts .m2v .m4v .mjpeg .mjpg .mkv .mk3d .mod .mov .mp2v .mp4 .mpe "
    ".mpeg .mpg .mpv .mts .mxf .nsv .nut .obu .ogm .ogv .qt .rm .rmvb .roq .swf .tod .tp .trp .ts "
    ".vob .webm .wmv .wtv .y4m".split()
)
IMAGE_SUFFIXES = frozenset(
    ".bmp .jp2 .jpe .jpeg .jpg .pgm .png .pnm .ppm .tga .tif .tiff .webp".split()
)
# Folders that systems and tools leave behind; a class of that name would shift every label.
_SKIPPED = frozenset({"@eaDir", "lost+found", "System Volume Information", "$RECYCLE.BIN"})

_SUFFIXES = "|".join(sorted(s[1:] for s in VIDEO_SUFFIXES))
# A path that ends like a video, then blanks, then the rest: "my dir/v 1.mp4 air drumming".
PATH_THEN_REST = re.compile(rf"^(.*\.(?:{_SUFFIXES}))(?:\s+(.*))?$", re.IGNORECASE | re.DOTALL)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is left out: ".cache", "__MACOSX", "@eaDir", ..."""
    return name.startswith((".", "__")) or name in _SKIPPED


def has_video_suffix(path: str) -> bool:
    """Whether the name ends like a video file, in any case of letters."""
    return os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES


def has_image_suffix(path: str) -> bool:
    """Whether the name ends like a still image, in any case of letters."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def is_remote(path: str) -> bool:
    """Whether the path is an address (`s3://...`), also one behind others (`zip://a::s3://...`)."""
    return bool(re.match(r"([A-Za-z][A-Za-z0-9+.-]*::)*[A-Za-z][A-Za-z0-9+.-]+://", path))


def is_local_address(path: str) -> bool:
    """Whether an address only spells a place of this machine in another way (`file://...`)."""
    return bool(re.match(r"(file|local|memory|data|dir|reference)://", path, re.IGNORECASE))


def subfolders(folder: str | Path) -> list[str]:
    """Names of the folders in `folder` that are not hidden, sorted by code point."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not is_hidden(e.name) and e.is_dir())


def list_videos(folder: str | Path, left_out: Counter[str] | None = None) -> list[str]:
    """Every video below `folder`, sorted by path.

    A video is a file with one of `VIDEO_SUFFIXES`, or a folder that holds images and neither
    videos nor further folders with content: a folder of frames. Hidden files and folders do not
    count. Links are followed, each folder once.

    Args:
        folder: the folder to search, with everything below it.
        left_out: receives the number of other files by suffix.

    Returns:
        Paths that begin with `folder` as it was given.
    """
    found: list[str] = []
    _walk(os.fspath(folder), found, set(), Counter() if left_out is None else left_out)
    return sorted(found)


def _walk(
    folder: str, found: list[str], seen: set[tuple[int, int]], left_out: Counter[str]
) -> None:
    state = os.stat(folder)
    if (state.st_dev, state.st_ino) in seen:  # a link to a folder above would never end
        return
    seen.add((state.st_dev, state.st_ino))
    before = len(found)
    images: Counter[str] = Counter()
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if entry.is_dir():
                _walk(entry.path, found, seen, left_out)
            elif has_video_suffix(entry.name):
                found.append(entry.path)
            else:
                counts = images if has_image_suffix(entry.name) else left_out
                counts[os.path.splitext(entry.name)[1].lower() or "no suffix"] += 1
    if images and len(found) == before:
        found.append(folder)
    else:
        left_out.update(images)


def say_suffixes(counts: Mapping[str, int]) -> str:
    """Numbers of files by suffix, for messages: "12 .txt, 3 .zip"."""
    shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:5]
    return ", ".join(f"{n} {suffix}" for suffix, n in shown) or "nothing"
