"""Data sets as people keep them, and what each kind of fault in them is answered with."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest

from vitascope.data.records import VideoRecord
from vitascope.data.tables.read import read_table
from vitascope.errors import DatasetError, DatasetNotFoundError, UnknownNameError


def touch(root: Path, *names: str) -> Path:
    """Files of one byte; reading a table never opens a video."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return root


def write(root: Path, name: str, text: str, *videos: str) -> Path:
    touch(root, *videos)
    (root / name).write_bytes(text.encode())
    return root / name


def rows(table) -> list[tuple[str, str]]:
    return [(os.path.relpath(r.path, table.root), table.classes[r.label]) for r in table.records]


# --- folders ---------------------------------------------------------------------------------


def test_class_folders(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.mp4", "b/1.MKV", "a/sub dir/x.webm", "a/1.mov", "a/2.avi", "a/3.ts",
          "a/4.gif", "a/notes.txt", ".cache/1.mp4", "__MACOSX/1.mp4", "a/._1.mp4")  # fmt: skip
    table = read_table(tmp_path)
    assert table.layout == "class folders"
    assert table.classes == ("a", "b")
    assert rows(table) == [
        ("a/1.mov", "a"), ("a/2.avi", "a"), ("a/3.ts", "a"), ("a/4.gif", "a"),
        ("a/sub dir/x.webm", "a"), ("b/1.MKV", "b"), ("b/2.mp4", "b"),
    ]  # fmt: skip
    assert table.splits == () and table.of(None) == table.records
    assert any("1 .txt" in note for note in table.notes)
    assert all(os.path.isabs(r.path) for r in table.records)


def test_folders_of_frames_are_videos(tmp_path: Path) -> None:
    touch(tmp_path, "a/v1/0.jpg", "a/v1/1.jpg", "a/v2.mp4", "b/v3/0.PNG", "b/v3/1.png")
    table = read_table(tmp_path)
    assert rows(table) == [("a/v1", "a"), ("a/v2.mp4", "a"), ("b/v3", "b")]


def test_frames_directly_in_a_class_folder_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/0.jpg", "a/1.jpg", "b/v/0.jpg")
    with pytest.raises(DatasetError, match=r"a: images lie directly in the class folder.*a/VIDEO"):
        read_table(tmp_path)


def test_split_folders(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "validation/a/3.mp4", "validation/b/4.mp4",
          "test/a/5.mp4", "test/b/6.mp4", "extra/readme.md")  # fmt: skip
    table = read_table(tmp_path)
    assert table.splits == ("train", "val", "test")
    assert table.classes == ("a", "b")
    assert [r.path.rsplit("/", 1)[1] for r in table.of("val")] == ["3.mp4", "4.mp4"]
    assert table.counts("train") == {"a": 1, "b": 1}
    assert "split val is the folder validation" in table.notes
    with pytest.raises(UnknownNameError, match=r"unknown split 'tets'. Did you mean 'test'"):
        table.of("tets")


def test_a_folder_named_train_with_videos_is_a_class(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.mp4", "bus/2.mp4")
    assert read_table(tmp_path).classes == ("bus", "train")


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path / "store", "1.mp4")
    data = touch(tmp_path / "data", "a/2.mp4", "b/3.mp4")
    (data / "a" / "linked").symlink_to(tmp_path / "store")
    (data / "a" / "loop").symlink_to(data / "a")
    assert rows(read_table(data)) == [
        ("a/2.mp4", "a"), ("a/linked/1.mp4", "a"), ("b/3.mp4", "b")]  # fmt: skip


def test_labels_file_gives_the_class_order(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "b/2.mp4", "scripts/run.sh")
    (tmp_path / "labels.txt").write_text("b\na\n")
    table = read_table(tmp_path)
    assert table.classes == ("b", "a")
    assert [r.label for r in table.records] == [1, 0]
    assert any("no class (scripts)" in note for note in table.notes)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "the folder is empty"),
        ((".hidden/1.mp4",), "the folder is empty"),
        (("readme.txt", "a/data.zip"), r"no video found \(1 .txt, 1 .zip.*Unpack the archives"),
        (("a/1.mp4", "b/x.txt"), r"b: class folder without a video.*begin its name with '\.'"),
        (("a/1.mp4", "a/2.mp4"), r"only one class \('a'\); a classifier needs at least two"),
        (("1.mp4", "2.mp4"), r"2 videos and no class folder.*/CLASS/1.mp4"),
    ],
)
def test_unusable_folders(tmp_path: Path, files: tuple[str, ...], message: str) -> None:
    touch(tmp_path, *files)
    with pytest.raises(DatasetError, match=message):
        read_table(tmp_path)


