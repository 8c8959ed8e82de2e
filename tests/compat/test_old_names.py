"""Every public name of PyTorchVideo by its old path, with its parameters and their defaults."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.model_reference import old_names

pytestmark = pytest.mark.filterwarnings("ignore:pytorchvideo:DeprecationWarning")
PROMISED = (
    "pytorchvideo.models", "pytorchvideo.layers", "pytorchvideo.losses", "pytorchvideo.transforms",
    "pytorchvideo.accelerator.efficient_blocks",
)  # fmt: skip
# Functions whose home is elsewhere, as defaults: the last part of their names is compared.
RENAMED = {"_trivial_sum": "sum_fusion", "<lambda>": "sum_fusion"}


@pytest.fixture(scope="module")
def modules(shared: Path) -> dict[str, Any]:
    old_names()  # from now on the old paths are served
    path = shared / "reference" / "api" / "pytorchvideo_api.json"
    return dict(json.loads(path.read_text())["modules"])


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


def short(default: Any) -> str:
    """A default as the record writes it, without the modules of functions and classes."""
    if isinstance(default, tuple):
        inside = ", ".join(map(short, default))
        return f"({inside},)" if len(default) == 1 else f"({inside})"
    if inspect.isclass(default) or inspect.isfunction(default):
        return default.__name__
    return repr(default)


def recorded(text: str) -> str:
    if text.startswith("<") and not text.startswith("<function "):  # a member of an enumeration
        return text.replace(" ", "")
    if text.startswith("<function "):
        text = text.removeprefix("<function ").removesuffix(">")
    parts = text.replace("(", " ( ").replace(")", " ) ").replace(",", " , ").split()
    kept = []
    for part in parts:
        last = part.rpartition(".")[2]
        number = part.replace(".", "").replace("e-", "").lstrip("-").isdigit()
        kept.append(part if number or part[0] in "'\"" else RENAMED.get(last, last))
    return "".join(kept)


def described(old: dict[str, Any]) -> list[list[str]]:
    free = ("var_keyword", "var_positional")
    return [p for p in old["parameters"] if p[1] not in free and p[0] != "self"]


def check(where: str, new: Any, old: dict[str, Any]) -> None:
    """The old parameters exist, in their order, with their defaults."""
    mine = {n: p for n, p in inspect.signature(new).parameters.items() if n not in ("self", "obj")}
    wanted = described(old)
    for name, kind, *default in wanted:
        assert name in mine, f"{where}: no parameter {name}"
        have = mine[name]
        if default:
            got, want = short(have.default).replace(" ", ""), recorded(default[0])
            assert got == want, f"{where}({name}={got}), before {want}"
        if kind == "positional_or_keyword":
            assert have.kind is have.POSITIONAL_OR_KEYWORD, f"{where}: {name}"
    places = [p.name for p in mine.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    first = [p[0] for p in wanted if p[1] == "positional_or_keyword"]
    assert places[: len(first)] == first, f"{where}: {places}, before {first}"


def calls(modules: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for module, entry in modules.items():
        for name, old in entry["names"].items():
            yield module, name, old


def test_every_promised_name(modules: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    names = methods = 0
    for module, name, old in calls(modules):
        if not module.startswith(PROMISED):
            continue
        new = getattr(load(module), name)
        names += 1
        if old["kind"] == "value":
            continue
        assert callable(new), f"{module}.{name}"
        if described(old):
            check(f"{module}.{name}", new, old)
        for method in [*old.get("methods", {}), *old.get("properties", [])]:
            assert hasattr(new, method), f"{module}.{name}.{method}"
            methods += 1
    again = 0
    for module, entry in modules.items():
        if module.startswith(PROMISED):
            for name in entry.get("re_exports", {}):
                assert hasattr(load(module), name), f"{module}.{name}"
                again += 1
    with capsys.disabled():
        sys.stdout.write(f"\nold names: {names}, methods: {methods}, again in packages: {again}\n")
    assert names >= 130 and methods >= 100 and again >= 70


def test_names_of_data_and_deployment_that_exist(
    modules: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is there has the old parameters; what is not there yet is counted."""
    there = missing = 0
    for module, name, old in calls(modules):
        if module.startswith(PROMISED):
            continue
        try:
            new = getattr(load(module), name)
        except (ModuleNotFoundError, AttributeError):
            missing += 1
            continue
        there += 1
        if old["kind"] != "value" and described(old):
            check(f"{module}.{name}", new, old)
    with capsys.disabled():
        sys.stdout.write(f"old names of data and deployment: {there} there, {missing} not yet\n")
    assert there >= 5


def test_scriptable_attention_takes_its_arguments_by_place() -> None:
    """Here the number of heads is the second argument; at home it is the third."""
    old_names()
    module = load("pytorchvideo.layers.attention_torchscript")
    home = importlib.import_module("vitascope.layers.attention")
    attention = module.MultiScaleAttention(16, 2)
    assert attention.num_heads == 2 and isinstance(attention, home.MultiScaleAttention)
    block = module.ScriptableMultiScaleBlock(16, 32, 2, 4.0)
    assert isinstance(block, home.MultiScaleBlock)


def test_the_grid_of_positions_is_a_method_and_a_property() -> None:
    """One of the two originals had the first, the other the second."""
    old_names()
    for module in ("positional_encoding", "positional_encoding_torchscript"):
        loaded = load(f"pytorchvideo.layers.{module}")
        name = next(n for n in dir(loaded) if n.endswith("SpatioTemporalClsPositionalEncoding"))
        encoding = getattr(loaded, name)(8, (2, 3, 4))
        assert encoding.patch_embed_shape == encoding.patch_embed_shape() == (2, 3, 4)


def test_kept_modules_are_the_same_objects_and_moved_ones_say_so() -> None:
    old_names()
    assert load("pytorchvideo.models.x3d") is importlib.import_module("vitascope.models.x3d")
    sys.modules.pop("pytorchvideo.models.simclr", None)
    with pytest.warns(DeprecationWarning, match=r"is now vitascope\.ssl\.simclr"):
        importlib.import_module("pytorchvideo.models.simclr")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("pytorchvideo.models.nothing")
