"""Cards: complete, unique, each number with its source, none of it in prose."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import vitascope
from vitascope.errors import WeightsError
from vitascope.models import hub
from vitascope.models.card import ModelCard, publish
from vitascope.models.registry import create_model, get_card, list_cards, list_models
from vitascope.spec import LabelSpec


def real(card: ModelCard) -> bool:
    """Not a net that other tests registered."""
    return card.tag != "test"


SOURCE = Path(vitascope.__file__).parent / "models"
CONVOLUTIONAL = {"slow", "c2d", "i3d", "x3d", "csn", "r2p", "eff", "ima", "aco", "aud"}


def test_names_are_unique_and_tags_tell_variants_apart() -> None:
    cards = list_cards(real)
    assert len({card.full_name for card in cards}) == len(cards) > 40
    assert get_card("slow_r50") is hub.slow_r50
    assert get_card("slow_r50.k400_4x16") is not hub.slow_r50
    assert {"slow_r50", "slowfast_r50", "x3d_s"} <= set(list_models())
    assert "slow_r50.k400_8x8" not in list_models()
    detectors = list_models(lambda card: card.task == "detection")
    assert "slow_r50_detection" in detectors and "slow_r50" not in detectors
    with pytest.raises(ValueError, match="registered already"):
        publish(hub.slow_r50)


def test_every_result_has_a_source_and_every_file_an_address() -> None:
    for card in list_cards(real):
        for result in card.results:
            assert re.match(r"https://|arXiv:", result.source), card.full_name
            assert result.kind == "published" and 0 < result.value < 100
            assert result.metric in ("top1", "top5", "mAP") and "/" in result.dataset
        for weights in card.weights:
            assert weights.url.startswith("https://") and weights.dialect
        for cost in card.cost:
            assert cost.source.startswith("https://")
        assert card.paper.startswith("arXiv:") or not card.paper
        if card.tag != "untrained":
            assert card.labels.name, (
                f"{card.full_name}: its labels name no classes. Say for which its weights are, or "
                f'give it the tag "untrained"'
            )


@pytest.mark.parametrize(
    ("name", "scores"),
    [
        ("c2d_r50.k400_8x8", (71.46, 89.68)),
        ("i3d_r50.k400_8x8", (73.27, 90.70)),
        ("slow_r50.k400_4x16", (72.40, 90.18)),
        ("slow_r50.k400_8x8", (74.58, 91.63)),
        ("slowfast_r50.k400_4x16", (75.34, 91.89)),
        ("slowfast_r50.k400_8x8", (76.94, 92.69)),
        ("slowfast_r101.k400_8x8", (77.90, 93.27)),
        ("slowfast_16x8_r101_50_50.k400_16x8", (78.70, 93.61)),
        ("csn_r101.k400_32x2", (77.00, 92.90)),
        ("r2plus1d_r50.k400_16x4", (76.01, 92.23)),
        ("x3d_xs.k400_4x12", (69.12, 88.63)),
        ("x3d_s.k400_13x6", (73.33, 91.27)),
        ("x3d_m.k400_16x5", (75.94, 92.72)),
        ("x3d_l.k400_16x5", (77.44, 93.31)),
        ("slow_r50.ssv2_8x8", (60.04, 85.19)),
        ("slowfast_r50.ssv2_8x8", (61.68, 86.92)),
        ("slow_r50.charades_8x8", (34.72,)),
        ("slowfast_r50.charades_8x8", (37.24,)),
        ("slow_r50_detection.ava22_4x16", (19.5,)),
        ("slowfast_r50_detection.ava22_8x8", (24.67,)),
        ("slowfast_r50.k400_8x8_multigrid", (76.6, 92.7)),
        ("slowfast_r50.ssv2_16x8_multigrid", (63.5, 88.7)),
        ("slowfast_r50.charades_16x8_multigrid", (38.6,)),
        ("efficient_x3d_xs.k400_4x12", (68.5, 88.0)),
        ("efficient_x3d_xs.k400_4x12_int8", (66.9, 87.2)),
        ("efficient_x3d_s.k400_13x6", (73.0, 90.6)),
    ],
)
def test_published_rows(name: str, scores: tuple[float, ...]) -> None:
    assert tuple(result.value for result in get_card(name).results) == scores


def test_no_accuracy_address_or_pixel_statistics_in_prose() -> None:
    for card in list_cards(real):
        text = card.__doc__ or ""
        assert "http" not in text and card.full_name in text
        for result in card.results:
            assert f"{result.value}" not in text
    for path in SOURCE.rglob("*.py"):
        if path.parent.name == "hub" or path.name == "rows.py":
            continue
        text = path.read_text()
        assert "https://" not in text and "0.225" not in text, path


def test_calling_a_card_builds_what_its_originals_build(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        detection = hub.slow_r50_detection()
        logits = create_model("slow_r50_detection", num_classes=7)
    assert isinstance(detection.detection_head.activation, torch.nn.Sigmoid)
    assert logits.detection_head.activation is None and logits.num_classes == 7
    with torch.device("meta"):
        short = hub.slow_r50(head_pool_kernel_size=(2, 7, 7), model_num_class=3)
    assert short.num_classes == 3
    assert short.inputs.minimum == ((2, 193, 193),), "an argument of the card can be replaced"


def test_pretrained_without_weights() -> None:
    with pytest.raises(WeightsError, match="no published weights are known"), torch.device("meta"):
        hub.audio_visual_slowfast_r50(pretrained=True)


def test_a_card_is_a_hub_entry() -> None:
    """torch.hub calls entries and prints their documentation."""
    assert callable(hub.x3d_s) and hub.x3d_s.__name__ == "x3d_s"
    assert "13 frames" in (hub.x3d_s.__doc__ or "")
    copy = replace(hub.x3d_s, labels=LabelSpec(names=("a", "b")))
    assert isinstance(copy, ModelCard) and copy.args == hub.x3d_s.args
    with pytest.raises(TypeError):
        hub.x3d_s.args["depth_factor"] = 1.0  # type: ignore[index]