def test_missing_data(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    with pytest.raises(DatasetNotFoundError, match=r"no such file or folder. Did you mean .*clips"):
        read_table(tmp_path / "clip")
    with pytest.raises(DatasetNotFoundError, match=f"{tmp_path} exists"):
        read_table(tmp_path / "x" / "y" / "z")


def test_videos_without_classes(tmp_path: Path) -> None:
    touch(tmp_path, "1.mp4", "deep/2.mp4")
    table = read_table(tmp_path, labeled=False)
    assert [r.label for r in table.records] == [None, None]
    assert [os.path.relpath(r.path, tmp_path) for r in table.records] == ["1.mp4", "deep/2.mp4"]
    one = read_table(tmp_path / "1.mp4", labeled=False)
    assert [r.path for r in one.records] == [str(tmp_path / "1.mp4")]


# --- lists -----------------------------------------------------------------------------------

VIDEOS = ("my dir/v 1.mp4", "b/2.mp4", "b/3.avi")
WANT = [("my dir/v 1.mp4", "x y"), ("b/2.mp4", "z"), ("b/3.avi", "z")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "path,label\nmy dir/v 1.mp4,x y\nb/2.mp4,z\nb/3.avi,z\n"),
        ("l.csv", "my dir/v 1.mp4,x y\nb/2.mp4,z\nb/3.avi,z"),
        ("l.csv", 'my dir/v 1.mp4,"x y"\r\n"b/2.mp4", z\r\nb/3.avi,z\r\n'),
        ("l.csv", "\ufefffile;class\nmy dir/v 1.mp4;x y\nb/2.mp4;z\nb/3.avi;z\n"),
        ("l.csv", "label,video_path\nx y,my dir/v 1.mp4\nz,b/2.mp4\nz,b/3.avi\n"),
        ("l.csv", ",path,label,_note,fps\n0,my dir/v 1.mp4,x y,?,25\n1,b/2.mp4,z,,\n"
                  "2,b/3.avi,z,,\n"),
        ("l.tsv", "my dir/v 1.mp4\tx y\nb/2.mp4\tz\nb/3.avi\tz\n"),
        ("l.txt", "my dir/v 1.mp4 x y\nb/2.mp4 z\nb/3.avi z\n"),
        ("l.csv", "path label\nmy dir/v 1.mp4\tx y\n\nb/2.mp4    z\nb/3.avi z\n"),
        ("l.txt", "# made by hand\nmy dir/v 1.mp4 x y\n# more\nb/2.mp4 z\nb/3.avi z\n"),
        ("l.jsonl", '{"path": "my dir/v 1.mp4", "label": "x y"}\n\n{"path": "b/2.mp4", '
                    '"label": "z"}\n{"label": "z", "path": "b/3.avi"}\n'),
        ("l.json", '[{"path": "my dir/v 1.mp4", "label": "x y"}, {"path": "b/2.mp4", '
                   '"label": "z"}, {"label": "z", "path": "b/3.avi"}]'),
    ],
)  # fmt: skip
def test_list_formats(tmp_path: Path, name: str, text: str) -> None:
    table = read_table(write(tmp_path, name, text, *VIDEOS))
    assert rows(table) == WANT
    assert table.classes == ("x y", "z")


def test_utf16_list(tmp_path: Path) -> None:
    touch(tmp_path, *VIDEOS)
    (tmp_path / "l.csv").write_bytes("my dir/v 1.mp4,x y\nb/2.mp4,z\n".encode("utf-16"))
    assert rows(read_table(tmp_path / "l.csv")) == WANT[:2]


