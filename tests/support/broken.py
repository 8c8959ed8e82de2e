"""Small videos of all kinds, and ways to break any file at random."""

from __future__ import annotations

import random

GROUPS = {"preset": "veryfast", "crf": "28", "threads": "1", "g": "8", "bf": "2"}
SEEDS = {
    "h264.mp4": {"options": GROUPS},
    "h264.mkv": {"options": GROUPS},
    "h264.ts": {"options": GROUPS},
    "h264.flv": {"options": GROUPS},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "8", "bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"g": "8", "bf": "2"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "mjpeg.mov": {"codec": "mjpeg", "options": {"qscale": "9"}, "pix_fmt": "yuvj420p"},
    "fragmented.mp4": {
        "options": GROUPS,
        "container_options": {"movflags": "frag_keyframe+empty_moov"},
    },
    "h264.avi": {"options": GROUPS},
    "raw.h264": {"options": GROUPS},
    "hevc.mp4": {
        "codec": "libx265",
        "options": {"preset": "ultrafast", "x265-params": "log-level=none:keyint=8:pools=none"},
    },
    "av1.mp4": {"codec": "libsvtav1", "size": (64, 64), "options": {"preset": "9", "g": "8"}},
    "vp8.ivf": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "vp8.ogv": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "wmv2.asf": {"codec": "wmv2", "options": {"g": "8"}},
    "gif.gif": {"codec": "gif", "pix_fmt": "rgb8", "options": {}},
    "apng.apng": {"codec": "apng", "pix_fmt": "rgb24", "options": {}},
    "jpegs.mjpeg": {"codec": "mjpeg", "options": {"qscale": "9"}, "pix_fmt": "yuvj420p"},
    "ffv1.mkv": {"codec": "ffv1", "pix_fmt": "yuv444p", "options": {}},
}


def mutate(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """Bits turned over, bytes overwritten, cut, spliced, or a length in the header made to lie."""
    data = bytearray(content)
    kind = rng.choice(("bits", "bytes", "cut", "splice", "header", "hole"))
    if kind == "bits":
        for _ in range(rng.choice((1, 4, 40))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "bytes":
        start = rng.randrange(len(data))
        data[start : start + 64] = rng.randbytes(len(data[start : start + 64]))
    elif kind == "cut":
        del data[rng.randrange(len(data)) :]
    elif kind == "splice":
        data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]
    elif kind == "header":
        edge = min(1200, len(data) - 4)
        start = rng.choice((rng.randrange(edge), len(data) - 4 - rng.randrange(edge)))
        data[start : start + 4] = rng.choice((b"\0\0\0\0", b"\xff" * 4, b"\x7f\xff\xff\xff"))
    else:
        start = rng.randrange(len(data))
        del data[start : start + rng.randrange(1, 400)]
    return bytes(data)
