"""PyTorchVideo's data sets of DoMSEV: every frame with its label, and a label for every frame."""

from __future__ import annotations

import importlib
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from support.fake_datasets import pictures
from support.videos import film, numbers
from vitascope.compat.ptv.data.domsev import DomsevFrameDataset, DomsevVideoDataset, LabelData
from vitascope.compat.ptv.data.manifest_rows import VideoClipInfo, VideoDatasetType
from vitascope.errors import ConfigError, DatasetError

FILES = VideoDatasetType.EncodedVideo
FRAMES = ("video_id,location,frame_file_stem,frame_string_length,min_frame_number,"
          "max_frame_number,file_extension\n")  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A and B: 2 s at 12 frames a second; A has 23 frames with a label, B only 12."""
    root = tmp_path_factory.mktemp("domsev")
    for name in "AB":
        pictures(root / name, 24, "f_{:04d}.jpg")
        film(root / f"{name}.mp4", 24)
    (root / "i.csv").write_text("video_id,resolution,duration,fps\nA,48x32,2,12\nB,48x32,2,12\n")
    (root / "f.csv").write_text(FRAMES + "".join(
        f"{name},{root}/{name},f_,6,1,24,jpg\n" for name in "AB"))  # fmt: skip
    (root / "e.csv").write_text("video_id,file_path\n" + "".join(
        f"{name},{root}/{name}.mp4\n" for name in "AB"))  # fmt: skip
    (root / "l.csv").write_text(
        "video_id,start_time,stop_time,start_frame,stop_frame,label_id,label_name\n"
        "A,0,0.5,1,6,2,nature\nA,0.5,1.75,7,21,3,crowded_environment\nA,1.75,1.92,22,23,4,urban\n"
        "B,0,1,1,12,1,indoor\nC,0,1,1,12,1,indoor\n"
    )
    return root


def test_every_frame_with_a_label_comes_once(root: Path) -> None:
    """Frames of two videos have the same names; PyTorchVideo kept one video of them."""
    data = DomsevFrameDataset(root / "f.csv", root / "i.csv", root / "l.csv", seed=3)
    assert len(data) == 23 + 12
    assert data.left_out == {
        "A": "1 of 24 frames have no label", "B": "12 of 24 frames have no label"
    }  # fmt: skip
    found = []
    for i in range(len(data)):
        sample = data[i]
        assert set(sample) == {"frame_id", "image", "label"}
        assert sample["image"].shape == (3, 32, 48) and sample["image"].dtype == torch.uint8
        [number] = numbers(sample["image"].permute(1, 2, 0)[None])
        assert number is not None and sample["frame_id"] == f"f_{number + 1:04d}"
        found.append((number, int(sample["label"])))
    in_a = [(n, 2 if n < 6 else 3 if n < 21 else 4) for n in range(23)]
    assert sorted(found) == sorted(in_a + [(n, 1) for n in range(12)])
    batch = next(iter(DataLoader(data, batch_size=5)))
    assert batch["image"].shape == (5, 3, 32, 48) and batch["label"].dtype == torch.int64


def test_the_order_is_drawn_once(root: Path) -> None:
    def order(**options: Any) -> list[str]:
        data = DomsevFrameDataset(
            root / "f.csv", root / "i.csv", root / "l.csv",
            transform=lambda sample: sample["frame_id"], **options,
        )  # fmt: skip
        return [data[i] for i in range(len(data))]

    assert order(seed=1) == order(seed=1) != order(seed=2)
    random.seed(4)
    first = order()
    assert first != order()
    random.seed(4)
    assert order() == first


def clips(videos: Any, labels: Any) -> list[VideoClipInfo]:
    assert set(videos) == set(labels) == {"A", "B"}
    assert labels["B"] == [LabelData("B", 0, 1, 1, 12, 1, "indoor")]
    return [VideoClipInfo("A", 0.25, 1.0), VideoClipInfo("B", 0.5, 2.0), VideoClipInfo("A", 0, 2)]


@pytest.mark.parametrize("kind", VideoDatasetType)
def test_there_is_a_label_for_every_frame(root: Path, kind: VideoDatasetType) -> None:
    manifest = root / ("e.csv" if kind is FILES else "f.csv")
    data = DomsevVideoDataset(
        manifest, root / "i.csv", root / "l.csv", clips, kind, frames_per_second=12
    )
    assert len(data) == 3
    want = [[2] * 3 + [3] * 6, [1] * 6 + [-1] * 12, [2] * 6 + [3] * 15 + [4] * 2 + [-1]]
    for i, first in enumerate((3, 6, 0)):
        sample = data[i]
        assert {"video_id", "video", "audio", "labels", "start_time", "stop_time"} <= set(sample)
        frames = sample["video"].to(torch.uint8).permute(1, 2, 3, 0)
        assert numbers(frames) == list(range(first, first + len(want[i])))
        assert sample["labels"].tolist() == want[i] and sample["labels"].dtype == torch.int64
        assert sample["audio"].numel() == 0
    assert (data[0]["video_id"], data[0]["start_time"], data[0]["stop_time"]) == ("A", 0.25, 1.0)


@pytest.mark.parametrize("kind", VideoDatasetType)
def test_a_filter_is_used_and_labels_go_with_it(root: Path, kind: VideoDatasetType) -> None:
    """PyTorchVideo took the filter and never called it."""
    manifest = root / ("e.csv" if kind is FILES else "f.csv")
    data = DomsevVideoDataset(
        manifest, root / "i.csv", root / "l.csv", clips, kind, 12, frame_filter=lambda n: n[::4],
        transform=lambda s: (s["frame_indices"], s["labels"].tolist(), s["video"].shape[1]),
        multithreaded_io=True,
    )  # fmt: skip
    assert data[2] == ([0, 4, 8, 12, 16, 20], [2, 2, 3, 3, 3, 3], 6)
    assert data[0] == ([3, 7, 11], [2, 3, 3], 3)


def test_labels_at_another_rate(root: Path) -> None:
    data = DomsevVideoDataset(
        root / "f.csv", root / "i.csv", root / "l.csv", clips, frames_per_second=4
    )
    # 4 a second: the instants 0, 1/4, ..., 7/4 of a video; spans end at 1/2, 7/4 and before 2.
    assert [data[i]["labels"].tolist() for i in range(3)] == [
        [2, 3, 3], [1, 1, -1, -1, -1, -1], [2, 2, 3, 3, 3, 3, 3, -1]
    ]  # fmt: skip
    assert data[2]["video"].shape[1] == 24


def test_bad_values_are_refused(root: Path, tmp_path: Path) -> None:
    tables = root / "f.csv", root / "i.csv"
    with pytest.raises(ConfigError, match="frames_per_second = 0"):
        DomsevVideoDataset(*tables, root / "l.csv", clips, frames_per_second=0)
    data = DomsevVideoDataset(*tables, root / "l.csv", lambda v, w: [VideoClipInfo("Z", 0, 1)])
    with pytest.raises(KeyError, match="clip of the video 'Z'"):
        data[0]
    head = "video_id,start_time,stop_time,start_frame,stop_frame,label_id,label_name\n"
    (tmp_path / "l.csv").write_text(head + "Z,0,1,1,2,1,indoor\n")
    with pytest.raises(DatasetError, match=r"l\.csv: no frame of .*f\.csv has a label"):
        DomsevFrameDataset(*tables, tmp_path / "l.csv")


@pytest.mark.filterwarnings("ignore:pytorchvideo:DeprecationWarning")
def test_the_names_of_labels() -> None:
    importlib.import_module("vitascope.compat.pytorchvideo")
    domsev = importlib.import_module("pytorchvideo.data.domsev")
    kinds = domsev.LabelType
    assert domsev.LABEL_TYPE_2_MAP[kinds.Activity] is domsev.USER_ACTIVITY_MAP
    assert domsev.USER_ACTIVITY_MAP[12] == "shopping" and len(domsev.USER_ACTIVITY_MAP) == 13
    assert domsev.LABEL_TYPE_2_MAP[kinds.UserAttention][2] == "interacting"
    assert domsev.USER_ENVIRONMENT_MAP[3] == "crowded_environment"