def test_commas_inside_paths_of_a_list_with_blanks(tmp_path: Path) -> None:
    videos = ("a, b/1.mp4", "a, b/2.mp4")
    table = read_table(write(tmp_path, "l.txt", "a, b/1.mp4 0\na, b/2.mp4 1\n", *videos))
    assert rows(table) == [("a, b/1.mp4", "0"), ("a, b/2.mp4", "1")]


def test_folders_of_frames_in_lists(tmp_path: Path) -> None:
    touch(tmp_path, "v 1/0.jpg", "v2/0.jpg")
    for text in ("v 1,0\nv2,1\n", "v 1 0\nv2 1\n"):
        table = read_table(write(tmp_path, "l.csv", text))
        assert rows(table) == [("v 1", "0"), ("v2", "1")]
    (tmp_path / "v3").mkdir()
    file = write(tmp_path, "l.csv", "v2,0\nv3,1\n")
    with pytest.raises(DatasetError, match=r"v3 \(row 2 of l.csv\): a folder without frames"):
        read_table(file)


def test_intervals_splits_and_groups(tmp_path: Path) -> None:
    text = (
        "path,label,split,start,end,person\n"
        "1.mp4,a,training,0,1.1,p1\n"
        "1.mp4,b,training,1.1,0:02.2,p1\n"
        "2.mp4,a,validation,,,p2\n"
        "2.mp4,b,validation,0.5,,p2\n"
    )
    table = read_table(write(tmp_path, "l.csv", text, "1.mp4", "2.mp4"))
    assert table.splits == ("train", "val")
    first, second, third, fourth = table.records
    assert (first.start, first.end) == (0, Fraction(11, 10))
    assert (second.start, second.end) == (Fraction(11, 10), Fraction(22, 10))
    assert (third.start, third.end) == (None, None)
    assert (fourth.start, fourth.end) == (Fraction(1, 2), None)
    assert [r.group for r in table.records] == ["p1", "p1", "p2", "p2"]
    assert first == VideoRecord(
        str(tmp_path / "1.mp4"), 0, "train", Fraction(0), Fraction(11, 10), "l.csv, row 2", "p1"
    )


@pytest.mark.parametrize(
    ("text", "split", "start"),
    [
        ("1.mp4,a,train\n2.mp4,b,test\n", "train", None),
        ("1.mp4,a,0.5,1\n2.mp4,b,1,2\n", None, Fraction(1, 2)),
        ("1.mp4,a,train,0.5,1\n2.mp4,b,test,1,2\n", "train", Fraction(1, 2)),
    ],
)
def test_columns_without_header(
    tmp_path: Path, text: str, split: str | None, start: object
) -> None:
    record = read_table(write(tmp_path, "l.csv", text, "1.mp4", "2.mp4")).records[0]
    assert (record.split, record.start) == (split, start)


def test_numbers_as_labels(tmp_path: Path) -> None:
    videos = [f"{i}.mp4" for i in range(3)]
    file = write(tmp_path, "l.csv", "0.mp4,10\n1.mp4,2\n2.mp4,10\n", *videos)
    table = read_table(file)
    assert table.classes == ("2", "10")  # by value, not by text
    assert [r.label for r in table.records] == [1, 0, 1]
    indexed = read_table(
        write(tmp_path, "l.csv", "0.mp4,2\n1.mp4,0\n2.mp4,1\n"), labels=["x", "y", "z"]
    )
    assert [indexed.classes[r.label] for r in indexed.records] == ["z", "x", "y"]
    names = read_table(
        write(tmp_path, "l.csv", "0.mp4,2\n1.mp4,0\n2.mp4,1\n"), labels=["2", "0", "1"]
    )
    assert [names.classes[r.label] for r in names.records] == ["2", "0", "1"]  # names come first


@pytest.mark.parametrize(
    "text", ['["x", "y"]', '{"x": "0", "y": "1"}', '{"1": "y", "0": "x"}', '{"y": 1, "x": 0}']
)
def test_class_lists_in_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "names.json").write_text(text)
    file = write(tmp_path, "l.csv", "1.mp4,y\n2.mp4,x\n", "1.mp4", "2.mp4")
    assert read_table(file, labels=tmp_path / "names.json").classes == ("x", "y")


