"""Splitting a data set that comes without a split: seeded, even over classes, honest.

Honest means that what comes from one source (the same file, or the same person where the names
tell) never lies on both sides; a model would be tested on what it has seen.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from vitascope.data.records import Table, VideoRecord
from vitascope.data.sampler import check_key
from vitascope.data.tables.classes import tidy
from vitascope.data.tables.rows import ESCAPED, is_gap, read_rows
from vitascope.errors import ConfigError, DatasetError, DatasetNotFoundError
from vitascope.files import write_atomically
from vitascope.text import escape, shown

_SPLIT = 0x5B117  # ends the random key, so that it is that of no sample and no shuffle

# Names under which cuts of one source are kept.
_SOURCES = (
    ("the video they were cut from", re.compile(r"(.+)_\d{6}_\d{6}")),  # Kinetics: id, from, to
    ("the group in their names", re.compile(r"(.+_g\d+)_c\d+")),  # UCF101
    ("the names without the last number", re.compile(r"(.+)[ _.-]+[A-Za-z]{0,7}\d+")),
)


@dataclass(frozen=True)
class Sources:
    """Which records must stay together.

    Attributes:
        keys: one text a record; equal texts stay together.
        what: what a text stands for, for messages.
    """

    keys: tuple[str, ...]
    what: str


def split_table(
    table: Table,
    seed: int = 0,
    fractions: Mapping[str, float] | None = None,
    *,
    of: str | None = None,
) -> Table:
    """Divides records into splits, each class by the same fractions, sources kept whole.

    Records with a `group` are kept together by it. Without groups, file names that tell of cuts
    of one source (`ID_000010_000020`, `v_X_g01_c03`, `person_take3`) are used if every class still
    has three sources or more; else one file is one source. The result depends on the seed and the
    names below the root only, not on the order of the records or the place of the folder.

    Args:
        table: the data set.
        seed: at least 0.
        fractions: share of each split, above 0, summing to 1; default 80 % train, 20 % val.
        of: name of the split to divide, the others stay; None divides records without a split.

    Raises:
        ConfigError: fractions that do not sum to 1.
        DatasetError: nothing to divide, or too few videos.
    """
    fractions = fractions or {"train": 0.8, "val": 0.2}
    check_key(seed, 0)
    if not fractions or min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ConfigError(
            f"fractions = {dict(fractions)}; each must be above 0 and their sum must be 1"
        )
    chosen = [i for i, r in enumerate(table.records) if r.split == of]
    if not chosen:
        raise DatasetError(
            f"{table.root}: no video {'without a split' if of is None else f'in split {of!r}'} "
            f"to divide"
        )
    sources = find_sources([table.records[i] for i in chosen], table.root)
    groups: dict[str, list[int]] = {}
    for i, key in zip(chosen, sources.keys, strict=True):
        groups.setdefault(key, []).append(i)
    if len(groups) < len(fractions):
        raise DatasetError(
            f"{table.root}: {len(chosen)} videos of {len(groups)} sources (kept together by "
            f"{sources.what}) cannot be divided into {len(fractions)} splits. Add videos, or give "
            f"a list with the column split"
        )
    homes = _divide(groups, [r.label for r in table.records], fractions, seed)
    records = list(table.records)
    for key, members in groups.items():
        for i in members:
            records[i] = replace(records[i], split=homes[key])
    shares = ", ".join(f"{name} {share:.0%}" for name, share in fractions.items())
    whole = f" of {of}" if of else ""
    note = f"made a split{whole} ({shares}, seed {seed}), kept together by {sources.what}"
    if len(groups) < len(chosen):
        note += f" ({len(groups)} groups)"
    done = replace(table, records=tuple(records), notes=(*table.notes, note))
    return replace(done, warnings=(*table.warnings, *_lacking(done, fractions)))


def find_sources(records: Sequence[VideoRecord], root: str) -> Sources:
    """Which records come from one source; see `split_table` for the rule."""
    names = [os.path.relpath(r.path, root) if os.path.isabs(r.path) else r.path for r in records]
    if any(r.group is not None for r in records):
        keys = [f"group:{r.group}" if r.group is not None else name
                for r, name in zip(records, names, strict=True)]  # fmt: skip
        return Sources(tuple(keys), "the column group")
    stems = [os.path.splitext(os.path.basename(name))[0] for name in names]
    for what, pattern in _SOURCES:
        found = [pattern.fullmatch(stem) for stem in stems]
        if all(found):
            keys = [match.group(1) if match else "" for match in found]
            if _enough(keys, records):
                return Sources(tuple(keys), what)
    return Sources(tuple(names), "file")


def _enough(keys: Sequence[str], records: Sequence[VideoRecord]) -> bool:
    """Whether names that may tell sources apart leave enough of them to divide."""
    by_class: dict[int | None, set[str]] = {}
    for key, record in zip(keys, records, strict=True):
        by_class.setdefault(record.label, set()).add(key)
    largest = max(Counter(keys).values())
    return min(map(len, by_class.values())) >= 3 and 3 * largest <= len(keys)


class _Shares:
    """How many videos of each class each split holds and should hold."""

    def __init__(self, labels: Iterable[int | None], fractions: Mapping[str, float]) -> None:
        totals = Counter(labels)
        self.want = {s: {c: f * n for c, n in totals.items()} for s, f in fractions.items()}
        self.have: dict[str, Counter[int | None]] = {s: Counter() for s in fractions}

    def best(self, group: Mapping[int | None, int]) -> str:
        """The split whose distance from its wish falls most, the first of equals."""

        def rise(split: str) -> float:
            want, have = self.want[split], self.have[split]
            return sum(n * (n + 2 * (have[c] - want[c])) for c, n in group.items())

        return min(self.want, key=rise)

    def can_spare(self, split: str, group: Mapping[int | None, int]) -> bool:
        """Whether every class stays in `split` without the group."""
        return all(self.have[split][c] > n for c, n in group.items())


def _divide(
    groups: Mapping[str, Sequence[int]],
    labels: Sequence[int | None],
    fractions: Mapping[str, float],
    seed: int,
) -> dict[str, str]:
    keys = sorted(groups)
    np.random.default_rng((seed, 0, 0, 0, _SPLIT)).shuffle(keys)
    keys.sort(key=lambda key: -len(groups[key]))  # large ones first: small ones level the shares
    counts = {key: Counter(labels[i] for i in groups[key]) for key in keys}
    shares = _Shares((labels[i] for members in groups.values() for i in members), fractions)
    homes: dict[str, str] = {}
    for key in keys:
        homes[key] = shares.best(counts[key])
        shares.have[homes[key]].update(counts[key])
    # Rounding may leave a rare class out of a small split: one source is enough to show it.
    for split in fractions:
        for label in sorted(shares.want[split], key=str):
            if shares.have[split][label]:
                continue
            for key in reversed(keys):
                home = homes[key]
                if counts[key][label] and home != split and shares.can_spare(home, counts[key]):
                    shares.have[home].subtract(counts[key])
                    shares.have[split].update(counts[key])
                    homes[key] = split
                    break
    return homes


def _lacking(table: Table, fractions: Mapping[str, float]) -> list[str]:
    warnings = []
    for split in fractions:
        if split not in table.splits:
            warnings.append(f"the split {split} is empty: there are too few videos")
            continue
        bare = [name for name, n in table.counts(split).items() if n == 0]
        present = [name for name in bare if table.counts()[name]]
        if present:
            warnings.append(
                f"the split {split} has no video of class {', '.join(present[:3])}: too few "
                f"sources of it"
            )
    return warnings


def write_split(table: Table, path: str | Path) -> None:
    """Writes the table as a list with the column split, whole or not at all.

    Paths are relative to the root, which the first line names; the list can be given as DATA.
    Names that a list cannot hold as they are (control characters, blanks at the ends, bytes that
    are no UTF-8, ...) are escaped, and the second line says so.
    """
    timed = any(r.start is not None or r.end is not None for r in table.records)
    grouped = any(r.group is not None for r in table.records)
    rows = []
    for record in table.records:
        label = "" if record.label is None else table.classes[record.label]
        row = [_below(record.path, table.root), label, record.split or ""]
        if timed:
            row += [_seconds(record.start), _seconds(record.end)]
        rows.append(row + [record.group or ""] * grouped)
    head = [f"# root: {table.root}"]
    labels = [row[1] for row in rows]
    if tidy(labels, None) != labels or any(
        escape(name) != name or is_gap(name) for row in ([table.root], *rows) for name in row
    ):
        head = [f"# root: {escape(table.root)}", ESCAPED]
        rows = [[escape(name) for name in row] for row in rows]
    text = io.StringIO()
    text.write("".join(f"{line}\n" for line in head))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "split"] + ["start", "end"] * timed + ["group"] * grouped)
    writer.writerows(rows)
    write_atomically(path, [text.getvalue().encode()])


def read_split(path: str | Path, table: Table) -> Table:
    """Gives the records of `table` the splits that `write_split` wrote.

    Raises:
        DatasetNotFoundError: there is no such file.
        DatasetError: the videos are no longer those of the file.
    """
    if not Path(path).is_file():
        raise DatasetNotFoundError(f"{path}: no such file")
    rows = read_rows(path).rows
    homes = {(row.path, row.start, row.end): row.split for row in rows}
    names = [(_below(r.path, table.root), r.start, r.end) for r in table.records]
    new = [name[0] for name in names if name not in homes]
    gone = [key[0] for key in homes.keys() - set(names)]
    if new or gone:
        first = f"{shown(new[0])} is not in it" if new else f"{shown(min(gone))} is no longer there"
        raise DatasetError(
            f"{path}: the data set has changed since the split was made: {len(new)} new and "
            f"{len(gone)} missing videos ({first}). Restore the data, or begin a new run"
        )
    records = (replace(r, split=homes[name]) for r, name in zip(table.records, names, strict=True))
    return replace(table, records=tuple(records))


def _below(path: str, root: str) -> str:
    inside = path.startswith(root.rstrip(os.sep) + os.sep)
    return os.path.relpath(path, root) if inside else path


def _seconds(time: Fraction | None) -> str:
    """A time as text that reads back as the same Fraction."""
    if time is None:
        return ""
    decimal = f"{float(time):.9f}".rstrip("0").rstrip(".")
    return decimal if Fraction(decimal) == time else str(time)
