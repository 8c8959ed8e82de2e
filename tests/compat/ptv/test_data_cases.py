"""The recorded lists and data sets, through `import pytorchvideo...`, as an old program sees them.

What is done where the record is wrong or silent stands in `BETTER` of `data.sets.test_manifests`.
"""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from data.sets.test_manifests import ALL, BETTER, SAME, Case, Refused, lay_out, plain
from support.fake_datasets import pictures
from support.model_reference import old_names
from vitascope.errors import VitascopeError

pytestmark = pytest.mark.filterwarnings("ignore:pytorchvideo:DeprecationWarning")
PTV = [(source, i, case) for source, i, case in ALL if source in ("ptv", "ego4d")]
PICTURES = "video_id,location,frame_file_stem,frame_string_length,min_frame_number," \
    "max_frame_number,file_extension\n"  # fmt: skip


def ptv(module: str) -> Any:
    """A module by its old path."""
    old_names()
    return importlib.import_module(f"pytorchvideo.data{module}")


def ptv_paths(case: Case) -> Any:
    folder = Path("root") if Path("root").is_dir() else Path("list.csv")
    paths = ptv(".labeled_video_paths").LabeledVideoPaths.from_path(folder)
    paths.path_prefix = case.get("args", {}).get("prefix", "")
    return [list(paths[i]) for i in range(len(paths))]


def hmdb51(case: Case) -> Any:
    unknown = case["what"] == "unknown split type"
    args = {**case.get("args", {}), **({"split_type": "val"} if unknown else {})}
    paths = ptv(".hmdb51").Hmdb51LabeledVideoPaths.from_dir("splits", **args)
    return [list(paths[i]) for i in range(len(paths))]


def ssv2_frames(case: Case) -> Any:
    files = "labels.json", "train.json", "train.csv"
    data = ptv("").SSv2(*files, None, video_path_prefix="frames")
    frames, labels = ptv(".ssv2")._read_video_paths_and_labels(*files, "frames")
    assert (data._path_to_videos, data._labels) == (frames, labels)
    return [list(pair) for pair in zip(frames, labels, strict=True)]


def charades(case: Case) -> Any:
    data = ptv("").Charades("c.csv", None, video_path_prefix="rgb")
    described = [data._describe(i, range(len(v.frames))) for i, v in enumerate(data._videos)]
    return {
        "frames": [list(v.frames) for v in data._videos],
        "frame_labels": [d["label"] for d in described],
        "video_labels": [d["video_label"] for d in described],
    }


def ava_ptv(case: Case) -> Any:
    names = case.get("args", {}).get("label_map_file")
    found = ptv(".ava").AvaLabeledVideoFramePaths.from_csv("frames.csv", "l.csv", "root", names)
    return [list(pair) for pair in found]


def video_tables(case: Case) -> Any:
    manifests = ptv(".dataset_manifest_utils")
    kinds = manifests.VideoDatasetType
    if Path("e.csv").is_file():
        videos = manifests.VideoDataset._load_videos("e.csv", "i.csv", False, kinds.EncodedVideo)
        facts = ptv(".utils").load_dataclass_dict_from_csv("i.csv", manifests.VideoInfo, "video_id")
        return {name: [video._path, facts[name].duration, facts[name].fps]
                for name, video in videos.items()}  # fmt: skip
    images = manifests.ImageDataset._load_images("f.csv", "i.csv", False)
    videos = manifests.VideoDataset._load_videos("f.csv", "i.csv", True, kinds.Frame)
    found = {}
    for name, video in videos.items():
        paths = [image.frame_file_path for image in images.values() if image.video_id == name]
        assert [video._video_frame_to_path(i) for i in range(len(paths))] == paths
        found[name] = {
            "duration": float(video.duration), "fps": float(video._fps), "frames": len(paths),
            "first": paths[0], "last": paths[-1],
        }  # fmt: skip
    return found


