"""What programs could rely on in PyTorchVideo's data package, piece by piece, by its old names."""

from __future__ import annotations

import importlib
import json
import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, SequentialSampler

from support.model_reference import old_names
from support.sound import film_with_sound, tone
from support.videos import film, numbers
from vitascope.data.render import numbered_frame

pytestmark = pytest.mark.filterwarnings("ignore:pytorchvideo:DeprecationWarning")
Sample = dict[str, Any]
HEAD = "original_vido_id video_id frame_id path labels\n"


def ptv(module: str) -> Any:
    old_names()
    return importlib.import_module(f"pytorchvideo.data.{module}")


def seen(video: torch.Tensor) -> list[int | None]:
    assert video.dtype == torch.float32 and video.shape[0] == 3
    return numbers(video.to(torch.uint8).permute(1, 2, 3, 0))


def pictures(folder: Path, count: int, first: int = 0) -> list[str]:
    """Images that say their numbers."""
    import cv2

    folder.mkdir(parents=True)
    paths = [str(folder / f"{i}.png") for i in range(count)]
    for i, path in enumerate(paths):
        assert cv2.imwrite(path, np.asarray(numbered_frame(first + i, (40, 64)))[..., ::-1])
    return paths


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Five videos of 1 s at 12 frames a second; video v begins with the number 100 v."""
    root = tmp_path_factory.mktemp("videos")
    return [str(film(root / f"video {v}.mp4", 12, first=100 * v)) for v in range(5)]


# --- videos -----------------------------------------------------------------------------------


def test_the_sound_counts_for_the_duration(tmp_path: Path) -> None:
    path = film_with_sound(tmp_path / "a.mov", tone(4, 8000), 8000, frames=25, fps=25)
    video = ptv("encoded_video").EncodedVideo.from_path(path)
    assert video.duration == 4 and isinstance(video.duration, Fraction)
    clip = video.get_clip(0, video.duration)
    assert seen(clip["video"]) == list(range(25)) and clip["audio"].shape == (32000,)
    assert np.abs(clip["audio"].numpy() - tone(4, 8000)[0]).max() < 1e-4
    late = video.get_clip(2, 3)
    assert late["video"] is None and late["audio"].shape == (8000,)
    beyond = video.get_clip(video.duration + 1, video.duration + 2)
    assert beyond == {"video": None, "audio": None}
    silent = ptv("encoded_video").EncodedVideo.from_path(path, decode_audio=False)
    assert silent.duration == 1

    # The sound that is shorter is filled up; a file that does not say how long it is, is read.
    for name in ("b.mov", "b.mkv"):
        path = film_with_sound(tmp_path / name, tone(1, 8000), 8000, frames=50, fps=25)
        short = ptv("encoded_video").EncodedVideo.from_path(path)
        assert short.duration == 2 and short.get_clip(0, 2)["audio"].shape == (16000,)
    path = film_with_sound(tmp_path / "c.mkv", tone(3, 8000), 8000, frames=25, fps=25)
    long = ptv("encoded_video").EncodedVideo.from_path(path)
    assert float(long.duration) == pytest.approx(3, abs=0.002)


def test_clips_lie_where_there_are_frames(tmp_path: Path) -> None:
    """Otherwise the clips in the rest of the sound would be lost, as they were."""
    path = film_with_sound(tmp_path / "a.mov", tone(4, 8000), 8000, frames=50, fps=25)
    sampler = ptv("clip_sampling").make_clip_sampler("constant_clips_per_video", 1, 2)
    data = ptv("labeled_video_dataset").LabeledVideoDataset([(str(path), {})], sampler)
    assert [seen(s["video"])[0] for s in data] == [0, 25] and not data.fault_report().clips


def test_lengths_are_numbers_that_json_and_floats_take(files: list[str], tmp_path: Path) -> None:
    frames = ptv("frame_video").FrameVideo.from_frame_paths(pictures(tmp_path / "f", 3))
    assert frames.duration == 0.1 and json.dumps(frames.duration) == "0.1"
    assert seen(frames.get_clip(0, 0.1)["video"]) == [0, 1, 2]
    assert frames.get_clip(0, 0.066)["frame_indices"] == [0, 1]
    assert frames.get_clip(0, 0.1, lambda n: n[1:2])["frame_indices"] == [1]
    assert frames.get_clip(3, 5) is None and frames.name == "f"
    exact = ptv("frame_video").FrameVideo(Fraction(1, 10), 30, video_frame_paths=["a"] * 3)
    assert exact.duration == Fraction(1, 10)
    video = ptv("encoded_video").EncodedVideo.from_path(files[0])
    for length in (video.duration, frames.duration):
        assert isinstance(length + 0.5, float) and isinstance(length * 1.5, float)
        assert min(length, 10.0) == length and f"{float(length):.2f}"
    old = ptv("encoded_video_torchvision").EncodedVideoTorchVision
    with pytest.warns(DeprecationWarning, match="pyav decodes"):
        assert json.dumps(old(files[0]).duration) == "1.0"


def test_kinds_of_errors(tmp_path: Path) -> None:
    encoded, frames = ptv("encoded_video").EncodedVideo, ptv("frame_video").FrameVideo
    absent = str(tmp_path / "absent.mp4")
    with pytest.raises(FileNotFoundError):
        encoded.from_path(absent)
    with pytest.raises(FileNotFoundError):
        ptv("video").VideoPathHandler().video_from_path(absent)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(RuntimeError):
        encoded.from_path(tmp_path / "text.mp4")
    with pytest.raises(ValueError, match="decoder"):
        ptv("encoded_video").select_video_class("pyva")
    with pytest.raises(NotImplementedError):
        ptv("clip_sampling").make_clip_sampler("uniformly", 1)
    with pytest.raises(AssertionError):
        ptv("clip_sampling").UniformClipSampler(1, 0)
    with pytest.raises(AssertionError):
        frames.from_frame_paths([])
    with pytest.raises(AssertionError):
        frames(1, 30)
    for missing in ("no.txt", "no.jpg"):
        video = frames.from_frame_paths([str(tmp_path / missing)])
        with pytest.raises(FileNotFoundError, match="No such file"):
            video.get_clip(0, 0.01)
    with pytest.raises(FileNotFoundError):
        ptv("labeled_video_paths").LabeledVideoPaths.from_path(tmp_path / "absent")
    (tmp_path / "classes" / "run").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="without a video"):
        ptv("labeled_video_paths").LabeledVideoPaths.from_path(tmp_path / "classes")
    (tmp_path / "d.json").write_text("{")
    for reader in (ptv("json_dataset").video_only_dataset, ptv("json_dataset").
                   clip_recognition_dataset):  # fmt: skip
        with pytest.raises(FileNotFoundError, match="not JSON"):
            reader(tmp_path / "d.json", None)
    with pytest.raises(FileNotFoundError, match="not JSON"):
        ptv("ego4d.utils").get_label_id_map(tmp_path / "d.json")
    with pytest.raises(AssertionError, match="does not fit"):
        ptv("ego4d.utils").check_window_len(1, 2, 9, 5)
    for module, wrong in (("recognition", None), ("forecasting", "random")):
        loaded = ptv(f"epic_kitchen_{module}")
        cls = loaded.EpicKitchenRecognition if wrong is None else loaded.EpicKitchenForecasting
        args = (1, wrong) if wrong is None else (wrong, 1, 1, 1, 1)
        with pytest.raises(NotImplementedError, match="clip_sampling"):
            cls._define_clip_structure_generator(*args)


def test_frames_of_an_open_file(files: list[str]) -> None:
    decode = ptv("encoded_video_pyav")._pyav_decode_stream
    with av.open(files[0]) as container:
        stream = container.streams.video[0]
        tick = int(Fraction(1, 12) / stream.time_base)
        found, last = decode(container, 2 * tick, 5 * tick, stream, {"video": 0})
        assert [f.pts // tick for f in found] == [2, 3, 4] and last >= 5 * tick
        found, last = decode(container, 0, float("inf"), stream, {"video": 0})
        assert len(found) == 12 and last == 11 * tick


# --- lists and the iterable data set ------------------------------------------------------------


def listed(path: Path, *rows: tuple[str, object]) -> str:
    path.write_text("".join(f"{file} {label}\n" for file, label in rows))
    return str(path)


def data_of(rows: Any, *sampler: Any, **options: Any) -> Any:
    make = ptv("clip_sampling").make_clip_sampler
    args = {"video_sampler": SequentialSampler, "decode_audio": False, **options}
    cls = ptv("labeled_video_dataset").LabeledVideoDataset
    return cls(rows, make(*(sampler or ("uniform", 1))), **args)


def test_a_video_may_stand_in_a_list_twice(files: list[str], tmp_path: Path) -> None:
    path = listed(tmp_path / "l.txt", (files[0], 0), (files[1], 1), (files[0], 2), (files[1], -3))
    paths = ptv("labeled_video_paths").LabeledVideoPaths.from_path(path)
    found = [(s["label"], seen(s["video"])[0], s["video_index"]) for s in data_of(paths)]
    assert found == [(0, 0, 0), (1, 100, 1), (2, 0, 2), (-3, 100, 3)]
    assert paths._paths_and_labels[2] == (files[0], 2)
    (tmp_path / "test.txt").write_text("a.mp4\nb.mp4\n")
    test = ptv("labeled_video_paths").LabeledVideoPaths.from_csv(tmp_path / "test.txt")
    assert [test[i][1]["label"] for i in range(2)] == [-1, -1]
    test.path_prefix = tmp_path / "videos"
    assert test[1][0] == str(tmp_path / "videos" / "b.mp4")


def test_broken_videos_are_passed_over_up_to_ten(
    files: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    bad, gone = (str(tmp_path / "bad.mp4"), {}), (str(tmp_path / "gone.mp4"), {})
    good = [(file, {"label": i}) for i, file in enumerate(files)]
    data = data_of([good[0], bad, gone, good[1], *[bad] * 9, good[2]])
    assert [s["label"] for s in data] == [0, 1, 2]
    report = data.fault_report()
    assert report.clips == 11 and [number for number, _ in report.videos][:2] == [1, 2]
    assert "gone.mp4: no such file" in caplog.text
    assert "this epoch 11 of 14 videos were left out" in caplog.text
    data = data_of([good[0], *[bad] * 10, good[1]])
    with pytest.raises(RuntimeError, match=r"10 videos in a row could not be read; .*bad\.mp4"):
        list(data)
    data = data_of([good[0], bad, good[1]])
    data._MAX_CONSECUTIVE_FAILURES = 1
    with pytest.raises(RuntimeError, match="1 videos in a row"):
        list(data)
    # No frame begins in the last clips, so the rest of the video is passed over, as there.
    assert [s["clip_index"] for s in data_of([good[0]], "uniform", 0.05)] == [0, 1]


def test_handlers_of_users_may_fail(files: list[str]) -> None:
    class Handler:
        def video_from_path(self, path: str, **options: Any) -> Any:
            if path == files[1]:
                raise ConnectionError("the store is away")
            return ptv("encoded_video").EncodedVideo.from_path(path, **options)

    data = data_of([(file, {"label": i}) for i, file in enumerate(files[:3])])
    data.video_path_handler = Handler()
    assert [s["label"] for s in data] == [0, 2]
    assert "the store is away" in str(data.fault_report())


def odd(sample: Sample) -> Sample | None:
    return sample if sample["label"] % 2 else None


@pytest.mark.parametrize("workers", [0, 2])
def test_none_of_the_transform_leaves_a_sample_out(files: list[str], workers: int) -> None:
    rows = [(files[0], {"label": i % 2}) for i in range(30)]
    rows += [(files[1], {"label": 0})] * 15  # longer than any number of retries
    data = data_of(rows, transform=odd)
    loader = DataLoader(data, batch_size=4, num_workers=workers)
    assert sum(len(batch["label"]) for batch in loader) == 15
    if workers == 0:
        assert data.skipped == 30 and data.fault_report().clips == 0


def test_shares_of_workers_are_contiguous(files: list[str]) -> None:
    sampler = ptv("utils").MultiProcessSampler
    with mock.patch("torch.utils.data.get_worker_info") as info:
        shares = []
        for number in range(3):
            info.return_value = mock.Mock(id=number, num_workers=3)
            shares.append(list(sampler(SequentialSampler(range(10)))))
        assert shares == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
        info.return_value = mock.Mock(id=2, num_workers=4)
        assert list(sampler(SequentialSampler(range(2)))) == []
    data = data_of([(file, {}) for file in files])
    loader = DataLoader(data, batch_size=None, num_workers=2)
    # Two workers in turn: 0 1 2 of one, 3 4 of the other.
    assert [s["video_index"] for s in loader] == [0, 3, 1, 4, 2]
    many = DataLoader(data, batch_size=None, num_workers=7)
    assert sorted(s["video_index"] for s in many) == [0, 1, 2, 3, 4]


def test_next_goes_on_after_the_end(files: list[str]) -> None:
    """PySlowFast's wrapper calls nothing but `__next__`: without workers one epoch was all."""
    data = data_of([(file, {}) for file in files[:2]])

    def epoch() -> Iterator[int]:
        while True:
            try:
                yield data.__next__()["video_index"]
            except StopIteration:
                return

    assert list(epoch()) == [0, 1] and list(epoch()) == [0, 1]


