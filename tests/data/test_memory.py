"""Memory: a million paths in eight workers, and a loader that does not grow."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.videos import film

# Every record is touched by some worker; a list of objects would then be copied into each of them.
PATHS = """
import json, sys
import psutil
from vitascope.data.dataset import ClipDataset
from vitascope.data.loader import ClipLoader
from vitascope.data.records import VideoRecord
from vitascope.data.sampler import order
from vitascope.spec import ClipSpec

count, video = int(sys.argv[1]), sys.argv[2]

class Touching(ClipDataset):
    def __getitem__(self, item):
        for i in range(item[0], len(self), 1000):
            self.records[i]
        return super().__getitem__((len(self) - 1, item[1]))

def records():
    for i in range(count - 1):
        name = f"/data/kinetics400/train/some class name {i % 400}/{i:011d}_000010_000020.mp4"
        yield VideoRecord(name, i % 400, where=f"train.csv, row {i}")
    yield VideoRecord(video, 0)

data = Touching(records(), ClipSpec(num_frames=2), train=True)
me = psutil.Process()
peak = 0
for step, batch in enumerate(ClipLoader(data, order(0, 0, 1000, shuffle=False), 50, workers=8)):
    peak = max(peak, sum(p.memory_full_info().pss for p in [me, *me.children()]))
print(json.dumps(peak / 2**20))
"""

DRIFT = """
import gc, json, sys
import psutil
from vitascope.data.dataset import ClipDataset
from vitascope.data.records import VideoRecord
from vitascope.data.cache.frames import FrameCache
from vitascope.spec import ClipSpec

store = FrameCache(sys.argv[2], 40) if sys.argv[2] else None
data = ClipDataset([VideoRecord(sys.argv[1], 0)], ClipSpec(num_frames=2, fps=12), train=True,
                   store=store)
seen = []
for i in range(int(sys.argv[3])):
    data[0, (0, i, 0)]
    if i % 100 == 99:
        gc.collect()
        seen.append(psutil.Process().memory_info().rss / 2**20)
print(json.dumps(seen))
"""

# Bytes that C code holds; the resident memory is far too coarse to see what one read loses.
HELD = """
import ctypes, gc, json, sys
from vitascope.data.decoder import open_video

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]

info = ctypes.CDLL(None).mallinfo2
info.restype = Info

def held(reads):
    for _ in range(reads):
        with open_video(sys.argv[1], "pyav") as video:
            video.read([3, 5])  # ends in mid-stream
    gc.collect()
    return info().uordblks

first = held(300)
print(json.dumps((held(1000) - first) / 1000))
"""


def run(code: str, *arguments: object) -> object:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="shares of memory are read from /proc")
def test_a_million_paths_in_eight_workers(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 4)
    few, many = run(PATHS, 10_000, path), run(PATHS, 1_000_000, path)
    assert many - few < 200, f"{many:.0f} MB with a million paths, {few:.0f} MB with ten thousand"


@pytest.mark.slow
@pytest.mark.parametrize("cached", [False, True])
def test_memory_does_not_drift(tmp_path: Path, cached: bool) -> None:
    path = film(tmp_path / "a.mp4", 12)
    seen = run(DRIFT, path, tmp_path / "store" if cached else "", 2000)
    assert seen[-1] - seen[4] < 0.05 * seen[4], seen


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="glibc 2.33 counts what is held",
)
def test_a_read_loses_nothing(tmp_path: Path) -> None:
    lost = run(HELD, film(tmp_path / "a.mp4", 12))
    assert isinstance(lost, float) and lost < 40, f"{lost} bytes a read"