def epic_folders(case: Case) -> Any:
    build = getattr(ptv(".epic_kitchen.utils"), case["reader"].rpartition(".")[2])
    found = build("data") if "encoded" in case["reader"] else build("data", True)
    return {name: vars(info) for name, info in found.items()}


def epic_actions(case: Case) -> Any:
    row = ptv(".epic_kitchen").ActionData
    found = ptv(".utils").load_dataclass_dict_from_csv("a.csv", row, "video_id", True)
    return {
        video: [{**vars(a), "start_time": a.start_time, "stop_time": a.stop_time} for a in actions]
        for video, actions in found.items()
    }


def write_epic(*videos: tuple[str, float, int]) -> tuple[str, str]:
    """Tables of videos (id, seconds, frames a second) kept as images."""
    rows = "".join(f"{name},48x32,{length},{fps}\n" for name, length, fps in videos)
    Path("i.csv").write_text("video_id,resolution,duration,fps\n" + rows)
    rows = "".join(f"{name},{name},f_,6,1,{round(length * fps)},jpg\n"
                   for name, length, fps in videos)  # fmt: skip
    Path("f.csv").write_text(PICTURES + rows)
    return "i.csv", "f.csv"


def epic_clips(case: Case) -> Any:
    infos, frames = write_epic(("P01_01", 9.7, 10), ("P01_02", 1.0, 10))
    pictures(Path("P01_01"), 97, "f_{:04d}.jpg")
    random.seed(3)
    data = ptv("").EpicKitchenRecognition(infos, "a.csv", frames)
    assert "P01_02" in data.left_out
    samples = [data[i] for i in range(len(data))]
    assert {s["video"].shape[1] for s in samples} == {20}
    return [
        {**{k: s[k] for k in ("video_id", "start_time", "stop_time")},
         "actions": [a.narration for a in s["actions"]]}
        for s in samples
    ]  # fmt: skip


def epic_frame_filter(case: Case) -> Any:
    infos, frames = write_epic(("P01_01", 9.7, 10))
    Path("a.csv").write_text(next(c for _, _, c in PTV if "ActionData" in c["reader"])["files"]
                             ["a.csv"])  # fmt: skip
    return [
        [total, count, ptv("").EpicKitchenRecognition(infos, "a.csv", frames, frames_per_clip=count)
         ._frame_filter(list(range(total)))]
        for total, count, _ in case["yields"]
    ]  # fmt: skip


def epic_windows(case: Case) -> Any:
    infos, frames = write_epic(("P01_01", 9.7, 10))
    found = {}
    for name in case["yields"]:
        length, clips, ahead = (name.split()[i] for i in (0, 4, 6))
        data = ptv("").EpicKitchenForecasting(
            infos, "a.csv", frames, seconds_per_clip=float(length), clip_time_stride=1.0,
            num_input_clips=int(clips), num_forecast_actions=int(ahead),
        )  # fmt: skip
        found[name] = [vars(clip) for clip in data.clips()]
    return found


def domsev_cases(case: Case) -> Any:
    old = ptv(".domsev")
    if case["what"] == "overlap of times":
        shared = [old._get_overlap_for_time_range_pair(*a, *b) for a, b, _ in case["yields"]]
        return [[*row[:2], None if pair is None else list(pair)]
                for row, pair in zip(case["yields"], shared, strict=True)]  # fmt: skip
    if case["what"].startswith("seconds to frame index"):
        return [[s, old._seconds_to_frame_index(s, 30)] for s, _ in case["yields"]]
    data = ptv("").DomsevFrameDataset("f.csv", "i.csv", "l.csv")
    load = ptv(".dataset_manifest_utils").ImageDataset._load_images
    images = sorted(load("f.csv", "i.csv", False).values(), key=lambda image: image.frame_number)
    known = sorted(data._frames, key=lambda frame: frame.number)
    assert [f.frame_id for f in known] != [f.frame_id for f in data._frames]  # in a drawn order
    assert len(known) == len(images) or f"{210 - len(known)} of 210" in data.left_out["P01_01"]
    return {
        "frames": len(images), "labelled": len(data),
        "first": [known[0].frame_id, known[0].label_id],
        "last": [known[-1].frame_id, known[-1].label_id],
        "frame_numbers": [images[0].frame_number, images[-1].frame_number],
    }  # fmt: skip


