"""Which names belong to another library, and the cards of those models."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from vitascope.models.card import ModelCard

LIBRARIES = {"hf": "transformers", "timm": "timm"}
"""Prefix of a name -> the library's package."""

# Loaded when asked for: each needs its library.
_CARDS = {
    "hf": "vitascope.models.foreign.transformers:transformers_card",
    "timm": "vitascope.models.foreign.timm:timm_card",
}


def is_foreign(name: str) -> bool:
    """Whether a name belongs to another library ("hf:...", "timm:...")."""
    prefix, colon, rest = name.partition(":")
    return bool(colon and rest) and prefix in LIBRARIES


def foreign_card(name: str, args: Mapping[str, Any] | None = None) -> ModelCard:
    """The card of a model of another library, read from its own configuration.

    Args:
        name: see the module.
        args: arguments of the builder that are known already; a stored `config` is taken from
            here, so that a trained model needs neither folder nor hub.

    Raises:
        MissingExtraError: the other library is not installed.
        UnknownNameError: it knows no such model, or one of a kind that is not understood here.
        WeightsError: the configuration cannot be read.
    """
    prefix, _, source = name.partition(":")
    module, _, function = _CARDS[prefix].partition(":")
    build: Callable[..., ModelCard] = getattr(importlib.import_module(module), function)
    return build(source, dict(args or {}))
