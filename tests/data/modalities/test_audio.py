"""Sound: the right samples for a clip, at any rate, wherever the sound begins and ends."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from support.sound import chirp, chirp_at, clicks, film_with_sound, tone
from vitascope.data.clips import Clip
from vitascope.data.decoder import open_video
from vitascope.data.modalities.audio import SoundReader, sample_count
from vitascope.errors import ConfigError, DecodeError

RATE = 48000


def reader(path: Path) -> SoundReader:
    with open_video(path) as video:
        return SoundReader(str(path), video.start)


def test_a_second_has_as_many_samples_as_its_rate(tmp_path: Path) -> None:
    sound = reader(film_with_sound(tmp_path / "a.mov", tone(2, 44100), 44100))
    for rate in (16000, 8000, 22050, 44100, 48000):
        for start in (Fraction(0), Fraction(1, 3), Fraction(1)):
            found = sound.read(Clip(start, start + 1), rate)
            assert found.samples.shape == (1, rate) and found.rate == rate and found.has_audio
    assert sample_count(Fraction(1001, 30000), 16000) == 534  # 533.87
    assert sound.read(Clip(Fraction(0), Fraction(1))).samples.shape == (1, 44100)


def test_samples_at_the_rate_of_the_file_are_those_that_were_written(tmp_path: Path) -> None:
    wave = chirp(2, RATE)
    sound = reader(film_with_sound(tmp_path / "a.mov", wave, RATE))
    written = torch.from_numpy(np.round(wave * 32767) / 32768).float()
    for start, end in [(0, 2), (Fraction(1, 3), 1), (Fraction(3, 2), Fraction(8, 5))]:
        found = sound.read(Clip(Fraction(start), Fraction(end))).samples
        assert torch.equal(found, written[:, int(start * RATE) : int(end * RATE)])


def test_clicks_are_heard_when_they_were_made(tmp_path: Path) -> None:
    times = [0.25, 0.5, 1.1, 1.9]
    path = film_with_sound(tmp_path / "a.mov", clicks(2, RATE, times), RATE)
    sound = reader(path)
    for rate in (16000, RATE):
        heard = sound.read(Clip(Fraction(1, 5), Fraction(2)), rate).samples[0].abs()
        peaks = torch.nonzero(heard > 0.2).flatten() / rate + 0.2
        assert torch.allclose(peaks.double(), torch.tensor(times).double(), atol=0.5 / rate)


def test_resampling_gives_the_values_between_the_samples(tmp_path: Path) -> None:
    """Against the closed form of the chirp, away from the ends, where the sound itself ends."""
    sound = reader(film_with_sound(tmp_path / "a.mov", chirp(2, 44100), 44100))
    for rate in (16000, 48000, 22050):
        found = sound.read(Clip(Fraction(1, 4), Fraction(7, 4)), rate).samples[0].numpy()
        first = (rate + 2) // 4  # the sample nearest to the start
        wanted = 0.5 * chirp_at((first + np.arange(len(found))) / rate, 2)
        assert np.abs(found - wanted).max() < 2e-4


def test_what_the_lower_rate_cannot_carry_is_taken_out(tmp_path: Path) -> None:
    sound = reader(film_with_sound(tmp_path / "a.mov", tone(1, RATE, 11000.0), RATE))
    found = sound.read(Clip(Fraction(1, 4), Fraction(3, 4)), 16000).samples
    assert found.abs().max() < 1e-3  # 11 kHz would come out as 5 kHz


def test_resampled_clips_that_touch_are_the_whole_in_pieces(tmp_path: Path) -> None:
    sound = reader(film_with_sound(tmp_path / "a.mov", chirp(2, 44100), 44100))
    whole = sound.read(Clip(Fraction(0), Fraction(2)), 16000).samples
    parts = [sound.read(Clip(Fraction(i, 8), Fraction(i + 1, 8)), 16000).samples for i in range(16)]
    assert torch.equal(torch.cat(parts, 1), whole)


def test_ffmpegs_own_resampler_agrees(tmp_path: Path) -> None:
    wave = chirp(2, 44100, 100, 6000)
    sound = reader(film_with_sound(tmp_path / "a.mov", wave, 44100))
    found = sound.read(Clip(Fraction(0), Fraction(2)), 16000).samples[0].numpy()
    made = av.AudioFrame.from_ndarray(wave.astype(np.float32), format="fltp", layout="mono")
    made.sample_rate = 44100
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=16000)
    pieces = [*resampler.resample(made), *resampler.resample(None)]
    other = np.concatenate([piece.to_ndarray()[0] for piece in pieces])
    inner = slice(2000, 30000)
    assert np.abs(found[inner] - other[inner]).max() < 5e-3


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mov", "pcm_s16le"), (".mp4", "aac"), (".mkv", "aac"), (".mkv", "libopus"),
     (".mkv", "pcm_s16le"), (".mpg", "mp2"), (".ts", "aac")],
)  # fmt: skip
def test_a_clip_does_not_depend_on_where_reading_began(
    tmp_path: Path, suffix: str, codec: str
) -> None:
    path = film_with_sound(tmp_path / f"a{suffix}", chirp(3, RATE), RATE, frames=75, codec=codec)
    sound = reader(path)
    whole = sound.read(Clip(Fraction(0), Fraction(3))).samples
    late = sound.read(Clip(Fraction(2), Fraction(5, 2))).samples
    # AAC decoders fill bands with noise that depends on what was decoded before: up to
    # two steps of 16 bits. All other codecs and containers give the same bits.
    tolerance = 5e-5 if (suffix, codec) == (".mp4", "aac") else 0.0
    assert (late - whole[:, RATE * 2 : RATE * 5 // 2]).abs().max() <= tolerance
    wanted = 0.5 * chirp_at(2 + np.arange(RATE // 2) / RATE, 3)
    error = late[0].numpy() - wanted
    assert np.sqrt((error**2).mean()) < (0.002 if codec.startswith("pcm") else 0.05)


@pytest.mark.parametrize("delay", [Fraction(1, 2), Fraction(-1, 4)])
def test_sound_that_begins_late_or_early(tmp_path: Path, delay: Fraction) -> None:
    path = film_with_sound(tmp_path / "a.mkv", clicks(1, RATE, [0.4]), RATE, delay=max(delay, 0))
    shift = max(delay, Fraction(0))
    if delay < 0:  # the image begins after the sound: the clock is that of the image
        sound = SoundReader(str(path), -delay)
        shift = delay
    else:
        sound = reader(path)
    heard = sound.read(Clip(Fraction(0), Fraction(2)))
    peak = int(heard.samples[0].abs().argmax())
    assert peak == int((Fraction(2, 5) + shift) * RATE)
    assert heard.has_audio
    if delay > 0:
        before = sound.read(Clip(Fraction(0), delay))
        assert not before.has_audio and not before.samples.any()
        partly = sound.read(Clip(Fraction(0), delay + Fraction(1, 100)))
        assert partly.has_audio
    after = sound.read(Clip(1 + shift, 2 + shift))
    assert not after.has_audio and after.samples.shape == (1, RATE) and not after.samples.any()


def test_stereo_is_mixed_or_kept(tmp_path: Path) -> None:
    both = np.concatenate([tone(1, RATE, 300), tone(1, RATE, 900)])
    sound = reader(film_with_sound(tmp_path / "a.mov", both, RATE))
    clip = Clip(Fraction(0), Fraction(1))
    kept = sound.read(clip, mono=False).samples
    assert kept.shape == (2, RATE)
    assert torch.allclose(kept, torch.from_numpy(both).float(), atol=1e-4)
    assert torch.allclose(sound.read(clip).samples, kept.mean(0, keepdim=True), atol=1e-7)


def test_no_sound_is_zeros_and_said(tmp_path: Path) -> None:
    from support.videos import film

    sound = reader(film(tmp_path / "a.mp4"))
    found = sound.read(Clip(Fraction(0), Fraction(1)))
    assert not sound.has_stream and not found.has_audio
    assert found.samples.shape == (1, 16000) and not found.samples.any()
    with pytest.raises(ConfigError, match="rate = 0"):
        sound.read(Clip(Fraction(0), Fraction(1)), 0)


def test_damaged_sound_is_an_error(tmp_path: Path) -> None:
    path = film_with_sound(tmp_path / "a.mp4", chirp(2, RATE), RATE, codec="aac")
    sound = reader(path)
    path.write_bytes(b"no film")
    with pytest.raises(DecodeError, match="cannot be opened"):
        sound.read(Clip(Fraction(0), Fraction(1)))


def test_picture_and_sound_of_different_length(shared: Path) -> None:
    late = shared / "data" / "codecs" / "video_starts_1s_late.mp4"
    sound = reader(late)
    second = sound.read(Clip(Fraction(0), Fraction(1)))
    of_file = SoundReader(str(late)).read(Clip(Fraction(1), Fraction(2)))
    assert second.has_audio and torch.equal(second.samples, of_file.samples)
    # The sound lasts 3 s of the file, which is 2 s of the image (and the rest of a packet).
    assert not sound.read(Clip(Fraction(21, 10), Fraction(3))).has_audio
    longer = reader(shared / "data" / "codecs" / "audio_longer_than_video.mp4")
    assert longer.read(Clip(Fraction(3, 2), Fraction(5, 2)), 16000).samples[:, ::4000].any()


@pytest.mark.parametrize("name", ["vp8_vorbis.webm", "mpeg4_mp3.avi", "mpeg1_mp2.mpg"])
def test_parts_of_shared_films_are_cut_from_the_whole(shared: Path, name: str) -> None:
    path = shared / "data" / "codecs" / name
    with open_video(path) as video:
        sound, end = SoundReader(str(path), video.start), video.duration
    whole = sound.read(Clip(Fraction(0), end)).samples
    half = sound.read(Clip(end / 2, end)).samples
    assert torch.equal(half, whole[:, -half.shape[1] :]) and half.any()