def json_videos(case: Case) -> Any:
    data = ptv(".json_dataset").video_only_dataset("d.json", None, video_path_prefix="root")
    return data._labeled_videos


def json_clips(case: Case) -> Any:
    data = ptv(".json_dataset").clip_recognition_dataset("d.json", None, video_path_prefix="root")
    table = importlib.import_module("vitascope.compat.ptv.data.json_dataset").read_json_clips(
        "d.json"
    )
    return [
        [path, {**info, "noun_label": [info["noun_label"], table.nouns[info["noun_label"]]],
                "verb_label": [info["verb_label"], table.verbs[info["verb_label"]]]}]
        for path, info in data._labeled_videos
    ]  # fmt: skip


def untrimmed(case: Case) -> Any:
    sampler = ptv(".json_dataset").UntrimmedClipSampler(ptv("").make_clip_sampler("uniform", 1))
    found: list[Any] = []
    while not found or not found[-1].is_last_clip:
        last = found[-1].clip_end_sec if found else None
        found.append(sampler(last, 20, {"clip_start_sec": 5, "clip_end_sec": 9}))
    return [[float(clip.clip_start_sec), float(clip.clip_end_sec)] for clip in found]


def moments(case: Case) -> Any:
    if "rows" in case:
        check = ptv(".ego4d.utils").check_window_len
        answers = []
        for *args, _ in case["rows"]:
            try:
                answers.append(list(check(*args)))
            except VitascopeError as error:
                answers.append(str(error))
        return answers
    args = {"split": "train", "label_id_map": {"cut_food": 0, "wash_dishes": 1}}
    args.update({
        "empty split": {"split": "val"},
        "split is required although the default is None": {"split": None},
        "no label map": {"label_id_map": None}, "an empty label map": {"label_id_map": {}},
    }.get(case["what"], {}))  # fmt: skip
    data = ptv(".ego4d").Ego4dMomentsDataset(
        "moments.json", "ego4d.json", **args, **case.get("args", {})
    )
    if case["what"] == "train split":
        assert data.left_out == {"no length": 1, "label not in the map": 1, "stereo video": 1}
    return data._labeled_videos


def boxes(box: list[float]) -> list[Any]:
    """The answer for one row of AVA's labels."""
    info = {"labels": [[12]], "boxes": [box], "extra_info": [[0.0]], "video_index": 0,
            "clip_index": 2.0}  # fmt: skip
    return [["root/-5KQ66BBWC4", info]]


