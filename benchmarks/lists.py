"""How long a list of many videos takes to read, and how much memory, beside Python's csv reader.

The plain way reads the rows and asks the system whether each file is there, and keeps tuples. Both
ways run in processes of their own, in turns, on the same files:

    python benchmarks/lists.py --rows 200000
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import vitascope
from vitascope.data.tables import read

KINDS = {
    "path,label,split": "{path},class {label},{split}",
    "with times": "{path},class {label},{split},{start}.{tenth},{end}.{tenth}",
    "path label": "{path} {label}",
}
FOLDERS = 400


def write_lists(folder: Path, rows: int) -> dict[str, Path]:
    """Empty files in folders of classes, and a list of each kind over them."""
    for label in range(FOLDERS):
        (folder / f"class_{label:03}").mkdir()
    paths = [f"class_{i % FOLDERS:03}/video_{i // FOLDERS:05}.mp4" for i in range(rows)]
    for path in paths:
        (folder / path).touch()
    lists = {}
    for number, (kind, form) in enumerate(KINDS.items()):
        lists[kind] = folder / f"list{number}.{'csv' if ',' in form else 'txt'}"
        with open(lists[kind], "w", encoding="utf-8") as file:
            for i, path in enumerate(paths):
                split = ("train", "val", "test")[min(2, i % 10 // 4)]
                begin = i % 997
                file.write(form.format(path=path, label=i % FOLDERS, split=split, start=begin,
                                       end=begin + 10, tenth=i % 7) + "\n")  # fmt: skip
    return lists


def ours(path: Path) -> int:
    """The rows as a table."""
    return len(read.read_table(path))


def plain(path: Path) -> int:
    """The rows as tuples of text."""
    comma = "," if path.suffix == ".csv" else " "
    with open(path, newline="", encoding="utf-8") as file:
        rows = [tuple(row) for row in csv.reader(file, delimiter=comma)]
    assert all(os.path.exists(os.path.join(path.parent, row[0])) for row in rows)
    return len(rows)


WAYS = {"vitascope": ours, "plain": plain}


def peak() -> float:
    """Most memory of this process so far in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(way: str, path: Path) -> None:
    """Prints seconds, processor seconds and MB that one reading takes."""
    warm = path.parent / "warm.csv"  # what reading imports is no part of it
    warm.write_text(f"{path.name},a\nclass_000/video_00000.mp4,b\n", encoding="utf-8")
    ours(warm)
    before, begin, busy = peak(), time.perf_counter(), time.process_time()
    WAYS[way](path)
    print(time.perf_counter() - begin, time.process_time() - busy, peak() - before)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]))
        return
    print(f"{options.rows} rows, median of {options.repeats}; vitascope {vitascope.__version__}\n")
    print("| list | way | s | CPU s | MB | times the plain way (CPU) |\n|---|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        for kind, path in write_lists(Path(folder), options.rows).items():
            seen: dict[str, list[list[float]]] = {way: [] for way in WAYS}
            for _ in range(options.repeats):
                for way, found in seen.items():
                    done = subprocess.run(
                        [sys.executable, __file__, "--child", way, str(path)],
                        check=True, capture_output=True, text=True,
                    )  # fmt: skip
                    found.append([float(text) for text in done.stdout.split()])
            medians = {
                way: [statistics.median(column) for column in zip(*found, strict=True)]
                for way, found in seen.items()
            }
            for way, (wall, busy, memory) in medians.items():
                ratio = busy / medians["plain"][1]
                print(f"| {kind} | {way} | {wall:.1f} | {busy:.1f} | {memory:.0f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