def test_loops_run_until_the_loader_ends(files: list[str]) -> None:
    """A `len` would say two batches, and the third, of which no worker has all, would be lost."""
    data = data_of([(file, {"label": i}) for i, file in enumerate(files)])
    loader = DataLoader(data, batch_size=4, num_workers=2)
    with pytest.raises(TypeError, match="has no len"):
        len(loader)
    assert sum(len(batch["label"]) for batch in loader) == 5
    assert data.num_videos == 5 and data.num_samples is None
    assert data_of([(files[0], {})] * 3, "constant_clips_per_video", 0.5, 2, 2).num_samples == 12


def test_keys_of_a_sample_come_in_their_order(files: list[str], tmp_path: Path) -> None:
    [sample] = data_of([(files[0], {"label": 7, "tag": "x"})])
    assert list(sample) == [
        "video", "video_name", "video_index", "clip_index", "aug_index", "label", "tag"
    ]  # fmt: skip
    path = film_with_sound(tmp_path / "a.mov", tone(1, 8000), 8000, frames=25, fps=25)
    [sample] = data_of([(str(path), {"label": 7})], decode_audio=True)
    assert list(sample)[-2:] == ["label", "audio"]


# --- data sets kept as frames -------------------------------------------------------------------


def frame_list(path: Path, *folders: list[str], label: str = '""') -> Path:
    rows = [
        f"v{v} {v} {i} {picture} {label}\n"
        for v, files in enumerate(folders)
        for i, picture in enumerate(files)
    ]
    path.write_text(HEAD + "".join(rows))
    return path


