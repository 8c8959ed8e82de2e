"""Labels as programs write them: numbers are numbers, gaps are gaps, spellings are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.nodes import own_device
from vitascope.data.records import Table
from vitascope.data.tables.classes import near_equal
from vitascope.data.tables.read import read_table
from vitascope.errors import DatasetError


def listed(folder: Path, labels: list[str], name: str = "list.csv", classes: str = "") -> Table:
    for number in range(len(labels)):
        (folder / f"{number}.mp4").write_bytes(b"x")
    if classes:
        (folder / "labels.txt").write_text(classes)
    if name.endswith("json"):
        rows = ", ".join(
            f'{{"path": "{i}.mp4", "label": {label}}}' for i, label in enumerate(labels)
        )
        (folder / name).write_text(f"[{rows}]")
    else:
        rows = "".join(f"{i}.mp4,{label}\n" for i, label in enumerate(labels))
        (folder / name).write_text(f"path,label\n{rows}")
    return read_table(folder / name)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["0", "0.0", "1", "1.0"], ("0", "1")),
        (["10.0", "2.0", "1.0"], ("1", "2", "10")),
        (["3.", "+3", "4.000"], ("3", "4")),
        (["-0.0", "0", "1"], ("0", "1")),
        (["1.5", "0.5", "10.5"], ("0.5", "1.5", "10.5")),
        (["-1", "2", "-10"], ("-10", "-1", "2")),
        (["1.", "2.", "1"], ("1", "2")),
        (["1e0", "1", "2E+00", "10"], ("1", "2", "10")),
        (["1.000000000000000000e+01", "0.000000000000000000e+00", "10"], ("0", "10")),
        (["1.5e0", "2", "15e-1"], ("1.5e0", "15e-1", "2")),  # named as near-equal
        (["-1.0E+00", "1"], ("-1", "1")),
        (["9007199254740993", "9007199254740992.0"], ("9007199254740992", "9007199254740993")),
        (["1e400", "1"], ("1", "1e400")),
        (["inf", "1", "1.0"], ("1", "1.0", "inf")),
        (["01", "1.0", "1"], ("01", "1")),  # named as near-equal
        (["01", "02", "10"], ("01", "02", "10")),
        (["0.0", "cat", "0"], ("0", "0.0", "cat")),
        (["10", "9", "x"], ("10", "9", "x")),
        (["none", "wave", "none"], ("none", "wave")),
    ],
)
def test_classes_of_a_list(tmp_path: Path, labels: list[str], classes: tuple[str, ...]) -> None:
    assert listed(tmp_path, labels).classes == classes


def test_json_numbers(tmp_path: Path) -> None:
    table = listed(tmp_path, ["0.0", "0", "10", "2.0", "1.5"], "l.json")
    assert table.classes == ("0", "1.5", "2", "10")
    assert [r.label for r in table.records] == [0, 0, 3, 2, 1]


@pytest.mark.parametrize("gap", ["nan", "NaN", "<NA>", "", "none", "NULL", "N/A", "-"])
def test_missing_labels_are_missing(tmp_path: Path, gap: str) -> None:
    with pytest.raises(DatasetError, match=r"0.mp4 \(row 2 of list.csv\): no label; 1 of 4"):
        listed(tmp_path, [gap, "0.0", "1.0", "1.0"])


@pytest.mark.parametrize("name", ["n/a", "#N/A", "NULL", "nil"])
def test_a_class_that_may_be_a_gap_is_named(tmp_path: Path, name: str) -> None:
    table = listed(tmp_path, [name, "walk", "run"])
    assert name in table.classes
    (warning,) = table.warnings
    assert warning == f"class {name!r} may be a missing label; remove the rows without one"
    assert not listed(tmp_path, ["NA", "FR", "none"]).warnings
    assert not listed(tmp_path, [name, "walk"], classes=f"{name}\nwalk\n").warnings


@pytest.mark.parametrize("gap", ["nan", "NaN", "<NA>"])
def test_missing_names_are_missing(tmp_path: Path, gap: str) -> None:
    with pytest.raises(DatasetError, match="no label; 1 of 3"):
        listed(tmp_path, [gap, "walk", "run"])


def test_nan_in_json_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no label; 1 of 3"):
        listed(tmp_path, ["NaN", "0.0", "1.0"], "l.json")


def test_decimals_are_indices_into_a_class_list(tmp_path: Path) -> None:
    table = listed(tmp_path, ["1.0", "0.0"], classes="cat\ndog\n")
    assert table.classes == ("cat", "dog") and [r.label for r in table.records] == [1, 0]


def test_names_of_a_class_list_stay(tmp_path: Path) -> None:
    table = listed(tmp_path, ["nothing", "none"], classes="none\nnothing\n")
    assert [r.label for r in table.records] == [1, 0]


def test_class_folders_are_what_they_are(tmp_path: Path) -> None:
    for name in ("0", "0.0", "nan"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "v.mp4").write_bytes(b"x")
    assert read_table(tmp_path).classes == ("0", "0.0", "nan")


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (("Jump", "jump", "run"), [("Jump", "jump")]),
        (("push up", "push-up", "push_up"), [("push up", "push-up", "push_up")]),
        (("café", "cafe\u0301"), [("café", "cafe\u0301")]),
        (("up", "up "), [("up", "up ")]),
        (("1", "01", "10"), [("1", "01")]),
        (("1", "-1", "+", "-"), []),
        (("left", "right"), []),
    ],
)
def test_near_equal_spellings(names: tuple[str, ...], groups: list[tuple[str, ...]]) -> None:
    assert near_equal(names) == groups


def test_near_equal_spellings_are_named(tmp_path: Path) -> None:
    table = listed(tmp_path, ["Jump", "jump", "run"])
    assert table.warnings == (
        "classes 'Jump' and 'jump' differ in their spelling only; are they one class?",
    )
    assert not listed(tmp_path, ["Jump", "jump", "run"], classes="Jump\njump\nrun\n").warnings


@pytest.mark.parametrize(
    "text",
    ["path,label,start\n0.mp4,a,1e99999999\n", "path,label,start\n0.mp4,a,99999999999\n",
     "path,label,end\n0.mp4,a,²\n", "path,label,start\n0.mp4,a,1:2:3:4\n",
     "path,label,end\n0.mp4,a,-1\n"],
)  # fmt: skip
def test_absurd_times(tmp_path: Path, text: str) -> None:
    (tmp_path / "0.mp4").write_bytes(b"x")
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(DatasetError, match=r"row 2: (start|end) = .* is no time"):
        read_table(tmp_path / "l.csv")


@pytest.mark.parametrize(
    "text", ["[" * 50_000, '{"a": 1', json.dumps([1.5, "a"]), '["a", null]', "9" * 5000, '[["a"]]']
)
def test_absurd_class_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(DatasetError) as info:
        read_table(tmp_path, labels=tmp_path / "labels.json")
    assert len(str(info.value)) < 400


@pytest.mark.parametrize("address", ["file:///etc/x.mp4", "local:///etc/x.mp4", "http://h/x.mp4",
                                     "s3://b/x.mp4", "zip://a.mp4::http://h/z.zip",
                                     "simplecache::https://h/x.mp4", "memory://x.mp4"])  # fmt: skip
def test_addresses_in_lists(tmp_path: Path, address: str) -> None:
    (tmp_path / "l.csv").write_text(f"path,label\n{address},a\n{address}?2,b\n")
    with pytest.raises(DatasetError, match=r"l.csv, row 2: .* is an address and not a path"):
        read_table(tmp_path / "l.csv")
    if address.startswith(("http://h/x", "s3")):
        assert len(read_table(tmp_path / "l.csv", remote=True)) == 2
    else:
        with pytest.raises(DatasetError, match="is an address"):
            read_table(tmp_path / "l.csv", remote=True)


@pytest.mark.parametrize("path", ["../x.mp4", "a/../../x.mp4", "/etc/x.mp4", "./../x.mp4"])
def test_lists_in_a_folder_stay_inside(tmp_path: Path, path: str) -> None:
    (tmp_path / "train.csv").write_text(f"path,label\n{path},a\n")
    with pytest.raises(DatasetError, match=r"row 2: .*(leaves|outside) the folder"):
        read_table(tmp_path)


@pytest.mark.parametrize("kind", ["zero", "null", "full"])
def test_devices_are_no_lists(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DatasetError, match="not a file of text"):
        read_table(own_device(tmp_path / kind, kind))