READERS = {
    "data.LabeledVideoPaths.from_path (Kinetics, Ucf101)": ptv_paths,
    "data.hmdb51.Hmdb51LabeledVideoPaths.from_dir": hmdb51,
    "data.ssv2 (SSv2)": ssv2_frames,
    "data.charades (Charades)": charades,
    "data.ava.AvaLabeledVideoFramePaths.from_csv (Ava)": ava_ptv,
    "data.dataset_manifest_utils (EPIC-Kitchens, DoMSEV)": video_tables,
    "data.epic_kitchen.utils.build_frame_manifest_from_nested_directory": epic_folders,
    "data.epic_kitchen.utils.build_frame_manifest_from_flat_directory": epic_folders,
    "data.epic_kitchen.utils.build_encoded_manifest_from_nested_directory": epic_folders,
    "data.epic_kitchen.ActionData": epic_actions,
    "data.epic_kitchen_recognition": epic_clips,
    "data.epic_kitchen_recognition frame filter": epic_frame_filter,
    "data.epic_kitchen_forecasting": epic_windows,
    "data.domsev": domsev_cases,
    "data.json_dataset.video_only_dataset": json_videos,
    "data.json_dataset.clip_recognition_dataset": json_clips,
    "data.json_dataset.UntrimmedClipSampler": untrimmed,
    "data.ego4d.Ego4dMomentsDataset": moments,
    "data.ego4d.utils.check_window_len": moments,
}
ONE_VIDEO = "as frame lists; a video without frames is left out"
# What differs from the readers' own answers: old programs pass over what they passed over, and
# the log says so.
HERE: dict[tuple[str, str], Any] = {
    ("ssv2_frames", "comma separated frame list"): ONE_VIDEO,
    ("ssv2_frames", "header spelt correctly"): ONE_VIDEO,
    ("ssv2_frames", "frames out of order keep the file's order"):
        [[["frames/78687/a.jpg", "frames/78687/b.jpg"], 0]],
    ("ava_ptv", "box upside down"): boxes([0.5, 0.5, 0.1, 0.1]),
    ("ava_ptv", "pixels instead of fractions"): boxes([10.0, 20.0, 200.0, 300.0]),
    ("epic_frame_filter", "[frames, frames_per_clip, kept]"): [
        [10, 4, [0, 2, 5, 7]], [8, 4, [0, 2, 4, 6]], [64, 16, list(range(0, 64, 4))],
        [9, 2, [0, 4]], [3, 4, [0, 0, 1, 2]]],
    ("hmdb51", "unknown split type"): Refused("unknown split 'val'"),
    ("moments", "split is required although the default is None"):
        Refused("split = 'None'; legal values: train, val, test"),
    ("moments", "no label map"): Refused("give either label_id_map or label_id_map_path"),
    ("epic_actions", "list column with plain text"): Refused("a.csv, row 2: all_nouns = 'door'"),
    ("epic_actions", "an empty class number"): Refused("a.csv, row 2: verb_class = ''; expected a"),
    ("epic_actions", "a column has another name"): Refused("a.csv, row 2: no value of 'all_nouns'"),
}  # fmt: skip


@pytest.mark.skipif(not PTV, reason="reference cases not present")
@pytest.mark.parametrize("case", [c for *_, c in PTV], ids=[f"{s}-{i}" for s, i, _ in PTV])
def test_case(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(case)
    reader = READERS[case["reader"].removeprefix("pytorchvideo.")]
    key = (reader.__name__, case.get("what", ""))
    want = HERE.get(key, BETTER.get(key, case.get("yields")))
    if isinstance(want, Refused):
        with pytest.raises(VitascopeError) as info:
            reader(case)
        assert want in str(info.value)
        return
    if isinstance(want, str):
        other = want.removeprefix("as ")
        want = next(c["yields"] for *_, c in PTV if c["what"] == other
                    and READERS[c["reader"].removeprefix("pytorchvideo.")] is reader)  # fmt: skip
    got = plain(reader(case))
    if "rows" in case:
        for row, answer in zip(case["rows"], got, strict=True):
            assert answer == row[4] or ("does not fit" in answer and "Incompatible" in row[4])
        return
    assert key in HERE or key in BETTER or key in SAME or "judgement" not in case, (
        "judged and not decided"
    )
    assert got == plain(want)


@pytest.mark.skipif(not PTV, reason="reference cases not present")
def test_all_cases_are_walked(capsys: pytest.CaptureFixture[str]) -> None:
    here = [c for *_, c in PTV
            if any(w in c["reader"] for w in ("epic", "domsev", "manifest", "ego4d"))]  # fmt: skip
    with capsys.disabled():
        sys.stdout.write(
            f"\nrecorded cases by old names: {len(PTV)}, of EPIC-Kitchens, DoMSEV, Ego4D and "
            f"manifests {len(here)}\n"
        )
    assert len(PTV) == 93 and len(here) == 29
    known = {(READERS[c["reader"].removeprefix("pytorchvideo.")].__name__, c.get("what", ""))
             for *_, c in PTV}  # fmt: skip
    assert not set(HERE) - known
