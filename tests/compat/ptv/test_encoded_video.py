"""PyTorchVideo's Video classes: exact half-open clips with the documented dictionary."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.sound import film_with_sound, tone
from support.videos import film, numbers
from vitascope.compat.ptv.data.encoded_video import (
    EncodedVideo,
    EncodedVideoPyAV,
    select_video_class,
)
from vitascope.compat.ptv.data.frame_video import FrameVideo
from vitascope.compat.ptv.data.video import VideoPathHandler
from vitascope.data.clips import exact_seconds
from vitascope.data.decoder import DecoderType, open_video
from vitascope.errors import ConfigError, DecodeError, UnknownNameError


def seen(clip: dict[str, Any]) -> list[int | None]:
    """The numbers of the frames of a clip, after a look at its form."""
    video = clip["video"]
    assert video.dtype == torch.float32 and video.shape[0] == 3
    return numbers(video.to(torch.uint8).permute(1, 2, 3, 0))


def test_clips_are_half_open_and_exact(tmp_path: Path) -> None:
    video = EncodedVideo.from_path(film(tmp_path / "a.mp4", 50, fps=25))
    assert video.duration == 2 and video.name == "a.mp4"
    assert seen(video.get_clip(0, 1)) == list(range(25))
    assert seen(video.get_clip(1, 2)) == list(range(25, 50))
    assert seen(video.get_clip(0.1, 0.2)) == [3, 4]  # frames at 0.12 and 0.16
    # 0.04 * 3 is a double above 3/25; frame 3 begins there and is not in the clip.
    assert seen(video.get_clip(0, 0.04 * 3)) == [0, 1, 2]
    assert seen(video.get_clip(0.04 * 3, 0.2)) == [3, 4]
    assert seen(video.get_clip(1.9, 7)) == [48, 49]
    assert seen(video.get_clip(1.9, float("inf"))) == [48, 49]
    for start, end in [(2, 3), (1, 1), (1, 0.5), (0.01, 0.02)]:
        assert video.get_clip(start, end) == {"video": None, "audio": None}
    with pytest.raises(ConfigError, match="nan"):
        video.get_clip(float("nan"), 1)


def test_times_count_from_the_first_frame(tmp_path: Path) -> None:
    """PyTorchVideo took a late start off the duration and lost the second half."""
    path = film(tmp_path / "late.mp4", 25, fps=25, pts=range(13, 38))
    video = EncodedVideo.from_path(path)
    assert video.duration == 1
    assert seen(video.get_clip(0, video.duration)) == list(range(25))


def test_sound_comes_with_the_frames(tmp_path: Path) -> None:
    path = film_with_sound(tmp_path / "a.mov", tone(2, 16000), 16000)
    video = EncodedVideoPyAV(str(path))
    clip = video.get_clip(0.5, 1.5)
    assert len(seen(clip)) == 25 and clip["audio"].shape == (16000,)
    wanted = tone(2, 16000)[0, 8000:24000]
    assert np.abs(clip["audio"].numpy() - wanted).max() < 1e-4
    assert video.audio_rate == 16000 and video.rate == 25 and video.pix_fmt == "yuv420p"
    assert video.bit_rate is not None and video.bit_rate > 0
    mute = EncodedVideo.from_path(path, decode_audio=False).get_clip(0, 1)
    assert mute["audio"] is None and len(seen(mute)) == 25
    blind = EncodedVideo.from_path(path, decode_video=False).get_clip(0, 1)
    assert blind["video"] is None and blind["audio"].shape == (16000,)


def test_bytes_and_open_files(tmp_path: Path) -> None:
    path = film_with_sound(tmp_path / "a.mov", tone(2, 16000), 16000)
    content = path.read_bytes()
    direct = EncodedVideo.from_path(path).get_clip(0.2, 0.6)
    with path.open("rb") as file:
        for source in (content, io.BytesIO(content), file):
            clip = EncodedVideo.from_bytesio(source, "b.mov").get_clip(0.2, 0.6)
            assert torch.equal(clip["video"], direct["video"])
            assert torch.equal(clip["audio"], direct["audio"])
    assert EncodedVideo(io.BytesIO(content), "b.mov").name == "b.mov"


def test_decoders_by_name(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 12)
    wanted = list(range(12))
    assert select_video_class("pyav") is EncodedVideoPyAV
    assert DecoderType("torchvision") is DecoderType.TORCHVISION
    with pytest.warns(DeprecationWarning, match="pyav decodes instead"):
        assert seen(EncodedVideo.from_path(path, decoder="torchvision").get_clip(0, 1)) == wanted
    assert seen(EncodedVideo.from_path(path, decoder="opencv").get_clip(0, 1)) == wanted
    with pytest.raises(UnknownNameError, match="pyav"):
        EncodedVideo.from_path(path, decoder="pyva")


def test_files_that_are_no_videos(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file") as missing:
        EncodedVideo.from_path(tmp_path / "absent.mp4")
    assert isinstance(missing.value, DecodeError) and missing.value.path.endswith("absent.mp4")
    again = pickle.loads(pickle.dumps(missing.value))
    assert type(again) is type(missing.value) and str(again) == str(missing.value)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DecodeError, match=r"text\.mp4"):
        EncodedVideo.from_path(tmp_path / "text.mp4")
    whole = film(tmp_path / "a.mkv", 60).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DecodeError):
        EncodedVideo.from_path(tmp_path / "cut.mkv")
    part = EncodedVideo(str(tmp_path / "cut.mkv"), whole=False)
    assert seen(part.get_clip(0, part.duration)) == [round(12 * t) for t in part._video.times]


def pictures(folder: Path, count: int, source: Path) -> list[Path]:
    """The first frames of a video as PNG files."""
    import cv2

    folder.mkdir()
    with open_video(source) as video:
        frames = video.read(range(count)).data.numpy()
    paths = [folder / f"f_{i}.png" for i in range(count)]
    for path, frame in zip(paths, frames, strict=True):
        assert cv2.imwrite(str(path), frame[..., ::-1])
    return paths


def test_folders_of_frames(tmp_path: Path) -> None:
    paths = pictures(tmp_path / "clip", 12, film(tmp_path / "a.mp4", 12))
    cache: dict[str, list[str]] = {}
    video = FrameVideo.from_directory(tmp_path / "clip", fps=4, path_order_cache=cache)
    assert video.duration == 3 and video.name == "clip"
    assert cache == {str(tmp_path / "clip"): [str(p) for p in paths]}  # f_9 before f_10
    clip = video.get_clip(0.5, 2)
    assert seen(clip) == [2, 3, 4, 5, 6, 7]
    assert clip["frame_indices"] == [2, 3, 4, 5, 6, 7] and clip["audio"] is None
    assert seen(video.get_clip(2.5, 99)) == [10, 11]
    assert video.get_clip(3, 4) is None  # a file gives a dictionary of None, as there
    assert isinstance(video.duration, float)

    def every_second(indices: Iterable[int]) -> list[int]:
        return list(indices)[::2]

    picked = video.get_clip(0.5, 2, every_second)
    assert seen(picked) == [2, 4, 6] and picked["frame_indices"] == [2, 4, 6]
    threaded = FrameVideo.from_frame_paths(paths[::-1], 4, multithreaded_io=True)
    assert seen(threaded.get_clip(0, 1)) == [11, 10, 9, 8]
    by_number = FrameVideo(
        3, 4, video_frame_to_path_fn=lambda i: str(tmp_path / "clip" / f"f_{i}.png")
    )
    assert seen(by_number.get_clip(0.25, 0.75)) == [1, 2]
    with pytest.raises(ConfigError, match="one of the two"):
        FrameVideo(3, 4)
    with pytest.raises(AssertionError, match="empty"):
        FrameVideo.from_frame_paths([])
    with pytest.raises(FileNotFoundError, match="no such folder"):
        FrameVideo.from_directory(tmp_path / "absent")
    (tmp_path / "clip" / "f_3.png").unlink()
    with pytest.raises(FileNotFoundError, match="f_3"):
        video.get_clip(0.5, 2)


def test_paths_of_either_kind(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 12)
    pictures(tmp_path / "clip", 6, path)
    handler = VideoPathHandler()
    assert isinstance(handler.video_from_path(path), EncodedVideo)
    folder = handler.video_from_path(tmp_path / "clip", fps=3)
    assert isinstance(folder, FrameVideo) and folder.duration == 2
    assert list(handler.path_order_cache) == [str(tmp_path / "clip")]


def test_seconds_are_what_was_meant() -> None:
    assert exact_seconds(0.1) == Fraction(1, 10) and exact_seconds(1 / 3) == Fraction(1, 3)
    assert exact_seconds(0.04 * 3) == Fraction(3, 25)
    assert exact_seconds(Fraction(1001, 30000)) == Fraction(1001, 30000)
    assert exact_seconds(Fraction(0.1)) == Fraction(1, 10)
