"""Public data sets: every card has a reader, and each reader reads a small copy of its layout."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from support.videos import film
from vitascope.data.clips import Clip
from vitascope.data.sets import DATASETS
from vitascope.data.sets import card as card_module
from vitascope.data.sets.card import CLASS_LIST, get_dataset
from vitascope.data.sets.verify import verify_files
from vitascope.errors import DatasetError, DatasetNotFoundError, UnknownNameError

PAPER = r"arXiv:\d{4}\.\d{4,5}|.+ \([A-Z][^()]* (19|20)\d{2}\)"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def touch(root: Path, *names: str) -> Path:
    for name in names:
        write(root / name, "x")
    return root


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_cards_are_complete(name: str) -> None:
    card = get_dataset(name)
    assert card.name == name and card.title and card.annotations and card.files and card.terms
    assert card.task in ("classification", "multi-label", "detection", "segments")
    assert re.fullmatch(PAPER, card.paper), (
        f"{name}: paper = {card.paper!r}; expected arXiv:NUMBER or TITLE (VENUE YEAR)"
    )
    assert card.homepage.startswith("http")
    assert all(count > 0 for count in card.splits.values())
    assert callable(card.function("reader")) and callable(card.function("find"))


@pytest.mark.parametrize(
    "paper",
    ["arXiv:1705.06950", "A Data Set (ECCV 2018)", "B (NeurIPS 2021)", "C (ACM MM 1999)",
     "D (in part) (Int. J. Comput. Vis. 2022)", "E (BMVC-W 2031)"],
)  # fmt: skip
def test_papers_of_any_venue(paper: str) -> None:
    assert re.fullmatch(PAPER, paper)


@pytest.mark.parametrize("paper", ["", "arXiv:17.1", "A Data Set", "B (2018)", "C (ECCV 18)"])
def test_papers_that_nobody_finds(paper: str) -> None:
    assert not re.fullmatch(PAPER, paper)


def test_a_card_without_its_functions_says_what_is_missing(tmp_path: Path) -> None:
    card = replace(get_dataset("ucf101"), find="")
    with pytest.raises(DatasetError, match=r"'ucf101': its card names no find\. Add find=\"MODULE"):
        card.function("find")
    card = replace(card, find="ucf101:find_ucf", reader="ucf100:read")
    with pytest.raises(DatasetError, match=r"says find = 'ucf101:find_ucf', but .*no find_ucf$"):
        card.function("find")
    with pytest.raises(DatasetError, match=r"says reader = .* there is no file .*ucf100\.py"):
        card.read(tmp_path)


def test_a_row_that_leads_nowhere_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"a": "ucf100:UCF", "b": "ucf101:UCF", "c": "ucf101"}
    monkeypatch.setattr(card_module, "DATASETS", rows)
    with pytest.raises(DatasetError, match=r"says 'a' = 'ucf100:UCF', but there is no file"):
        get_dataset("a")
    with pytest.raises(DatasetError, match=r"__init__\.py says 'b' = .*ucf101\.py has no UCF"):
        get_dataset("b")
    with pytest.raises(DatasetError, match="has no name behind a colon"):
        get_dataset("c")


def test_cards_agree_with_the_published_class_lists(shared: Path) -> None:
    lists = json.loads((shared / "data" / "labels" / "index.json").read_text())
    both = set(lists) & set(DATASETS)
    assert both >= {"kinetics400", "kinetics600", "kinetics700", "ucf101", "hmdb51", "ssv2",
                    "jester", "moments_in_time"}  # fmt: skip
    for name in both:
        assert get_dataset(name).num_classes == lists[name]["count"], name
    assert get_dataset("charades").num_classes == lists["charades157"]["count"]
    verbs, nouns = (lists[f"epic100_{what}"]["count"] for what in ("verbs", "nouns"))
    assert get_dataset("epic_kitchens100").num_classes == f"{verbs} verbs, {nouns} nouns"
    counted = {n for n in DATASETS if get_dataset(n).sources["classes"] == CLASS_LIST}
    assert counted == both | {"charades", "epic_kitchens100"}, (
        "a card says that its classes were counted in a published list; put the list beside the "
        "others and name it after the data set, or say where else the number is from"
    )
    for entry in lists.values():
        file = shared / "data" / "labels" / entry["file"]
        if file.suffix == ".txt":
            assert len(file.read_text().splitlines()) == entry["count"]


def test_counts_add_up_to_what_their_sources_say() -> None:
    def total(name: str) -> int:
        return sum(get_dataset(name).splits.values())

    assert total("kinetics400") == 306_245
    assert get_dataset("kinetics400").splits["val"] == 50 * 400
    assert get_dataset("kinetics400").splits["test"] == 100 * 400
    assert total("charades") == 9_848 and round(total("epic_kitchens100"), -4) == 90_000
    assert get_dataset("hmdb51").splits == {"train": 70 * 51, "test": 30 * 51}
    assert total("ava22") == 430
    for name in DATASETS:
        card = get_dataset(name)
        assert set(card.sources) == {"classes", *card.splits} and all(card.sources.values())


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'kinetics400'"):
        get_dataset("kinetics40")


def test_kinetics(tmp_path: Path) -> None:
    head = "label,youtube_id,time_start,time_end,split\n"
    train = write(tmp_path / "train.csv", head + "air drumming,-abc_DE,10,20,train\n"
                  "zumba,gone,0,10,train\nabseiling,xyz,0,10,train\n")  # fmt: skip
    val = write(tmp_path / "validate.csv", head + "zumba,whole,5,15,validate\n")
    root = touch(tmp_path / "videos", "train/air drumming/-abc_DE_000010_000020.mp4",
                 "train/x/xyz_000000_000010.webm", "whole.mkv")  # fmt: skip
    card = get_dataset("kinetics400")
    table = card.read(train, val, root=root)
    assert table.classes == ("abseiling", "air drumming", "zumba")
    assert table.splits == ("train", "val")
    assert [(Path(r.path).name, table.classes[r.label or 0]) for r in table.of("train")] == [
        ("-abc_DE_000010_000020.mp4", "air drumming"), ("xyz_000000_000010.webm", "abseiling")
    ]  # fmt: skip
    assert [Path(r.path).name for r in table.of("val")] == ["whole.mkv"]
    assert "1 of 4 listed videos are missing" in table.warnings[0]
    with pytest.raises(DatasetError, match=r"gone_000000_000010.mp4 \(row 3 of train.csv\): no su"):
        card.read(train, val, root=root, files="require")
    with pytest.raises(DatasetError, match="not one of the 4 listed videos is there"):
        card.read(train, val, root=touch(tmp_path / "other", "a.mp4"))
    write(val, head + "zumba,whole,five,15,validate\n")
    with pytest.raises(DatasetError, match=r"validate.csv, row 2: time_start = 'five'; expected"):
        card.read(val, root=root)


def test_verify_counts_against_the_list(tmp_path: Path) -> None:
    head = "label,youtube_id,time_start,time_end,split\n"
    rows = "a,one,0,10,train\nb,two,0,10,train\na,three,0,10,validate\n"
    file = write(tmp_path / "list.csv", head + rows)
    root = tmp_path / "videos"
    film(root / "one_000000_000010.mp4", 4)
    touch(root, "three_000000_000010.mp4")
    steps: list[tuple[int, int]] = []
    report = verify_files(
        get_dataset("kinetics400").read(file, root=root, files="trust"),
        progress=lambda done, of: steps.append((done, of)),
    )
    assert (report.listed, report.present) == (3, 1)
    assert report.by_split == {"train": (1, 2), "val": (0, 1)}
    [gone], [broken] = report.missing, report.unreadable
    assert (Path(gone.path).name, gone.where) == ("two_000000_000010.mp4", "list.csv, row 3")
    assert broken.where == "list.csv, row 4" and "not a video file" in broken.reason
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert json.loads(json.dumps(report.to_json()))["by_split"]["train"] == [1, 2]


def test_ucf101(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    write(lists / "classInd.txt", "2 Basketball\n1 Archery\n")
    write(lists / "trainlist01.txt", "Archery/v_Archery_g08_c01.avi 1\r\n"
          "Basketball/v_Basketball_g09_c02.avi 2\r\n")  # fmt: skip
    write(lists / "testlist01.txt", "Archery/v_Archery_g01_c01.avi\n")
    root = touch(tmp_path / "v", "Archery/v_Archery_g08_c01.avi", "Archery/v_Archery_g01_c01.avi",
                 "Basketball/v_Basketball_g09_c02.avi")  # fmt: skip
    table = get_dataset("ucf101").read(lists, root)
    assert table.classes == ("Archery", "Basketball") and table.splits == ("train", "test")
    assert [r.label for r in table.records] == [0, 1, 0]
    assert [r.group for r in table.of("train")] == ["v_Archery_g08", "v_Basketball_g09"]
    with pytest.raises(DatasetNotFoundError, match=r"trainlist02.txt: no such file"):
        get_dataset("ucf101").read(lists, root, fold=2)
    write(lists / "testlist01.txt", "v_Archery_g01_c01.avi\n")
    with pytest.raises(DatasetError, match=r"testlist01.txt, row 1: .*expected CLASS/FILE"):
        get_dataset("ucf101").read(lists, root)
    write(lists / "classInd.txt", "1 Archery\n3 Basketball\n")
    with pytest.raises(DatasetError, match=r"class numbers are not 1 to 2"):
        get_dataset("ucf101").read(lists, root)


def test_hmdb51(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    for name in ("run", "brush_hair"):
        write(lists / f"{name}_test_split1.txt", f"A_{name}_u_cm_np1_fr_goo_0.avi 1\n"
              f"B_{name}_u_cm_np1_fr_goo_0.avi 2\nC_{name}_u_cm_np1_fr_goo_0.avi 0\n")  # fmt: skip
        touch(tmp_path / "v" / name, *(f"{c}_{name}_u_cm_np1_fr_goo_0.avi" for c in "AB"))
    table = get_dataset("hmdb51").read(lists, tmp_path / "v")
    assert table.classes == ("brush_hair", "run")
    assert [(r.label, r.split) for r in table.records] == [
        (0, "train"), (0, "test"), (1, "train"), (1, "test")]  # fmt: skip


def test_ssv2(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels.json", '{"Holding something": "1", "Moving something": "0"}')
    train = write(tmp_path / "train.json", '[{"id": "7", "template": "Holding [something]"}, '
                  '{"id": "8", "template": "Moving [something]"}]')  # fmt: skip
    test = write(tmp_path / "test.json", '[{"id": "9"}]')
    root = touch(tmp_path / "v", "7.webm", "8.webm", "9.webm")
    card = get_dataset("ssv2")
    table = card.read({"train": train}, labels, root)
    assert table.classes == ("Moving something", "Holding something")
    assert [(Path(r.path).name, r.label) for r in table.records] == [("7.webm", 1), ("8.webm", 0)]
    assert [r.label for r in card.read({"test": test}, labels, root).records] == [None]
    (root / "8.webm").unlink()
    with pytest.raises(DatasetError, match=r"8.webm \(entry 2 of train.json\): no such file; 1 of"):
        card.read({"train": train}, labels, root)
    write(train, '[{"template": "Holding [something]"}]')
    with pytest.raises(DatasetError, match=r"train.json, entry 1: expected an object with the key"):
        card.read({"train": train}, labels, root)


def test_jester(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels.txt", "Swiping Left\nNo gesture\n")
    train = write(tmp_path / "train.csv", "34870;No gesture\n56557;Swiping Left\n")
    root = touch(tmp_path / "v", "34870/00001.jpg", "56557/00001.jpg")
    table = get_dataset("jester").read({"train": train}, root, labels)
    assert [(Path(r.path).name, r.label) for r in table.records] == [("34870", 1), ("56557", 0)]
    write(train, "34870,No gesture\n")
    with pytest.raises(DatasetError, match=r"train.csv, row 1: '34870,No gesture'; expected ID;"):
        get_dataset("jester").read({"train": train}, root, labels)


def test_moments_in_time(tmp_path: Path) -> None:
    names = write(tmp_path / "moments_categories.txt", "clapping,0\nplaying+music,1\n")
    train = write(
        tmp_path / "trainingSet.csv",
        "playing+music/flickr-1.mp4,playing+music,3,0\nclapping/y.mp4,clapping,4,1\n",
    )
    root = touch(tmp_path / "training", "playing+music/flickr-1.mp4", "clapping/y.mp4")
    card = get_dataset("moments_in_time")
    table = card.read({"train": train}, {"train": root}, names)
    assert [(Path(r.path).name, r.label) for r in table.records] == [("flickr-1.mp4", 1),
                                                                    ("y.mp4", 0)]  # fmt: skip
    write(train, "clapping/y.mp4\n")
    with pytest.raises(DatasetError, match=r"trainingSet.csv, row 1: expected CLASS/FILE,CLASS"):
        card.read({"train": train}, {"train": root}, names)
    write(names, "clapping\n")
    with pytest.raises(DatasetError, match=r"moments_categories.txt, row 1: 'clapping'; expected"):
        card.read({"train": train}, {"train": root}, names)


def test_charades(tmp_path: Path) -> None:
    head = "id,subject,scene,length,actions\n"
    file = write(
        tmp_path / "c.csv",
        head + "46GP8,HR43,Kitchen,24.83,"
        "c092 11.90 21.20;c147 0.00 12.60;c092 1 2;c001 3.00 3.00\nN11GT,X,Hall,18.4,\n",
    )
    first, second = get_dataset("charades").read(file, tmp_path)
    assert first.labels == (92, 147) and first.length == Fraction("24.83")
    assert first.actions[0] == (92, Clip(Fraction("11.9"), Fraction("21.2")))
    assert len(first.actions) == 3  # the one without a length is not a part of the video
    assert second.actions == () and second.path == str(tmp_path / "N11GT.mp4")
    for bad in ("c092 11.9", "x092 1 2", "c157 1 2"):
        write(file, head + f"a,b,c,10,{bad}\n")
        with pytest.raises(DatasetError, match=r"c.csv, row 2: actions = .*expected"):
            get_dataset("charades").read(file, tmp_path)


def test_ava_label_maps(tmp_path: Path) -> None:
    from vitascope.data.sets.ava import read_label_map

    file = write(
        tmp_path / "a.pbtxt",
        'item {\n  name: "bend/bow"\n  id: 1\n}\n'
        'label {\n  name: "walk"\n  label_id: 14\n  label_type: PERSON_MOVEMENT\n}\n',
    )
    assert read_label_map(file) == {1: "bend/bow", 14: "walk"}
    with pytest.raises(DatasetError, match="no item"):
        read_label_map(write(tmp_path / "b.pbtxt", "nothing\n"))
    with pytest.raises(DatasetError, match="without a name or an id"):
        read_label_map(write(tmp_path / "c.pbtxt", 'item {\n  name: "walk"\n}\n'))
