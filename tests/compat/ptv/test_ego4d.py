"""PyTorchVideo's data set of Ego4D moments: frames, sound, motion and labels of one window."""

from __future__ import annotations

import json
import math
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.sound import film_with_sound, tone
from support.videos import film
from vitascope.compat.ptv.data.clip_sampling import ClipInfo, make_clip_sampler
from vitascope.compat.ptv.data.ego4d.audio import MelSpectrogram, Mfcc, Spectrogram
from vitascope.compat.ptv.data.ego4d.ego4d_dataset import Ego4dMomentsDataset
from vitascope.compat.ptv.data.ego4d.imu import Ego4dImuData
from vitascope.compat.ptv.data.ego4d.utils import MomentsClipSampler, get_label_id_map
from vitascope.compat.ptv.data.encoded_video import EncodedVideo
from vitascope.compat.ptv.data.video import VideoPathHandler
from vitascope.data.modalities.imu import read_imu
from vitascope.errors import (
    ConfigError,
    DatasetError,
    DatasetNotFoundError,
    InputError,
    UnknownNameError,
)
from vitascope.transforms.functional import short_side_scale

IDS = {"cut_food": 0, "wash_dishes": 1}


def annotated(root: Path, *videos: tuple[str, str, float, list[tuple[str, float, float]]]) -> Any:
    """Moments and metadata of (id, file, seconds, labels)."""
    listed, facts = [], []
    for uid, file, duration, labels in videos:
        clip = {"clip_uid": f"c-{uid}", "video_start_sec": 0.0, "video_end_sec": duration}
        rows = [{"label": name, "start_time": a, "end_time": b, "video_start_time": a,
                 "video_end_time": b} for name, a, b in labels]  # fmt: skip
        listed.append({"video_uid": uid, "split": "train",
                       "clips": [{**clip, "annotations": [{"labels": rows}]}]})  # fmt: skip
        listed.append({**listed[-1], "split": "val"})
        facts.append({"video_uid": uid, "is_stereo": False, "duration_sec": duration,
                      "manifold_path": file and str(root / file)})  # fmt: skip
    (root / "moments.json").write_text(json.dumps({"videos": listed}))
    (root / "ego4d.json").write_text(json.dumps({"videos": facts}))
    return root / "moments.json", root / "ego4d.json"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.mov: 3 s with sound; b.mp4: 3 s without; slow.mp4: 3 s of 25 frames a second."""
    root = tmp_path_factory.mktemp("ego4d")
    film_with_sound(root / "a.mov", tone(3, 48000), 48000, frames=90, fps=30)
    film(root / "b.mp4", 90, 30)
    film(root / "slow.mp4", 75, 25)
    return root


def test_a_sample_has_everything_of_its_window(root: Path) -> None:
    files = annotated(
        root, ("a", "a.mov", 3, [("cut_food", 1.2, 1.6), ("wash_dishes", 2.5, 3)]),
        ("b", "b.mp4", 3, [("cut_food", 0.1, 0.3)]),
    )  # fmt: skip
    data = Ego4dMomentsDataset(*files, split="val", label_id_map=IDS, window_sec=1)
    assert data.num_samples == data.cnt_samples == data.num_videos == 3 and data.num_classes == 2
    first, second, third = list(data)
    assert [(s["clip_start"], s["clip_end"]) for s in (first, second, third)] == [
        (0.9, 1.9), (2.0, 3.0), (0.0, 1.0)
    ]  # fmt: skip
    assert [s["labels"] for s in (first, second)] == [["cut_food"], ["wash_dishes"]]
    assert second["labels_onehot"] == [0, 1] and second["labels_id"] == 1
    assert first["video_uid"] == "a" and first["clip_uid"] == "c-a" and first["duration"] == 3.0

    # Also outside of training frames are scaled to [0, 1] and normalized; PyTorchVideo forgot it.
    whole = EncodedVideo(root / "a.mov").get_clip(Fraction(9, 10), Fraction(19, 10))["video"]
    scaled = short_side_scale((whole / 255 - 0.45) / 0.225, 256)
    left = round((scaled.shape[-1] - 224) / 2)
    assert torch.allclose(first["video"], scaled[..., 16:240, left : left + 224], atol=1e-5)
    assert first["video"].shape == (3, 30, 224, 224)

    # PyTorchVideo took the mean over time, so that one number was left of the sound.
    sound, begin = first["audio"], round(0.9 * 48000)
    assert sound["signal"].shape == (1, 48000) and sound["sampling_rate"] == 48000
    wanted = tone(3, 48000)[0, begin : begin + 48000]
    assert np.abs(sound["signal"][0].numpy() - wanted).max() < 1e-3
    assert (
        sound["spectrogram"].shape == (1, 64, 94) and first["spectrogram"] is sound["spectrogram"]
    )
    assert first["has_audio"] and not third["has_audio"]
    assert third["audio"]["signal"].shape == (1, 48000) and not third["audio"]["signal"].any()
    quiet = Ego4dMomentsDataset(
        *files, split="val", label_id_map=IDS, window_sec=1, decode_audio=False
    )
    assert not {"audio", "spectrogram", "has_audio"} & set(next(iter(quiet)))


def test_sound_of_other_rates(root: Path, tmp_path: Path) -> None:
    """PyTorchVideo said 48 kHz of any sound."""
    film_with_sound(tmp_path / "a.mov", tone(3, 16000), 16000, frames=90, fps=30)
    files = annotated(tmp_path, ("a", "a.mov", 3, [("cut_food", 1, 2)]))
    options: Any = {"split": "val", "label_id_map": IDS, "window_sec": 1}
    [sample] = list(Ego4dMomentsDataset(*files, **options))
    heard = sample["audio"]
    assert heard["sampling_rate"] == 48000 and heard["signal"].shape == (1, 48000)
    wanted = tone(3, 48000)[0, 48000:96000]
    assert np.abs(heard["signal"][0].numpy() - wanted)[100:-100].max() < 2e-3
    data = Ego4dMomentsDataset(
        *files, **options, video_path_handler=VideoPathHandler(), audio_transform_type="mfcc"
    )
    [sample] = list(pickle.loads(pickle.dumps(data)))
    heard = sample["audio"]
    assert heard["sampling_rate"] == 16000 and heard["signal"].shape == (1, 16000)
    assert torch.equal(heard["spectrogram"], Mfcc(16000)(heard["signal"]))


def test_training_draws_follow_the_seed(root: Path) -> None:
    files = annotated(root, ("b", "b.mp4", 3, [("cut_food", 1, 2)] * 3))

    def epoch(number: int, seed: int = 5) -> list[torch.Tensor]:
        data = Ego4dMomentsDataset(
            *files, split="train", label_id_map=IDS, window_sec=1, decode_audio=False, seed=seed,
            transform=lambda sample: sample["video"][:, ::10],
        )  # fmt: skip
        data.set_epoch(number)
        return list(data)

    one, two = epoch(0), epoch(0)
    assert all(map(torch.equal, one, two)) and one[0].shape == (3, 3, 224, 224)
    assert not torch.equal(one[0], one[1]) and not torch.equal(one[0], epoch(1)[0])


def test_what_cannot_be_shown_is_an_error_or_counted(root: Path) -> None:
    """PyTorchVideo gave None for a sample of another rate."""
    files = annotated(
        root, ("s", "slow.mp4", 3, [("cut_food", 1, 2)]), ("b", "b.mp4", 3, [("cut_food", 1, 2)]),
        ("c", "b.mp4", 9, [("cut_food", 1, 7)]),
    )  # fmt: skip
    options: Any = {"split": "val", "label_id_map": IDS, "window_sec": 1, "decode_audio": False}
    with pytest.raises(DatasetError, match=r"slow\.mp4: 25 frames from 1 s to 2 s, and 30 are"):
        list(Ego4dMomentsDataset(*files, **options, on_bad="error"))
    data = Ego4dMomentsDataset(*files, **options)
    assert [s["video_uid"] for s in data] == ["b"] and data.fault_report().clips == 2
    with pytest.raises(DatasetError, match="b: a window of 4 s does not fit into a video of 3 s"):
        list(Ego4dMomentsDataset(*files, **{**options, "window_sec": 4, "on_bad": "error"},
                                 eligible_video_uids={"b"}))  # fmt: skip


def test_videos_are_chosen_and_found(root: Path, tmp_path: Path) -> None:
    files = annotated(
        root, ("a", "", 3, [("cut_food", 1, 2)]), ("b", "b.mp4", 3, [("cut_food", 1, 2)] * 2)
    )
    options: Any = {"split": "val", "window_sec": 1, "decode_audio": False}
    (tmp_path / "ids.json").write_text(json.dumps(IDS))
    data = Ego4dMomentsDataset(*files, **options, label_id_map_path=tmp_path / "ids.json")
    assert data.num_videos == 2 and data.left_out == {"no path of the video": 1}
    data = Ego4dMomentsDataset(*files, **options, label_id_map=IDS, eligible_video_uids={"b"})
    assert data.num_videos == 2 and data.left_out == {"video not asked for": 1}
    data = Ego4dMomentsDataset(
        *files, **options, label_id_map=IDS, video_path_override=lambda uid: str(root / "b.mp4")
    )
    assert [s["video_uid"] for s in data] == ["a", "b", "b"] and not data.left_out
    with pytest.raises(DatasetError, match="no moment has a path"):
        Ego4dMomentsDataset(*files, **options, label_id_map=IDS, eligible_video_uids={"a"})

    class Handler(VideoPathHandler):
        opened = 0

        def video_from_path(self, *args: Any, **kwargs: Any) -> Any:
            self.opened += 1
            return super().video_from_path(*args, **kwargs)

    handler = Handler()
    data = Ego4dMomentsDataset(
        *files, **options, label_id_map=IDS, video_path_handler=handler, eligible_video_uids={"b"}
    )
    assert len(list(data)) == handler.opened == 2


def test_another_clip_sampler(root: Path) -> None:
    files = annotated(root, ("b", "b.mp4", 3, [("cut_food", 1, 2)]))
    options: Any = {"split": "val", "label_id_map": IDS, "decode_audio": False}
    data = Ego4dMomentsDataset(*files, **options, clip_sampler=make_clip_sampler("uniform", 0.5))
    assert [s["clip_start"] for s in data] == [0, 0.5, 1, 1.5, 2, 2.5]
    several = make_clip_sampler("random_multi", 0.5, 2)
    with pytest.raises(ConfigError, match="several clips at once"):
        list(Ego4dMomentsDataset(*files, **options, clip_sampler=several))


def test_windows_of_labels() -> None:
    label = {"label_video_start_sec": 4.0, "label_video_end_sec": 5.0}
    assert MomentsClipSampler()(None, 70, label) == ClipInfo(4, 5, 0, 0, True)
    assert MomentsClipSampler(3)(None, 70, label) == ClipInfo(3, 6, 0, 0, True)
    assert (label["clip_start"], label["clip_end"]) == (3.0, 6.0)
    beyond = {"label_video_start_sec": 9.0, "label_video_end_sec": 10.05}
    assert MomentsClipSampler(2)(None, 10, beyond)[:2] == (8, 10)
    with pytest.raises(DatasetError, match=r"a label from 9 s to 10\.2 s in a video of 10 s"):
        MomentsClipSampler(2)(None, 10, {**beyond, "label_video_end_sec": 10.2})
    with pytest.raises(DatasetError, match="a label from 9 s to 8 s"):
        MomentsClipSampler(2)(None, 10, {**beyond, "label_video_end_sec": 8})
    with pytest.raises(ConfigError, match="window_sec = -1"):
        MomentsClipSampler(-1)


def test_bad_arguments_are_refused(root: Path, tmp_path: Path) -> None:
    files = annotated(root, ("b", "b.mp4", 3, [("cut_food", 1, 2)]))
    both: Any = {"split": "val", "label_id_map": IDS}
    with pytest.raises(UnknownNameError, match="melspectrogramm"):
        Ego4dMomentsDataset(*files, **both, audio_transform_type="melspectrogramm")
    with pytest.raises(ConfigError, match="needs imu_path"):
        Ego4dMomentsDataset(*files, **both, imu=True)
    with pytest.raises(ConfigError, match="one of the two"):
        Ego4dMomentsDataset(*files, **both, label_id_map_path=tmp_path / "ids.json")
    with pytest.raises(ConfigError, match="numbers from 0 to 5; expected 0 to 1"):
        Ego4dMomentsDataset(*files, split="val", label_id_map={"cut_food": 0, "x": 5})
    with pytest.raises(UnknownNameError, match="cut_foot"):
        Ego4dMomentsDataset(*files, **both).convert_one_hot(["cut_foot"])
    with pytest.raises(DatasetNotFoundError, match=r"ids\.json: no such file"):
        get_label_id_map(tmp_path / "ids.json")
    (tmp_path / "ids.json").write_text('{"a": "0"}')
    with pytest.raises(DatasetError, match="'a' has '0'"):
        get_label_id_map(tmp_path / "ids.json")


# --- motion ------------------------------------------------------------------------------------

HEAD = "component_idx,canonical_timestamp_ms,gyro_x,gyro_y,gyro_z,accl_x,accl_y,accl_z\n"


def motion(path: Path, count: int, step: float = 5.0) -> np.ndarray:
    """Readings at n x step milliseconds: rotation n, -n, 7 and acceleration sin n, n^2, 1."""
    n = np.arange(count)
    table = np.stack([n, -n, n * 0 + 7, np.sin(n), n**2, n * 0 + 1], 1)
    rows = [f"0,{i * step}," + ",".join(map(repr, map(float, row))) for i, row in enumerate(table)]
    path.write_text(HEAD + "\n".join(rows) + "\n")
    return table[:, [3, 4, 5, 0, 1, 2]]


def test_motion_of_a_window(root: Path, tmp_path: Path) -> None:
    values = motion(tmp_path / "b.csv", 600)
    imu = Ego4dImuData(tmp_path)
    assert imu.has_imu("b") and not imu.has_imu("a") and imu.IMU_by_video_uid == {"b": "b"}
    signal, times, rate = imu.get_imu("b")
    # 200 a second: PyTorchVideo cut 199.99... to 199.
    assert rate == 200 and np.allclose(times, np.arange(600) * 5, atol=1e-9)
    wanted = values - values.mean(0)
    wanted[:, [0, 1, 3, 4]] /= values[:, [0, 1, 3, 4]].std(0)
    assert np.allclose(signal, wanted) and not signal[:, [2, 5]].any()  # no 0 / 0
    part = imu.get_imu_sample("b", 0.9, 1.9)
    assert part["timestamp"][[0, -1]].tolist() == [900, 1895] and part["sampling_rate"] == 200
    assert np.array_equal(part["signal"], signal[180:380])
    # The last reading belongs to a window that reaches beyond it; PyTorchVideo dropped it.
    assert imu.get_imu_sample("b", 2.9, 9)["timestamp"][-1] == 2995

    files = annotated(
        root, ("a", "a.mov", 3, [("cut_food", 1, 2)]), ("b", "b.mp4", 3, [("cut_food", 1.2, 1.6)])
    )
    options: Any = {"split": "val", "label_id_map": IDS, "window_sec": 1, "decode_audio": False,
                    "imu": True, "imu_path": tmp_path}  # fmt: skip
    data = Ego4dMomentsDataset(*files, **options)
    [sample] = list(data)
    assert data.left_out == {"no motion of the video": 1}
    assert np.array_equal(sample["imu"]["signal"], part["signal"]) and not data.check_IMU(sample)
    motion(tmp_path / "b.csv", 300, 10)
    with pytest.raises(DatasetError, match=r"b: 100 readings of motion from 0\.9 s to 1\.9 s"):
        list(Ego4dMomentsDataset(*files, **options, on_bad="error"))


def test_blanks_lie_between_the_readings_around(tmp_path: Path) -> None:
    """PyTorchVideo took a blank for 0."""
    rows = ["0,0,1,1,1,1,1,1", "0,5,,1,1,1,1,1", "0,15,4,1,1,1,1,1", "0,20,,1,1,1,1,1"]
    (tmp_path / "v.csv").write_text(HEAD + "\n".join(rows) + "\n")
    signal, _, _ = Ego4dImuData(tmp_path).get_imu("v")
    column = np.array([1.0, 2, 4, 4])
    assert np.allclose(signal[:, 3], (column - column.mean()) / column.std())
    (tmp_path / "v.csv").write_text(HEAD + rows[0] + "\n" + rows[1].replace("5,,", "5,nan,") + "\n")
    with pytest.raises(DatasetError, match=r"v\.csv, row 3: gyro_x = 'nan'; expected a finite"):
        Ego4dImuData(tmp_path).get_imu("v")
    with pytest.raises(DatasetError, match="gyro_x = ''; expected a number"):
        (tmp_path / "w.csv").write_text(HEAD + "\n".join(rows) + "\n")
        read_imu(tmp_path / "w.csv", time="canonical_timestamp_ms")
    (tmp_path / "w.csv").write_text(HEAD + "0,0,,1,1,1,1,1\n0,5,,1,1,1,1,1\n")
    with pytest.raises(DatasetError, match="reading 1 of gyro_x is no finite number"):
        Ego4dImuData(tmp_path).get_imu("w")
    (tmp_path / "w.csv").write_text(HEAD + "0,5,1,1,1,1,1,1\n0,0,1,1,1,1,1,1\n")
    with pytest.raises(DatasetError, match="reading 2 is not later"):
        Ego4dImuData(tmp_path).get_imu("w")
    (tmp_path / "w.csv").write_text(HEAD + "0,5,1,1,1,1,1,1\n")
    with pytest.raises(DatasetError, match="one reading"):
        Ego4dImuData(tmp_path).get_imu("w")
    with pytest.raises(DatasetNotFoundError, match="no such folder"):
        Ego4dImuData(tmp_path / "nothing")


# --- sound -------------------------------------------------------------------------------------


def power(wave: np.ndarray, size: int, column: int) -> np.ndarray:
    """Power of each frequency around sample 512 x column, by the definition of the transform."""
    padded = np.pad(wave, size // 2, mode="reflect")
    n = np.arange(size)
    part = padded[column * 512 : column * 512 + size] * (0.5 - 0.5 * np.cos(2 * np.pi * n / size))
    k = np.arange(size // 2 + 1)[:, None]
    return np.abs((part * np.exp(-2j * np.pi * k * n / size)).sum(1)) ** 2


def bands(count: int, size: int, rate: int) -> np.ndarray:
    """Triangles on the mel scale with the peak 1, and their edges in Hz."""
    top = 2595 * math.log10(1 + rate / 2 / 700)
    edges = [700 * (10 ** (top * i / (count + 1) / 2595) - 1) for i in range(count + 2)]
    lines = [k * rate / size for k in range(size // 2 + 1)]
    weights = np.zeros((count, len(lines)))
    for b in range(count):
        low, middle, high = edges[b : b + 3]
        for k, f in enumerate(lines):
            if low < f < high:
                weights[b, k] = (f - low) / (middle - low) if f <= middle else (
                    (high - f) / (high - middle))  # fmt: skip
    return weights, np.array(edges)  # type: ignore[return-value]


def test_spectra_by_their_definitions() -> None:
    wave = np.random.default_rng(0).standard_normal(4000) * 0.1 + tone(0.25, 16000)[0]
    sound = torch.from_numpy(wave)[None]
    spectrum = Spectrogram(1024)(sound)
    assert spectrum.shape == (1, 513, 1 + 4000 // 512)
    weights, edges = bands(64, 1024, 16000)
    area = weights * (2 / (edges[2:] - edges[:-2]))[:, None]
    mel = MelSpectrogram(16000)(sound)
    for column in (0, 3, 7):
        wanted = power(wave, 1024, column)
        assert np.allclose(spectrum[0, :, column], wanted, rtol=1e-9, atol=1e-12)
        assert np.allclose(mel[0, :, column], area @ wanted, rtol=1e-9)


def test_mfcc_by_its_definition() -> None:
    wave = np.random.default_rng(1).standard_normal(3000) * 0.1
    weights, _ = bands(256, 2048, 48000)
    loud = np.stack([weights @ power(wave, 2048, c) for c in range(6)], 1)
    loud = 10 * np.log10(np.maximum(loud, 1e-10))
    loud = np.maximum(loud, loud.max() - 80)
    n = np.arange(256)
    got = Mfcc(48000)(torch.from_numpy(wave)[None])[0].numpy()
    for k in (0, 1, 7, 255):
        wave_k = np.cos(math.pi * (n + 0.5) * k / 256) * math.sqrt((1 if k == 0 else 2) / 256)
        assert np.allclose(got[k], wave_k @ loud, atol=1e-8)
    with pytest.raises(InputError, match="512 samples of sound"):
        Spectrogram(1024)(torch.zeros(1, 512))
