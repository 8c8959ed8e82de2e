"""Published lists given as DATA: known by their columns, read by the reader of their data set."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.fake_datasets import make
from vitascope.data.tables.read import read_table
from vitascope.errors import DatasetError, DatasetNotFoundError

# data set, list below the root, videos in it, classes
LISTS = [
    ("kinetics400", "train.csv", 2, ("jump", "run")),
    (
        "ssv2",
        "labels/something-something-v2-train.json",
        2,
        ("Holding something", "Moving something"),
    ),
    ("jester", "jester-v1-train.csv", 2, ("Swiping Left", "No gesture")),
    ("ucf101", "ucfTrainTestlist/trainlist01.txt", 4, ("Archery", "Basketball")),
    ("hmdb51", "splits/run_test_split1.txt", 4, ("run", "wave")),
    ("moments_in_time", "trainingSet.csv", 2, ("clapping", "playing+music")),
]


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    roots = {}
    for name in (*(row[0] for row in LISTS), "charades"):
        roots[name] = tmp_path_factory.mktemp(name)
        make(name, roots[name])
    return roots


@pytest.mark.parametrize(("name", "file", "count", "classes"), LISTS, ids=lambda v: str(v)[:20])
def test_lists_are_read(
    copies: dict[str, Path], name: str, file: str, count: int, classes: tuple[str, ...]
) -> None:
    table = read_table(copies[name] / file)
    assert table.classes == classes
    assert len(table) == count and "train" in table.splits
    assert all(os.path.exists(r.path) and r.label is not None for r in table.records)
    assert "the list of" in table.notes[0]


def test_a_folder_of_lists(copies: dict[str, Path]) -> None:
    assert read_table(copies["kinetics400"]).splits == ("train", "val")
    assert read_table(copies["jester"]).splits == ("train", "val")
    assert read_table(copies["moments_in_time"]).splits == ("train", "val")


def test_charades_has_several_labels(copies: dict[str, Path]) -> None:
    file = copies["charades"] / "Charades_v1_train.csv"
    assert len(read_table(file, labeled=False)) == 2
    with pytest.raises(DatasetError, match=r"several labels each.*data info charades"):
        read_table(file)


def test_given_classes_decide_the_numbers(copies: dict[str, Path]) -> None:
    file = copies["moments_in_time"] / "trainingSet.csv"
    plain, turned = read_table(file), read_table(file, labels=["playing+music", "clapping"])
    assert [1 - r.label for r in plain.records] == [r.label for r in turned.records]
    with pytest.raises(DatasetError, match="'playing\\+music' is not in the class list"):
        read_table(file, labels=["clapping", "running"])


def test_what_belongs_to_a_list(copies: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(copies["jester"] / "jester-v1-train.csv", tmp_path)
    with pytest.raises(DatasetNotFoundError, match=r"no jester-v1-labels\.csv .*data info jester"):
        read_table(tmp_path / "jester-v1-train.csv")


def test_missing_videos_are_named(copies: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(copies["kinetics400"] / "train.csv", tmp_path)
    with pytest.raises(DatasetError, match="not one of the 2 listed videos is there"):
        read_table(tmp_path / "train.csv")


@pytest.mark.parametrize("other", ["label,youtube_id,time_start,time_end,split,is_cc",
                                   '"label","youtube_id","time_start","time_end","split"',
                                   "youtube_id,label,split,time_end,time_start"])  # fmt: skip
def test_columns_in_any_form(tmp_path: Path, other: str) -> None:
    cells = {"label": "a", "youtube_id": "x", "time_start": "0", "time_end": "10",
             "split": "train", "is_cc": "0"}  # fmt: skip
    rows = [other]
    for label, name in (("a", "x"), ("b", "y")):
        cells |= {"label": label, "youtube_id": name}
        rows.append(",".join(cells[column.strip('"')] for column in other.split(",")))
        (tmp_path / f"{name}_000000_000010.mp4").write_bytes(b"x")
    (tmp_path / "k.csv").write_text("\n".join(rows))
    assert read_table(tmp_path / "k.csv").classes == ("a", "b")


def changed(text: str, how: str) -> bytes:
    """A list as other programs save it."""
    if how == "crlf":
        return text.replace("\n", "\r\n").encode()
    return text.encode("utf-8-sig") if how == "bom" else (text + "\n\n").encode()


@pytest.mark.parametrize("how", ["crlf", "bom", "blank lines"])
@pytest.mark.parametrize("name", [row[0] for row in LISTS])
def test_lists_as_other_programs_save_them(
    copies: dict[str, Path], tmp_path: Path, name: str, how: str
) -> None:
    file, count, classes = next(row[1:] for row in LISTS if row[0] == name)
    root = tmp_path / "copy"
    shutil.copytree(copies[name], root)
    for path in (root / file).parent.iterdir():
        if path.is_file():
            path.write_bytes(changed(path.read_text(), how))
    table = read_table(root / file)
    assert (len(table), table.classes) == (count, classes)
    assert all(os.path.exists(r.path) for r in table.records)


# data set, list, what is done to it
OTHER_FORMS: list[tuple[str, str, str, Callable[[str], str]]] = [
    ("kinetics400", "tabs", "train.csv", lambda s: s.replace(",", "\t")),
    ("kinetics400", "semicolons", "train.csv", lambda s: s.replace(",", ";")),
    ("kinetics400", "comment", "train.csv", lambda s: f"# mine\n{s}"),
    ("kinetics400", "no split", "train.csv",
     lambda s: s.replace(",split", "").replace(",train", "")),
    ("kinetics400", "JSON", "train.csv", lambda s: json.dumps(
        {"a": {"annotations": {"label": "x", "segment": [0, 10]}, "subset": "train"}})),
    ("jester", "header", "jester-v1-train.csv", lambda s: f"video_id;label\n{s}"),
    ("jester", "commas", "jester-v1-train.csv", lambda s: s.replace(";", ",")),
    ("jester", "numbers only", "jester-v1-train.csv",
     lambda s: "".join(f"{row.split(';')[0]}\n" for row in s.splitlines())),
    ("ssv2", "by number", "labels/something-something-v2-train.json",
     lambda s: json.dumps({row["id"]: row for row in json.loads(s)})),
    ("ssv2", "cut", "labels/something-something-v2-train.json", lambda s: s[:30]),
    ("ucf101", "tabs", "ucfTrainTestlist/trainlist01.txt", lambda s: s.replace(" ", "\t")),
    ("ucf101", "backslashes", "ucfTrainTestlist/trainlist01.txt", lambda s: s.replace("/", "\\")),
    ("hmdb51", "third use", "splits/run_test_split1.txt", lambda s: s.replace(" 2", " 3")),
    ("hmdb51", "empty", "splits/run_test_split1.txt", lambda s: ""),
    ("moments_in_time", "decimals", "trainingSet.csv", lambda s: s.replace(",3,", ",3.0,")),
    ("moments_in_time", "header", "trainingSet.csv", lambda s: f"path,label,yes,no\n{s}"),
    ("charades", "tabs", "Charades_v1_train.csv", lambda s: s.replace(",", "\t")),
]  # fmt: skip


@pytest.mark.parametrize("form", OTHER_FORMS, ids=lambda f: f"{f[0]}-{f[1]}")
def test_another_form_names_the_data_set(
    copies: dict[str, Path], tmp_path: Path, form: tuple[str, str, str, Callable[[str], str]]
) -> None:
    name, how, file, change = form
    root = tmp_path / "copy"
    shutil.copytree(copies[name], root)
    path = root / file
    text = change(path.read_text())
    if how == "JSON":
        path.unlink()
        path = path.with_suffix(".json")
    path.write_text(text)
    with pytest.raises(DatasetError, match=f"looks like a list of .*data info {name}") as info:
        read_table(path)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("name", ["ssv2", "ucf101", "hmdb51"])
def test_the_folder_above_the_lists_says_where_they_are(copies: dict[str, Path], name: str) -> None:
    file = next(row[1] for row in LISTS if row[0] == name)
    with pytest.raises(DatasetError, match=rf"are in {file.split('/')[0]}: give that folder"):
        read_table(copies[name])


def test_lists_of_test_sets_have_no_labels(copies: dict[str, Path], tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(copies["ssv2"], root)
    path = root / "labels/something-something-v2-test.json"
    path.write_text('[{"id": "7"}, {"id": "8"}]')
    with pytest.raises(DatasetError, match="no video has a label, as in lists of test sets"):
        read_table(path)
    assert len(read_table(path, labeled=False)) == 2


def test_a_list_with_a_header_only(copies: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("label,youtube_id,time_start,time_end,split\n")
    with pytest.raises(DatasetError, match=r"train\.csv: the list has no row"):
        read_table(tmp_path / "train.csv")


@pytest.mark.parametrize(
    ("file", "text", "beside"),
    [
        ("trainlist01.txt", "../v_A_g01_c01.avi 1\n", ("classInd.txt", "1 ..\n")),
        ("trainingSet.csv", "../../x.mp4,../..,1,0\n", ("moments_categories.txt", "../..,0\n")),
        ("s.json", '[{"id": "../../etc/x", "template": "A"}]', ("labels.json", '{"A": "0"}')),
    ],
)
def test_published_lists_stay_inside(
    tmp_path: Path, file: str, text: str, beside: tuple[str, str]
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / file).write_text(text)
    (root / "testlist01.txt").write_text("")
    (root / beside[0]).write_text(beside[1])
    with pytest.raises(DatasetError, match="leaves the folder"):
        read_table(root / file)


def test_lists_of_users_are_not_taken_for_published_ones(tmp_path: Path) -> None:
    for name in ("v_A_g01_c01.avi", "b.avi"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "trainlist01.txt").write_text("v_A_g01_c01.avi 1\nb.avi 2\n")
    assert read_table(tmp_path / "trainlist01.txt").classes == ("1", "2")
    (tmp_path / "l.csv").write_text(
        "path,label,id,split\nb.avi,x,1,train\nv_A_g01_c01.avi,y,2,val\n"
    )
    assert read_table(tmp_path / "l.csv").layout == "list"
