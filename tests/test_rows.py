"""What can be added is made known by its row, and every row leads to something whole.

Each test fails with a sentence that says what is missing and where it goes; docs/contributing.md
walks through each kind.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import vitascope
from vitascope import transforms
from vitascope.accelerator.export.target import TARGETS, ExportTarget
from vitascope.cli.app import COMMANDS
from vitascope.data.decoder import BACKENDS, DecoderType
from vitascope.data.sets import DATASETS
from vitascope.data.sets.card import DatasetCard, get_dataset
from vitascope.engine.tasks import TASKS
from vitascope.models import hub
from vitascope.models.registry import get_card, list_models

ROOT = Path(vitascope.__file__).parent
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(folder: str) -> list[Path]:
    return [path for path in sorted((ROOT / folder).glob("*.py")) if path.stem != "__init__"]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def dotted(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


@cache
def imported() -> frozenset[str]:
    """Every module of the package that another one imports."""
    found: set[str] = set()
    for path in ROOT.rglob("*.py"):
        names: set[str] = set()
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        found |= names - {dotted(path)}
    return frozenset(found)


def modules(homes: Iterable[str]) -> set[str]:
    """The files that rows "module:attribute" lead to."""
    return {home.partition(":")[0].rpartition(".")[2] for home in homes}


@dataclass(frozen=True)
class Room:
    """A folder whose files are made known by a table.

    Attributes:
        folder: below the package.
        what: what such a file holds.
        row: what is to be written where.
        named: files that rows lead to, where the table does not import them.
        exempt: files that nothing needs to lead to, with the reason.
    """

    folder: str
    what: str
    row: str
    named: Callable[[], set[str]] = set
    exempt: tuple[tuple[str, str], ...] = ()


ROOMS = (
    Room("models/hub", "cards", 'add "{}" to FAMILIES in models/hub/__init__.py',
         lambda: set(hub.FAMILIES)),
    Room("models", "an architecture",
         "publish a ModelCard with its builder in a file of models/hub/, and add that file to "
         "FAMILIES in models/hub/__init__.py",
         exempt=(("masked_multistream", "PyTorchVideo's; its programs build it themselves"),)),
    Room("models/weights", "a dialect",
         "import it in models/weights/dialects.py, and add a row Dialect({}.NAME, ...) there"),
    Room("data/sets", "a data set",
         'add a row "NAME": "{}:CARD" to the table in data/sets/__init__.py',
         lambda: modules(DATASETS.values())),
    Room("data/decoders", "a decoder",
         'add a row BACKENDS.add("{0}", "vitascope.data.decoders.{0}:open_{0}") to '
         "data/decoder.py",
         lambda: modules(BACKENDS.values())),
    Room("accelerator/export", "an export target",
         "import its class in accelerator/export/target.py, and add it to the table there"),
    Room("engine/tasks", "a task",
         'add a row TASKS.add("{0}", "{0}:build_{0}") to engine/tasks/__init__.py',
         lambda: modules(TASKS.values())),
    Room("cli", "a command", "import its function in cli/app.py, and add a row to COMMANDS there",
         exempt=(("probes", "doctor starts it as a process of its own"),)),
    Room("transforms", "transforms",
         "import its classes in transforms/__init__.py, and add them to __all__ there"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("room", "path"), [pytest.param(r, p, id=f"{r.folder}/{p.stem}") for r in ROOMS
                       for p in files(r.folder)],
)  # fmt: skip
def test_every_file_is_made_known(room: Room, path: Path) -> None:
    known = room.named() | set(dict(room.exempt))
    assert path.stem in known or dotted(path) in imported(), (
        f"{room.folder}/{path.name}: nothing leads to this file. If it holds {room.what}: "
        f"{room.row.format(path.stem)}"
    )


# --- more than one in a file ------------------------------------------------------------------


def test_every_card_of_a_data_set_has_a_row() -> None:
    for path in files("data/sets"):
        for name, card in vars(importlib.import_module(dotted(path))).items():
            if isinstance(card, DatasetCard):
                assert card.name in DATASETS, (
                    f"data/sets/{path.name}: {name} is in no table. Add a row "
                    f'"{card.name}": "{path.stem}:{name}" to data/sets/__init__.py'
                )
                assert get_dataset(card.name) is card, (
                    f"data/sets/__init__.py: the row {card.name!r} does not lead to the card of "
                    f"this name in {path.name}"
                )


def test_every_card_of_the_hub_is_an_entry_point() -> None:
    for name in list_models(lambda card: card.tag != "test"):
        assert getattr(hub, name) is get_card(name), f"{name} is no name of vitascope.models.hub"


def commands(path: Path) -> list[str]:
    """Public functions that open the frame of a command."""
    return [
        node.name
        for node in tree(path).body
        if isinstance(node, Function)
        and node.name[0] != "_"
        and any(
            isinstance(item.context_expr, ast.Call)
            and getattr(item.context_expr.func, "id", "") == "Output"
            for part in ast.walk(node)
            if isinstance(part, ast.With)
            for item in part.items
        )
    ]


def test_every_command_is_in_the_table() -> None:
    rows = [
        function
        for entry in COMMANDS.values()
        for function in (entry.values() if isinstance(entry, dict) else [entry])
    ]
    known = {(function.__module__, function.__name__) for function in rows}
    for path in files("cli"):
        for name in commands(path):
            assert (dotted(path), name) in known, (
                f"cli/{path.name}: {name} is no command yet. Import it in cli/app.py and add a row "
                f'"{name}": {name} to COMMANDS'
            )
    for function in rows:
        path = Path(inspect.getfile(function))
        assert function.__name__ in commands(path), (
            f"cli/{path.name}: the command {function.__name__} does its work outside of "
            f'`with Output("NAME", json_file) as out:`, which gives errors, exit codes and --json'
        )
        assert "json_file" in inspect.signature(function).parameters, (
            f"cli/{path.name}: the command {function.__name__} has no parameter "
            f"`json_file: JsonFile = None`"
        )
        assert "Examples:" in (inspect.getdoc(function) or ""), (
            f"cli/{path.name}: the docstring of {function.__name__}, its help page, has no Examples"
        )


def test_every_transform_is_exported() -> None:
    """A class that is called with a clip."""
    # Made by others, or called with more than a clip.
    parts = {"Draws", "NumpyDraws", "TorchDraws", "PairMixing"}
    for path in files("transforms"):
        if path.name == "scripted.py":  # what torch.jit.script makes of the transforms
            continue
        module = importlib.import_module(dotted(path))
        for name, value in vars(module).items():
            own = inspect.isclass(value) and value.__module__ == module.__name__
            if not own or name[0] == "_" or name in parts:
                continue
            if not {"forward", "__call__"} & set(vars(value)):
                continue
            assert name in transforms.__all__, (
                f"transforms/{path.name}: {name} is not exported. Import it in "
                f"transforms/__init__.py and add it to __all__"
            )


def test_every_export_target_is_in_the_table() -> None:
    known = {type(target).__name__ for target in TARGETS.values()}
    for path in files("accelerator/export"):
        for node in tree(path).body:
            if not isinstance(node, ast.ClassDef) or node.name == ExportTarget.__name__:
                continue
            if {"write", "open"} <= {f.name for f in node.body if isinstance(f, Function)}:
                assert node.name in known, (
                    f"accelerator/export/{path.name}: {node.name} is in no table. Import it in "
                    f"accelerator/export/target.py and add {node.name}() to the table there"
                )


# --- rows that lead to something whole --------------------------------------------------------


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_target_has_all_that_targets_have(name: str) -> None:
    target = TARGETS[name]
    wanted = {part for part in vars(ExportTarget) if part[0] != "_"}
    missing = sorted(part for part in wanted if not hasattr(target, part))
    assert not missing, (
        f"export target {name!r}: {type(target).__name__} has no {', '.join(missing)}; "
        f"ExportTarget in accelerator/export/target.py says what each part is"
    )
    same = [t.name for t in TARGETS.values() if t.suffix == target.suffix]
    assert same == [name], f"export targets {same} all write {target.suffix} files"
    assert name == target.name and target.suffix[0] == "." and 0 <= target.tolerance < 1


def found(home: str, table: str) -> object:
    """What a row "module:attribute" leads to."""
    module, _, attribute = home.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        pytest.fail(f"{table}: a row leads to {home!r}, but there is no module {module}")
    except AttributeError:
        pytest.fail(f"{table}: a row leads to {home!r}, but {module} has no {attribute!r}")


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_a_decoder_is_opened_as_open_video_does(name: str) -> None:
    opener = found(BACKENDS[name], "data/decoder.py")
    assert callable(opener)
    wanted = {"size", "fps"} if name == DecoderType.IMAGES else {
        "size", "threads", "time_limit", "timeline"
    }  # fmt: skip
    missing = sorted(wanted - set(inspect.signature(opener).parameters))
    assert not missing, (
        f"decoder {name!r}: {BACKENDS[name]} takes no {', '.join(missing)}, which open_video gives"
    )


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_has_a_builder(name: str) -> None:
    builder = found(f"vitascope.engine.tasks.{TASKS[name]}", "engine/tasks/__init__.py")
    assert callable(builder), f"task {name!r}: {TASKS[name]} is no function"
    parameters = list(inspect.signature(builder).parameters)
    assert parameters == ["recipe", "data", "fabric"], (
        f"task {name!r}: {TASKS[name]} takes {parameters}; a builder of a task takes recipe, data "
        f"and fabric"
    )
    hint = inspect.signature(builder, eval_str=False).return_annotation
    made = getattr(inspect.getmodule(builder), str(hint).strip("'"), None)
    assert inspect.isclass(made), f"task {name!r}: {TASKS[name]} does not say which task it returns"
    for method in ("loss", "evaluate"):
        assert callable(getattr(made, method, None)), (
            f"task {name!r}: {made.__name__} has no {method}(); Task in engine/tasks/__init__.py "
            f"says what it does"
        )


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_a_data_set_has_a_reader_and_a_finder(name: str) -> None:
    card = get_dataset(name)  # says what is missing
    assert callable(card.function("reader")) and callable(card.function("find"))
