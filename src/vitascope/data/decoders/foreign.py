"""What a file is that FFmpeg cannot read, by its first bytes, so that a message can say so."""

from __future__ import annotations

# Name, place, bytes.
_KINDS = (
    ("a JPEG XL image", 0, b"\xff\x0a"),
    ("a JPEG XL image", 4, b"JXL \x0d\x0a\x87\x0a"),
    ("an MNG animation", 0, b"\x8aMNG"),
    ("a BPG image", 0, b"BPG\xfb"),
    ("a FLIF image", 0, b"FLIF"),
    ("a compressed Flash video", 0, b"CWS"),
    ("a compressed Flash video", 0, b"ZWS"),
    ("a ZIP archive", 0, b"PK\x03\x04"),
    ("a RAR archive", 0, b"Rar!\x1a\x07"),
    ("a 7z archive", 0, b"7z\xbc\xaf\x27\x1c"),
    ("a gzip file", 0, b"\x1f\x8b"),
    ("an xz file", 0, b"\xfd7zXZ\0"),
    ("a Zstandard file", 0, b"\x28\xb5\x2f\xfd"),
    ("a bzip2 file", 0, b"BZh"),
    ("a tar archive", 257, b"ustar"),
    ("a PDF document", 0, b"%PDF"),
    ("a NumPy array", 0, b"\x93NUMPY"),
    ("an HDF5 file", 0, b"\x89HDF\r\n\x1a\n"),
    ("a Parquet table", 0, b"PAR1"),
    ("a pointer of Git LFS, not the file itself", 0, b"version https://git-lfs"),
)
_PAGES = (b"<!doctype html", b"<html")

HEAD = 512  # bytes that are looked at


def is_animated_webp(head: bytes) -> bool:
    """Whether a file is a WebP of several images; FFmpeg reads those of one only."""
    marked = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20
    return marked and head[20] & 2 != 0


def kind(head: bytes) -> str | None:
    """What the file is, with its article; None if it is nothing that is known here.

    Args:
        head: the first `HEAD` bytes, or all of them.
    """
    if is_animated_webp(head):
        return "an animated WebP"
    if head.lstrip()[:14].lower().startswith(_PAGES):
        return "a web page (what a server sends where a download fails)"
    return next((name for name, at, mark in _KINDS if head[at : at + len(mark)] == mark), None)
