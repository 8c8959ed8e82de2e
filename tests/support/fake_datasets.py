"""Small fake copies of the public data sets, laid out as their authors do.

`make(name, root)` writes videos and lists; `examples(name, root)` reads them with the reader of
the card and gives what a training needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from support.videos import film
from vitascope.data.records import VideoRecord
from vitascope.data.render import numbered_frame, render_numbered
from vitascope.data.sets.ava import AVA22, keyframes, read_ava
from vitascope.data.sets.card import get_dataset
from vitascope.data.sets.domsev import read_scene_spans
from vitascope.data.sets.locate import official_files

SIZE = (32, 48)


@dataclass(frozen=True)
class Examples:
    """Clips with their targets.

    Attributes:
        records: the clips.
        targets: for "class" int64 N; for "classes" float N K; for "verb noun" int64 N 2; for
            "boxes" a pair for each clip: boxes R 4 as shares, and float R K.
        kind: what the targets are.
        num_classes: K.
    """

    records: list[VideoRecord]
    targets: list[Tensor] | list[tuple[Tensor, Tensor]]
    kind: str
    num_classes: int


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def videos(root: Path, *names: str, frames: int = 12, fps: int = 12) -> None:
    for number, name in enumerate(names):
        path = root / name
        if path.suffix == ".webm":
            codec = {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}
            render_numbered(path, frames, fps=fps, size=SIZE, **codec)  # type: ignore[arg-type]
        else:
            film(path, frames, fps, size=SIZE, first=50 * number)


def pictures(folder: Path, count: int, name: str = "{:05d}.jpg") -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        image = Image.fromarray(np.asarray(numbered_frame(number, SIZE)))
        image.save(folder / name.format(number + 1))


# --- one function for each layout ------------------------------------------------------------


def _kinetics(root: Path) -> None:
    head = "label,youtube_id,time_start,time_end,split\n"
    write(root / "train.csv", head + "run,a,0,10,train\njump,b,3,13,train\n")
    write(root / "validate.csv", head + "run,c,0,10,validate\n")
    videos(root, "train/run/a_000000_000010.mp4", "train/jump/b_000003_000013.mp4",
           "val/c_000000_000010.mp4")  # fmt: skip


def _ucf101(root: Path) -> None:
    lists = root / "ucfTrainTestlist"
    write(lists / "classInd.txt", "1 Archery\n2 Basketball\n")
    names = [f"{c}/v_{c}_g0{g}_c01.avi" for c in ("Archery", "Basketball") for g in (1, 2)]
    write(lists / "trainlist01.txt", f"{names[0]} 1\n{names[2]} 2\n")
    write(lists / "testlist01.txt", f"{names[1]}\n{names[3]}\n")
    videos(root / "UCF-101", *names)


def _hmdb51(root: Path) -> None:
    for name in ("run", "wave"):
        files = [f"{part}_{name}_u_cm_np1_fr_goo_0.avi" for part in "AB"]
        write(root / "splits" / f"{name}_test_split1.txt", f"{files[0]} 1\n{files[1]} 2\n")
        videos(root / name, *files)


def _ssv2(root: Path) -> None:
    name = "labels/something-something-v2-"
    write(root / f"{name}labels.json", '{"Holding something": "0", "Moving something": "1"}')
    rows = [{"id": "7", "template": "Holding [something]"},
            {"id": "8", "template": "Moving [something]"}]  # fmt: skip
    write(root / f"{name}train.json", json.dumps(rows))
    write(root / f"{name}validation.json", '[{"id": "9", "template": "Moving [something]"}]')
    videos(root / "20bn-something-something-v2", "7.webm", "8.webm", "9.webm")


def _jester(root: Path) -> None:
    write(root / "jester-v1-labels.csv", "Swiping Left\nNo gesture\n")
    write(root / "jester-v1-train.csv", "34870;No gesture\n56557;Swiping Left\n")
    write(root / "jester-v1-validation.csv", "7;No gesture\n")
    for number in ("34870", "56557", "7"):
        pictures(root / "20bn-jester-v1" / number, 12)


def _moments_in_time(root: Path) -> None:
    write(root / "moments_categories.txt", "clapping,0\nplaying+music,1\n")
    write(root / "trainingSet.csv", "playing+music/x.mp4,playing+music,3,0\n"
          "clapping/y.mp4,clapping,4,1\n")  # fmt: skip
    write(root / "validationSet.csv", "clapping/z.mp4,clapping,4,1\n")
    videos(root / "training", "playing+music/x.mp4", "clapping/y.mp4")
    videos(root / "validation", "clapping/z.mp4")


def _charades(root: Path) -> None:
    head = "id,subject,scene,length,actions\n"
    write(root / "Charades_v1_train.csv",
          head + "AAAAA,S,Hall,1,c092 0.10 0.80;c147 0.00 0.60\nBBBBB,S,Hall,1,\n")  # fmt: skip
    write(root / "Charades_v1_test.csv", head + "CCCCC,S,Hall,1,c001 0.00 0.50\n")
    videos(root / "Charades_v1_480", "AAAAA.mp4", "BBBBB.mp4", "CCCCC.mp4")


def _ava(root: Path, version: str = "2.2") -> None:
    rows = "x,0902,0.1,0.1,0.5,0.9,12,0\nx,0902,0.1,0.1,0.5,0.9,80,0\nx,0903,0.3,0,0.9,1,1,1\n"
    write(root / f"ava_train_v{version}.csv", rows + "y,0904,0.2,0.2,0.6,0.6,4,0\n")
    write(root / f"ava_val_v{version}.csv", "z,0902,0.1,0.1,0.5,0.9,12,0\n")
    # The labeled part of a video begins at its fifteenth minute.
    videos(root / "videos", "x.mkv", "y.mp4", "z.mp4", frames=906, fps=1)


def _epic(root: Path, name: str) -> None:
    head = ("participant_id,video_id,narration,start_timestamp,stop_timestamp,start_frame,"
            "stop_frame,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n")  # fmt: skip
    row = (
        "P01,P01_01,open door,00:00:00.00,00:00:00.50,0,6,open,2,door,8,\"['door']\",[8]\n"
        "P01,P01_01,take cup,00:00:00.50,00:00:01.00,6,12,take,0,cup,13,\"['cup']\",[13]\n"
    )
    write(root / f"{name}.csv", head + row)
    videos(root / "P01", "P01_01.MP4")


def _domsev(root: Path) -> None:
    write(root / "videos.csv", "video_id,resolution,duration,fps\nA,48x32,1,12\n")
    write(root / "frames.csv",
          "video_id,location,frame_file_stem,frame_string_length,min_frame_number,"
          f"max_frame_number,file_extension\nA,{root / 'A'},f_,6,1,12,jpg\n")  # fmt: skip
    write(root / "labels.csv", "video_id,start_time,stop_time,start_frame,stop_frame,label_id,"
          "label_name\nA,0,0.2,1,5,2,walk\nA,0.24,0.44,6,11,3,run\n")  # fmt: skip
    pictures(root / "A", 12, "f_{:04d}.jpg")


def _ego4d(root: Path) -> None:
    def label(name: str, start: float, end: float) -> dict:
        return {"label": name, "video_start_time": start, "video_end_time": end,
                "start_time": start, "end_time": end}  # fmt: skip

    clip = {"clip_uid": "c1", "video_start_sec": 0.0, "video_end_sec": 1.0}
    annotations = [{"labels": [label("cut_food", 0, 0.5), label("wash_dishes", 0.25, 1)]}]
    listed = {"video_uid": "v1", "split": "train", "clips": [{**clip, "annotations": annotations}]}
    write(root / "moments_train.json", json.dumps({"videos": [listed]}))
    facts = {"video_uid": "v1", "is_stereo": False, "duration_sec": 1, "manifold_path": "p/v1.mp4"}
    write(root / "ego4d.json", json.dumps({"videos": [facts]}))
    videos(root, "p/v1.mp4")


_MAKERS: dict[str, Callable[[Path], None]] = {
    "kinetics400": _kinetics,
    "kinetics600": _kinetics,
    "kinetics700": _kinetics,
    "ucf101": _ucf101,
    "hmdb51": _hmdb51,
    "ssv2": _ssv2,
    "jester": _jester,
    "moments_in_time": _moments_in_time,
    "charades": _charades,
    "ava21": lambda root: _ava(root, "2.1"),
    "ava22": _ava,
    "ava_kinetics": _ava,
    "epic_kitchens55": lambda root: _epic(root, "EPIC_train_action_labels"),
    "epic_kitchens100": lambda root: _epic(root, "EPIC_100_train"),
    "domsev": _domsev,
    "ego4d_moments": _ego4d,
}


def make(name: str, root: Path) -> Path:
    """Writes a fake copy of a data set."""
    if name not in _MAKERS:
        pytest.fail(
            f"tests/support/fake_datasets.py cannot write a fake copy of {name!r}: add a function "
            "that writes a few videos and lists as its authors lay them out, and a row to _MAKERS"
        )
    _MAKERS[name](root)
    return root


# --- what to learn from each ------------------------------------------------------------------


def examples(name: str, root: Path) -> Examples:
    """The training examples of a fake copy, through the reader of the card."""
    card = get_dataset(name)
    if card.task == "classification":
        table = official_files(name, root)
        records = list(table.of("train"))
        return Examples(records, [torch.tensor(r.label) for r in records], "class",
                        len(table.classes))  # fmt: skip
    if name not in _READERS:
        pytest.fail(
            f"tests/support/fake_datasets.py does not know what is learnt from {name!r} "
            f"({card.task}): add a function that gives Examples, and a row to _READERS"
        )
    return _READERS[name](name, root)


def _read_charades(name: str, root: Path) -> Examples:
    found = get_dataset(name).read(root / "Charades_v1_train.csv", root / "Charades_v1_480")
    targets = [torch.zeros(157).index_fill(0, torch.tensor(v.labels, dtype=torch.int64), 1.0)
               for v in found]  # fmt: skip
    return Examples([VideoRecord(v.path) for v in found], targets, "classes", 157)


def _read_ava(name: str, root: Path) -> Examples:
    version = "2.1" if name == "ava21" else "2.2"
    at = {Path(r.path).stem: r.path for r in official_files(name, root).records}
    frames = keyframes(read_ava(root / f"ava_train_v{version}.csv"))
    records, targets = [], []
    for frame in frames:
        half = Fraction(1)
        records.append(VideoRecord(at[frame.video], None, "train", frame.time - half,
                                   frame.time + half))  # fmt: skip
        hot = torch.zeros(len(frame.people), int(AVA22.num_classes))
        for row, person in enumerate(frame.people):
            hot[row, [label - 1 for label in person.labels if label is not None]] = 1
        targets.append((torch.tensor([p.box for p in frame.people]), hot))
    return Examples(records, targets, "boxes", int(AVA22.num_classes))


def _read_epic(name: str, root: Path) -> Examples:
    [list_file] = root.glob("EPIC*.csv")
    found = get_dataset(name).read(list_file)
    at = {Path(r.path).stem: r.path for r in official_files(name, root).records}
    actions = [a for video in found.values() for a in video]
    records = [VideoRecord(at[a.video_id], None, "train", a.start, a.stop) for a in actions]
    targets = [torch.tensor([a.verb_class, a.noun_class]) for a in actions]
    return Examples(records, targets, "verb noun", 352)


def _read_domsev(name: str, root: Path) -> Examples:
    spans = read_scene_spans(root / "labels.csv")["A"]
    frames = get_dataset(name).read(root / "videos.csv", root / "frames.csv", root / "labels.csv")
    labels = [f.label_id for f in frames["A"]]
    # The reader says the same of every frame as the spans do.
    assert labels == [2] * 5 + [3] * 6 + [None]
    folder = str(Path(frames["A"][0].path).parent)
    records = [VideoRecord(folder, s.label_id, "train", s.start, s.stop) for s in spans]
    return Examples(records, [torch.tensor(s.label_id) for s in spans], "class", 4)


def _read_ego4d(name: str, root: Path) -> Examples:
    ids = {"cut_food": 0, "wash_dishes": 1}
    found = get_dataset(name).read(root / "moments_train.json", root / "ego4d.json", "train", ids,
                                   root=root).moments  # fmt: skip
    records = [VideoRecord(m.path, m.label_id, "train", m.interval.start, m.interval.end)
               for m in found]  # fmt: skip
    return Examples(records, [torch.tensor(m.label_id) for m in found], "class", 2)


# Data sets of clips with one label need no row: their table says it all.
_READERS: dict[str, Callable[[str, Path], Examples]] = {
    "charades": _read_charades,
    "ava21": _read_ava,
    "ava22": _read_ava,
    "ava_kinetics": _read_ava,
    "epic_kitchens55": _read_epic,
    "epic_kitchens100": _read_epic,
    "domsev": _read_domsev,
    "ego4d_moments": _read_ego4d,
}