def test_charades_labels_span_the_clip(tmp_path: Path) -> None:
    make = ptv("clip_sampling").make_clip_sampler
    paths = pictures(tmp_path / "v", 9)
    rows = [f"v 0 f{i} {path} {i % 3},{100 + i}\n" for i, path in enumerate(paths)]
    (tmp_path / "c.csv").write_text(
        "original_vido_id video_id frame_id path labels\n" + "".join(rows)
    )
    charades = ptv("charades").Charades
    whole = charades(tmp_path / "c.csv", make("uniform", 0.1), SequentialSampler)
    assert [s["label"] for s in whole] == [
        [[i % 3, 100 + i] for i in range(3 * c, 3 * c + 3)] for c in range(3)
    ]
    data = charades(tmp_path / "c.csv", make("random", 0.3), frames_per_clip=3)
    [sample] = list(data)
    assert seen(sample["video"]) == [0, 4, 8]
    assert sample["label"] == [[i % 3, 100 + i] for i in range(9)]
    assert sample["video_label"] == [0, 1, 2, *range(100, 109)]
    assert data._path_to_videos == [paths] and len(data._labels[0]) == 9
    assert data._sample_clip_frames(list(range(9)), 3) == [0, 4, 8]


def test_ssv2_reads_no_labels_of_frames_and_shows_the_whole_video(tmp_path: Path) -> None:
    videos = [pictures(tmp_path / f"{v}", 66, 100 * v) for v in range(2)]
    frames = frame_list(tmp_path / "f.csv", *videos, label="''")
    (tmp_path / "labels.json").write_text('{"Attaching a": "0", "Closing b": "1"}')
    entries = [{"id": "v0", "template": "Closing [b]"}, {"id": "v1", "template": "Attaching a"}]
    (tmp_path / "train.json").write_text(json.dumps(entries))
    args = (tmp_path / "labels.json", tmp_path / "train.json", frames)
    sampler = ptv("clip_sampling").make_clip_sampler("constant_clips_per_video", 1, 2, 3)
    data = ptv("ssv2").SSv2(*args, sampler, SequentialSampler, frames_per_clip=2)
    samples = list(data)
    assert [(s["clip_index"], s["aug_index"]) for s in samples] == [
        (c, a) for c in range(2) for a in range(3)
    ] * 2  # fmt: skip
    for sample in samples:
        assert seen(sample["video"]) == [100 * sample["video_index"] + n for n in (16, 48)]
    assert [s["label"] for s in samples[::6]] == [1, 0] and data._path_to_videos == videos


