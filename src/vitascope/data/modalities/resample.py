"""Sound at another sampling rate: band-limited interpolation at exactly known places.

FFmpeg's resampler starts its filter where it is fed the first sample, so the same second of sound
comes out differently for clips that begin elsewhere. Here each output sample is computed from its
own place on the file's clock, and so is the same in every clip that contains it.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

_LOBES = 24  # zero crossings of the filter on each side
_ROLLOFF = 0.95  # end of the pass band as a part of the lower of both half rates
_BETA = 10.0  # of the Kaiser window: stop band below -90 dB
_CHUNK = 4096  # output samples computed at once, so that memory stays flat


def support(rate: int, out: int) -> int:
    """Samples of the input needed on each side of an output sample."""
    return int(np.ceil(_LOBES / _cutoff(Fraction(rate, out)))) + 1


def resample_at(
    samples: npt.NDArray[np.float32], place: Fraction, step: Fraction, count: int
) -> npt.NDArray[np.float32]:
    """Values of a sound between its samples.

    Args:
        samples: float32 C N.
        place: where the first output sample lies, in samples of the input; `support` of them must
            lie before it, and after the last.
        step: distance of the output samples in samples of the input.
        count: how many.

    Returns:
        float32 C `count`.
    """
    if not count:
        return np.zeros((samples.shape[0], 0), np.float32)
    cutoff = _cutoff(step)
    half = int(np.ceil(_LOBES / cutoff)) + 1
    phases = min(step.denominator, count)  # after so many outputs the fractions come again
    places = [place + k * step for k in range(phases)]
    # Whole parts in whole numbers: floats would slip after hours of sound.
    base = np.array([p // 1 for p in places], np.int64)
    kernels = _kernels(np.array([float(p % 1) for p in places]), half, cutoff)
    windows = np.lib.stride_tricks.sliding_window_view(samples, 2 * half, axis=1)
    out = np.empty((samples.shape[0], count), np.float32)
    for first in range(0, count, _CHUNK):
        numbers = np.arange(first, min(first + _CHUNK, count), dtype=np.int64)
        phase = numbers % phases
        whole = base[phase] + numbers // phases * step.numerator
        taken = windows[:, whole - half + 1]
        out[:, first : first + len(numbers)] = np.einsum("ckt,kt->ck", taken, kernels[phase])
    return out


def _cutoff(step: Fraction) -> float:
    return _ROLLOFF * min(1.0, float(1 / step))


def _kernels(
    fractions: npt.NDArray[np.float64], half: int, cutoff: float
) -> npt.NDArray[np.float64]:
    """For each place floor + fraction, weights of the inputs floor - half + 1 ... floor + half."""
    distance = fractions[:, None] - np.arange(-half + 1, half + 1)
    reach = _LOBES / cutoff
    inside = np.clip(1 - (distance / reach) ** 2, 0, None)
    window = np.i0(_BETA * np.sqrt(inside)) / np.i0(_BETA) * (np.abs(distance) <= reach)
    kernels = np.asarray(cutoff * np.sinc(cutoff * distance) * window, np.float64)
    return np.asarray(kernels / kernels.sum(axis=1, keepdims=True))  # a constant stays what it is
