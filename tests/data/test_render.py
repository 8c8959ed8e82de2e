"""Videos of known content: readable numbers, and motions that no single frame gives away."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from vitascope.data.decoder import open_video
from vitascope.data.render import (
    MOTIONS,
    motion_clip,
    motion_path,
    numbered_frame,
    read_number,
    render_motion_dataset,
    render_numbered,
)
from vitascope.data.tables.read import read_table
from vitascope.data.write import write_video
from vitascope.errors import ConfigError, UnknownNameError

AXES = {"left": 0, "right": 0, "up": 1, "down": 1, "clockwise": 2, "grow": 3, "shrink": 3}


@pytest.mark.parametrize("size", [(80, 128), (40, 64), (241, 321)])
def test_a_picture_says_its_number(size: tuple[int, int]) -> None:
    for number in (0, 1, 2, 255, 256, 40000, 65535):
        assert read_number(numbered_frame(number, size)) == number
    with pytest.raises(ConfigError):
        numbered_frame(65536)


def test_a_wrong_picture_has_no_number() -> None:
    picture = numbered_frame(12345)
    assert read_number(picture[:, :, ::-1]) is None  # blue and red exchanged
    assert read_number(picture[::-1]) is None
    assert read_number(picture[:, ::-1]) is None
    assert read_number(np.full_like(picture, 90)) is None
    noise = np.random.default_rng(0).integers(0, 256, (200, 20, 32, 3), dtype=np.uint8)
    assert [read_number(n) for n in noise] == [None] * 200


def test_numbers_survive_hard_compression(tmp_path: Path) -> None:
    path = render_numbered(
        tmp_path / "n.mp4", 60, options={"preset": "ultrafast", "crf": "38", "threads": "1"}
    )
    with open_video(path, size=(60, 100)) as video:
        assert [read_number(f) for f in video.read(range(60)).data.numpy()] == list(range(60))


def test_each_motion_moves_what_its_name_says() -> None:
    for motion in MOTIONS:
        moved = np.zeros(4)
        for number in range(40):
            steps = np.diff(motion_path(motion, (3, number), 16), axis=0)
            steps = (steps + 0.5) % 1 - 0.5  # the short way around the circle
            moved += steps.sum(axis=0) / 40
        axis = next(AXES[word] for word in motion.replace("counter", "").split("_") if word in AXES)
        backward = motion in ("move_left", "move_up", "rotate_counterclockwise", "shrink")
        assert (moved[axis] < 0) == backward and abs(moved[axis]) > 0.4
        assert np.abs(np.delete(moved, axis)).max() < 0.03


@pytest.mark.parametrize("frame", [0, 7, 15])
def test_the_pose_in_one_frame_is_the_same_in_every_class(frame: int) -> None:
    count = 800
    angles = {
        motion: 2 * np.pi * np.array([motion_path(motion, (0, n), 16)[frame] for n in range(count)])
        for motion in MOTIONS
    }
    for poses in angles.values():
        # Even on the circle: the first two moments vanish, each within five deviations.
        for k in (1, 2):
            moments = np.abs(np.exp(1j * k * poses).mean(axis=0))
            assert moments[:3].max() < 5 / np.sqrt(count)
    # The scale sways beyond its circle by as much in every class: compare distributions.
    scales = [np.sort(poses[:, 3]) for poses in angles.values()]
    for one in scales[1:]:
        distance = np.abs(
            np.searchsorted(one, scales[0]) - np.searchsorted(scales[0], scales[0])
        ).max()
        assert distance / count < 1.95 * np.sqrt(2 / count)  # Kolmogorov-Smirnov, p = 0.001


def test_a_drawn_clip_shows_its_motion() -> None:
    """Follows the object by its difference from the background, in closed form where possible."""
    shifts = {"move_left": (0, -1), "move_right": (0, 1), "move_up": (-1, 0), "move_down": (1, 0)}
    for motion, (dy, dx) in shifts.items():
        right = 0
        for number in range(20):
            clip = motion_clip(motion, (1, number), 16, (80, 80)).astype(np.float32).mean(axis=3)
            poses = motion_path(motion, (1, number), 16)
            # The pattern around the object's center in one frame is found again, in the next,
            # nearer to where the class says it goes than to where it was.
            hits = []
            for t in range(15):
                y, x = poses[t, 1] * 80, poses[t, 0] * 80
                rows = np.arange(-16, 17) + round(float(y))
                columns = np.arange(-16, 17) + round(float(x))
                patch = clip[t][np.ix_(rows % 80, columns % 80)]
                costs = {
                    step: np.abs(
                        clip[t + 1][np.ix_((rows + step * dy) % 80, (columns + step * dx) % 80)]
                        - patch
                    ).mean()
                    for step in range(-6, 7)
                }
                hits.append(min(costs, key=lambda step: costs[step]))
            right += np.mean(hits) > 0.5
        assert right >= 15, motion


def test_clips_follow_their_key_and_nothing_else() -> None:
    one = motion_clip("grow", (5, 0), 8, (48, 64))
    assert one.shape == (8, 48, 64, 3) and one.dtype == np.uint8
    assert (one == motion_clip("grow", (5, 0), 8, (48, 64))).all()
    assert (one != motion_clip("grow", (5, 1), 8, (48, 64))).any()
    with pytest.raises(UnknownNameError, match="Did you mean"):
        motion_clip("move_lefft", (0,))


def digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*.mp4"))
    }


def test_a_motion_data_set_is_deterministic_and_readable(tmp_path: Path) -> None:
    counts = {"train": 3, "val": 1, "test": 2}
    seen = []
    out = render_motion_dataset(
        tmp_path / "one", clips_per_class=counts, seed=7, on_clip=lambda *a: seen.append(a)
    )
    assert sorted(seen) == [(n, 48) for n in range(1, 49)]
    table = read_table(out)
    assert table.classes == tuple(sorted(MOTIONS))
    assert {s: sum(table.counts(s).values()) for s in table.splits} == {
        "train": 24,
        "val": 8,
        "test": 16,
    }
    for record in table.records[:3]:
        with open_video(record.path) as video:
            assert (len(video.times), video.height, video.width, video.fps) == (16, 80, 80, 16)
    again = render_motion_dataset(tmp_path / "two", clips_per_class=counts, seed=7)
    assert digest(out) == digest(again)
    assert len(set(digest(out).values())) == 48
    other = render_motion_dataset(tmp_path / "three", clips_per_class={"train": 1}, seed=8)
    assert not set(digest(other).values()) & set(digest(out).values())
    # A smaller set is part of a larger one, and a choice of classes changes no video.
    part = render_motion_dataset(tmp_path / "four", ["shrink"], {"train": 1}, seed=7)
    assert digest(part).items() <= digest(out).items()
    with pytest.raises(UnknownNameError):
        render_motion_dataset(tmp_path / "five", ["jump"])


def test_single_frames_tell_nothing_and_differences_tell_much() -> None:
    """A linear model reads the class off two frames' difference far better than off one frame."""
    clips, labels = [], []
    for label, motion in enumerate(("move_left", "move_right", "move_up", "move_down")):
        for number in range(90):
            clip = motion_clip(motion, (9, number), 16, (24, 24))
            clips.append(clip.astype(np.float64).mean(axis=3))
            labels.append(label)
    frames, target = np.stack(clips), np.eye(4)[labels]
    train = np.arange(len(labels)) % 3 > 0

    def accuracy(features: np.ndarray) -> float:
        x = features.reshape(len(features), -1)
        x = (x - x[train].mean(0)) / (x[train].std(0) + 1e-6)
        kernel = x @ x.T / x.shape[1]
        weights = np.linalg.solve(
            kernel[np.ix_(train, train)] + np.eye(train.sum()), target[train] - 0.25
        )
        guess = (kernel[np.ix_(~train, train)] @ weights).argmax(1)
        return float((guess == np.array(labels)[~train]).mean())

    spectrum = np.fft.fft2(frames[:, 4:12] - frames[:, 4:12].mean(1, keepdims=True))[..., :4, :4]
    flow = (spectrum[:, 1:] * spectrum[:, :-1].conj()).mean(1)
    flow = flow / (np.abs(flow) + 1e-9)
    one = accuracy(frames[:, 0])
    assert one < 0.25 + 4 * np.sqrt(0.25 * 0.75 / 120)
    assert accuracy(np.stack([flow.real, flow.imag], -1)) > 0.7


def test_write_video_leaves_whole_files_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "film.mp4"

    def broken():
        yield numbered_frame(0)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_video(path, broken(), 25)
    with pytest.raises(ConfigError, match="no frame"):
        write_video(path, [], 25)
    with pytest.raises(ConfigError, match="frame 1 is 64x40"):
        write_video(path, [numbered_frame(0), numbered_frame(1, (40, 64))], 25)
    with pytest.raises(ConfigError, match="nonsense"):
        write_video(path, [numbered_frame(0)], 25, codec="nonsense")
    assert list((tmp_path / "deep").iterdir()) == []
    assert write_video(path, [numbered_frame(3)], 25) == path
    with open_video(path) as video:
        assert read_number(video.read([0]).data[0].numpy()) == 3
