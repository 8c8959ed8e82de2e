"""Sound, optical flow and motion sensors, on the same [start, end) as the frames."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from support.sound import chirp, clicks, film_with_sound, tone
from support.videos import film, numbers
from vitascope.data.clips import Clip
from vitascope.data.collate import collate
from vitascope.data.dataset import ClipDataset
from vitascope.data.loader import make_loader
from vitascope.data.modalities import Audio, BesideVideo, ComputedFlow, Imu, StoredFlow
from vitascope.data.modalities.audio_features import LogMel, mel_filters
from vitascope.data.modalities.imu import ImuTrack, read_imu
from vitascope.data.modalities.optical_flow import compute_flow, open_flow, read_flo, write_flo
from vitascope.data.records import VideoRecord
from vitascope.data.write import write_video
from vitascope.errors import ConfigError, DatasetError, InputError, UnknownNameError
from vitascope.spec import ClipSpec, ViewProtocol

RATE = 48000
WINDOW = ClipSpec(num_frames=5, sampling_rate=2, fps=25)  # 0.4 s
CLICKS = [0.1, 0.5, 0.9, 1.3, 1.75]


# --- log-mel -------------------------------------------------------------------------------------


def naive_log_mel(wave: np.ndarray, mel: LogMel) -> np.ndarray:
    """Row by row and line by line, with the sums written out."""
    rows = []
    hop, width = mel.hop_samples, mel.window_samples
    filters = mel_filters(mel.num_mels, mel.fft_size, mel.rate, mel.low, mel.high).numpy()
    for k in range(len(wave) // hop):
        first = k * hop - (width - hop) // 2
        window = np.array([
            (wave[i] if 0 <= i < len(wave) else 0.0)
            * (0.5 - 0.5 * math.cos(2 * math.pi * (i - first) / width))
            for i in range(first, first + width)
        ])  # fmt: skip
        lines = np.arange(mel.fft_size // 2 + 1)[:, None]
        waves = np.exp(-2j * np.pi * lines * np.arange(width) / mel.fft_size)
        rows.append(np.log(np.maximum((np.abs(waves @ window) ** 2) @ filters, mel.floor)))
    return np.array(rows)


def test_log_mel_is_what_its_definition_says() -> None:
    mel = LogMel(rate=8000, window=0.02, hop=0.008, num_mels=20, low=50, high=3500)
    wave = np.random.default_rng(0).normal(size=1000)
    found = mel(torch.from_numpy(wave)[None])
    assert found.shape == (1, 1000 // 64, 20)
    assert np.abs(found[0].numpy() - naive_log_mel(wave, mel)).max() < 1e-9


def test_a_tone_is_in_its_band_and_a_click_in_its_row() -> None:
    mel = LogMel(num_mels=64)
    middles = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 66) / 2595) - 1)[1:-1]
    for band in (20, 35, 50):
        rows = mel(torch.from_numpy(tone(1, 16000, float(middles[band]))))
        assert rows.shape == (1, 100, 64)
        assert (rows[0, 3:-3].argmax(1) == band).all()
    rows = mel(torch.from_numpy(clicks(1, 16000, [0.253])))
    assert int(rows[0].sum(1).argmax()) == 25


def test_log_mel_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ConfigError, match="half the rate"):
        LogMel(rate=8000, high=5000)
    with pytest.raises(ConfigError, match="hop"):
        LogMel(hop=0.05)
    with pytest.raises(InputError, match="no row"):
        LogMel()(torch.zeros(1, 100))
    with pytest.raises(ConfigError, match="8000"):
        Audio(rate=16000, log_mel=LogMel(rate=8000))


# --- sound in a data set -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "loud.mov"
    return film_with_sound(path, clicks(2, RATE, CLICKS), RATE)


def test_frames_and_sound_of_a_clip_are_of_the_same_time(loud: Path) -> None:
    data = ClipDataset([VideoRecord(str(loud), 0)], WINDOW, train=True, modalities=[Audio(RATE)])
    heard = 0
    for epoch in range(12):
        sample = data[0, (0, epoch, 0)]
        first = numbers(sample["video"])[0]
        assert first is not None and sample["audio"].shape == (1, RATE * 2 // 5)
        for place in torch.nonzero(sample["audio"][0] > 0.5).flatten().tolist():
            # The first sample is the frame on the screen 1/25 s after the start of the clip, so
            # the clip begins up to 1/25 s before that frame.
            begin = [click - place / RATE for click in CLICKS]
            assert any(-1 / 25 - 1e-4 <= b - first / 25 <= 1e-4 for b in begin)
            heard += 1
    assert heard >= 8


def test_sound_in_views_batches_and_workers(loud: Path, tmp_path: Path) -> None:
    mute = film(tmp_path / "mute.mp4", 50, fps=25)
    records = [VideoRecord(str(loud), 0), VideoRecord(str(mute), 1)]
    modalities = [Audio(16000, log_mel=LogMel(num_mels=10))]

    def crops(frames: torch.Tensor) -> list[torch.Tensor]:
        return [frames[:, :, x : x + 80].permute(3, 0, 1, 2) for x in (0, 24, 48)]

    views = ViewProtocol(clips=2, crops=3)
    data = ClipDataset(
        records, WINDOW, train=False, transform=crops, views=views, modalities=modalities
    )
    sample = data[0]
    assert sample["audio"].shape == (6, 1, 6400) and sample["log_mel"].shape == (6, 1, 40, 10)
    assert torch.equal(sample["audio"][0], sample["audio"][1])
    assert not torch.equal(sample["audio"][2], sample["audio"][3])
    # The first view is [0, 0.4), the second [1.6, 2): the clicks at 0.1 and 1.75.
    peaks = sample["audio"][:, 0].abs().argmax(1) / 16000
    assert torch.allclose(peaks, torch.tensor([0.1, 0.15]).repeat_interleave(3), atol=1e-4)
    batch = collate([data[0], data[1]])
    assert batch["has_audio"].tolist() == [[True] * 6, [False] * 6]
    assert not batch["audio"][1].any()
    train = ClipDataset(records, WINDOW, train=True, clips=3, modalities=[Audio(16000)])
    assert train[0]["audio"].shape == (3, 1, 6400)
    epochs = [
        [b["audio"] for b in make_loader(train, 1, seed=1, epoch=0, workers=workers)]
        for workers in (0, 2)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*epochs, strict=True))
    with pytest.raises(ConfigError, match="black frames"):
        ClipDataset(records, WINDOW, train=True, on_bad="substitute-black", modalities=modalities)
    with pytest.raises(ConfigError, match="'audio'"):
        ClipDataset(records, WINDOW, train=True, modalities=[Audio(), Audio()])[0]


def test_sound_outside_the_labeled_part_is_not_heard(tmp_path: Path) -> None:
    path = film_with_sound(tmp_path / "a.mov", chirp(2, 16000), 16000)
    record = VideoRecord(str(path), 0, start=Fraction(1, 2), end=Fraction(4, 5))
    sample = ClipDataset([record], WINDOW, train=False, modalities=[Audio(16000)])[0]
    heard = sample["audio"][0, 0]
    assert heard.shape == (6400,)  # 0.4 s from 0.5 s on, of which 0.3 s belong to the label
    written = torch.from_numpy(chirp(2, 16000)[0]).float()
    assert torch.allclose(heard[:4800], written[8000:12800], atol=1e-4)
    assert not heard[4800:].any()


# --- optical flow --------------------------------------------------------------------------------


def moving(count: int, dx: int, dy: int) -> list[np.ndarray]:
    """A soft texture that moves by whole pixels."""
    rng = np.random.default_rng(1)
    small = torch.from_numpy(rng.random((1, 3, 24, 32))).float()
    large = torch.nn.functional.interpolate(small, (192, 256), mode="bicubic").clamp(0, 1)
    picture = (large[0].permute(1, 2, 0) * 255).to(torch.uint8).numpy()
    return [
        np.ascontiguousarray(np.roll(picture, (dy * i, dx * i), (0, 1))[40:136, 60:188])
        for i in range(count)
    ]


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (-2, 1)])
def test_computed_flow_is_the_motion_that_was_drawn(tmp_path: Path, dx: int, dy: int) -> None:
    pytest.importorskip("cv2")
    path = write_video(tmp_path / "a.mp4", moving(20, dx, dy), 25)
    data = ClipDataset(
        [VideoRecord(str(path), 0)], WINDOW, train=False, modalities=[ComputedFlow()]
    )
    sample = data[0]
    flow = sample["flow"][0]
    assert flow.shape == (2, 5, 96, 128) and sample["flow_valid"].all()
    inner = flow[:, :, 12:-12, 12:-12].flatten(2)
    assert (inner.median(2).values - torch.tensor([[dx], [dy]])).abs().max() < 0.15
    half = ClipDataset(
        [VideoRecord(str(path), 0)],
        WINDOW,
        train=False,
        modalities=[ComputedFlow("fast", (48, 64))],
    )[0]["flow"][0]
    assert half.shape == (2, 5, 48, 64)
    inner = half[:, :, 6:-6, 6:-6].flatten(2)
    assert (inner.median(2).values - torch.tensor([[dx], [dy]]) / 2).abs().max() < 0.15
    with pytest.raises(UnknownNameError, match="medium"):
        compute_flow([], "slow")


def test_stored_flow_belongs_to_the_frames_of_the_clip(tmp_path: Path) -> None:
    import cv2

    count = 20
    path = film(tmp_path / "films" / "a.mp4", count, fps=25)
    true = np.random.default_rng(0).uniform(-9, 9, (count - 1, 6, 8, 2)).astype(np.float32)
    kinds = {name: tmp_path / name / "a" for name in ("flo", "pictures", "array", "arrays")}
    for folder in kinds.values():
        folder.mkdir(parents=True)
    for i, flow in enumerate(true):
        write_flo(kinds["flo"] / f"{i}.flo", flow)
        assert np.array_equal(read_flo(kinds["flo"] / f"{i}.flo"), flow)
        for axis, name in enumerate("xy"):
            gray = np.round((flow[..., axis] + 20) * 255 / 40).astype(np.uint8)
            cv2.imwrite(str(kinds["pictures"] / f"flow_{name}_{i:05d}.png"), gray)
    for name, suffix in (("array", ".npy"), ("arrays", ".npz")):
        kinds[name].rmdir()
        save = np.save if suffix == ".npy" else np.savez
        save(str(kinds[name]) + suffix, true)
    record = VideoRecord(str(path), 0)
    for name, folder in kinds.items():
        flow = StoredFlow(BesideVideo(folder.parent, tmp_path / "films"))
        data = ClipDataset([record], WINDOW, train=True, modalities=[flow])
        for epoch in range(4):
            sample = data[0, (0, epoch, 0)]
            seen = numbers(sample["video"])
            for t, number in enumerate(seen):
                assert sample["flow_valid"][t] == (number != count - 1)
                wanted = torch.zeros(6, 8, 2)
                if number != count - 1:
                    wanted = torch.from_numpy(true[number])
                error = (sample["flow"][:, t].permute(1, 2, 0) - wanted).abs().max()
                assert error <= (20 / 255 + 1e-5 if name == "pictures" else 0), name
    longer = VideoRecord(str(film(tmp_path / "films" / "b.mp4", 9, fps=25)), 0)
    (tmp_path / "flo" / "a").rename(tmp_path / "flo" / "b")
    wrong = StoredFlow(BesideVideo(tmp_path / "flo", tmp_path / "films"))
    with pytest.raises(DatasetError, match="19 flows, and the video has 9 frames"):
        ClipDataset([longer], WINDOW, train=True, modalities=[wrong])[0]
    with pytest.raises(DatasetError, match="nothing belongs to it"):
        ClipDataset([record], WINDOW, train=True, modalities=[wrong])[0]


def test_flow_files_that_cannot_be_used(tmp_path: Path) -> None:
    write_flo(tmp_path / "a.flo", np.zeros((4, 5, 2), np.float32))
    content = (tmp_path / "a.flo").read_bytes()
    (tmp_path / "cut.flo").write_bytes(content[:-1])
    with pytest.raises(DatasetError, match="5x4 pixels need 172"):
        read_flo(tmp_path / "cut.flo")
    (tmp_path / "text.flo").write_bytes(b"text")
    with pytest.raises(DatasetError, match=r"no \.flo file"):
        read_flo(tmp_path / "text.flo")
    np.save(tmp_path / "flat.npy", np.zeros((3, 4)))
    with pytest.raises(DatasetError, match="T H W 2"):
        open_flow(tmp_path / "flat.npy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no pairs"):
        open_flow(tmp_path / "empty")


# --- motion sensors ------------------------------------------------------------------------------


def test_readings_are_joined_by_straight_lines() -> None:
    times = np.array([0.0, 0.1, 0.25, 0.6, 1.0])
    track = ImuTrack(times, np.stack([3 * times - 1, times**2], 1), ("a", "b"))
    values, valid = track.resample(Clip(Fraction(0), Fraction(1)), 40)
    at = np.arange(40) / 40
    assert values.shape == (2, 40) and valid.all()
    assert np.abs(values[0].numpy() - (3 * at - 1)).max() < 1e-6
    for k, t in enumerate(at):
        i = int(np.searchsorted(times, t, "right")) - 1
        part = (t - times[i]) / (times[i + 1] - times[i])
        line = times[i] ** 2 * (1 - part) + times[i + 1] ** 2 * part
        assert abs(float(values[1, k]) - line) < 1e-6
    late, known = track.resample(Clip(Fraction(1, 2), Fraction(3, 2)), 10)
    assert known.tolist() == [True] * 6 + [False] * 4 and not late[:, 6:].any()
    _, known = track.resample(Clip(Fraction(0), Fraction(1)), 20, max_gap=0.2)
    at = np.arange(20) / 20
    assert known.tolist() == ((at <= 0.25) | (at == 0.6)).tolist()


def test_clocks_and_columns(tmp_path: Path) -> None:
    start = 1_700_000_000_000_000_000  # ns, more digits than a double has
    ticks = [start + 5_000_000 * i for i in range(200)]
    rows = [f"{t},{i},{2 * i},x" for i, t in enumerate(ticks)]
    table = tmp_path / "a.csv"
    table.write_text("\n".join(["t_ns,gyro,accel,note", *rows]))
    nano = Fraction(1, 10**9)
    track = read_imu(table, ["accel", "gyro"], time="t_ns", unit=nano)
    assert np.allclose(track.times, np.arange(200) / 200, atol=1e-12, rtol=0)
    assert np.array_equal(track.values[:, 0], 2 * np.arange(200)) and track.names[1] == "gyro"
    later = read_imu(table, ["gyro"], time="t_ns", unit=nano, origin=Fraction(ticks[50]))
    values, valid = later.resample(Clip(Fraction(0), Fraction(1, 10)), 100)
    assert np.allclose(values[0], 50 + 2 * np.arange(10)) and valid.all()
    np.savez(tmp_path / "a.npz", t_ns=np.array(ticks), gyro=np.arange(600).reshape(200, 3))
    arrays = read_imu(tmp_path / "a.npz", time="t_ns", unit=nano)
    assert arrays.names == ("gyro_0", "gyro_1", "gyro_2") and arrays.values[3, 1] == 10
    assert np.array_equal(arrays.times, track.times)


def test_tables_that_cannot_be_used(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    for text, message in [
        ("time,x\n0,1\n0.1,2\n0.1,3", "reading 3 is not later"),
        ("time,x\n0,1\nsoon,2", "row 3: time = 'soon'"),
        ("time,x\n0,1\n0.1,nan", "reading 2 of x"),
        ("clock,x\n0,1", "no column 'time'"),
    ]:
        table.write_text(text)
        with pytest.raises(DatasetError, match=message):
            read_imu(table)


def test_sensors_in_a_data_set(tmp_path: Path) -> None:
    path = film(tmp_path / "films" / "a.mp4", 50, fps=25)
    (tmp_path / "imu").mkdir()
    rows = [f"{i / 100},{i}" for i in range(151)]  # 1.5 s, the video has 2
    (tmp_path / "imu" / "a.csv").write_text("\n".join(["time,x", *rows]))
    imu = Imu(BesideVideo(tmp_path / "imu", tmp_path / "films"), rate=50)
    data = ClipDataset(
        [VideoRecord(str(path), 0)],
        WINDOW,
        train=False,
        views=ViewProtocol(clips=3),
        modalities=[imu],
    )
    sample = data[0]
    assert sample["imu"].shape == (3, 1, 20)
    assert torch.allclose(sample["imu"][1, 0], 80 + 2 * torch.arange(20.0))  # from 0.8 s on
    assert sample["imu_valid"].tolist() == [[True] * 20, [True] * 20, [False] * 20]