def test_ava_takes_boxes_as_they_are(tmp_path: Path) -> None:
    videos = [pictures(tmp_path / f"{v}", 90, 100 * v) for v in range(2)]
    frames = frame_list(tmp_path / "f.csv", *videos, label="0")
    (tmp_path / "l.csv").write_text(
        "v0,902,.9,.8,.1,.2,1,0.85\nv0,902,.1,.2,.3,.4,2,0.4\nv1,902,.1,.2,.3,.4,3,0.95\n"
        "v1,902,.1,.2,.3,.4,4,0.9\nv1,902,.101,.2,.3,.4,,0.5\n"
    )
    (tmp_path / "map.pbtxt").write_text("".join(
        f'item {{\n  name: "n{n}"\n  id: {n}\n}}\n' for n in (1, 3, 4)
    ))  # fmt: skip
    sampler = ptv("clip_sampling").make_clip_sampler("random", 1.0)
    make = ptv("ava").Ava
    args: dict[str, Any] = {"clip_sampler": sampler, "video_sampler": SequentialSampler}
    first, second = list(make(frames, tmp_path / "l.csv", **args))
    assert seen(first["video"]) == list(range(45, 75))
    assert seen(second["video"]) == list(range(145, 175))
    assert first["boxes"] == [[0.9, 0.8, 0.1, 0.2], [0.1, 0.2, 0.3, 0.4]]
    assert first["labels"] == [[1], [2]] and first["extra_info"] == [[0.85], [0.4]]
    # Boxes are one person if they agree exactly; two decimals made a third row of it.
    assert second["labels"] == [[3, 4], [-1]] and second["video_index"] == 1
    assert (second["clip_index"], second["aug_index"]) == (2.0, 0)
    first, second = list(make(frames, tmp_path / "l.csv", "", tmp_path / "map.pbtxt", **args))
    assert first["labels"] == [[1]] and second["labels"] == [[3, 4]]
    rows = ptv("ava").AvaLabeledVideoFramePaths.load_and_parse_labels_csv(
        tmp_path / "l.csv", {"v0": 0, "v1": 1}
    )
    assert rows[0][2.0]["labels"] == [1, 2] and list(rows[1]) == [2.0]
    with pytest.raises(KeyError, match="'v1' has no frames"):
        ptv("ava").AvaLabeledVideoFramePaths.load_and_parse_labels_csv(
            tmp_path / "l.csv", {"v0": 0}
        )


