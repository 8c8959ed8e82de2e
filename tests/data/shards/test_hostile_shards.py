"""Shards from anywhere: what their members and their index say is bounded, typed and named."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vitascope.data.shards.read import FORMAT, expand, read_shards
from vitascope.data.shards.remote import Part, parse_part
from vitascope.errors import DatasetError, DatasetNotFoundError, VitascopeError


def tar(path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> str:
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type = len(content), kind
            file.addfile(info, io.BytesIO(content))
    return str(path)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (b"1000000000", "a whole number from 0 to 99999"),
        (b"-5", "a whole number"),
        (b"9" * 5000, "a whole number"),
        (b"1.5", "a whole number"),
        (b"nan", "a whole number"),
        (b"\xff", "is no label"),
        (b"x" * (2**20 + 1), "1048577 bytes"),
        ("²".encode(), "a whole number"),
    ],
)
def test_labels(tmp_path: Path, label: bytes, message: str) -> None:
    data = tar(tmp_path / "a.tar", {"0.mp4": b"x", "0.cls": label})
    with pytest.raises(DatasetError, match=message) as info:
        read_shards(data)
    assert len(str(info.value)) < 300


@pytest.mark.parametrize(
    "text",
    ['{"label": [1]}', '{"label": {"a": 1}}', '{"label": 1e99}', '{"label": Infinity}',
     '{"label": true}', '{"label": 0, "class": ["a"]}', '{"label": 0, "class": {}}', "[" * 50_000,
     '{"a":' * 50_000],
)  # fmt: skip
def test_facts(tmp_path: Path, text: str) -> None:
    with pytest.raises(DatasetError, match=r"0.json is no label"):
        read_shards(tar(tmp_path / "a.tar", {"0.mp4": b"x", "0.json": text.encode()}))


def test_good_labels(tmp_path: Path) -> None:
    data = tar(tmp_path / "a.tar", {"0.mp4": b"x", "0.cls": b"1.0\n", "1.mp4": b"y",
                                    "1.json": b'{"label": 0, "class": "zero"}'})  # fmt: skip
    table = read_shards(data)
    assert table.classes == ("zero", "1") and [r.label for r in table.records] == [1, 0]


def test_samples_without_label(tmp_path: Path) -> None:
    data = tar(tmp_path / "a.tar", {"0.mp4": b"x", "1.mp4": b"y", "1.cls": b"-1"})
    with pytest.raises(DatasetError, match="no label; 2 of 2 videos"):
        read_shards(data)
    assert [r.label for r in read_shards(data, labeled=False).records] == [None, None]


def test_labels_with_two_names(tmp_path: Path) -> None:
    members = {f"{i}.mp4": b"x" for i in range(2)}
    members |= {f"{i}.json": b'{"label": 0, "class": "c%d"}' % i for i in range(2)}
    with pytest.raises(DatasetError, match="label 0 is 'c1' here and 'c0' elsewhere"):
        read_shards(tar(tmp_path / "a.tar", dict(sorted(members.items()))))


def test_labels_beyond_the_given_classes(tmp_path: Path) -> None:
    data = tar(tmp_path / "a.tar", {"0.mp4": b"x", "0.cls": b"7"})
    with pytest.raises(DatasetError, match=r"0.mp4: label 7 is not in the class list"):
        read_shards(data, ["a", "b"])


def test_members_with_holes(tmp_path: Path) -> None:
    data = tar(tmp_path / "a.tar", {"0.mp4": bytes(1024), "0.cls": b"0"}, tarfile.GNUTYPE_SPARSE)
    with pytest.raises(DatasetError, match=r"0.mp4 is stored with holes|no whole"):
        read_shards(data)


@pytest.mark.parametrize("name", ["/etc/passwd.mp4", "../../up.mp4", "x::http:__h.mp4", "a\nb.mp4"])
def test_odd_members_are_only_names(tmp_path: Path, name: str) -> None:
    data = tar(tmp_path / "a.tar", {name: b"content", name[:-3] + "cls": b"0"})
    (record,) = read_shards(data).records
    part = parse_part(record.path)
    assert part is not None and part.shard == data and part.read() == b"content"


def test_a_member_cannot_name_another_shard() -> None:
    for member in ("x::http://h/y", "::/etc/passwd", "a::b::c"):
        part = parse_part(str(Part("/d/a.tar", member, 512, 9)))
        assert part is not None and part.shard == "/d/a.tar" and part.offset == 512


@pytest.mark.parametrize(
    "braces",
    [
        "{0..999999999}",
        "{0..99999}{0..99999}",
        "{5..1}",
        "{0..999999}",
        "{000000000000000..999999999999999}",
    ],
)
def test_braces_without_end(tmp_path: Path, braces: str) -> None:
    begin = time.monotonic()
    with pytest.raises(DatasetError, match=r"stands for .* shards; 1 to 100000 are possible"):
        read_shards(f"{tmp_path}/a-{braces}.tar")
    assert time.monotonic() - begin < 1


def test_braces() -> None:
    assert expand("a-{08..10}-{0..1}.tar") == [
        "a-08-0.tar", "a-08-1.tar", "a-09-0.tar", "a-09-1.tar", "a-10-0.tar", "a-10-1.tar",
    ]  # fmt: skip
    assert expand("{0..}.tar") == ["{0..}.tar"]


def index(change: Callable[[dict[str, Any]], None]) -> str:
    document: dict[str, Any] = {
        "format": FORMAT,
        "classes": ["a", "b"],
        "shards": [{"name": "all-000000.tar", "split": None}],
        "rows": [[0, "0.mp4", 512, 3, 0, None, None, "l.csv, row 1", None],
                 [0, "1.mp4", 1536, 3, 1, "0", "1/2", "l.csv, row 2", "g"]],
    }  # fmt: skip
    change(document)
    return json.dumps(document)


def row(column: int, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["rows"][1].__setitem__(column, value)


def test_the_plain_index_is_good(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(index(lambda d: None))
    table = read_shards(str(tmp_path))
    assert [r.label for r in table.records] == [0, 1] and table.records[1].group == "g"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            (
                lambda d, n=name: d["shards"].__setitem__(0, {"name": n, "split": None}),
                "shard 1: .* is no name of a tar beside it",
            )
            for name in (
                "../x.tar",
                "/etc/passwd",
                "http://h/x.tar",
                "a/b.tar",
                "x::y.tar",
                "",
                7,
                "a.tar/../../b.tar",
                None,
                "..\\x.tar",
            )
        ),
        (lambda d: d.update(shards=[]), "names no shard"),
        (lambda d: d.update(shards={"a": 1}), "names no shard"),
        (lambda d: d.update(shards=["a.tar"]), "shard 1"),
        (lambda d: d.update(rows=None), "has no rows"),
        (lambda d: d.update(rows=[]), "has no rows"),
        (lambda d: d.update(classes="ab"), "no list of names"),
        (lambda d: d.update(classes=[1, 2]), "no list of names"),
        (lambda d: d.update(classes=["a", "a"]), "names a class twice"),
        (lambda d: d["rows"].__setitem__(1, [0, "x"]), "row 2: expected a list of 9"),
        (lambda d: d["rows"].__setitem__(1, {"a": 1}), "row 2: expected a list of 9"),
        (row(0, 1), "row 2: shard = 1"),
        (row(0, -1), "row 2: shard"),
        (row(0, "0"), "row 2: shard"),
        (row(1, 5), "row 2: its member"),
        (row(2, -1), "row 2: offset"),
        (row(2, 1.5), "row 2: offset"),
        (row(2, 2**70), "row 2: offset"),
        (row(3, 2**60), "row 2: size"),
        (row(3, True), "row 2: size"),
        (row(4, 2), "row 2: label = 2"),
        (row(4, -1), "row 2: label"),
        (row(4, "1"), "row 2: label"),
        (row(5, "1e99999999"), "row 2: "),
        (row(5, 1), "row 2: its times"),
        (row(5, "1"), "row 2: the part ends"),
        (row(7, None), "row 2: its where"),
        (row(8, 3), "row 2: its times or its group"),
    ],
)
def test_malformed_indices(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    (tmp_path / "index.json").write_text(index(change))
    with pytest.raises(DatasetError, match=message) as info:
        read_shards(str(tmp_path))
    assert len(str(info.value)) < 500


@pytest.mark.parametrize("text", ["[" * 50_000, "9" * 5000, "\xff", "null", '"x"', "{}"])
def test_indices_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(VitascopeError):
        read_shards(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"x" * 700, b"\0" * 10240, b"PK\3\4" + bytes(600)])
def test_tars_that_are_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(DatasetError):
        read_shards(str(tmp_path / "a.tar"))


def test_a_folder_is_no_tar(tmp_path: Path) -> None:
    (tmp_path / "a.tar").mkdir()
    with pytest.raises(DatasetNotFoundError, match="cannot be read"):
        read_shards(str(tmp_path / "a.tar"))


def test_ranges_beyond_the_end_take_no_memory(tmp_path: Path) -> None:
    data = tar(tmp_path / "a.tar", {"0.mp4": b"x"})
    with pytest.raises(VitascopeError, match="the shard ends before its member"):
        Part(data, "0.mp4", 512, 2**40).read()
