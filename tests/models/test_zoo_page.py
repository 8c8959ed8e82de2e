"""The pages of the zoo are what the cards give."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from vitascope.models.registry import list_cards

DOCS = Path(__file__).resolve().parents[2] / "docs"
AGAIN = "write it again: python docs/generate_zoo.py"


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_zoo", DOCS / "generate_zoo.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_cards(pages: ModuleType) -> None:
    text = (DOCS / "zoo.md").read_text(encoding="utf-8")
    assert text == pages.zoo(), AGAIN
    assert text.count("\n| `") == len(list_cards(lambda card: card.tag != "test"))


def test_the_page_of_sizes_names_every_card(pages: ModuleType) -> None:
    text = (DOCS / "zoo-sizes.md").read_text(encoding="utf-8")
    assert all(f"| `{pages.short(card)}` |" in text for card in pages.known()), AGAIN


@pytest.mark.slow
def test_the_page_of_sizes(pages: ModuleType) -> None:
    assert (DOCS / "zoo-sizes.md").read_text(encoding="utf-8") == pages.sizes(), AGAIN