def test_hmdb51_takes_a_path_as_prefix(tmp_path: Path) -> None:
    folder = tmp_path / "videos" / "clean_windows"
    folder.mkdir(parents=True)
    film(folder / "x_u_nm_np1_ba_goo_19.avi", 12)
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds" / "clean_windows_test_split1.txt").write_text(
        "x_u_nm_np1_ba_goo_19.avi 1\n"
    )
    sampler = ptv("clip_sampling").make_clip_sampler("uniform", 1)
    data = ptv("hmdb51").Hmdb51(tmp_path / "folds", sampler, SequentialSampler,
                                video_path_prefix=tmp_path / "videos")  # fmt: skip
    [sample] = list(data)
    assert sample["label"] == "clean_windows" and len(sample["meta_tags"]) == 5
    assert seen(sample["video"]) == list(range(12))
    with pytest.raises(AssertionError, match="no clip in the split 'test'"):
        ptv("hmdb51").Hmdb51LabeledVideoPaths.from_dir(tmp_path / "folds", split_type="test")


def test_json_clips_of_frames(tmp_path: Path) -> None:
    folders = [str(tmp_path / f"{v}") for v in range(2)]
    for v, folder in enumerate(folders):
        pictures(Path(folder), 30, 100 * v)

    def clip(start: float, end: float) -> Sample:
        words = {"noun": "cup", "verb": "take", "noun_unsure": False, "verb_unsure": False}
        return {"critical_frame_selection_parent_start_sec": start,
                "critical_frame_selection_parent_end_sec": end, "taxonomy": words}  # fmt: skip

    clips = [clip(0.001, 0.012), clip(0.01, 0.05)]
    document = {f: {"benchmarks": {"forecasting_hands_objects": clips}} for f in folders}
    (tmp_path / "d.json").write_text(json.dumps(document))
    make, module = ptv("clip_sampling").make_clip_sampler, ptv("json_dataset")
    for sampler in (make("random", 0.05), make("uniform", 0.05)):
        data = module.clip_recognition_dataset(tmp_path / "d.json", sampler, decode_audio=False)
        assert data.num_videos == 4 and len(list(data)) == 4
    data = module.video_only_dataset(tmp_path / "d.json", make("random", 2.0), decode_audio=False)
    assert data.num_videos == 2 and len(list(data)) == 2


