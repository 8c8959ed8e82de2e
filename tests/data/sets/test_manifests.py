"""The lists of PyTorchVideo and PySlowFast: every reference case, right or refused with reason.

Cases without a judgment are met exactly. Where the reference says that a behavior is wrong or
silent, `BETTER` holds what is done instead; a case that is in neither fails the test.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitascope.compat.ptv.data import json_dataset, manifests
from vitascope.compat.ptv.data.charades import read_charades
from vitascope.compat.ptv.data.domsev import _get_overlap_for_time_range_pair
from vitascope.compat.ptv.data.frame_lists import read_frame_list
from vitascope.compat.ptv.data.labeled_video_paths import LabeledVideoPaths
from vitascope.compat.ptv.data.ssv2 import read_ssv2_frames
from vitascope.data import frames
from vitascope.data.clips import Clip, uniform
from vitascope.data.sets import ava, domsev, ego4d_moments, epic_kitchens
from vitascope.data.sets.hmdb51 import read_hmdb51_lists
from vitascope.errors import VitascopeError
from vitascope.spec import ClipSpec

CASES = Path(__file__).resolve().parents[4] / "shared" / "reference" / "misc"
Case = dict[str, Any]


def load(name: str) -> list[Case]:
    file = CASES / f"manifests_{name}.json"
    return json.loads(file.read_text())["cases"] if file.is_file() else []


# --- how each reader is called, giving what the reference gives ------------------------------


def ptv_paths(case: Case) -> Any:
    folder = Path("root") if Path("root").is_dir() else Path("list.csv")
    paths = LabeledVideoPaths.from_path(folder)
    paths.path_prefix = case.get("args", {}).get("prefix", "")
    return [list(paths[i]) for i in range(len(paths))]


def hmdb51(case: Case) -> Any:
    unknown = case["what"] == "unknown split type"
    wanted = "val" if unknown else case.get("args", {}).get("split_type", "train")
    found = read_hmdb51_lists("splits", case.get("args", {}).get("split_id", 1))
    if wanted not in {c.split for c in found}:
        raise VitascopeError(f"no clip in the split {wanted!r}")
    return [[c.path, {"label": c.label, "meta_tags": list(c.tags)}]
            for c in found if c.split == wanted]  # fmt: skip


def ssv2_frames(case: Case) -> Any:
    skip = "skip" if "a video without frames is left out" in case["what"] else "require"
    found = read_ssv2_frames("train.json", "labels.json", "train.csv", "frames", files=skip)
    if skip == "skip":
        assert found.missing == ("1",)
    return [[list(video.frames), label] for video, label in found.videos]


def charades(case: Case) -> Any:
    videos = read_charades("c.csv", "rgb")
    return {
        "frames": [list(v.frames) for v in videos],
        "frame_labels": [[list(labels) for labels in v.frame_labels] for v in videos],
        "video_labels": [list(v.labels) for v in videos],
    }


def ava_ptv(case: Case) -> Any:
    known = [v.name for v in read_frame_list("frames.csv")]
    names = case.get("args", {}).get("label_map_file")
    labels = None if names is None else ava.read_label_map(names).keys()
    rows = ava.read_ava("l.csv", "truth", labels=labels, videos=known)
    return [
        [
            f"root/{k.video}",
            {
                "labels": [[-1 if n is None else n for n in p.labels] for p in k.people],
                "boxes": [list(p.box) for p in k.people],
                "extra_info": [list(p.extras) for p in k.people],
                "video_index": known.index(k.video),
                "clip_index": float(k.second - 900),
            },
        ]
        for k in ava.keyframes(rows)
    ]


def video_tables(case: Case) -> Any:
    if Path("e.csv").is_file():
        return {
            name: [path, float(info.duration), float(info.fps)]
            for name, (info, path) in manifests.read_encoded_videos("i.csv", "e.csv").videos.items()
        }
    found = domsev.read_frame_videos("i.csv", "f.csv")
    if len(found.videos) == 2:  # the judgment: what is dropped must be said
        assert found.left_out == {
            "P01_02": "60 frames, and 165 are expected", "P09_09": "no frames of it in f.csv"
        }  # fmt: skip
    return {
        name: {
            "duration": float(info.duration), "fps": float(info.fps), "frames": len(files),
            "first": files.paths()[0], "last": files.paths()[-1],
        }
        for name, (info, files) in found.videos.items()
    }  # fmt: skip


def epic_folders(case: Case) -> Any:
    if "encoded" in case["reader"]:
        return {
            name: {"video_id": name, "file_path": path}
            for name, path in manifests.find_encoded_videos("data").items()
        }
    found = manifests.find_frame_files("data", nested="nested" in case["reader"])
    return {name: vars(files) for name, files in found.items()}


def epic_actions(case: Case) -> Any:
    return {
        video: [
            {
                **{k: list(v) if isinstance(v, tuple) else v for k, v in vars(a).items()
                   if k not in ("start", "stop", "where")},
                "start_time": float(a.start), "stop_time": float(a.stop),
            } for a in actions
        ]
        for video, actions in epic_kitchens.read_epic_actions("a.csv").items()
    }  # fmt: skip


def epic_clips(case: Case) -> Any:
    actions = epic_kitchens.read_epic_actions("a.csv")["P01_01"]
    offset = Fraction(case["yields"][0]["start_time"])
    clips = epic_kitchens.back_to_back(Fraction("9.7"), Fraction(2), offset)
    assert epic_kitchens.back_to_back(Fraction(1), Fraction(2), offset) == ()
    return [
        {
            "video_id": "P01_01", "start_time": float(c.start), "stop_time": float(c.end),
            "actions": [a.narration for a in epic_kitchens.actions_during(actions, c)],
        }
        for c in clips
    ]  # fmt: skip


def epic_frame_filter(case: Case) -> Any:
    kept = []
    for total, count, _ in case["yields"]:
        times = tuple(Fraction(i) for i in range(total))
        whole = Clip(Fraction(0), Fraction(total))
        spec = ClipSpec(num_frames=count, coverage="video")
        kept.append([total, count, list(frames.select(times, whole, spec, within=whole).indices)])
    return kept


def epic_windows(case: Case) -> Any:
    actions = epic_kitchens.read_epic_actions("a.csv")["P01_01"]
    found = {}
    for name in case["yields"]:
        length, clips, num_actions = (Fraction(name.split()[i]) for i in (0, 4, 6))
        windows = epic_kitchens.forecasting_windows(
            actions, length, int(clips), Fraction(1), int(num_actions)
        )
        found[name] = [{"video_id": "P01_01", "start_time": float(c.start),
                        "stop_time": float(c.end)} for c in windows]  # fmt: skip
    return found


def domsev_cases(case: Case) -> Any:
    if case["what"] == "overlap of times":
        shared = [_get_overlap_for_time_range_pair(*a, *b) for a, b, _ in case["yields"]]
        return [
            [*row[:2], None if pair is None else list(pair)]
            for row, pair in zip(case["yields"], shared, strict=True)
        ]
    if case["what"].startswith("seconds to frame index"):
        return [[s, domsev.frame_at(Fraction(str(s)), Fraction(30))] for s, _ in case["yields"]]
    [found] = domsev.read_domsev("i.csv", "f.csv", "l.csv").values()
    labeled = [f for f in found if f.label_id is not None]
    return {
        "frames": len(found), "labelled": len(labeled),
        "first": [labeled[0].frame_id, labeled[0].label_id],
        "last": [labeled[-1].frame_id, labeled[-1].label_id],
        "frame_numbers": [found[0].number, found[-1].number],
    }  # fmt: skip


def json_videos(case: Case) -> Any:
    return [[path, {}] for path in json_dataset.read_json_videos("d.json", "root")]


def json_clips(case: Case) -> Any:
    table = json_dataset.read_json_clips("d.json", "root")
    return [
        [c.path, {"clip_start_sec": float(c.start), "clip_end_sec": float(c.end),
                  "noun_label": [c.noun, table.nouns[c.noun]],
                  "verb_label": [c.verb, table.verbs[c.verb]]}]
        for c in table.clips
    ]  # fmt: skip


def untrimmed(case: Case) -> Any:
    return [[float(c.start), float(c.end)] for c in uniform(Clip(Fraction(5), Fraction(9)), 1)]


def slowfast_paths(case: Case) -> Any:
    split = case["what"].split(":")[0]
    [file] = Path(".").glob("*.csv") if list(Path(".").glob("*.csv")) else [Path("train.csv")]
    paths = LabeledVideoPaths.from_csv(file)
    paths.path_prefix = "root"
    if paths[0][1]["label"] == -1:
        raise VitascopeError("no label")
    views = range(6) if split == "test" else range(1)
    return [[paths[i][0], paths[i][1]["label"], v] for i in range(len(paths)) for v in views]


def slowfast_frames(case: Case) -> Any:
    videos = read_frame_list("f.csv", "root")
    return [[list(v.frames) for v in videos], [[list(f) for f in v.frame_labels] for v in videos]]


def slowfast_charades(case: Case) -> Any:
    split = case["what"].split(":")[0]
    views = range(6) if split == "test" else range(1)
    videos = read_charades("train.csv" if split == "train" else "val.csv", "root")
    return [
        [len(v.frames), [list(labels if split == "train" else v.labels)
                         for labels in v.frame_labels], view]
        for v in videos for view in views
    ]  # fmt: skip


def slowfast_ssv2(case: Case) -> Any:
    split, name = ("train", "train") if case["what"].startswith("train") else ("validation", "val")
    found = read_ssv2_frames(
        f"something-something-v2-{split}.json", "something-something-v2-labels.json",
        f"{name}.csv", "root",
    )  # fmt: skip
    assert found.unused == (("v1",) if name == "val" else ())
    return [[video.frames[0], len(video.frames), label, 0] for video, label in found.videos]


def slowfast_ava(case: Case) -> Any:
    listed = read_frame_list("t.csv")
    names = [v.name for v in listed]
    threshold = case.get("args", {}).get("threshold", 0.9 if "0.9" in case["what"] else 0.8)
    train = case["what"].startswith("train")
    truth = ava.read_ava("gt.csv", videos=names) if train else ()
    predicted = ava.read_ava("p.csv", "predicted", min_score=threshold, videos=names)
    found = ava.keyframes(truth, predicted)
    if case["what"] == "val, FULL_TEST_ON_VAL False":
        found = ava.every_fourth(found)
    by_video = {name: [k for k in found if k.video == name] for name in names}
    return {
        "videos": names,
        "frames": [len(v.frames) for v in listed],
        "keyframes_are": "[video, index in the video, second, frame]",
        "keyframes": [[names.index(name), i, k.second, k.listed_frame]
                      for name in names for i, k in enumerate(by_video[name])],
        "boxes": [[[[list(p.box), [-1 if n is None else n for n in p.labels]] for p in k.people]
                   for k in by_video[name]] for name in names],
        "boxes_used": sum(len(k.people) for k in found),
    }  # fmt: skip


def moments(case: Case) -> Any:
    if "rows" in case:
        rows = []
        for start, end, length, duration, _ in case["rows"]:
            limit = None if duration is None else Fraction(duration)
            interval = Clip(Fraction(str(start)), Fraction(str(end)))
            try:
                got = ego4d_moments.window(interval, Fraction(length), limit)
                rows.append([float(got.start), float(got.end)])
            except VitascopeError as error:
                rows.append(str(error))
        return rows
    split = {"empty split": "val", "split is required although the default is None": "None"}
    ids = {} if "label map" in case["what"] else {"cut_food": 0, "wash_dishes": 1}
    found = ego4d_moments.read_moments(
        "moments.json", "ego4d.json", split.get(case["what"], "train"), ids,
        only=case.get("args", {}).get("filtered_labels"),
    )  # fmt: skip
    if case["what"] == "train split":
        assert found.left_out == {"no length": 1, "label not in the map": 1, "stereo video": 1}
    return [
        [m.path, {
            "clip_uid": m.clip_uid, "video_uid": m.video_uid, "duration": float(m.duration),
            "clip_video_start_sec": float(m.clip.start), "clip_video_end_sec": float(m.clip.end),
            "labels": [m.label], "label_video_start_sec": float(m.interval.start),
            "label_video_end_sec": float(m.interval.end), "video_path": m.path,
            "labels_id": m.label_id,
        }]
        for m in found.moments
    ]  # fmt: skip


READERS = {
    "pytorchvideo.data.LabeledVideoPaths.from_path (Kinetics, Ucf101)": ptv_paths,
    "pytorchvideo.data.hmdb51.Hmdb51LabeledVideoPaths.from_dir": hmdb51,
    "pytorchvideo.data.ssv2 (SSv2)": ssv2_frames,
    "pytorchvideo.data.charades (Charades)": charades,
    "pytorchvideo.data.ava.AvaLabeledVideoFramePaths.from_csv (Ava)": ava_ptv,
    "pytorchvideo.data.dataset_manifest_utils (EPIC-Kitchens, DoMSEV)": video_tables,
    "pytorchvideo.data.epic_kitchen.utils.build_frame_manifest_from_nested_directory": epic_folders,
    "pytorchvideo.data.epic_kitchen.utils.build_frame_manifest_from_flat_directory": epic_folders,
    "pytorchvideo.data.epic_kitchen.utils.build_encoded_manifest_from_nested_directory":
        epic_folders,
    "pytorchvideo.data.epic_kitchen.ActionData": epic_actions,
    "pytorchvideo.data.epic_kitchen_recognition": epic_clips,
    "pytorchvideo.data.epic_kitchen_recognition frame filter": epic_frame_filter,
    "pytorchvideo.data.epic_kitchen_forecasting": epic_windows,
    "pytorchvideo.data.domsev": domsev_cases,
    "pytorchvideo.data.json_dataset.video_only_dataset": json_videos,
    "pytorchvideo.data.json_dataset.clip_recognition_dataset": json_clips,
    "pytorchvideo.data.json_dataset.UntrimmedClipSampler": untrimmed,
    "slowfast.datasets.kinetics": slowfast_paths,
    "slowfast.datasets.utils.load_image_lists": slowfast_frames,
    "slowfast.datasets.charades": slowfast_charades,
    "slowfast.datasets.ssv2": slowfast_ssv2,
    "slowfast AVA lists": slowfast_ava,
    "pytorchvideo.data.ego4d.Ego4dMomentsDataset": moments,
    "pytorchvideo.data.ego4d.utils.check_window_len": moments,
}  # fmt: skip

TWO = [["a/v1.mp4", {"label": 0}], ["a/v2.mp4", {"label": 1}]]
THREE = [*TWO, ["b/v3.avi", {"label": 2}]]
A_FOLDER = [["root/abseiling/1.mp4", {"label": 0}], ["root/abseiling/2.avi", {"label": 0}]]
REST = [["root/air drumming/1.mp4", {"label": 1}], ["root/zumba/x.mp4", {"label": 2}]]
FRAME_LABELS = [[[[3, 5], [], [0]], [[3, 5], [], [0]]]]


class Refused(str):
    """A piece of the message with which a case is refused."""


def clip(path: str, start: float, end: float, noun: list[Any], verb: list[Any]) -> list[Any]:
    times = {"clip_start_sec": start, "clip_end_sec": end}
    return [path, {**times, "noun_label": noun, "verb_label": verb}]


# (reader's function, what) -> what is done instead of the reference's behavior.
BETTER: dict[tuple[str, str], Any] = {
    ("ptv_paths", "absolute path in the list and a prefix"): Refused("not below the prefix"),
    ("ptv_paths", "commas instead of blanks"): TWO,
    ("ptv_paths", "blank line in the middle"): TWO,
    ("ptv_paths", "header line"): THREE,
    ("ptv_paths", "label is a word"): Refused("list.csv, row 1: label 'abseiling' is no class num"),
    ("ptv_paths", "path with a blank and no label"): [["my dir/v 1.mp4", {"label": -1}]],
    ("ptv_paths", "several labels"): Refused("list.csv, row 1: 2 numbers after the path (0 3)"),
    ("ptv_paths", "empty list"): Refused("list.csv: the list has no row"),
    ("ptv_paths", "missing list"): Refused("list.csv: no such file or folder"),
    ("ptv_paths", "comment line"): THREE,
    ("ptv_paths", "byte order mark"): THREE,
    ("ptv_paths", "other containers are left out"): [
        *A_FOLDER, *([f"root/abseiling/{n}", {"label": 0}]
                     for n in ("3.mkv", "4.webm", "5.mov", "6.MP4")), *REST],
    ("ptv_paths", "a class with no usable file"): Refused("root/empty: class folder without a vid"),
    ("ptv_paths", "hidden folder counts as a class"): [*A_FOLDER, *REST],
    ("ptv_paths", "files at top level"): Refused("root: no class folder. Expected root/CLASS/VID"),
    ("hmdb51", "split that is not there"): Refused("split_id = 3; lists in splits: 1, 2"),
    ("hmdb51", "split id 4"): Refused("split_id = 4; lists in splits: 1, 2"),
    ("hmdb51", "missing folder"): Refused("splits: no such folder of lists"),
    ("hmdb51", "line without a number"): Refused("brush_hair_test_split1.txt, row 4: 'DK_x_y.avi'"),
    ("hmdb51", "blank line"): [["brush_hair/AK_brush_hair_test_u_cm_np1_fr_goo_1.avi",
        {"label": "brush_hair", "meta_tags": ["u", "cm", "np1", "fr", "goo"]}]],
    ("hmdb51", "unknown split type"): Refused("no clip in the split 'val'"),
    ("ssv2_frames", "a template that is not in the label file"):
        Refused("train.json, entry 1: template 'Holding something' is not in labels.json"),
    ("ssv2_frames", "frames out of order keep the file's order"):
        Refused("video 42326 (train.json, entry 2) has no frames in train.csv; 2 of 3 videos"),
    ("ssv2_frames", "row with a missing column"): Refused("train.csv, row 2: 4 fields, and the he"),
    ("ssv2_frames", "comma separated frame list"):
        Refused("video 1 (train.json, entry 3) has no frames in train.csv; 1 of 3 videos affected"),
    ("ssv2_frames", "header spelt correctly"): Refused("video 1 (train.json, entry 3) has no fram"),
    ("ssv2_frames", "test split without template"):
        [[[f"frames/78687/00000{i}.jpg" for i in range(3)], None]],
    ("charades", "label beyond 156"): Refused("c.csv, row 2: labels = '500'; expected class numb"),
    ("charades", "label is a word"): Refused("c.csv, row 2: labels = 'c011'; expected numbers"),
    ("charades", "empty file with header"): Refused("c.csv: the list has a header and no row"),
    ("charades", "without header"): Refused("c.csv, row 1: no column 'original_video_id' in the"),
    ("ava_ptv", "row without the last column"): Refused("l.csv, row 1: 7 fields; expected video"),
    ("ava_ptv", "video that has no frames"): Refused("l.csv, row 1: the video 'nobody' has no fra"),
    ("ava_ptv", "header line in the labels"): "as boxes of one person are joined",
    ("ava_ptv", "blank line"): "as boxes of one person are joined",
    ("ava_ptv", "box upside down"): Refused("row 1: the box 0.5, 0.5, 0.1, 0.1 is upside down"),
    ("ava_ptv", "pixels instead of fractions"): Refused("row 1: the box 10, 20, 200, 300 is in pi"),
    ("video_tables", "missing column"): Refused("i.csv, row 1: no column 'fps' in the header (vid"),
    ("video_tables", "the same video twice"): Refused("i.csv, row 6: the video P01_01 comes twice"),
    ("epic_folders", "a frame is missing"): Refused("data/P01: image 3 of 'P01_01_' is missing"),
    ("epic_folders", "P01/P01_01.mp4"): {
        n: {"video_id": n, "file_path": f"data/P01/{n}.mp4"} for n in ("P01_01", "P01_101")},
    ("epic_actions", "list column with plain text"): Refused("a.csv, row 2: all_nouns = 'door'"),
    ("epic_actions", "an empty class number"): Refused("a.csv, row 2: verb_class = ''; expected a"),
    ("epic_actions", "a column has another name"): Refused("a.csv, row 1: no column 'all_nouns'"),
    ("epic_frame_filter", "[frames, frames_per_clip, kept]"): [
        [10, 4, [1, 3, 6, 8]], [8, 4, [1, 3, 5, 7]], [64, 16, list(range(2, 64, 4))],
        [9, 2, [2, 6]], [3, 4, [0, 1, 1, 2]]],
    ("domsev_cases", "one label per frame"): {
        "frames": 210, "labelled": 210, "first": ["P01_01_000000", 1],
        "last": ["P01_01_000209", 2], "frame_numbers": [0, 209]},
    ("domsev_cases", "frames without a label"): {
        "frames": 210, "labelled": 90, "first": ["P01_01_000000", 1],
        "last": ["P01_01_000089", 1], "frame_numbers": [0, 209]},
    ("json_videos", "a list instead of a dictionary"): Refused("d.json: expected an object, got l"),
    ("json_videos", "broken json"): Refused("d.json, row 1: this is not JSON"),
    ("json_clips", "unsure and missing labels are left out"): [
        clip("root/a.mp4", 1, 4, [0, "cup"], [1, "take"]),
        clip("root/a.mp4", 5, 9, [1, "door"], [0, "open"]),
        clip("root/b.mp4", 2, 3, [0, "cup"], [0, "open"])],
    ("json_clips", "a video without this benchmark"): [
        clip("root/a.mp4", 1, 4, [0, "cup"], [1, "take"]),
        clip("root/a.mp4", 5, 9, [1, "door"], [0, "open"])],
    ("untrimmed", "uniform clips of 1 s between 5 and 9 s"): [[5, 6], [6, 7], [7, 8], [8, 9]],
    ("slowfast_paths", "comma separated with the default separator"):
        [["root/a/v1.mp4", 0, 0], ["root/a/v2.mp4", 1, 0]],
    ("slowfast_paths", "no label"): Refused("no label"),
    ("slowfast_paths", "three columns"): Refused("train.csv, row 1: 2 numbers after the path (17"),
    ("slowfast_paths", "path with a blank"): [["root/my dir/v1.mp4", 3, 0]],
    ("slowfast_paths", "path with two blanks"): [["root/my dir/v 1.mp4", 3, 0]],
    ("slowfast_paths", "blank line"): [["root/a/v1.mp4", 3, 0]],
    ("slowfast_paths", "empty file"): Refused("train.csv: the list has no row"),
    ("slowfast_paths", "missing file"): Refused("train.csv: no such file"),
    ("slowfast_frames", "other header"): "as frame list",
    ("slowfast_frames", "no quotes and no label"): Refused("f.csv, row 2: 4 fields, and the h"),
    ("slowfast_frames", "path with a blank"): Refused("f.csv, row 2: 6 fields, and the header has"),
    ("slowfast_ssv2", "number of videos differs between the two files"):
        [["root/v2/000000.jpg", 3, 0, 0]],
    ("slowfast_ava", "a listed video without any box"): {
        "videos": ["v1", "v2"], "frames": [3, 3],
        "keyframes_are": "[video, index in the video, second, frame]",
        "keyframes": [[0, 0, 904, 120]],
        "boxes": [[[[[0.1, 0.2, 0.5, 0.6], [12, 17]]]], []], "boxes_used": 1},
    ("slowfast_ava", "second out of 902..1798"): "as test, FULL_TEST_ON_VAL False",
    ("slowfast_ava", "row with 7 columns"): Refused("p.csv, row 1: 7 fields; expected video,secon"),
    ("moments", "empty split"): Refused("moments.json: no moment in the split 'val' is left"),
    ("moments", "split is required although the default is None"):
        Refused("split = 'None'; legal values: train, val, test"),
    ("moments", "no label map"): Refused("the map of labels to numbers is empty"),
    ("moments", "an empty label map"): Refused("the map of labels to numbers is empty"),
    ("moments", "metadata misses a video"): Refused("video v1 of moments.json is not in ego4d.jso"),
}  # fmt: skip

# Judged only because nothing is said; what is dropped is said by the readers (see the functions).
SAME = {
    ("ptv_paths", "without labels"), ("ptv_paths", "label order depends on case"),
    ("ptv_paths", "duplicate entry with two labels"),
    ("hmdb51", "split 1, train"), ("hmdb51", "split 1, test"), ("hmdb51", "split 1, unused"),
    ("ssv2_frames", "frame lists; a video without frames is left out"),
    ("charades", "labels without quotes"),
    ("ava_ptv", "boxes of one person are joined"), ("ava_ptv", "predicted boxes with empty label"),
    ("video_tables", "frame videos: one without data and one with too few frames are left out"),
    ("epic_clips", "clips of 2 s from a 9.7 s and a 1.0 s video, random.seed(3)"),
    ("epic_windows", "candidate windows"), ("moments", "train split"),
    *(("slowfast_charades", f"{s}: [frames, labels per frame, view]")
      for s in ("train", "val", "test")),
    *(("slowfast_ava", f"{s}, FULL_TEST_ON_VAL {full}")
      for s, full in (("train", False), ("val", False), ("val", True), ("test", False))),
}  # fmt: skip

ALL = [(source, i, case) for source in ("ptv", "slowfast", "ego4d")
       for i, case in enumerate(load(source))]  # fmt: skip


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def lay_out(case: Case) -> None:
    for name, text in case.get("files", {}).items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(text.encode())
    for name in case.get("empty_files", ()):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


@pytest.mark.skipif(not ALL, reason="reference cases not present")
@pytest.mark.parametrize(
    ("source", "case"), [(s, c) for s, _, c in ALL], ids=[f"{s}-{i}" for s, i, _ in ALL]
)
def test_case(source: str, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(case)
    reader = READERS[case["reader"]]
    key = (reader.__name__, case.get("what", ""))
    want = BETTER.get(key, case.get("yields"))
    if isinstance(want, Refused):
        with pytest.raises(VitascopeError) as info:
            reader(case)
        assert want in str(info.value)
        return
    if isinstance(want, str):
        other = want.removeprefix("as ")
        want = next(c["yields"] for _, _, c in ALL
                    if c.get("what") == other and READERS[c["reader"]] is reader)  # fmt: skip
    got = plain(reader(case))
    if "rows" in case:
        for row, answer in zip(case["rows"], got, strict=True):
            assert answer == row[4] or ("does not fit" in answer and "Incompatible" in row[4])
        return
    assert key in BETTER or key in SAME or "judgement" not in case, "judged and not decided"
    assert got == plain(want)


@pytest.mark.skipif(not ALL, reason="reference cases not present")
def test_all_cases_are_here() -> None:
    assert Counter(source for source, _, _ in ALL) == {"ptv": 85, "slowfast": 31, "ego4d": 8}
    known = {(READERS[c["reader"]].__name__, c.get("what", "")) for _, _, c in ALL}
    assert not set(BETTER) - known and not SAME - known


def test_frames_follow_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    head = "original_video_id video_id frame_id path labels\n"
    file.write_text(head + 'v 0 2 v/b.jpg "1"\nw 1 0 w/c.jpg ""\nv 0 1 v/a.jpg "0"\n')
    videos = read_frame_list(file, "root")
    assert [(v.name, v.frames, v.frame_labels, v.labels) for v in videos] == [
        ("v", ("root/v/a.jpg", "root/v/b.jpg"), ((0,), (1,)), (0, 1)),
        ("w", ("root/w/c.jpg",), ((),), ()),
    ]
    file.write_text(head + 'v 0 1 v/b.jpg ""\nv 0 1 v/a.jpg ""\n')
    with pytest.raises(VitascopeError, match=r"f.csv, row 3: frame 1 of video v stands in"):
        read_frame_list(file)


def test_numbers_of_frames_are_exact() -> None:
    files = domsev.FrameFiles("v", "d", "v_", 8, 7, 12, "jpg")
    assert files.paths()[0] == os.path.join("d", "v_000007.jpg") and len(files.paths()) == 6
    assert np.diff([int(p[-10:-4]) for p in files.paths()]).tolist() == [1] * 5