def test_lists_in_a_folder_are_the_split(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "b/3.mp4", "b/4.mp4")
    write(tmp_path, "train.csv", "path,label\na/1.mp4,a\nb/3.mp4,b\n")
    write(tmp_path, "test.txt", "a/2.mp4 a\nb/4.mp4 b\n")
    write(tmp_path, "clips.csv", "path,signer\n")
    (tmp_path / "labels.txt").write_text("b\na\n")
    table = read_table(tmp_path)
    assert table.splits == ("train", "test")
    assert table.classes == ("b", "a")
    assert rows(table) == [("a/1.mp4", "a"), ("b/3.mp4", "b"), ("a/2.mp4", "a"), ("b/4.mp4", "b")]
    notes = " | ".join(table.notes)
    assert "split train is train.csv (2 rows)" in notes and "not read: clips.csv" in notes
    assert "2 classes, the order of labels.txt" in notes
    write(tmp_path, "train.tsv", "a/1.mp4\ta\n")
    with pytest.raises(DatasetError, match=r"both train.csv and train.tsv list the split 'train'"):
        read_table(tmp_path)


def test_one_list_beside_flat_videos(tmp_path: Path) -> None:
    write(tmp_path, "metadata.csv", "file_name,label\n1.mp4,a\n2.mp4,b\n", "1.mp4", "2.mp4")
    assert rows(read_table(tmp_path)) == [("1.mp4", "a"), ("2.mp4", "b")]


def test_root_and_paths_outside_it(tmp_path: Path) -> None:
    data = touch(tmp_path / "data", "1.mp4", "2.mp4")
    lists = tmp_path / "lists"
    lists.mkdir()
    file = write(lists, "l.csv", "1.mp4,a\n2.mp4,b\n")
    assert rows(read_table(file, root=data)) == [("1.mp4", "a"), ("2.mp4", "b")]
    file = write(lists, "l.csv", f"{data}/1.mp4,a\n{data}/2.mp4,b\n")
    assert len(read_table(file)) == 2  # a list by itself is the user's own choice of files
    assert len(read_table(file, root=data)) == 2
    with pytest.raises(DatasetError, match=r"l.csv, row 1: .* is an absolute path outside"):
        read_table(file, root=lists)
    for path in ("../data/1.mp4", f"{lists}/../data/1.mp4", "a/../../data/1.mp4"):
        file = write(lists, "l.csv", f"{path},a\n{data}/2.mp4,b\n")
        with pytest.raises(DatasetError, match=r"row 1: .* the folder .* give that folder as root"):
            read_table(file)
    (lists / "l.csv").rename(lists / "train.csv")
    with pytest.raises(DatasetError, match=r"train.csv, row 1"):
        read_table(lists)
    write(lists, "train.csv", f"{data}/1.mp4,a\n")
    with pytest.raises(DatasetError, match=r"an absolute path outside the folder"):
        read_table(lists)


def test_a_root_allows_paths_that_climb_to_it(tmp_path: Path) -> None:
    data = touch(tmp_path / "data", "1.mp4", "2.mp4")
    lists = tmp_path / "lists" / "new"
    lists.mkdir(parents=True)
    text = "../../data/1.mp4,a\n../../data/2.mp4,b\n"
    file = write(lists, "l.csv", text)
    expected = [(str(data / "1.mp4"), "a"), (str(data / "2.mp4"), "b")]
    absolute = [(r.path, "ab"[r.label]) for r in read_table(file, root=tmp_path).records]
    assert absolute == expected
    with pytest.raises(DatasetError, match="--root FOLDER"):
        read_table(file, root=tmp_path / "lists")  # it climbs higher
    with pytest.raises(DatasetError, match="a path that leaves"):
        read_table(write(lists, "l.csv", "../../../x.mp4,a\n"), root=tmp_path)
    file.unlink()
    write(lists, "train.csv", text)
    write(lists, "test.csv", "data/1.mp4,a\ndata/2.mp4,b\n")  # from the root itself
    table = read_table(lists, root=tmp_path)
    assert [(r.path, "ab"[r.label]) for r in table.of("train")] == expected
    assert [(r.path, "ab"[r.label]) for r in table.of("test")] == expected
    for missing in (tmp_path / "no", "\0", "x" * 5000, file):
        with pytest.raises(DatasetNotFoundError, match="no such folder"):
            read_table(lists, root=missing)


