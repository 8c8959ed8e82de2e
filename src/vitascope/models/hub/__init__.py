"""Published models, declared once each.

Every name of `__all__` is a `ModelCard`: the first one that its family publishes under this name.
More of the same names, with other tags, are in the family files.
"""

from __future__ import annotations

import importlib

from vitascope.models.card import CARDS, ModelCard

# Files of this folder that publish cards.
FAMILIES = ("csn", "efficient_x3d", "mvit", "r2plus1d", "resnet", "slowfast", "x3d")

_others = set(CARDS)
for _family in FAMILIES:
    importlib.import_module(f"{__name__}.{_family}")
_first = {name: CARDS[name] for name in CARDS if name not in _others and "." not in name}
globals().update(_first)
__all__ = sorted(_first)  # pyright: ignore


def __getattr__(name: str) -> ModelCard:
    """Tells type checkers what the names are; only a name that no card has comes here."""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
