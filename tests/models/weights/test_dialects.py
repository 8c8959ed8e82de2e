"""Every dialect names some model, and what it names comes back with the same values."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from support.small_models import builder_name, small
from vitascope.errors import WeightsError
from vitascope.models.base import VideoModel
from vitascope.models.registry import get_card, list_models
from vitascope.models.weights import DIALECTS, convert_state_dict, export_state_dict

# Dialects of models of other libraries are tested with these (tests/models/foreign).
NAMES = [name for name, dialect in DIALECTS.items() if dialect.by_model is None]


@cache
def networks() -> dict[str, VideoModel]:
    """A small model of each builder."""
    cards = [get_card(name) for name in list_models(lambda card: card.tag != "test")]
    return {card.name: small(card)[0] for card in {builder_name(c): c for c in cards}.values()}


@pytest.mark.parametrize("name", NAMES)
def test_there_and_back(name: str) -> None:
    dialect, count = DIALECTS[name], 0
    assert dialect.title, f"dialect {name!r} has no title"
    for card, model in networks().items():
        if dialect.table(model) is None:
            continue
        try:
            theirs = export_state_dict(model.state_dict(), model, name)
        except WeightsError as error:  # a kind of model that only its table can tell apart
            assert "has no name for" in str(error)
            continue
        count += 1
        back, report = convert_state_dict(theirs, model)
        assert report.fits, f"dialect {name!r}: names of {card} do not come back; {report}"
        for entry, value in model.state_dict().items():
            if not entry.endswith("num_batches_tracked"):
                assert torch.equal(back[entry], value), f"dialect {name!r}: {card}, {entry}"
        if set(theirs) != set(model.state_dict()):
            assert report.dialect == name, (
                f"dialect {name!r}: entries of {card} are taken for those of {report.dialect}"
            )
    assert count, f"dialect {name!r}: naming() gives no table for any model of the hub"
