"""Names of every kind: what a folder may be called, a split file and a list give back."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from vitascope.data.tables.read import read_table
from vitascope.data.tables.split import read_split, split_table, write_split
from vitascope.errors import DatasetError

ODD = [
    "# up",
    "#",
    " up",
    "up ",
    "  up  ",
    "tab\there",
    "new\nline",
    "two\n\nlines",
    "\x1b[31mred",
    'quo"te',
    "a,b",
    "a;b",
    "back\\slash",
    "\\x41",
    "\u3000wide\u3000",
    "\xa0",
    "ends\r",
    "\x07bell",
    "\u202egnp.4pm",
    "nan",
    "NULL",
    "0.0",
    "none",
    "-1",
    "'single'",
    "~",
    "$HOME",
    "-rf",
    "*",
    "é",
    "e\u0301",
    "переход",
    "# root: /etc",
    "path",
    "label",
    "C:",
    "a" * 200,
    "up.",
    "up...",
    "Other",
    "other ",
    "o\u200bther",
    "\ufb01ne",
    "\u2028line",
    "\x85next",
    "\x0bup\x0c",
    "\ufeffbom",
    "train",
    "=1+1",
    "http:",
    "\\x0a",
    "# names: escaped",
]
BYTES = [b"caf\xe9", b"\xff\xfe", b"ok\x80 end "]


def folder(root: Path, *classes: str | bytes) -> Path:
    for name in classes:
        place = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(place)
        for number in range(5):
            with open(os.path.join(place, b"v%d.mp4" % number), "wb") as file:
                file.write(b"x")
    return root


def check(root: Path, out: Path) -> None:
    table = read_table(root)
    made = split_table(table)
    write_split(made, out)
    back = read_split(out, table)
    assert [r.split for r in back.records] == [r.split for r in made.records]
    # Given as DATA, the file is the same data set.
    again = read_table(out)
    assert again.classes == made.classes
    assert [(r.path, r.label, r.split) for r in again.records] == [
        (r.path, r.label, r.split) for r in made.records
    ]
    assert all(os.path.exists(r.path) for r in again.records)


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_folders_of_classes(tmp_path: Path, name: str) -> None:
    check(folder(tmp_path / "data", name, "other"), tmp_path / "split.csv")


@pytest.mark.parametrize("name", BYTES, ids=ascii)
def test_folders_whose_names_are_no_text(tmp_path: Path, name: bytes) -> None:
    check(folder(tmp_path / "data", name, "other"), tmp_path / "split.csv")


@pytest.mark.parametrize("name", ["# 1", "tab\t", "new\nline", " x", 'a "b", c'], ids=ascii)
def test_roots_and_files(tmp_path: Path, name: str) -> None:
    root = folder(tmp_path / name / "data ", "up", "down")
    (root / "up" / f"{name}.mp4").write_bytes(b"x")
    check(root, tmp_path / "split.csv")


FILES = [
    ("A.mp4", "a.mp4", "a.MP4"),
    ("\u00e9.mp4", "e\u0301.mp4"),
    ("a.mp4\n.mp4", "a.mp4"),
    ("\ufeffa.mp4", "a.mp4"),
    ("~.mp4", "~a.mp4"),
    ("http:a.mp4", "zip:a::b.mp4"),
    ("a%20b.mp4", "a b.mp4", "a+b.mp4"),
    ("\\x0a.mp4", "\n.mp4"),
    ("x .mp4", " x.mp4", "x.mp4"),
    ("sub. /x.mp4", "sub/x.mp4", "sub\n/x.mp4"),
    ("{a,b}.mp4", "[ab].mp4", "a?.mp4", "a#b.mp4"),
]


@pytest.mark.parametrize("names", FILES, ids=ascii)
def test_files_of_nearly_one_name(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = folder(tmp_path / "data", "up", "down")
    for label in ("up", "down"):
        for name in names:
            (root / label / name).parent.mkdir(exist_ok=True)
            (root / label / name).write_bytes(b"x")
    assert len(read_table(root)) == 2 * (5 + len(names))
    check(root, tmp_path / "split.csv")


@pytest.mark.parametrize(
    "names", [("\u00e9", "e\u0301"), ("Up", "up"), ("up.", "up"), ("1", "1.0"), ("a\rb", "a\nb"),
              ("nan", "NaN"), ("a", "a\u200b"), ("a b", "a  b")], ids=ascii,
)  # fmt: skip
def test_folders_of_nearly_one_name(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = folder(tmp_path / "data", *names)
    assert set(read_table(root).classes) == set(names)
    check(root, tmp_path / "split.csv")


def test_plain_names_need_no_escapes(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", "push up", "down")
    write_split(split_table(read_table(root)), tmp_path / "split.csv")
    text = (tmp_path / "split.csv").read_text()
    assert text.startswith(f"# root: {root}\npath,label,split\n")
    assert "push up/v0.mp4,push up," in text


def test_other_programs_can_read_an_escaped_list(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", "a\nb", "down")
    write_split(split_table(read_table(root)), tmp_path / "split.csv")
    lines = (tmp_path / "split.csv").read_text().splitlines()
    assert lines[1] == "# names: escaped"
    found = list(csv.DictReader(lines[2:]))
    assert {row["label"] for row in found} == {r"a\x0ab", "down"}


def test_quoted_and_json_lists_keep_blanks_and_tabs(tmp_path: Path) -> None:
    names = [" a.mp4", "b\tc.mp4", "d .mp4", "e\nf.mp4"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    rows = [{"path": name, "label": str(i % 2)} for i, name in enumerate(names)]
    with open(tmp_path / "list.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label"], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "list.json").write_text(json.dumps(rows))
    for file in ("list.csv", "list.json"):
        table = read_table(tmp_path / file)
        assert [os.path.relpath(r.path, tmp_path) for r in table.records] == names


@pytest.mark.parametrize("path", ["\\ud800.mp4", "a\\u0000.mp4", "x" * 5000], ids=ascii)
def test_what_no_file_can_be_called(tmp_path: Path, path: str) -> None:
    (tmp_path / "l.json").write_text(f'[{{"path": "{path}", "label": "a"}}]')
    with pytest.raises(DatasetError, match=r"row 1: the path .* cannot be a name") as info:
        read_table(tmp_path / "l.json")
    assert len(str(info.value)) < 300


def test_messages_show_no_control_characters(tmp_path: Path) -> None:
    (tmp_path / "l.json").write_text(json.dumps([{"path": "a\x1b[2J\n.mp4", "label": "x"}]))
    with pytest.raises(DatasetError) as info:
        read_table(tmp_path / "l.json")
    assert r"a\x1b[2J\n.mp4" in str(info.value) and "\x1b" not in str(info.value)
