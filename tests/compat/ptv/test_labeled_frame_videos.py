"""PyTorchVideo's data sets of frames, and those of parts of long videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, SequentialSampler

from support.videos import film, numbers
from vitascope.compat.ptv.data import Ava, Charades, Hmdb51, SSv2, make_clip_sampler
from vitascope.compat.ptv.data.ava import AvaLabeledVideoFramePaths
from vitascope.compat.ptv.data.hmdb51 import Hmdb51LabeledVideoPaths
from vitascope.compat.ptv.data.json_dataset import (
    UntrimmedClipSampler,
    clip_recognition_dataset,
    video_only_dataset,
)
from vitascope.compat.ptv.data.labeled_frame_videos import EvenlySpread, OneOfEachPart
from vitascope.compat.ptv.data.ssv2 import read_ssv2_frames
from vitascope.data.decoder import open_video
from vitascope.errors import ConfigError, DatasetError, UnknownNameError

Sample = dict[str, Any]
HEAD = "original_vido_id video_id frame_id path labels\n"


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders a, b, c of 60, 45 and 30 images; those of v begin with the number 100 v."""
    import cv2

    root = tmp_path_factory.mktemp("frames")
    for v, (name, count) in enumerate([("a", 60), ("b", 45), ("c", 30)]):
        (root / name).mkdir()
        with open_video(film(root / f"{name}.mp4", count, first=100 * v, size=(40, 64))) as video:
            for i, picture in enumerate(video.read(range(count)).data.numpy()):
                cv2.imwrite(str(root / name / f"{name}_{i + 1:06d}.png"), picture[..., ::-1])
    return root


def listed(label: str = '""') -> str:
    rows = [
        f"{name} {v} {i} {name}/{name}_{i + 1:06d}.png {label.format(i=i, w=100 + v)}"
        for v, (name, count) in enumerate([("a", 60), ("b", 45), ("c", 30)])
        for i in range(count)
    ]
    return HEAD + "\n".join(rows)


def seen(sample: Sample) -> list[int | None]:
    return numbers(sample["video"].to(torch.uint8).permute(1, 2, 3, 0))


