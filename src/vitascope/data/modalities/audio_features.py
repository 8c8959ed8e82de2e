"""Log-mel spectrograms, the images of sound that models look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from vitascope.errors import ConfigError, InputError


@dataclass(frozen=True)
class LogMel:
    """Turns sound into the logarithm of its power in bands that are even on the mel scale.

    Row k belongs to the samples [k * hop, (k + 1) * hop) and its window is centered on them, so
    rows share the clock of the frames: a clip of 1 s has 1 / hop rows. Beyond the ends of the
    clip the window sees zeros.

    Args:
        rate: samples a second of the sound.
        window: seconds of the (Hann) window.
        hop: seconds from one row to the next.
        num_mels: number of bands.
        low: frequency at which the lowest band begins.
        high: frequency at which the highest band ends; None is half the rate.
        floor: power below which the logarithm stays the same.

    Raises:
        ConfigError: values that contradict each other.
    """

    rate: int = 16000
    window: float = 0.025
    hop: float = 0.01
    num_mels: int = 80
    low: float = 0.0
    high: float | None = None
    floor: float = 1e-6

    def __post_init__(self) -> None:
        top = self.rate / 2 if self.high is None else self.high
        if not 0 <= self.low < top <= self.rate / 2:
            raise ConfigError(
                f"bands from {self.low:g} to {top:g} Hz; they end at half the rate, "
                f"{self.rate / 2:g} Hz, at the latest"
            )
        if not 1 <= self.hop_samples <= self.window_samples:
            raise ConfigError(f"hop = {self.hop} s; above 0 and not over {self.window} s")
        if self.num_mels < 1 or self.floor <= 0:
            raise ConfigError(f"num_mels = {self.num_mels}, floor = {self.floor}; above 0")

    @property
    def window_samples(self) -> int:
        """Samples of the window."""
        return round(self.window * self.rate)

    @property
    def hop_samples(self) -> int:
        """Samples from one row to the next."""
        return round(self.hop * self.rate)

    @property
    def fft_size(self) -> int:
        """Points of the Fourier transform: the power of two that holds the window."""
        return 1 << (self.window_samples - 1).bit_length()

    def __call__(self, samples: Tensor) -> Tensor:
        """Float32 C S to float32 C T F with T = S / hop, rounded down, and F bands.

        Raises:
            InputError: less sound than one hop.
        """
        rows = samples.shape[-1] // self.hop_samples
        if rows < 1:
            raise InputError(
                f"{samples.shape[-1]} samples of sound make no row of {self.hop_samples}; use "
                "longer clips or a smaller hop"
            )
        before = (self.window_samples - self.hop_samples) // 2
        needed = (rows - 1) * self.hop_samples + self.window_samples
        after = max(needed - before - samples.shape[-1], 0)
        padded = functional.pad(samples, (before, after))
        windows = padded.unfold(-1, self.window_samples, self.hop_samples)[..., :rows, :]
        hann = torch.hann_window(self.window_samples, dtype=samples.dtype)
        power = torch.fft.rfft(windows * hann, self.fft_size).abs() ** 2
        filters = mel_filters(self.num_mels, self.fft_size, self.rate, self.low, self.high)
        return torch.clamp(power @ filters.to(power.dtype), min=self.floor).log()


@lru_cache(maxsize=8)
def mel_filters(
    count: int, fft_size: int, rate: int, low: float = 0.0, high: float | None = None
) -> Tensor:
    """Triangular bands, each from the middle of the one before to the middle of the next.

    Middles are even on the scale mel = 2595 log10(1 + f / 700).

    Returns:
        Weights, float64 (fft_size / 2 + 1) x `count`; the peak of a band is 1.
    """
    top = rate / 2 if high is None else high
    ends = 2595 * torch.log10(1 + torch.tensor([low, top], dtype=torch.float64) / 700)
    mels = torch.linspace(float(ends[0]), float(ends[1]), count + 2, dtype=torch.float64)
    edges = 700 * (10 ** (mels / 2595) - 1)
    lines = torch.arange(fft_size // 2 + 1, dtype=torch.float64) * rate / fft_size
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (lines[:, None] - left) / (middle - left)
    falling = (right - lines[:, None]) / (right - middle)
    return torch.minimum(rising, falling).clamp(min=0)
