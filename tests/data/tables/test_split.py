"""Splits: seeded, even over classes, sources whole, and the same after writing and reading."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitascope.data.records import Table, VideoRecord
from vitascope.data.tables.read import read_table
from vitascope.data.tables.split import find_sources, read_split, split_table, write_split
from vitascope.errors import ConfigError, DatasetError, DatasetNotFoundError


def table(names: dict[str, list[str]], root: str = "/data") -> Table:
    """A data set of class -> file names."""
    records = [
        VideoRecord(f"{root}/{name}/{file}", label)
        for label, (name, files) in enumerate(names.items())
        for file in files
    ]
    return Table(tuple(records), tuple(names), root)


def plain(classes: int, each: int, root: str = "/data") -> Table:
    return table({f"c{c}": [f"{i:03}x.mp4" for i in range(each)] for c in range(classes)}, root)


def homes(done: Table) -> dict[str, str | None]:
    return {r.path[len(done.root) :]: r.split for r in done.records}


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(3, 40), min_size=1, max_size=6),
    seed=st.integers(0, 10**6),
    shares=st.sampled_from([(0.8, 0.2), (0.7, 0.2, 0.1), (0.5, 0.5), (0.9, 0.1)]),
)
def test_every_class_is_divided_by_the_same_shares(
    sizes: list[int], seed: int, shares: tuple[float, ...]
) -> None:
    data = table({f"c{c}": [f"{i}x.mp4" for i in range(n)] for c, n in enumerate(sizes)})
    fractions = dict(zip(("train", "val", "test"), shares, strict=False))
    done = split_table(data, seed, fractions)
    for name, share in fractions.items():
        for n, got in zip(sizes, done.counts(name).values(), strict=True):
            # Rounding costs up to one; where a split would get less than one of a rare class, it
            # is given one, which another split loses.
            assert got >= 1
            assert abs(got - share * n) <= (1 if n * min(shares) >= 1 else 2)


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(0, 1000))
def test_groups_stay_whole(data: st.DataObject, seed: int) -> None:
    groups = data.draw(st.lists(st.integers(0, 8), min_size=20, max_size=60))
    labels = data.draw(st.lists(st.integers(0, 2), min_size=len(groups), max_size=len(groups)))
    records = tuple(
        VideoRecord(f"/data/{i}.mp4", c, group=str(g))
        for i, (g, c) in enumerate(zip(groups, labels, strict=True))
    )
    if len(set(groups)) < 2:
        return
    done = split_table(Table(records, ("a", "b", "c"), "/data"), seed)
    for group in set(groups):
        assert len({r.split for r in done.records if r.group == str(group)}) == 1
    assert set(homes(done).values()) <= {"train", "val"}


def test_intervals_of_one_file_stay_together() -> None:
    records = tuple(
        VideoRecord(f"/data/{i % 10}.mp4", i % 2, start=Fraction(i)) for i in range(100)
    )
    done = split_table(Table(records, ("a", "b"), "/data"), 1)
    assert Counter(r.split for r in done.records) == {"train": 80, "val": 20}
    for path in {r.path for r in records}:
        assert len({r.split for r in done.records if r.path == path}) == 1


def test_seed_decides_and_nothing_else() -> None:
    data = plain(3, 20)
    assert homes(split_table(data, 4)) == homes(split_table(data, 4))
    assert homes(split_table(data, 4)) != homes(split_table(data, 5))
    turned = replace(data, records=data.records[::-1])
    assert homes(split_table(turned, 4)) == homes(split_table(data, 4))
    assert homes(split_table(plain(3, 20, "/moved/to"), 4)) == homes(split_table(data, 4))


def test_groups_of_several_classes_are_spread_evenly() -> None:
    people = [f"u{p:02}_r{r}.mp4" for p in range(9) for r in range(10)]
    done = split_table(table({f"c{c}": people for c in range(10)}), 0, {"train": 0.9, "val": 0.1})
    assert set(done.counts("val").values()) == {10}
    assert len({Path(r.path).name[:3] for r in done.of("val")}) == 1
    assert "kept together by the names without the last number (9 groups)" in done.notes[-1]


@pytest.mark.parametrize(
    ("stems", "keys"),
    [
        (["abc_000010_000020", "abc_000030_000040", "d_f_000001_000011", "e_000001_000011",
          "f_000001_000011", "g_000001_000011"], ["abc", "abc", "d_f", "e", "f", "g"]),
        (["v_X_g01_c01", "v_X_g01_c02", "v_X_g02_c01", "v_X_g03_c01", "v_X_g04_c01",
          "v_X_g05_c01"], ["v_X_g01"] * 2 + [f"v_X_g0{i}" for i in (2, 3, 4, 5)]),
        (["clip_1", "clip_2", "clip_3", "clip_4"], None),  # one source would be all of them
        (["a1", "b7", "c2", "d"], None),
        (["a_1", "b_1", "b_2", "b_3", "c_1"], None),  # b is more than a third
    ],
)  # fmt: skip
def test_sources_in_names(stems: list[str], keys: list[str] | None) -> None:
    data = table({"x": [f"{s}.mp4" for s in stems]})
    found = find_sources(data.records, data.root)
    assert list(found.keys) == (keys or [f"x/{s}.mp4" for s in stems])


def test_rare_classes_reach_every_split_that_they_can() -> None:
    done = split_table(table({"a": [f"{i}x.mp4" for i in range(50)], "b": ["1x.mp4", "2x.mp4"]}))
    assert done.counts("train")["b"] == done.counts("val")["b"] == 1
    done = split_table(
        table({"a": [f"{i}x.mp4" for i in range(50)], "b": ["1x.mp4"]}),
        fractions={"train": 0.8, "val": 0.1, "test": 0.1},
    )
    assert done.counts("train")["b"] == 1
    assert [w for w in done.warnings if "split test has no video of class b" in w]


def test_part_of_an_existing_split() -> None:
    data = plain(2, 10)
    given = replace(
        data, records=tuple(replace(r, split="test" if i % 2 else "train")
                            for i, r in enumerate(data.records))
    )  # fmt: skip
    done = split_table(given, 0, {"train": 0.6, "val": 0.4}, of="train")
    assert Counter(r.split for r in done.records) == {"train": 6, "val": 4, "test": 10}
    assert {r.path for r in done.of("test")} == {r.path for r in given.of("test")}


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="their sum must be 1"):
        split_table(plain(2, 5), 0, {"train": 0.5, "val": 0.4})
    with pytest.raises(ConfigError, match="seed = -1"):
        split_table(plain(2, 5), -1)
    with pytest.raises(DatasetError, match="no video in split 'train' to divide"):
        split_table(plain(2, 5), 0, of="train")
    one = tuple(replace(r, group="same") for r in plain(2, 5).records)
    with pytest.raises(DatasetError, match=r"10 videos of 1 sources .*column group.*2 splits"):
        split_table(Table(one, ("a", "b"), "/data"))
    with pytest.raises(DatasetNotFoundError):
        read_split(tmp_path / "absent.csv", plain(2, 5))


def real_table(folder: Path, names: list[str]) -> Table:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return read_table(folder)


def test_written_splits_read_back(tmp_path: Path) -> None:
    names = [f'{c}/{i} ä,"x".mp4' for c in ("a b", "#c") for i in range(6)] + ["#c/# 9.mp4"]
    data = real_table(tmp_path / "data", names)
    timed = replace(data.records[0], start=Fraction(1001, 30000), end=Fraction(5, 2), group="g")
    done = split_table(replace(data, records=(timed, *data.records[1:])), 3)
    write_split(done, tmp_path / "split.csv")
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["split.csv"]
    alone = read_table(tmp_path / "split.csv")
    assert [(r.path, r.label, r.split, r.start, r.end, r.group) for r in alone.records] == [
        (r.path, r.label, r.split, r.start, r.end, r.group) for r in done.records
    ]
    bare = replace(done, records=tuple(replace(r, split=None) for r in done.records))
    assert read_split(tmp_path / "split.csv", bare).records == done.records


def test_changed_data_is_noticed(tmp_path: Path) -> None:
    names = [f"{c}/{i}x.mp4" for c in "ab" for i in range(5)]
    done = split_table(real_table(tmp_path / "data", names), 0)
    write_split(done, tmp_path / "split.csv")
    (tmp_path / "data/a/new.mp4").write_bytes(b"x")
    (tmp_path / "data/a/0x.mp4").unlink()
    with pytest.raises(DatasetError, match=r"1 new and 1 missing videos \(a/new.mp4 is not in"):
        read_split(tmp_path / "split.csv", read_table(tmp_path / "data"))


def test_real_data_is_split_by_person(shared: Path) -> None:
    data = read_table(shared / "data" / "actions")
    done = split_table(data, 0, {"train": 0.9, "val": 0.1}, of="train")
    people = {s: {Path(r.path).name[:3] for r in done.of(s)} for s in done.splits}
    assert {s: len(p) for s, p in people.items()} == {"train": 8, "val": 1, "test": 3}
    assert not people["train"] & people["val"]
    assert set(done.counts("val").values()) == {10}