def test_charades_gives_the_labels_of_all_frames_of_a_clip(frames: Path, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(listed('"{i},{w}"'))
    data = Charades(
        tmp_path / "c.csv", make_clip_sampler("uniform", 0.5), SequentialSampler,
        video_path_prefix=str(frames), frames_per_clip=4,
    )  # fmt: skip
    samples = list(data)
    assert [(s["video_index"], s["clip_index"]) for s in samples] == [
        (v, c) for v, clips in enumerate((4, 3, 2)) for c in range(clips)
    ]
    for sample in samples:
        v, begin = sample["video_index"], 15 * sample["clip_index"]
        wanted = [begin + i for i in (0, 4, 9, 14)]  # 15 frames, 4 of them evenly spread
        assert seen(sample) == [100 * v + i for i in wanted]
        assert sample["label"] == [[begin + i, 100 + v] for i in range(15)]
        assert 100 + v in sample["video_label"] and sample["video_name"] == str(v)
    assert [s["video_index"] for s in data] == [s["video_index"] for s in samples]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_video_comes_once_with_any_number_of_workers(
    frames: Path, tmp_path: Path, workers: int
) -> None:
    """PyTorchVideo's workers each drew an order of their own: videos came twice or never."""
    (tmp_path / "c.csv").write_text(listed())
    data = Charades(
        tmp_path / "c.csv", make_clip_sampler("random", 0.5), video_path_prefix=str(frames), seed=3
    )
    for epoch in range(3):
        data.set_epoch(epoch)
        loader = DataLoader(data, batch_size=None, num_workers=workers, collate_fn=lambda x: x)
        assert sorted(s["video_index"] for s in loader) == [0, 1, 2]
    assert data.num_samples == 3


def test_ssv2(frames: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "labels.json").write_text('{"Holding something": "0", "Pushing something": "1"}')
    entries = [
        {"id": "b", "template": "Pushing [something]"},
        {"id": "a", "template": "Holding [something]"},
        {"id": "gone", "template": "Holding [something]"},
    ]
    (tmp_path / "train.json").write_text(json.dumps(entries))
    (tmp_path / "frames.csv").write_text(listed())
    files = [tmp_path / name for name in ("labels.json", "train.json", "frames.csv")]
    sampler = make_clip_sampler("constant_clips_per_video", 1, 1)
    with pytest.raises(DatasetError, match="video gone"):
        read_ssv2_frames(files[1], files[0], files[2], frames)
    data = SSv2(*files, sampler, SequentialSampler, None, str(frames), 3, seed=1)
    assert data.left_out == ("gone",) and "1 of 3 videos are left out: gone" in caplog.text
    first, second = list(data)
    # The whole video, whatever the sampler of clips says: 45 and 60 frames in three parts each.
    assert seen(first) == [100 + 7, 100 + 22, 100 + 36] and first["label"] == 1
    assert seen(second) == [10, 29, 49] and second["label"] == 0

    def drawn(epoch: int) -> list[Any]:
        data = SSv2(*files, sampler, SequentialSampler, None, str(frames), 3, True, seed=1)
        data.set_epoch(epoch)
        return [seen(s) for s in data]

    assert drawn(0) == drawn(0) and drawn(0) != drawn(1)
    for epoch in range(4):
        for i, number in enumerate(drawn(epoch)[1]):
            assert round(59 / 3 * i) <= number <= round(59 / 3 * (i + 1))


def test_frames_are_picked_as_their_rules_say() -> None:
    assert EvenlySpread(4)(list(range(10, 20))) == [10, 13, 16, 19]
    assert EvenlySpread(1)([5, 6]) == [5] and EvenlySpread(3)([7]) == [7, 7, 7]
    assert OneOfEachPart(2, False)(list(range(9))) == [2, 6]
    with pytest.raises(ConfigError, match="frames_per_clip = 0"):
        EvenlySpread(0)
    with pytest.raises(ConfigError, match="frames_per_clip = 0"):
        OneOfEachPart(0, True)


def test_ava_clips_lie_around_the_labeled_second(frames: Path, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(listed())
    rows = ["a,0901,.1,.1,.2,.2,12,1", "b,0902,.1,.2,.3,.4,80,1", "b,0902,.1,.2,.3,.4,9,1"]
    (tmp_path / "l.csv").write_text("\n".join(rows))
    files = tmp_path / "f.csv", tmp_path / "l.csv"
    with pytest.raises(ConfigError, match="clip_sampler"):
        Ava(*files, str(frames))
    sampler = make_clip_sampler("random", 0.4)
    data = Ava(*files, str(frames), clip_sampler=sampler, on_bad="error")
    assert data.num_videos == 1  # second 901 does not count
    # Folder b has 1.5 s from second 900 on, so the clip around second 902 is empty.
    with pytest.raises(DatasetError, match=r"no frame begins between 1\.800"):
        list(data)
    data = Ava(*files, str(frames), clip_sampler=sampler)
    assert list(data) == [] and data.fault_report().clips == 1


def test_ava_lists_are_read_as_recorded(shared: Path, tmp_path: Path) -> None:
    cases = json.loads((shared / "reference" / "misc" / "manifests_ptv.json").read_text())["cases"]
    done = 0
    for case in cases:
        sound = "two decimals" in case.get("judgement", "") or not case.get("judgement")
        if "AvaLabeledVideo" not in case["reader"] or "yields" not in case or not sound:
            continue
        for name, text in case["files"].items():
            (tmp_path / name).write_text(text)
        label_map = case.get("args", {}).get("label_map_file")
        found = AvaLabeledVideoFramePaths.from_csv(
            tmp_path / "frames.csv", tmp_path / "l.csv", "root",
            None if label_map is None else tmp_path / label_map,
        )  # fmt: skip
        assert json.loads(json.dumps(found)) == case["yields"], case["what"]
        done += 1
    assert done >= 2


def test_hmdb51_lists_are_read_as_recorded(shared: Path, tmp_path: Path) -> None:
    cases = json.loads((shared / "reference" / "misc" / "manifests_ptv.json").read_text())["cases"]
    done = 0
    for number, case in enumerate(cases):
        sound = "class name" in case.get("judgement", "") or not case.get("judgement")
        if "Hmdb51" not in case["reader"] or "yields" not in case or not sound:
            continue
        folder = tmp_path / str(number) / "splits"
        folder.mkdir(parents=True)
        for name, text in case["files"].items():
            (folder / Path(name).name).write_text(text)
        found = Hmdb51LabeledVideoPaths.from_dir(folder, **case.get("args", {}))
        assert [list(item) for item in found] == case["yields"], case["what"]
        lists = sorted(folder.glob(f"*split{case['args']['split_id']}.txt"))
        again = Hmdb51LabeledVideoPaths.from_csvs(lists, case["args"].get("split_type", "train"))
        assert list(again) == list(found)
        done += 1
    assert done >= 4


def test_hmdb51_clips(tmp_path: Path) -> None:
    film(tmp_path / "run.mp4", 24).rename(_made(tmp_path / "run") / "A_run_u_cm_np1_fr_goo_1.avi")
    (tmp_path / "run_test_split1.txt").write_text("A_run_u_cm_np1_fr_goo_1.avi 1\n")
    data = Hmdb51(tmp_path, make_clip_sampler("random", 1), video_path_prefix=str(tmp_path))
    [sample] = list(data)
    assert sample["label"] == "run" and sample["meta_tags"] == ["u", "cm", "np1", "fr", "goo"]
    assert sample["video"].shape[1] == 12
    with pytest.raises(UnknownNameError, match="train"):
        Hmdb51(tmp_path, make_clip_sampler("random", 1), split_type="training")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_parts_of_long_videos(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", 120, fps=12)  # 10 s
    times = {"critical_frame_selection_parent_start_sec": 5.0,
             "critical_frame_selection_parent_end_sec": 9.0}  # fmt: skip
    words = {"noun": "cup", "verb": "take", "noun_unsure": False, "verb_unsure": False}
    clip = {**times, "taxonomy": words}
    benchmark = {"benchmarks": {"forecasting_hands_objects": [clip]}}
    (tmp_path / "d.json").write_text(json.dumps({"a.mp4": benchmark}))
    data = clip_recognition_dataset(
        str(tmp_path / "d.json"), make_clip_sampler("uniform", 1), SequentialSampler,
        video_path_prefix=str(tmp_path),
    )  # fmt: skip
    samples = list(data)
    # PyTorchVideo gave one clip: it took the length of the part with the wrong sign.
    assert [seen(s)[0] for s in samples] == [60, 72, 84, 96]
    assert [s["clip_index"] for s in samples] == [0, 1, 2, 3]
    assert (samples[0]["noun_label"], samples[0]["verb_label"]) == (0, 0)
    assert (samples[0]["clip_start_sec"], samples[0]["clip_end_sec"]) == (5.0, 9.0)
    constant = UntrimmedClipSampler(make_clip_sampler("constant_clips_per_video", 1, 2))
    found = constant(None, 10, {"clip_start_sec": 5, "clip_end_sec": 9})
    assert (found.clip_start_sec, found.is_last_clip) == (5, False)
    assert constant.samples_per_video == 2
    several = UntrimmedClipSampler(make_clip_sampler("random_multi", 1, 2))
    found = several(None, 10, {"clip_start_sec": 5, "clip_end_sec": 9})
    assert all(5 <= start <= 8 for start in found.clip_start_sec)
    only = video_only_dataset(
        str(tmp_path / "d.json"), make_clip_sampler("random", 1), video_path_prefix=str(tmp_path)
    )
    [sample] = list(only)
    assert "label" not in sample and len(seen(sample)) == 12
