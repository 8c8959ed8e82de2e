"""PyTorchVideo's data sets of EPIC-Kitchens: which frames, which actions, and what is said."""

from __future__ import annotations

import logging
import pickle
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from support.fake_datasets import pictures
from support.sound import film_with_sound, tone
from support.videos import film, numbers
from vitascope.compat.ptv.data.epic_kitchen.epic_kitchen_dataset import (
    ActionData,
    EpicKitchenDataset,
    FirstOfEachPart,
)
from vitascope.compat.ptv.data.epic_kitchen_forecasting import EpicKitchenForecasting
from vitascope.compat.ptv.data.epic_kitchen_recognition import EpicKitchenRecognition
from vitascope.compat.ptv.data.manifest_rows import VideoClipInfo, VideoDatasetType
from vitascope.compat.ptv.data.manifest_videos import FileVideo, ImageDataset, VideoDataset
from vitascope.data.sets.epic_kitchens import EpicAction, forecasting_windows
from vitascope.errors import ConfigError, DatasetError, DecodeError

Sample = dict[str, Any]
FILES = VideoDatasetType.EncodedVideo
ACTIONS = [("open", 1.0, 2.0), ("take", 2.5, 4.0), ("wash", 3.5, 5.0), ("put", 5.0, 6.0),
           ("close", 7.0, 8.0)]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """P01_01: 10 s at 12 frames a second, as images and as a file; P01_101: 1 s."""
    root = tmp_path_factory.mktemp("epic")
    pictures(root / "P01_01", 120, "f_{:04d}.jpg")
    pictures(root / "P01_101", 12, "f_{:04d}.jpg")
    film(root / "P01_01.mp4", 120)
    film(root / "P01_101.mp4", 12)
    rows = ["P01_01,48x32,10,12", "P01_101,48x32,1,12", "P02_01,48x32,3,12", "P02_02,48x32,9,12"]
    (root / "i.csv").write_text("video_id,resolution,duration,fps\n" + "\n".join(rows) + "\n")
    (root / "f.csv").write_text(
        "video_id,location,frame_file_stem,frame_string_length,min_frame_number,max_frame_number,"
        f"file_extension\nP01_01,{root}/P01_01,f_,6,1,120,jpg\nP01_101,{root}/P01_101,f_,6,1,12,jpg"
        f"\nP02_02,{root}/P02_02,f_,6,1,12,jpg\nP03_01,{root},f_,6,1,12,jpg\n"
    )
    (root / "e.csv").write_text(
        f"video_id,file_path\nP01_01,{root}/P01_01.mp4\nP01_101,{root}/P01_101.mp4\n"
    )
    head = ("participant_id,video_id,narration,start_timestamp,stop_timestamp,start_frame,"
            "stop_frame,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n")  # fmt: skip
    # Not in the order of their times, as in the lists of EPIC-KITCHENS-100.
    listed = [ACTIONS[i] for i in (1, 0, 2, 4, 3)]
    (root / "a.csv").write_text(head + "".join(
        f"P01,P01_01,{word},00:00:0{a},00:00:0{b},0,1,{word},3,cup,4,\"['cup']\",[4]\n"
        for word, a, b in listed))  # fmt: skip
    return root


def seen(frames: torch.Tensor) -> list[int | None]:
    return numbers(frames.to(torch.uint8).permute(1, 2, 3, 0))


def tables(root: Path, kind: VideoDatasetType) -> dict[str, Any]:
    return {
        "video_info_file_path": root / "i.csv", "actions_file_path": root / "a.csv",
        "video_data_manifest_file_path": root / ("e.csv" if kind is FILES else "f.csv"),
        "dataset_type": kind,
    }  # fmt: skip


def two_clips(videos: Any, actions: Any) -> list[VideoClipInfo]:
    assert {name: len(a) for name, a in actions.items()} == {"P01_01": 5, "P01_101": 0}
    assert [float(video.duration) for video in videos.values()] == [10, 1]
    return [VideoClipInfo("P01_101", 0, 0.5), VideoClipInfo("P01_01", "2", "3")]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", VideoDatasetType)
