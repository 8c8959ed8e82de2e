"""The comparison itself: figures from models whose difference is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vitascope.accelerator.artifact import Inputs, pathways
from vitascope.accelerator.verify import verify_export
from vitascope.errors import VerificationError


def _clip(*scores: float) -> Tensor:
    """A clip whose scores are its first pixels."""
    return torch.tensor(scores).reshape(1, 1, 1, -1)


def _read(inputs: Inputs) -> Tensor:
    return pathways(inputs)[0][:, 0, 0, 0]


def test_figures() -> None:
    clips = [_clip(1.0, 3.0), _clip(8.0, 2.0), _clip(0.1, 0.0)]

    def other(inputs: Inputs) -> Tensor:
        return _read(inputs) + torch.tensor([0.0, 0.25])

    result = verify_export(_read, other, clips, tolerance=0.1, target="x", repeats=4)
    assert result.max_abs_diff == pytest.approx(0.25)
    assert result.allowed == pytest.approx(0.8)  # a tenth of the largest score, 8
    assert result.ok and result.n_clips == 3 and result.repeats == 4
    assert result.top1_agreement == pytest.approx(2 / 3)  # only the third clip is that close
    assert result.threads == torch.get_num_threads()
    before, after = torch.tensor([0.1, 0.0]), torch.tensor([0.1, 0.25])
    expected = max(
        float((torch.stack([_read(c[None])[0] for c in clips]).softmax(1)
               - torch.stack([other(c[None])[0] for c in clips]).softmax(1)).abs().max()),
        float((before.softmax(0) - after.softmax(0)).abs().max()),
    )  # fmt: skip
    assert result.max_abs_diff_probability == pytest.approx(expected)
    assert not verify_export(_read, other, clips, tolerance=0.03, repeats=1).ok


def test_small_scores_are_compared_absolutely() -> None:
    def other(inputs: Inputs) -> Tensor:
        return _read(inputs) * 1.5

    assert verify_export(_read, other, [_clip(0.001, 0.002)], tolerance=0.01, repeats=1).ok


@pytest.mark.parametrize("side", [0, 1])
def test_nan_is_never_within_tolerance(side: int) -> None:
    def broken(inputs: Inputs) -> Tensor:
        return _read(inputs) * math.nan

    pair = (broken, _read) if side == 0 else (_read, broken)
    result = verify_export(*pair, [_clip(1.0, 2.0)], tolerance=1e9, repeats=1)
    assert not result.ok
    assert result.to_json()["max_abs_diff"] is None


def test_a_fixed_batch_size_is_found() -> None:
    def fixed(inputs: Inputs) -> Tensor:
        return _read(inputs)[:1].expand(len(pathways(inputs)[0]), -1)

    assert not verify_export(_read, fixed, [_clip(1.0, 2.0), _clip(2.0, 1.0)], tolerance=0.1).ok


def test_other_outputs_and_no_clips() -> None:
    with pytest.raises(VerificationError, match=r"\(3,\).*\(2,\)"):
        verify_export(
            _read, lambda x: torch.zeros(len(pathways(x)[0]), 3), [_clip(1, 2)], tolerance=1
        )
    with pytest.raises(VerificationError, match="real clips"):
        verify_export(_read, _read, [], tolerance=1)


def test_slower_model_shows_in_the_latency() -> None:
    import time

    def slow(inputs: Inputs) -> Tensor:
        time.sleep(0.005)
        return _read(inputs)

    result = verify_export(_read, slow, [_clip(1.0, 2.0)], tolerance=1, repeats=5)
    assert result.latency_ms >= 5 > result.latency_ms_before
