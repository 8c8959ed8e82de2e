"""The images of sound that PyTorchVideo's Ego4D data set gives, with torchaudio's definitions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vitascope.data.modalities.audio_features import mel_filters
from vitascope.errors import InputError

HOP = 512  # samples from one column to the next


class Spectrogram(nn.Module):
    """Power of each frequency, sound ... S to ... F T.

    Column t is centered on sample 512 t, the ends are mirrored, the window is Hann's; so
    F = n_fft / 2 + 1 and T = S / 512 + 1, rounded down.

    Args:
        n_fft: samples of a window.
    """

    def __init__(self, n_fft: int = 1024) -> None:
        super().__init__()
        self.n_fft = n_fft
        window = torch.hann_window(n_fft, dtype=torch.float64)
        self.register_buffer("window", window, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The power.

        Raises:
            InputError: not more than half a window of sound.
        """
        if x.shape[-1] <= self.n_fft // 2:
            raise InputError(
                f"{x.shape[-1]} samples of sound; a spectrum needs more than {self.n_fft // 2}"
            )
        flat = x.reshape(-1, x.shape[-1])
        window: Tensor = self.get_buffer("window")
        lines = torch.stft(
            flat, self.n_fft, HOP, window=window.to(x.dtype), center=True, pad_mode="reflect",
            return_complex=True,
        )  # fmt: skip
        return lines.abs().square().reshape(*x.shape[:-1], *lines.shape[1:])


class MelSpectrogram(nn.Module):
    """Power in bands that are even on the mel scale, sound ... S to ... F T; see `Spectrogram`.

    Args:
        sample_rate: samples a second.
        n_fft: samples of a window.
        n_mels: number of bands, from 0 to half the rate.
        unit_area: weights of a band have area 1 (over Hz); False gives them the peak 1.
    """

    def __init__(
        self, sample_rate: int, n_fft: int = 1024, n_mels: int = 64, unit_area: bool = True
    ) -> None:
        super().__init__()
        self.spectrogram = Spectrogram(n_fft)
        filters = mel_filters(n_mels, n_fft, sample_rate)
        if unit_area:
            top = 2595 * math.log10(1 + sample_rate / 2 / 700)
            mels = torch.linspace(0, top, n_mels + 2, dtype=torch.float64)
            edges = 700 * (10 ** (mels / 2595) - 1)
            filters = filters * (2 / (edges[2:] - edges[:-2]))
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The power in the bands."""
        filters: Tensor = self.get_buffer("filters")
        return torch.matmul(filters.T.to(x.dtype), self.spectrogram(x))


class Mfcc(nn.Module):
    """Cosine transform of the loudness of mel bands in dB, sound ... S to ... K T.

    Loudness is cut 80 dB below the loudest value of a sound.

    Args:
        sample_rate: samples a second.
        n_mfcc: number of coefficients.
        n_mels: number of bands.
        n_fft: samples of a window.
    """

    def __init__(
        self, sample_rate: int, n_mfcc: int = 256, n_mels: int = 256, n_fft: int = 2048
    ) -> None:
        super().__init__()
        self.bands = MelSpectrogram(sample_rate, n_fft, n_mels, unit_area=False)
        k, n = torch.arange(n_mfcc).double(), torch.arange(n_mels).double()
        waves = torch.cos(math.pi / n_mels * (n + 0.5) * k[:, None]) * math.sqrt(2 / n_mels)
        waves[0] /= math.sqrt(2)
        self.register_buffer("waves", waves, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The coefficients."""
        loud = 10 * torch.log10(self.bands(x).clamp(min=1e-10))
        loud = torch.maximum(loud, loud.amax((-2, -1), keepdim=True) - 80)
        waves: Tensor = self.get_buffer("waves")
        return torch.matmul(waves.to(x.dtype), loud)
