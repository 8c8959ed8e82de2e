"""Training from scratch on few clips, against ridge regression on the motion of pixels.

A list of labeled videos says for each which group it belongs to: a person, a camera. Some groups
are for the test; of the others the first few are trained on, with a few clips of each class. Both
sides see the same clips:

- ridge: 12 frames spread over the video, 24 x 16 gray pixels each, less the video's median image;
  linear one-vs-all with an L2 penalty chosen by leave-one-out error (in closed form);
- ours: `vitascope train LIST --init none` with every default, in a process of its own.

    python benchmarks/small_data.py clips.csv --group signer --test u10 u11 u12
    python benchmarks/small_data.py clips.csv --group signer --test u10 --groups 6 --only-ridge

Each subset is drawn once a seed; the figure is the mean over seeds. Prints Markdown on standard
output and progress on standard error.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import interpolate

from vitascope.data.decoder import open_video
from vitascope.transforms.functional import uniform_indices

FRAMES, HEIGHT, WIDTH = 12, 16, 24
PENALTIES = 10.0 ** np.arange(-2, 7)


class Row(NamedTuple):
    """A video, its class and its group."""

    path: Path
    label: str
    group: str


def read(file: Path, group: str) -> list[Row]:
    with file.open(encoding="utf-8", newline="") as lines:
        return [Row(file.parent / r["path"], r["label"], r[group]) for r in csv.DictReader(lines)]


def subset(rows: Sequence[Row], groups: int, clips: int, seed: int) -> list[Row]:
    """`clips` of each class out of `groups` groups, both drawn by the seed."""
    draw = random.Random(seed)
    chosen = set(draw.sample(sorted({r.group for r in rows}), groups))
    classes: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.group in chosen:
            classes[row.label].append(row)
    return [r for label in sorted(classes) for r in draw.sample(classes[label], clips)]


def motion(path: Path) -> np.ndarray:
    """What moves in a video: gray pixels less their median over time."""
    with open_video(path) as video:
        wanted = uniform_indices(len(video.times), FRAMES)
        frames = video.read(wanted).data  # T H W C
    gray = frames.float().mean(-1)[:, None]
    small = interpolate(gray, (HEIGHT, WIDTH), mode="area")[:, 0].numpy()
    return (small - np.median(small, axis=0)).ravel()


def ridge(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Classes of the test rows, by the penalty whose leave-one-out error is least."""
    middle = train.mean(0)
    scale = train.std() or 1.0
    x, y = (train - middle) / scale, 2.0 * (labels[:, None] == np.unique(labels)) - 1
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    offset = y.mean(0)
    uy = u.T @ (y - offset)
    best, weights = np.inf, np.zeros((x.shape[1], y.shape[1]))
    for penalty in PENALTIES:
        shrunk = s**2 / (s**2 + penalty)
        fitted = u @ (shrunk[:, None] * uy)
        leverage = (u**2 * shrunk).sum(1) + 1 / len(x)
        error = float((((y - offset - fitted) / (1 - leverage)[:, None]) ** 2).mean())
        if error < best:
            best, weights = error, vt.T @ ((s / (s**2 + penalty))[:, None] * uy)
    scores = (test - middle) / scale @ weights + offset
    return np.unique(labels)[scores.argmax(1)]


def ours(train: Sequence[Row], test: Sequence[Row], seed: int, extra: Sequence[str]) -> float:
    """Test top-1 of `vitascope train` with its defaults."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, rows in (("train", train), ("test", test)):
            for number, row in enumerate(rows):
                link = place / "data" / name / row.label / f"{row.group}_{number}{row.path.suffix}"
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(row.path.resolve())
        command = [
            sys.executable, "-m", "vitascope", "train", str(place / "data"), "--init", "none",
            "--out", str(place / "run"), "--json", str(place / "done.json"), f"run.seed={seed}",
            *extra,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return float(json.loads((place / "done.json").read_text("utf-8"))["test"]["top1"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("list", type=Path, help="CSV with path, label and the group's column")
    parser.add_argument("--group", required=True, help="column that says person or camera")
    parser.add_argument("--test", nargs="+", required=True, help="groups of the test")
    parser.add_argument("--groups", nargs="+", type=int, default=[3, 6])
    parser.add_argument("--clips", nargs="+", type=int, default=[5, 15], help="of each class")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only-ridge", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], metavar="PATH=VALUE", help="settings")
    options = parser.parse_args(arguments)
    rows = read(options.list, options.group)
    test = [r for r in rows if r.group in options.test]
    rest = [r for r in rows if r.group not in options.test]
    seen = {row.path: motion(row.path) for row in rows}
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, "
          f"{torch.get_num_threads()} threads; {len(test)} test clips, {len(options.test)} groups, "
          f"mean of {options.seeds} seeds\n")  # fmt: skip
    print("| groups | clips a class | clips | ridge | ours | difference | minutes a run |")
    print("|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for groups in options.groups:
        for clips in options.clips:
            table(options, rest, test, seen, groups, clips)


def table(
    options: argparse.Namespace,
    rest: Sequence[Row],
    test: Sequence[Row],
    seen: dict[Path, np.ndarray],
    groups: int,
    clips: int,
) -> None:
    """Prints the row of one size."""
    truth = np.array([r.label for r in test])
    theirs, mine, spent, count = [], [], [], 0
    for seed in range(options.seeds):
        train = subset(rest, groups, clips, seed)
        count = len(train)
        found = ridge(
            np.stack([seen[r.path] for r in train]),
            np.array([r.label for r in train]),
            np.stack([seen[r.path] for r in test]),
        )
        theirs.append(float((found == truth).mean()))
        if options.only_ridge:
            continue
        begin = time.monotonic()
        mine.append(ours(train, test, seed, options.set))
        spent.append((time.monotonic() - begin) / 60)
        print(f"seed {seed}: ridge {theirs[-1]:.3f}, ours {mine[-1]:.3f}", file=sys.stderr)
    cells = [f"{groups}", f"{clips}", f"{count}", f"{mean(theirs):.1%}"]
    if mine:
        points = 100 * (mean(mine) - mean(theirs))
        cells += [f"{mean(mine):.1%}", f"{points:+.1f} points", f"{mean(spent):.1f}"]
    else:
        cells += ["", "", ""]
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