# --- manifests ----------------------------------------------------------------------------------


def test_tables_lose_what_only_one_of_them_has() -> None:
    module = ptv("dataset_manifest_utils")
    dataset = module.VideoDataset

    def frames(name: str, first: int, last: int) -> Any:
        return module.VideoFrameInfo(name, f"root/{name}", "frame_", 16, first, last, "jpg")

    infos = {n: module.VideoInfo(n, "720x1280", "17.0", "30") for n in ("a", "b", "c")}
    files = {"a": frames("a", 1, 510), "b": frames("b", 2, 300), "d": frames("d", 1, 510)}
    dataset._remove_video_info_missing_or_incomplete_videos(files, infos)
    assert list(infos) == list(files) == ["a"]
    assert infos["a"].duration == 17.0 and files["a"].frame_string_length == 16
    paths = dataset._frame_number_to_filepaths("a", files, infos)
    assert paths[0] == "root/a/frame_0000000001.jpg" and paths[-1].endswith("frame_0000000510.jpg")
    with pytest.raises(IndexError):
        _ = paths[510]
    encoded = {"a": module.EncodedVideoInfo("a", "a.mp4"), "z": module.EncodedVideoInfo("z", "z")}
    dataset._remove_video_info_missing_or_incomplete_videos(encoded, infos)
    assert list(encoded) == ["a"]


def test_tables_give_videos(files: list[str], tmp_path: Path) -> None:
    module = ptv("dataset_manifest_utils")
    pictures(tmp_path / "a", 12)
    info = {"a": module.VideoInfo("a", "64x40", 1.0, 12.0)}
    table = {"a": module.VideoFrameInfo("a", str(tmp_path / "a"), "", 1, 0, 11, "png")}
    path = module.save_video_frame_info(table, str(tmp_path / "f.csv"))
    found = module.VideoDataset._load_frame_videos(path, dict(info), False)
    assert seen(found["a"].get_clip(0.5, 9)["video"]) == list(range(6, 12))
    table = {"a": module.EncodedVideoInfo("a", files[1])}
    path = module.save_encoded_video_manifest(table, str(tmp_path / "e.csv"))
    found = module.VideoDataset._load_encoded_videos(path, dict(info))
    assert seen(found["a"].get_clip(0, 0.5)["video"]) == list(range(100, 106))


def test_instants_and_overlaps() -> None:
    domsev = ptv("domsev")
    for seconds, rate, number in ((10.56, 1, 10), (9.99, 1, 9), (1.01, 10, 10), (0.3, 10, 3)):
        assert domsev._seconds_to_frame_index(seconds, rate) == number
        assert domsev._seconds_to_frame_index(seconds, rate, zero_indexed=False) == number + 1
    overlap = domsev._get_overlap_for_time_range_pair
    assert overlap(0, 1, 0.1, 0.2) == overlap(0.1, 0.2, 0, 1) == (0.1, 0.2)
    assert overlap(0, 1, 0.9, 1.1) == (0.9, 1.0) and overlap(0, 1, 1, 2) == (1, 1)
    assert overlap(0, 1, 1.5, 2) is None
    frame = ptv("dataset_manifest_utils").ImageFrameInfo
    labels = {"v": [domsev.LabelData("v", "0", "1", "1", "3", "7", "x")]}
    found = domsev.DomsevFrameDataset._assign_labels_to_frames(
        {f"f{n}": frame("v", f"f{n}", n, "p") for n in range(5)}, labels
    )
    assert found == {"f1": 7, "f2": 7, "f3": 7}


def action(name: str, start: str, stop: str) -> Any:
    return ptv("epic_kitchen").ActionData(
        "P01", "P01_01", name, start, stop, 1, 2, "v", 1, "n", 2, "['n']", "[2]"
    )


