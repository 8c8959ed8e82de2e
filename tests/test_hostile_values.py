"""A standing sweep of hostile values: options, settings, list cells, shard members, index fields.

Each case has a process of its own with 10 s and 1 GB beyond what is loaded. Right is what works and
what is refused with an error of the library; an error that nobody foresaw (exit code 3), a hang or
a death is wrong.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

SECONDS, BYTES = 10, 2**30
# "@zero" and "@null" become devices of the sweep's own, see `main`.
TEXTS = [
    "",
    " ",
    "0",
    "-1",
    "-0.0",
    "1",
    "3",
    "1e6",
    "1000000",
    "9223372036854775808",
    "9" * 40,
    "9" * 5000,
    "1e308",
    "1e309",
    "1e99999999",
    "-1e99999999",
    "1e-99999999",
    "1/0",
    "1/3",
    "nan",
    "inf",
    "-inf",
    "²",
    "½",
    "١٢",
    "1_000",
    "0x10",
    "10**6",
    "²x1",
    "1x²",
    "1x",
    "99999999999x3",
    "true",
    "None",
    "null",
    "[]",
    "{}",
    "[[[[",
    "()",
    "(,)",
    "a,b,c",
    ",,,,",
    "x" * 5000,
    "\x1b[2J\x07",
    "a\nb",
    "\t",
    "\u202etxt",
    "\ud800",
    "\udcff",
    "..",
    "../../etc",
    "/",
    "@zero",
    "@null",
    "/proc/self/mem",
    "~",
    "~nobody",
    "file:///etc/passwd",
    "http://127.0.0.1:9/x",
    "s3://b/x",
    "-",
    "--",
    "-rf",
    "=",
    "a=b",
    "'",
    '"',
    "\\",
    "{0..999999999}.tar",
    "%s%n",
    "${HOME}",
    "'; DROP",
]
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    2**63,
    10**40,
    0.5,
    -0.5,
    1e308,
    "",
    "x",
    "1",
    "1e99999999",
    "nan",
    "²",
    [],
    [1],
    [1, 2],
    ["a"],
    [[]],
    [None, None],
    {},
    {"a": 1},
    {"": None},
    "x" * 5000,
    [0] * 1000,
    "\x1b[2J",
    "\udcff",
    "../..",
]
WRITTEN = ("--json", "--csv", "--out")  # options that name what is to be written
Case = tuple[str, str, Callable[[], Any]]


def command(*words: str) -> Callable[[], int]:
    def call() -> int:
        from support.command_line import cli

        done = cli(*words)
        if done.code == 3:
            print(done.err[-600:])
        # A terminal obeys none of it.
        assert not set(done.err) & set(map(chr, [*range(9), *range(11, 32), *range(127, 160)]))
        assert len(done.err) < 20_000
        return int(done.code)

    return call


def options(data: Path, run: Path, out: Path) -> Iterator[Case]:
    """Each option and argument of each command that needs no minutes."""
    clip = next(data.rglob("*.mp4"))
    base: dict[str, tuple[list[str], list[str]]] = {
        "check": ([str(data)], ["--jobs", "--json"]),
        "predict": ([str(run), str(clip)], ["--every", "--top", "--views", "--json"]),
        "eval": ([str(run), "--data", str(data), "--split", "all"],
                 ["--data", "--split", "--views", "--on-bad", "--bad-budget", "--csv", "--json"]),
        "export": ([str(run), "--to", "torch.export", "--data", str(data), "--out", f"{out}/m.pt2"],
                   ["--to", "--data", "--tolerance"]),
        "convert": ([str(run), str(out / "c.json"), "--force"], ["--model", "--to"]),
        "train": ([str(data), "--out", str(data)],
                  ["--model", "--init", "--recipe", "--out", "--json"]),
        "data info": ([], []),
        "data verify": (["kinetics400", str(data)], ["--lists", "--jobs"]),
        "data prepare": ([str(data), str(out / "p")],
                         ["--short-side", "--crf", "--keyframes", "--jobs"]),
        "data shard": ([str(data), str(out / "s")], ["--shard-size", "--samples", "--jobs"]),
        "models show": ([], []),
        "recipes show": ([], []),
        "bench data": (["/nowhere"], ["--clips", "--model", "--decoder"]),
    }  # fmt: skip
    for name, (words, names) in base.items():
        for text in TEXTS:
            if "\0" in text or text == "\ud800":
                continue  # no program can be given these
            safe = text if not text.startswith("-") else f"./{text}"
            if not words:
                yield name, f"argument {text[:30]!a}", command(*name.split(), text)
            elif text not in (
                "/",
                "~",
            ):  # whatever videos this machine has are none of our business
                changed = [safe, *words[1:]]
                yield name, f"argument {text[:30]!a}", command(*name.split(), *changed)
            for option in names:
                value = text
                if option in WRITTEN:
                    # What is written must not leave the folder of the test: run as root, it would
                    # replace the devices of the machine.
                    value = f"{out}/written/{text.replace('/', '|')}"
                yield (
                    name,
                    f"{option}={text[:30]!a}",
                    command(*name.split(), *words, f"{option}={value}"),
                )


def settings(data: Path) -> Iterator[Case]:
    """Each setting of a recipe: as typed on a command line, and as a value of a JSON file."""
    from vitascope.engine.config import ModelConfig, Recipe
    from vitascope.engine.overrides import apply_overrides
    from vitascope.spec import ClipSpec, PixelSpec

    recipe = Recipe(
        model=ModelConfig(name="x3d_xs"), clip=ClipSpec(num_frames=4),
        pixels=PixelSpec(short_side=32, crop=(32, 32)),
    )  # fmt: skip
    plain = json.dumps(recipe.to_json())
    for field in [
        *(f.path for f in recipe.fields()),
        "model.args.depth_factor",
        "model",
        "clip",
        "",
        "a.b",
    ]:
        for text in TEXTS:
            yield (
                "setting",
                f"{field}={text[:30]!a}",
                lambda f=field, t=text: apply_overrides(recipe, [f"{f}={t}"]),
            )
        for value in VALUES:

            def changed(field: str = field, value: Any = value) -> Any:
                document = json.loads(plain)
                *above, last = field.split(".")
                place = document
                for name in above:
                    place = place.setdefault(name, {})
                place[last] = value
                return Recipe.from_json(document)

            yield "recipe", f"{field}: {str(value)[:30]!a}", changed
        absurd = command("train", str(data), "--out", str(data), f"{field}=1e99999999")
        yield "train setting", field, absurd
    for value in VALUES:
        yield "recipe", f"whole: {str(value)[:30]!a}", lambda v=value: Recipe.from_json(v)


def cells(root: Path) -> Iterator[Case]:
    """Each column of a list in each format, with a split made of it and read back."""
    from vitascope.data.tables.read import read_table
    from vitascope.data.tables.split import read_split, split_table, write_split

    columns = {
        "path": "a.mp4",
        "label": "x",
        "split": "train",
        "start": "0",
        "end": "1",
        "group": "g",
    }
    for name in ("a.mp4", "b.mp4"):
        (root / name).write_bytes(b"x")

    def read(name: str, text: str) -> None:
        file = root / name
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        table = read_table(file)
        if table.splits == ():
            made = split_table(table, fractions={"train": 0.5, "val": 0.5})
            write_split(made, root / "split.csv")
            assert [r.split for r in read_split(root / "split.csv", table).records] == [
                r.split for r in made.records
            ]

    for column in columns:
        for text in TEXTS:
            rows = [columns | {column: text}, columns | {"path": "b.mp4", "label": "y"}]
            for quoting in (csv.QUOTE_ALL, csv.QUOTE_MINIMAL):
                for mark in ",\t;":
                    file = io.StringIO()
                    writer = csv.DictWriter(file, list(columns), delimiter=mark, quoting=quoting)
                    writer.writeheader()
                    writer.writerows(rows)
                    yield (
                        "cell",
                        f"{column} {text[:30]!a}",
                        lambda file=file: read("l.csv", file.getvalue()),
                    )
            yield (
                "header",
                f"{column} {text[:30]!a}",
                lambda c=column, t=text: read(
                    "l.csv", f"path,label,{t}\na.mp4,x,{c}\nb.mp4,y,{c}\n"
                ),
            )
        for value in VALUES:
            document = json.dumps(
                [columns | {column: value}, columns | {"path": "b.mp4", "label": "y"}]
            )
            yield "cell", f"json {column} {str(value)[:30]!a}", lambda d=document: read("l.json", d)
    for text in TEXTS:
        for name in ("l.csv", "l.txt", "l.json", "l.jsonl", "l.tsv", "labels.txt", "labels.json"):
            yield "list", f"{name} {text[:30]!a}", lambda n=name, t=text: read(n, t)
            yield (
                "list",
                f"{name} {text[:30]!a} twice",
                lambda n=name, t=text: read(n, f"{t}\n{t} {t}\n"),
            )


def members(root: Path) -> Iterator[Case]:
    """Each member of a sample, and each field of an index."""
    from vitascope.data.shards.read import FORMAT, read_shards

    def shard(files: dict[str, bytes]) -> None:
        with tarfile.open(root / "a.tar", "w") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        read_shards(str(root / "a.tar"))
        read_shards(str(root / "a.tar"), labeled=False)

    def index(text: bytes) -> None:
        (root / "index.json").write_bytes(text)
        read_shards(str(root))

    for text in TEXTS:
        raw = text.encode("utf-8", "surrogatepass")
        yield "member", f"cls {text[:30]!a}", lambda r=raw: shard({"0.mp4": b"x", "0.cls": r})
        yield "member", f"json {text[:30]!a}", lambda r=raw: shard({"0.mp4": b"x", "0.json": r})
        if text == "\ud800":
            continue  # no tar holds it
        yield (
            "member",
            f"name {text[:30]!a}",
            lambda t=text: shard({f"{t}.mp4": b"x", f"{t}.cls": b"0"}),
        )
        yield "pattern", f"{text[:30]!a}", lambda t=text: read_shards(f"{root}/{t}.tar")
        yield "index", f"whole {text[:30]!a}", lambda r=raw: index(r)
    for value in VALUES:
        for key in ("label", "class", "start"):
            raw = json.dumps({"label": 0, key: value}).encode()
            yield (
                "member",
                f"{key} {str(value)[:30]!a}",
                lambda r=raw: shard({"0.mp4": b"", "0.json": r}),
            )

    shards = ("shards", "shards.0", "shards.0.name", "shards.0.split")
    rows = ("rows", "rows.0", *(f"rows.0.{i}" for i in range(9)))
    for path in ("format", "classes", "classes.0", *shards, *rows):
        for value in [*VALUES, *TEXTS]:
            document: Any = {
                "format": FORMAT, "classes": ["a", "b"],
                "shards": [{"name": "a.tar", "split": None}],
                "rows": [[0, "0.mp4", 512, 1, 0, "0", "1", "w", None]],
            }  # fmt: skip
            *above, last = (int(p) if p.isdigit() else p for p in path.split("."))
            place = document
            for name in above:
                place = place[name]
            place[last] = value
            raw = json.dumps(document).encode()
            yield "index", f"{path}: {str(value)[:30]!a}", lambda r=raw: index(r)


def attempt(case: Callable[[], Any]) -> None:
    """Ends this process with 0 (worked), 2 (refused) or 3 (an error that nobody foresaw)."""
    from vitascope.errors import VitascopeError

    try:
        code = case()
    except VitascopeError as error:
        code = 2 if len(str(error)) < 20_000 else 3
    except BaseException as error:
        print(f"{type(error).__name__}: {error}"[:300])
        code = 3
    sys.stdout.flush()
    os._exit(code if isinstance(code, int) and not isinstance(code, bool) else 0)


def run(case: Callable[[], Any]) -> tuple[str, float]:
    """What becomes of a case in a process of its own."""
    begin = time.monotonic()
    child = os.fork()
    if not child:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        os.setpgid(0, 0)
        attempt(case)
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
            names = {0: "worked", 1: "worked", 2: "refused", 3: "fault", 130: "worked"}
            return names.get(code, f"died ({code})"), time.monotonic() - begin
        if time.monotonic() - begin > SECONDS:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "hang", time.monotonic() - begin
        time.sleep(0.002)


def main(parts: str, data: str, model: str, work: str) -> None:
    import torch

    import vitascope.cli.app
    import vitascope.data.tables.read
    import vitascope.engine.train
    import vitascope.serving.predictor  # noqa: F401
    from support.nodes import make_device

    torch.set_num_threads(1)
    data, model, root = os.path.abspath(data), os.path.abspath(model), Path(work).absolute()
    for name in ("cells", "members", "out/written", "empty/empty"):
        (root / name).mkdir(parents=True)
    with contextlib.suppress(OSError):  # where no nodes can be made they stay names of nothing
        nodes = {f"@{kind}": str(make_device(root / kind, kind)) for kind in ("zero", "null")}
        TEXTS[:] = [nodes.get(text, text) for text in TEXTS]
    os.chdir(root / "empty" / "empty")  # ".." holds nothing to work on
    every = {
        "options": lambda: options(Path(data), Path(model), root / "out"),
        "settings": lambda: settings(Path(data)),
        "cells": lambda: cells(root / "cells"),
        "members": lambda: members(root / "members"),
    }
    counts: Counter[str] = Counter()
    wrong, slowest = [], 0.0
    name, _, part = parts.partition(" ")
    begin, _, step = part.partition("/")
    for kind, what, case in islice(every[name](), int(begin or 0), None, int(step or 1)):
        outcome, seconds = run(case)
        counts[f"{kind}: {outcome}"] += 1
        slowest = max(slowest, seconds)
        if outcome not in ("worked", "refused"):
            wrong.append(f"{kind} {what}: {outcome}")
            print("WRONG", wrong[-1], flush=True)
    total = sum(counts.values())
    print(json.dumps({"cases": total, "slowest": round(slowest, 2), "wrong": wrong, **counts}))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures in /proc")
@pytest.mark.parametrize(  # each some minutes
    "parts",
    [
        "cells",
        "members",
        *(f"options {i}/2" for i in (0, 1)),
        *(f"settings {i}/4" for i in range(4)),
    ],
)
def test_no_value_is_a_fault(parts: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from support.hostile import small_model

    data, model = small_model(tmp_path)
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [sys.executable, __file__, parts, data, model, tmp_path / "work"],
        capture_output=True, text=True, timeout=3000, check=False, errors="replace",
        env={**os.environ, "OMP_NUM_THREADS": "1", "VITASCOPE_CACHE": str(tmp_path / "cache"),
             "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(done.stdout.strip().splitlines()[-1])
    with capfd.disabled():
        print(f"\n{parts}: {summary}")
    assert not summary["wrong"], done.stdout[-6000:]
    assert summary["cases"] > 400


if __name__ == "__main__":
    main(*sys.argv[1:])