def test_all_missing_files_are_counted(tmp_path: Path) -> None:
    videos = [f"clips/a/{i}.mp4" for i in range(410)]
    touch(tmp_path, *(v for i, v in enumerate(videos) if i not in (10, 20, 30)))
    text = "path,label\n" + "".join(f"{v},{i % 2}\n" for i, v in enumerate(videos))
    file = write(tmp_path, "train.csv", text)
    with pytest.raises(DatasetError) as info:
        read_table(file)
    assert str(info.value).startswith(
        "clips/a/10.mp4 (row 12 of train.csv): no such file; 3 of 410 rows affected. Also "
        "clips/a/20.mp4 (row 22 of train.csv), clips/a/30.mp4 (row 32 of train.csv)."
    )
    with pytest.raises(DatasetError, match=r"3 of 410 rows affected"):
        read_table(tmp_path)


def test_a_wrong_root_is_recognized(tmp_path: Path) -> None:
    file = write(tmp_path / "data", "l.csv", "data/1.mp4,a\ndata/2.mp4,b\n") if (
        touch(tmp_path, "data/1.mp4", "data/2.mp4")) else None  # fmt: skip
    with pytest.raises(DatasetError, match=f"2 of 2 rows .*these exist below {tmp_path}"):
        read_table(file)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.csv", "", "the list has no row"),
        ("l.csv", "path,label\n", "a header and no row"),
        ("l.csv", "path,lable\n1.mp4,a\n", "row 1: unknown column 'lable'. Did you mean 'label'"),
        ("l.csv", "path,label,class\n1.mp4,a,a\n", "row 1: two columns give the label"),
        ("l.csv", "label,path\na,1.mp4\nb\n", "row 3: 1 field where the list has 2.*cut short"),
        ("l.csv", "1.mp4,a\n2.mp4,b,c\n", "row 2: 3 fields where the list has 2.*quote fields"),
        ("l.csv", "a,1.mp4\nb,2.mp4\n", "row 1: the path stands in column 2"),
        ("l.csv", '1.mp4,a\n2.mp4,"b\n', "row 2: .*quotation mark"),
        ("l.csv", "1.mp4,a,b,c\n2.mp4,a,b,c\n", "row 1: 4 fields.*'b' is no time"),
        ("l.csv", "1.mp4,a,b,c,d,e\n", "row 1: 6 fields and no header"),
        ("l.csv", "path,label,start\n1.mp4,a,soon\n", "row 2: start = 'soon' is no time"),
        ("l.csv", "path,label,start\n1.mp4,a,-1\n", "row 2: start = '-1' is no time"),
        ("l.csv", "path,label,start,end\n1.mp4,a,2,1\n", "row 2: the clip ends at 1 s"),
        ("l.csv", "1.mp4\n2.mp4\n", r"1.mp4 \(row 1 of l.csv\): no label; 2 of 2 rows"),
        ("l.csv", "my dir/v 1.mp4\n", "no label; 1 of 1 rows"),
        ("l.csv", "path,label\n1.mp4,a\n2.mp4,\n", r"2.mp4 \(row 3 of l.csv\): no label; 1 of 2"),
        ("l.csv", "path,label\n,a\n", "row 2: the path is empty"),
        ("l.csv", "1.mp4,a\n2.mp4,a\n", "only one class"),
        ("l.csv", "1.mp4,a\n1.mp4,b\n", r"two labels: 'a' \(row 1 of l.csv\) and 'b' \(row 2"),
        ("l.csv", "path,label,split\n1.mp4,a,train\n2.mp4,b,\n", "row 3: no split, while other"),
        ("l.txt", "1.mp4 0 3\n2.mp4 1 2\n", r"row 1: 2 numbers after the path \(0 3\); one label"),
        ("l.jsonl", '{"path": "1.mp4", "label": 1\n', "row 1: this is not JSON"),
        ("l.jsonl", '{"path": "1.mp4", "label": 1}\n[1]\n', "row 2: expected an object"),
        ("l.jsonl", '{"path": "1.mp4", "label": [1, 2]}\n', "row 1: label = .*expected one text"),
        ("l.json", '{"a": 1}', "expected a JSON list"),
        ("l.csv", "1.mp4,a\n2.mp4\0,b\n", "not a text file"),
    ],
)  # fmt: skip
def test_bad_lists(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = write(tmp_path, name, text, "1.mp4", "2.mp4", "my dir/v 1.mp4")
    with pytest.raises(DatasetError, match=message) as info:
        read_table(file)
    assert name in str(info.value)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes("1.mp4,a\nü.mp4,b\n".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"l.csv, row 2: the text is not UTF-8"):
        read_table(tmp_path / "l.csv")
    touch(tmp_path, "v.mp4")
    with pytest.raises(DatasetError, match=r"this is a video, not a list"):
        read_table(tmp_path / "v.mp4")


def test_labels_outside_the_class_list(tmp_path: Path) -> None:
    file = write(tmp_path, "l.csv", "1.mp4,walk\n2.mp4,rn\n", "1.mp4", "2.mp4")
    (tmp_path / "labels.txt").write_text("walk\nrun\n")
    with pytest.raises(DatasetError) as info:
        read_table(file)
    assert str(info.value) == (
        "2.mp4 (l.csv, row 2): label 'rn' is not in the class list labels.txt (walk, run). "
        "Did you mean 'run'? 1 of 2 videos affected"
    )
    file = write(tmp_path, "l.csv", "1.mp4,0\n2.mp4,2\n")
    with pytest.raises(DatasetError, match=r"label 2 is not .* which has 2 classes \(0 to 1\)"):
        read_table(file)
    (tmp_path / "labels.txt").write_text("walk\nwalk\n")
    with pytest.raises(DatasetError, match=r"class 'walk' stands in the list twice"):
        read_table(file)
    with pytest.raises(DatasetNotFoundError, match=r"no such file of class names"):
        read_table(file, labels=tmp_path / "absent.txt")


def test_one_class_is_enough_where_the_classes_are_given(tmp_path: Path) -> None:
    file = write(tmp_path, "l.csv", "1.mp4,a\n", "1.mp4")
    assert read_table(file, labels=["a", "b"]).records[0].label == 0


def test_suspicious_tables_warn(tmp_path: Path) -> None:
    text = "path,label,split\n1.mp4,a,train\n1.mp4,a,test\n2.mp4,b,test\n2.mp4,b,test\n"
    table = read_table(write(tmp_path, "l.csv", text, "1.mp4", "2.mp4"))
    text = " | ".join(table.warnings)
    assert "2 videos stand in the lists more than once" in text
    assert "1 files are in more than one split" in text and "(test, train)" in text
    assert "no video of class b in the split train" in text


def test_unknown_columns_can_be_left_out(tmp_path: Path) -> None:
    file = write(tmp_path, "l.csv", "path,label,mood\n1.mp4,a,x\n2.mp4,b,y\n", "1.mp4", "2.mp4")
    table = read_table(file, ignore_columns=["mood"])
    assert any("left out the columns mood" in note for note in table.notes)


def test_real_data(shared: Path) -> None:
    table = read_table(shared / "data" / "actions")
    assert table.classes == tuple((shared / "data/actions/labels.txt").read_text().split())
    assert table.splits == ("train", "test") and not table.warnings
    assert set(table.counts("train").values()) == {90}
    assert set(table.counts("test").values()) == {30}
    assert any("not read: clips.csv" in note for note in table.notes)
    wide = shared / "data" / "actions" / "clips.csv"
    with pytest.raises(DatasetError, match=r"clips.csv, row 1: unknown column 'repetition'"):
        read_table(wide)
    again = read_table(wide, ignore_columns=["repetition"])
    assert {r.path: (r.label, r.split) for r in again.records} == {
        r.path: (r.label, r.split) for r in table.records
    }
    assert {r.group for r in again.of("test")} == {"u10", "u11", "u12"}
    json.dumps(again.notes)


def test_given_classes_replace_those_beside_the_clips(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "b/2.mp4")
    (tmp_path / "labels.txt").write_text("a\na\n")  # broken, and not asked for
    assert read_table(tmp_path, labels=["b", "c", "a"]).classes == ("b", "c", "a")
    with pytest.raises(DatasetError, match=r"1.mp4.*class folder a.*label 'a' is not in"):
        read_table(tmp_path, labels=["b", "c"])