ACTIONS = (("off", "00:00:01.00", "00:00:02.00"), ("on", "00:00:04.00", "00:00:06.00"),
           ("close", "00:00:06.00", "00:00:07.00"), ("slam", "00:00:10.00", "00:00:11.00"),
           ("again", "00:00:11.00", "00:00:12.00"))  # fmt: skip


def test_recognition_by_its_parts() -> None:
    cls = ptv("epic_kitchen_recognition").EpicKitchenRecognition
    clip = {"start_time": 2.5, "stop_time": 6.5, "video": torch.rand(3, 4, 10, 20), "audio": None,
            "actions": [action(*a) for a in ACTIONS]}  # fmt: skip
    done = cls._transform_generator(lambda c: {**c, "video": c["video"].permute(1, 2, 3, 0)})(clip)
    assert [a.narration for a in done["actions"]] == ["on", "close"]
    assert done["video"].shape == (4, 10, 20, 3) and done["audio"].numel() == 0
    for count, wanted in ((10, list(range(10))), (5, [0, 2, 4, 6, 8]), (1, [0]), (4, [0, 2, 5, 7])):
        assert cls._frame_filter_generator(count)(list(range(10))) == wanted
    videos = {
        name: ptv("frame_video").FrameVideo.from_frame_paths(["a"] * count, rate)
        for name, count, rate in (("a", 100, 10), ("b", 300, 10), ("c", 600, 30))
    }
    kinds = ptv("epic_kitchen_recognition").ClipSampling
    with mock.patch("random.random", return_value=0.5):
        clips = cls._define_clip_structure_generator(5, kinds.RandomOffsetUniform)(videos, {})
    found = {n: [c.start_time for c in clips if c.video_id == n] for n in videos}
    assert found == {"a": [2.5], "b": [2.5, 7.5, 12.5, 17.5, 22.5], "c": [2.5, 7.5, 12.5]}
    assert all(c.stop_time - c.start_time == 5 for c in clips)


def test_forecasting_by_its_parts() -> None:
    module = ptv("epic_kitchen_forecasting")
    cls = module.EpicKitchenForecasting
    clip = {"start_time": 2.5, "stop_time": 6.5, "video": torch.rand(3, 8, 10, 20),
            "actions": [action(*a) for a in ACTIONS]}  # fmt: skip
    whole = clip["video"]
    done = cls._transform_generator(None, 2, 4, 2)(clip)
    assert [a.narration for a in done["actions"]] == ["slam", "again"]
    assert done["video"].shape == (2, 3, 4, 10, 20)
    assert torch.equal(done["video"][1], whole[:, 4:])
    with pytest.raises(AssertionError, match="8 frames; expected 2 x 3"):
        cls._transform_generator(None, 2, 3, 2)({**clip, "video": whole})
    numbered = list(range(44))  # 11 s at 4 a second
    assert cls._frame_filter_generator(4, 1, 1, 11)(numbered) == numbered
    assert cls._frame_filter_generator(4, 1, 10, 2)(numbered) == numbered[:4] + numbered[-4:]
    assert cls._frame_filter_generator(2, 1, 10, 2)(numbered) == [0, 2, 40, 42]
    windows = cls._define_clip_structure_generator(module.ClipSampling.Random, 1, 3, 2, 2)
    found = windows({}, {"v": [action(*a) for a in ACTIONS]})
    # After "off" the window would begin before the video; after "close" two more begin.
    assert [(c.start_time, c.stop_time) for c in found] == [(2, 6), (3, 7)]


def test_draws_of_a_sampler_follow_pythons_generator() -> None:
    sampler = ptv("clip_sampling").RandomClipSampler(1)
    random.seed(5)
    first = sampler(None, 10, {}).clip_start_sec
    random.seed(5)
    assert sampler(None, 10, {}).clip_start_sec == first == Fraction(random.Random(5).uniform(0, 9))
    uniform = ptv("clip_sampling").UniformClipSampler(Fraction(1), Fraction(1, 2))
    assert uniform._clip_start_end(None, 3, False) == (0, 1)
    assert uniform._clip_start_end(Fraction(1), 3, False) == (Fraction(1, 2), Fraction(3, 2))
    assert uniform._clip_start_end(Fraction(29, 10), 3, True) == (2, 3)