def test_samples_are_the_documented_dictionaries(
    root: Path, kind: VideoDatasetType, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        data = EpicKitchenDataset(**tables(root, kind), clip_sampler=two_clips)
    assert len(data) == 2 and [len(data[i]["actions"]) for i in (0, 1)] == [0, 5]
    sample = data[1]
    assert {"video_id", "video", "audio", "actions", "start_time", "stop_time"} <= set(sample)
    assert seen(sample["video"]) == list(range(24, 36)) and sample["audio"] is None
    assert (sample["video_id"], sample["start_time"], sample["stop_time"]) == ("P01_01", 2.0, 3.0)
    first = sample["actions"][0]
    assert isinstance(first, ActionData) and (first.narration, first.start_time) == ("take", 2.5)
    # PyTorchVideo left out videos without a word.
    left_out = {"P02_01", "P02_02"} | ({"P03_01"} if kind is not FILES else set())
    assert set(data.left_out) == left_out
    assert f"{len(left_out)} of {len(left_out) + 2} videos are left out: P02_" in caplog.text


@pytest.mark.parametrize("kind", VideoDatasetType)
def test_frames_can_be_picked_from_pictures_and_from_files(
    root: Path, kind: VideoDatasetType
) -> None:
    """PyTorchVideo's files took no filter, so that every sample of them failed."""
    data = EpicKitchenDataset(
        **tables(root, kind), clip_sampler=two_clips, frame_filter=lambda n: n[::5],
        transform=lambda s: (seen(s["video"]), s["frame_indices"]), multithreaded_io=False,
    )  # fmt: skip
    assert data[1] == ([24, 29, 34], [24, 29, 34]) and data[0] == ([0, 5], [0, 5])


@pytest.mark.parametrize("kind", VideoDatasetType)
@pytest.mark.parametrize("count", [1, 4, 7, 24, 30])
def test_recognition_gives_as_many_frames_as_asked(
    root: Path, kind: VideoDatasetType, count: int
) -> None:
    """PyTorchVideo gave 5 of 10 frames where 4 were wanted, and failed on fewer than wanted."""
    random.seed(1)
    data = EpicKitchenRecognition(**tables(root, kind), frames_per_clip=count)
    offset = random.Random(1).random() * 2
    first = -int(-offset * 12 // 1)  # the first frame that begins at the offset or later
    sample = data[0]
    assert sample["start_time"] == offset and sample["stop_time"] == pytest.approx(offset + 2)
    wanted = [first + i * 24 // count for i in range(count)]
    assert seen(sample["video"]) == wanted
    assert isinstance(sample["audio"], torch.Tensor) and sample["audio"].numel() == 0


def test_actions_are_those_that_share_an_instant_with_the_clip(root: Path) -> None:
    data = EpicKitchenRecognition(**tables(root, FILES), seconds_per_clip=1.0, seed=0)
    for sample in (data[i] for i in range(len(data))):
        if sample["video_id"] == "P01_01":
            start, stop = sample["start_time"], sample["stop_time"]
            want = {word for word, a, b in ACTIONS if max(a, start) < min(b, stop)}
            assert {a.narration for a in sample["actions"]} == want


def test_offsets_follow_the_seed_and_the_epoch(root: Path) -> None:
    """PyTorchVideo drew them once: every epoch saw the same clips."""

    def starts(data: EpicKitchenRecognition) -> list[float]:
        return [clip.start_time for clip in data.clips()]

    def made(seed: int | None) -> EpicKitchenRecognition:
        return EpicKitchenRecognition(
            **tables(root, VideoDatasetType.Frame), frames_per_clip=2, seed=seed
        )

    data, again = made(7), made(7)
    epochs = []
    for epoch in range(4):
        data.set_epoch(epoch)
        again.set_epoch(epoch)
        assert starts(data) == starts(again) and len(data) in (4, 5)
        assert np.allclose(np.diff(starts(data)), 2) and 0 <= starts(data)[0] < 2
        epochs.append(starts(data)[0])
    assert len(set(epochs)) == 4
    data.set_epoch(0)
    assert starts(data)[0] == epochs[0] != starts(made(8))[0]
    random.seed(5)
    free = made(None)
    first = starts(free)
    free.set_epoch(1)
    assert starts(free) != first
    free.set_epoch(0)
    assert starts(free)[0] == pytest.approx(random.Random(5).random() * 2)


def test_workers_see_the_epoch(root: Path) -> None:
    data = EpicKitchenRecognition(
        **tables(root, VideoDatasetType.Frame), frames_per_clip=1, seed=2,
        transform=lambda s: s["start_time"],
    )  # fmt: skip
    loader = DataLoader(data, batch_size=None, num_workers=2, persistent_workers=True)
    for epoch in (0, 1):
        data.set_epoch(epoch)
        assert list(loader) == [clip.start_time for clip in data.clips()]


@pytest.mark.parametrize("kind", VideoDatasetType)
def test_data_sets_go_to_other_processes(root: Path, kind: VideoDatasetType) -> None:
    for data in (EpicKitchenRecognition(**tables(root, kind), frames_per_clip=2, seed=1),
                 EpicKitchenForecasting(**tables(root, kind), frames_per_clip=2,
                                        seconds_per_clip=1.0)):  # fmt: skip
        copy = pickle.loads(pickle.dumps(data))
        one, two = data[1], copy[1]
        assert torch.equal(one.pop("video"), two.pop("video"))
        assert torch.equal(one.pop("audio"), two.pop("audio")) and one == two


def test_a_video_with_room_for_one_clip_has_one_in_every_epoch(root: Path, tmp_path: Path) -> None:
    """An offset beyond the room would let it vanish; PyTorchVideo drew up to a whole clip."""
    (tmp_path / "i.csv").write_text("video_id,resolution,duration,fps\nP01_01,1x1,10,12\n")
    data = EpicKitchenRecognition(
        **{**tables(root, VideoDatasetType.Frame), "video_info_file_path": tmp_path / "i.csv"},
        seconds_per_clip=9.5, seed=0,
    )  # fmt: skip
    for epoch in range(8):
        data.set_epoch(epoch)
        [clip] = data.clips()
        assert 0 <= clip.start_time <= 0.5 and clip.stop_time <= 10


def test_draws_of_a_transform_follow_from_the_sample(root: Path) -> None:
    def drawn(seed: int) -> list[float]:
        data = EpicKitchenDataset(
            **tables(root, FILES), clip_sampler=two_clips, seed=seed,
            transform=lambda sample: float(torch.rand(())),
        )  # fmt: skip
        return [data[1], data[0], data[1]]

    one = drawn(3)
    assert one == drawn(3) and one[0] == one[2] != one[1] and one != drawn(4)


@pytest.mark.parametrize("kind", VideoDatasetType)
@pytest.mark.parametrize("count", [None, 3])
def test_forecasting_shows_what_came_before(
    root: Path, kind: VideoDatasetType, count: int | None
) -> None:
    data = EpicKitchenForecasting(
        **tables(root, kind), seconds_per_clip=0.5, clip_time_stride=1.0, num_input_clips=2,
        frames_per_clip=count, num_forecast_actions=2,
    )  # fmt: skip
    found = {data[i]["stop_time"]: data[i] for i in range(len(data))}
    # "put" begins when "wash" has ended, not after it: only "close" comes later.
    assert sorted(found) == [2.0, 4.0]
    next_ones = {2.0: ["take", "wash"], 4.0: ["put", "close"]}
    for stop, sample in found.items():
        assert [a.narration for a in sample["actions"]] == next_ones[stop]
        assert sample["start_time"] == stop - 1.5
        first = int(12 * sample["start_time"])
        each = range(6) if count is None else (0, 2, 4)
        assert [seen(clip) for clip in sample["video"]] == [
            [first + i for i in each], [first + 12 + i for i in each]
        ]  # fmt: skip
        assert sample["audio"].numel() == 0


def test_an_action_that_begins_when_the_window_ends_is_not_foretold(root: Path) -> None:
    data = EpicKitchenForecasting(
        **tables(root, FILES), seconds_per_clip=0.5, frames_per_clip=1,
        transform=lambda sample: (sample["stop_time"], [a.narration for a in sample["actions"]]),
    )  # fmt: skip
    assert sorted(data[i] for i in range(len(data))) == [
        (2.0, ["take"]), (4.0, ["put"]), (5.0, ["close"]), (6.0, ["close"])
    ]  # fmt: skip


def test_the_sound_of_a_window_is_whole(root: Path, tmp_path: Path) -> None:
    film_with_sound(tmp_path / "v.mov", tone(6, 8000), 8000, frames=150)
    (tmp_path / "e.csv").write_text(f"video_id,file_path\nP01_01,{tmp_path}/v.mov\n")
    paths = {**tables(root, FILES), "video_data_manifest_file_path": tmp_path / "e.csv"}
    data = EpicKitchenForecasting(
        **paths, seconds_per_clip=0.4, clip_time_stride=0.8, num_input_clips=2, frames_per_clip=2
    )
    heard = data[0]["audio"]
    assert heard.shape == (9600,)  # 1.2 s
    begin = round(data[0]["start_time"] * 8000)
    assert np.abs(heard.numpy() - tone(6, 8000)[0, begin : begin + 9600]).max() < 1e-3
    one = EpicKitchenRecognition(**paths, seed=1)[0]
    assert one["audio"].shape == (16000,) and one["video"].shape[:2] == (3, 50)


def test_windows_need_actions_after_their_end() -> None:
    def action(start: float, stop: float) -> EpicAction:
        a, b = Fraction(start), Fraction(stop)
        return EpicAction("", "", "", a, b, 0, 0, "", 0, "", 0, (), (), "", "", "")

    actions = [action(*pair) for pair in ((1, 2), (4, 5.5), (4, 6), (6, 7), (10, 11))]
    # The action from 4 to 6 has one after it, as the next begins when it ends.
    found = forecasting_windows(actions, Fraction(1), 2, Fraction(3), 2)
    assert [(c.start, c.end) for c in found] == [(Fraction(3, 2), Fraction(11, 2))]
    rest = forecasting_windows(actions, Fraction(1), 1, Fraction(1), 1)
    assert [c.end for c in rest] == [2, Fraction(11, 2), 6, 7]


def test_bad_values_are_refused(root: Path, tmp_path: Path) -> None:
    both = tables(root, VideoDatasetType.Frame)
    for wrong, message in (
        ({"seconds_per_clip": 0}, "seconds_per_clip = 0"), ({"seed": -1}, "seed = -1"),
        ({"frames_per_clip": 0}, "frames_per_clip = 0"),
        ({"clip_sampling": "random"}, "clip_sampling = 'random'"),
        ({"dataset_type": 1}, "dataset_type = 1"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            EpicKitchenRecognition(**{**both, **wrong})
    for wrong, message in (({"num_input_clips": 0}, "num_input_clips = 0"),
                           ({"num_forecast_actions": 0}, "num_forecast_actions = 0"),
                           ({"clip_sampling": None}, "clip_sampling = None")):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            EpicKitchenForecasting(**{**both, **wrong})
    for clip, message in ((("P09", 0, 1), "P09"), (("P01_01", 2, 1), "from 2.0 s to 1.0 s")):
        data = EpicKitchenDataset(**both, clip_sampler=lambda v, a, c=clip: [VideoClipInfo(*c)])
        with pytest.raises(DatasetError, match=message):
            data[0]
    late = EpicKitchenDataset(**both, clip_sampler=lambda v, a: [VideoClipInfo("P01_101", 5, 6)])
    with pytest.raises(DatasetError, match=r"P01_101: no frame begins between 5\.000 s and 6"):
        late[0]
    (tmp_path / "i.csv").write_text("video_id,resolution,duration,fps\nP09_01,1x1,10,12\n")
    with pytest.raises(DatasetError, match=r"no video in common: P09_01 \(no frames of it"):
        EpicKitchenRecognition(**{**both, "video_info_file_path": tmp_path / "i.csv"})


def test_rows_take_text_and_name_what_they_refuse() -> None:
    args = ["P01", "P01_01", "open", "00:00:01.5", "00:01:02", "3", "7", "open", "2", "door", "8"]
    action = ActionData(*args, "['door', 'knob']", [8, 9])  # type: ignore[arg-type]
    assert (action.start_frame, action.all_nouns, action.all_noun_classes) == (
        3, ["door", "knob"], [8, 9]
    )  # fmt: skip
    assert (action.start_time, action.stop_time) == (1.5, 62.0)
    with pytest.raises(DatasetError, match="all_nouns = 'door'"):
        ActionData(*args, "door", "[8]")  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="verb_class = 'x'; expected a value of type int"):
        ActionData(*args[:8], "x", *args[9:], "['a']", "[8]")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="frames_per_clip = 0"):
        FirstOfEachPart(0)


def test_the_tables_of_videos(root: Path, tmp_path: Path) -> None:
    images = ImageDataset._load_images  # its only way to be called, as in PyTorchVideo
    with pytest.raises(DatasetError, match=r"f_0001\.jpg and .*f_0001\.jpg have one name"):
        images(root / "f.csv", root / "i.csv", False)
    (tmp_path / "i.csv").write_text("video_id,resolution,duration,fps\nP01_01,1x1,10,12\n")
    found = images(root / "f.csv", tmp_path / "i.csv", False)
    assert len(found) == 120 and found["f_0120"].frame_number == 120  # the last one, too
    # A table that promises more than there are images gives no clip where there is none.
    (tmp_path / "i.csv").write_text("video_id,resolution,duration,fps\nP01_01,1x1,10.5,12\n")
    [video] = VideoDataset._load_videos(
        root / "f.csv", tmp_path / "i.csv", False, VideoDatasetType.Frame
    ).values()
    assert video.duration == 10
    file = FileVideo(root / "P01_01.mp4")
    assert file.name == "P01_01.mp4" and file.duration == 10
    assert file.get_clip(11, 12, list)["video"] is None
    assert seen(file.get_clip(9.5, 99, list)["video"]) == list(range(114, 120))
    (tmp_path / "e.csv").write_text("video_id,file_path\nP01_01,a.mp4\nP01_01,b.mp4\n")
    with pytest.raises(DatasetError, match=r"e\.csv, row 3: the video P01_01 comes twice"):
        VideoDataset._load_videos(tmp_path / "e.csv", tmp_path / "i.csv", False, FILES)


def test_a_file_that_was_cut_off_is_refused(root: Path, tmp_path: Path) -> None:
    whole = (root / "P01_01.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    for pick in (None, list):
        with pytest.raises(DecodeError, match=r"cut\.mp4"):
            FileVideo(cut).get_clip(0, 1, pick)
    with pytest.raises(DecodeError, match="no such file"):
        FileVideo(tmp_path / "none.mp4").duration  # noqa: B018
