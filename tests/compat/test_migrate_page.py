"""The table of old paths is what the finder serves, and every row of it leads somewhere."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from support.model_reference import old_names
from vitascope.compat.places import find, module_homes, names_of, old_modules

pytestmark = pytest.mark.filterwarnings("ignore:pytorchvideo:DeprecationWarning")
DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_of_old_paths() -> None:
    spec = importlib.util.spec_from_file_location("generate_migrate", DOCS / "generate_migrate.py")
    assert spec is not None and spec.loader is not None
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    text = (DOCS / "migrate" / "pytorchvideo-table.md").read_text(encoding="utf-8")
    assert text == pages.page(), "write it again: python docs/generate_migrate.py"


def value(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_every_row_leads_to_the_object_of_the_old_path() -> None:
    old_names()
    text = (DOCS / "migrate" / "pytorchvideo-table.md").read_text(encoding="utf-8")
    modules, names = text.split("## Names")
    rows = re.findall(r"^\| `([\w.]+)` \| `([\w.]+)` \|$", names, re.M)
    assert len(rows) > 10
    for old, new in rows:
        assert value(old) is value(new), old
    for old in re.findall(r"^\| `([\w.]+)` \|", modules, re.M):
        importlib.import_module(old)
    count = 0
    for module in old_modules():
        for name in names_of(module):
            place = find(module, name)
            assert place is not None and module_homes(module) is not None
            there = getattr(importlib.import_module(place.module), place.name)
            assert there is value(f"{module}.{name}"), (module, name)
            count += 1
    assert count > 250
