"""Recipes by name: what is found, what is refused and why, and that each one trains."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vitascope.data.render import render_motion_dataset
from vitascope.engine import overrides
from vitascope.engine.config import ModelConfig, Recipe
from vitascope.engine.train import fit
from vitascope.errors import ConfigError
from vitascope.recipes.stored import list_recipes, load_recipe
from vitascope.spec import ClipSpec, PixelSpec

MINE = Recipe(
    model=ModelConfig(name="x3d_xs"),
    clip=ClipSpec(num_frames=4),
    pixels=PixelSpec(short_side=32, crop=(32, 32)),
)
MODULE = """
from vitascope.engine.config import ModelConfig, Recipe
from vitascope.spec import ClipSpec, PixelSpec


def small(name: str = "x3d_xs") -> Recipe:
    return Recipe(
        model=ModelConfig(name=name),
        clip=ClipSpec(num_frames=4),
        pixels=PixelSpec(short_side=32, crop=(32, 32)),
    )


def needy(name: str) -> Recipe:
    return small(name)


def number() -> int:
    return 3


constant = 3
_hidden = small
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "my_own_recipes.py").write_text(MODULE)
    (tmp_path / "broken_recipes.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_own_recipes"


def test_a_function_that_can_be_imported(module: str) -> None:
    assert load_recipe(f"{module}:small") == MINE


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my_own_recipes:smal", "the module my_own_recipes has no function smal"),
        ("my_own_recipes:constant", "has no function constant"),
        ("my_own_recipes:needy", "called without arguments; missing a required argument: 'name'"),
        ("my_own_recipes:number", "returns int; a recipe returns a Recipe"),
        ("no_such_module:small", r"Python cannot import no_such_module .*PYTHONPATH"),
        ("broken_recipes:small", r"cannot import broken_recipes \(No module named 'no_such_pack"),
        ("folder.nothing", "the module vitascope.recipes.folder has no function nothing"),
        ("nothing.at_all", "no such run or recipe"),
        ("a/b/run.json", "no such run or recipe"),
    ],
)
def test_what_is_no_recipe_is_refused(module: str, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_recipe(name)


def test_functions_of_the_package_are_found_by_name(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of the package, and one more."""
    before = list_recipes()
    import vitascope.recipes

    monkeypatch.setattr(vitascope.recipes, "__path__", [*vitascope.recipes.__path__, str(tmp_path)])
    (tmp_path / "broken_recipes.py").unlink()
    found = list_recipes()
    assert found.keys() - before == {f"{module}.small"}
    assert load_recipe(f"{module}.small") == MINE
    with pytest.raises(ConfigError, match=rf"Did you mean {module}\.small\?"):
        load_recipe("my_own_recipe.small")


def test_what_is_there_as_a_file_comes_first(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = replace(MINE, task="other")
    Path(f"{module}:small").write_text(json.dumps(other.to_json()))
    assert load_recipe(f"{module}:small") == other


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(list_recipes()))
def test_two_steps(name: str, tmp_path: Path) -> None:
    render_motion_dataset(tmp_path / "clips", ("grow", "move_left"), {"train": 1}, frames=16)
    settings = [
        f"data.path={tmp_path / 'clips'}", "data.workers=0", "data.cache=false", "data.val_share=0",
        "optim.batch_size=1", "optim.accumulate=1", "optim.epochs=1", "clip.short=loop",
        "run.devices=1", "model.init=none",
    ]  # fmt: skip
    recipe = overrides.apply_overrides(load_recipe(name), settings)
    assert fit(recipe, tmp_path / "run").step == 2
