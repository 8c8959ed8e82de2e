"""`vitascope migrate`: every old name by every form of import, layout, notebooks, bad files."""

from __future__ import annotations

import ast
import importlib
import json
import os
import random
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import cli, refused
from support.model_reference import old_names
from vitascope.compat.migrate import migrate_files, write_migrated
from vitascope.compat.migrate.edits import ImportEdits
from vitascope.errors import ConfigError

pytestmark = [
    pytest.mark.filterwarnings("ignore:pytorchvideo:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:invalid escape:SyntaxWarning"),
]


def migrated(text: str) -> str:
    return ImportEdits(text).apply()


def said(text: str) -> list[str]:
    return [f"{line}: {what}" for line, what in ImportEdits(text).left]


# --- every name ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def names(shared: Path) -> dict[str, list[str]]:
    """Old module -> its public names, with what it shows of others."""
    old_names()
    path = shared / "reference" / "api" / "pytorchvideo_api.json"
    modules = json.loads(path.read_text())["modules"]
    found = {}
    for module, entry in modules.items():
        loaded = importlib.import_module(module)
        listed = [*entry["names"], *entry.get("re_exports", {})]
        found[module] = [name for name in dict.fromkeys(listed) if hasattr(loaded, name)]
    assert sum(map(len, found.values())) > 300
    return found


def value(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def run(text: str) -> dict[str, Any]:
    """Runs a migrated program, in which no old path may be left."""
    assert not re.search(r"(?<!compat\.)\bpytorchvideo\b", text), text
    space: dict[str, Any] = {"__name__": "program"}
    exec(compile(text, "<migrated>", "exec"), space)
    return space


FORMS = (
    "from {module} import {name}\nx = {name}",
    "from {module} import {name} as other\nx = other",
    "import {module} as other\nx = other.{name}",
    "import {module}\nx = {module}.{name}",
    "from {package} import {leaf}\nx = {leaf}.{name}",
    "from {package} import {leaf} as other\nx = other.{name}",
    "import pytorchvideo\nimport {module}\nx = {module}.{name}",
    "import {package} as other\nimport {module}\nx = other.{leaf}.{name}",
    "def f():\n    from {module} import (\n        {name},  # asked for\n    )\n    return {name}\n"
    "x = f()",
    "class A:\n\timport {module} as other\n\tx = other.{name}\nx = A.x",
    "if True: from {module} import {name} as a; x = a",
    "try:\n    from {module} import {name} as a\nexcept ImportError:\n    a = None\nx = a",
    "import os, {module} as b, sys\nx = b.{name} if os and sys else 0",
)


@pytest.mark.parametrize("form", range(len(FORMS)))
def test_every_name_by_every_form(names: dict[str, list[str]], form: int) -> None:
    count, skipped = 0, set()
    for module, listed in names.items():
        package, _, leaf = module.rpartition(".")
        for name in listed:
            text = FORMS[form].format(module=module, name=name, package=package, leaf=leaf)
            before: dict[str, Any] = {"__name__": "program"}
            try:
                exec(compile(text, "<old>", "exec"), before)
            except AttributeError:  # a function of the package has the name of the module
                skipped.add(module)
                continue
            after = run(migrated(text))
            assert after["x"] is before["x"] or after["x"] == before["x"], text
            count += 1
    assert count > 300 and skipped <= {"pytorchvideo.data.labeled_video_dataset"}


def test_star_imports(names: dict[str, list[str]]) -> None:
    for module, listed in names.items():
        asked = [name for name in listed if not name.startswith("_")]
        shown = getattr(importlib.import_module(module), "__all__", None)
        asked = [name for name in asked if shown is None or name in shown]
        text = f"from {module} import *\n" + "".join(f"x_{name} = {name}\n" for name in asked)
        space = run(migrated(text))
        assert all(space[f"x_{name}"] is value(module, name) for name in asked), module


def programs(names: dict[str, list[str]], seed: int) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Programs of several imports, their names used in several scopes."""
    rng = random.Random(seed)
    # A function of the package `data` has the name of this module.
    modules = [m for m, listed in names.items() if listed and "labeled_video_d" not in m]
    for _ in range(12):
        lines, wanted = ["import os  # first", ""], []
        for number in range(rng.randint(2, 7)):
            module = rng.choice(modules)
            listed = rng.sample(names[module], min(len(names[module]), rng.randint(1, 6)))
            wanted += [(module, name) for name in listed]
            block = _block(rng, module, listed, number, len(wanted) - len(listed))
            lines += block + [""] * rng.randint(0, 2)
        yield "\n".join(lines) + "\n", wanted


def _block(
    rng: random.Random, module: str, listed: list[str], number: int, first: int
) -> list[str]:
    kind = rng.randint(0, 4)
    local = f"m{number}"
    if kind == 0:
        got = [f"    {name} as n{first + i},  # no. {i}" for i, name in enumerate(listed)]
        block = [f"from {module} import (  # several", *got, ")  # end"]
        gives = [f"n{first + i}" for i in range(len(listed))]
    elif kind == 1:
        block = [f"import {module} as {local}"]
        gives = [f"{local}.{name}" for name in listed]
    elif kind == 2:
        block = [f"import {module}"]
        gives = [f"{module}.{name}" for name in listed]
    elif kind == 3:
        block = ["from " + module + " import " + ", ".join(f"{n} as {n}_{number}" for n in listed)]
        gives = [f"{name}_{number}" for name in listed]
    else:
        block = [f"import os as o{number}, {module} as {local}; import sys"]
        gives = [f"{local}.{name}" for name in listed]
    block += [f"v{first + i} = {gave}" for i, gave in enumerate(gives)]
    if rng.random() < 0.4:
        inner = [f"    {line}" for line in block]
        outer = ", ".join(f"v{first + i}" for i in range(len(listed)))
        block = [f"def f{number}():", *inner, f"    return {outer},", f"{outer}, = f{number}()"]
    return block


@pytest.mark.parametrize("seed", range(10))
def test_programs_of_many_imports(names: dict[str, list[str]], seed: int) -> None:
    for text, wanted in programs(names, seed):
        new = migrated(text)
        space = run(new)
        for number, (module, name) in enumerate(wanted):
            assert space[f"v{number}"] is value(module, name), (module, name, text, new)
        for comment in ("# first", "# several", "# no. 0", "# end"):
            assert new.count(comment) == text.count(comment), new
        assert migrated(new) == new, "a second time changes nothing"


# --- layout --------------------------------------------------------------------------------------

LAYOUT = [
    (  # nothing but the words changes
        "from pytorchvideo.layers.swish  import(Swish ,  # one\n   SwishFunction as  F)  # two\n",
        "from vitascope.layers.swish  import(Swish ,  # one\n   SwishFunction as  F)  # two\n",
    ),
    (
        "from pytorchvideo.layers.distributed \\\n  import get_world_size\n",
        "from vitascope.distributed \\\n  import get_world_size\n",
    ),
    (  # a name that moved splits the statement
        "if 1:\n  from pytorchvideo.models.resnet import create_resnet, create_acoustic_resnet "
        "# c\n",
        "if 1:\n  from vitascope.models.resnet import create_resnet\n"
        "  from vitascope.models.acoustic_resnet import create_acoustic_resnet # c\n",
    ),
    (  # beside others on a line
        "x = 1; from pytorchvideo.models.resnet import create_resnet, create_acoustic_resnet; "
        "y = 2\n",
        "x = 1; from vitascope.models.resnet import create_resnet; from "
        "vitascope.models.acoustic_resnet import create_acoustic_resnet; y = 2\n",
    ),
    (  # other line ends, other letters before the place
        "ä = 'ö'; import pytorchvideo.models.byol as b\r\nprint(b.BYOL, 'ü', b.BYOL)\r\n",
        "ä = 'ö'; import vitascope.ssl.byol as b\r\nprint(b.BYOL, 'ü', b.BYOL)\r\n",
    ),
    (
        "import pytorchvideo.models.simclr\nx = (pytorchvideo\n     .models.simclr  .SimCLR(1))\n",
        "import vitascope.ssl.simclr\nx = (vitascope.ssl.simclr.SimCLR(1))\n",
    ),
    (
        "import decord\nfrom decord import cpu, VideoReader as V\n"
        "from decord.bridge import set_bridge\n",
        "import vitascope.compat.decord as decord\n"
        "from vitascope.compat.decord import cpu, VideoReader as V\n"
        "from vitascope.compat.decord.bridge import set_bridge\n",
    ),
    (
        "from pytorchvideo.models.accelerator.mobile_cpu.efficient_x3d import create_x3d, X\n",
        "from vitascope.models.efficient_x3d import create_efficient_x3d as create_x3d\n"
        "from pytorchvideo.models.accelerator.mobile_cpu.efficient_x3d import X\n",
    ),
    ("import pytorchvideo\n", "import vitascope\n"),
    ("import numpy\nfrom torch import nn\n", "import numpy\nfrom torch import nn\n"),
    ("from .pytorchvideo import a\nfrom decordx import b\n",) * 2,
    ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), LAYOUT)
def test_layout_stays(before: str, after: str) -> None:
    assert migrated(before) == after


def test_long_statements_are_broken() -> None:
    names = "create_acoustic_resnet, create_acoustic_bottleneck_block, create_resnet as a_long_name"
    new = migrated(f"def f():\n    from pytorchvideo.models.resnet import {names}  # here\n")
    assert max(map(len, new.splitlines())) <= 90
    assert new.splitlines()[1:5] == [
        "    from vitascope.models.acoustic_resnet import (",
        "        create_acoustic_resnet,",
        "        create_acoustic_bottleneck_block,",
        "    )",
    ]
    ast.parse(new)


def test_names_of_other_scopes_are_let_alone() -> None:
    text = (
        "import pytorchvideo.models.resnet as transforms\n"
        "def f(transforms):\n    return transforms.create_acoustic_resnet\n"
        "def g():\n    transforms = 3\n    return transforms.create_acoustic_resnet\n"
        "class A:\n    transforms = 4\n    def h(self):\n"
        "        return transforms.create_acoustic_resnet\n"
        "z = [transforms.create_acoustic_resnet for transforms in ()]\n"
    )
    new = migrated(text)
    home = "vitascope.models.acoustic_resnet"
    assert new.count(f"return {home}.create_acoustic_resnet") == 1
    assert new.count(" transforms.create_acoustic_resnet") == 2
    assert "[transforms.create_acoustic_resnet for" in new
    assert new.startswith(f"import {home}\n"), "the module itself is not asked for any more"


def test_paths_within_texts_and_in_parts() -> None:
    text = (
        "import pytorchvideo.models.byol\nä = 'é'\n"
        'a = f"ü{pytorchvideo.models.byol.BYOL.__name__!r:>{len(ä)}}"\n'
        'b = f"""ö\n  {pytorchvideo.models.byol.BYOL.__name__}"""\n'
    )
    new = migrated(text)
    assert new == text.replace("pytorchvideo.models.byol", "vitascope.ssl.byol")
    assert run(new)["b"].endswith("BYOL")
    last = "c = (pytorchvideo).models.byol.BYOL\n"
    both = "import pytorchvideo.models.byol\nimport vitascope.ssl.byol\n"
    assert migrated(text + last) == new.replace("import vitascope.ssl.byol\n", both) + last
    assert said(text + last) == [
        "6: pytorchvideo.models.byol.BYOL is now vitascope.ssl.byol.BYOL; it is written in several "
        "parts"
    ]


# --- what is left to a person --------------------------------------------------------------------


def test_what_is_left_to_a_person() -> None:
    text = (
        '"""Reads with pytorchvideo.data."""\n'
        "import vitascope.compat.pytorchvideo\n"
        "import torch\n"
        "from pytorchvideo.models.resnet import create_resnet, never\n"
        "import pytorchvideo.models.nowhere\n"
        "import pytorchvideo\n"
        "net = torch.hub.load('facebookresearch/pytorchvideo', 'slow_r50')\n"
        "mock.patch('pytorchvideo.models.byol.BYOL.forward')\n"
        "importlib.import_module('pytorchvideo.models.byol')\n"
        "print(pytorchvideo.__version__, pytorchvideo.models.byol.BYOL)\n"
        "from decord import VideoLoader\n"
    )
    new, notes = migrated(text), said(text)
    assert "from vitascope.models.resnet import create_resnet\n" in new
    assert "from pytorchvideo.models.resnet import never\n" in new, "it fails as it did"
    assert "import pytorchvideo\n" in new and "print(pytorchvideo.__version__, vitascope.ssl" in new
    assert "import vitascope.ssl.byol\n" in new and "from decord import VideoLoader" in new
    expected = [
        "2: import vitascope.compat.pytorchvideo is no longer needed",
        "4: pytorchvideo.models.resnet has no 'never' here",
        "5: there is no module pytorchvideo.models.nowhere here",
        "7: 'facebookresearch/pytorchvideo': vitascope.create_model(NAME, pretrained=True) builds "
        "the same models without torch.hub",
        "8: a string has 'pytorchvideo.models.byol.BYOL.forward', now "
        "'vitascope.ssl.byol.BYOL.forward'",
        "9: a string has 'pytorchvideo.models.byol', now vitascope.ssl.byol",
        "10: pytorchvideo has no '__version__' here",
        "11: decord has no 'VideoLoader' here",
    ]
    assert notes == expected


# --- files ---------------------------------------------------------------------------------------

OLD, NEW = "from pytorchvideo.models.byol import BYOL\n", "from vitascope.ssl.byol import BYOL\n"


def test_files_are_changed_only_when_asked(tmp_path: Path) -> None:
    program = tmp_path / "train.py"
    program.write_bytes(
        b"\xef\xbb\xbf# -*- coding: utf-8 -*-\r\n" + OLD.replace("\n", "\r\n").encode()
    )
    program.chmod(0o751)
    before = program.read_bytes()
    done = cli("migrate", program)
    assert done.code == 0 and program.read_bytes() == before
    assert f"-{OLD}" in done.out and f"+{NEW}" in done.out
    assert "1 places in 1 files would change, 0 left to you. With --write they do." in done.out
    report = tmp_path / "report.json"
    assert cli("migrate", program, "--write", "--json", report).code == 0
    assert program.read_bytes() == before.replace(OLD[:-1].encode(), NEW[:-1].encode())
    assert program.stat().st_mode & 0o777 == 0o751
    found = json.loads(report.read_text())
    assert found["written"] and found["changes"] == 1 and found["files"][0]["left"] == []
    assert "0 places in 0 files" in cli("migrate", program).out


def test_folders(tmp_path: Path) -> None:
    for name in ("a.py", "b/c.py", ".hidden/d.py", "env/e.py", "b/__pycache__/f.py", "b/g.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(OLD)
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (tmp_path / "link.py").symlink_to("b/g.txt")
    assert cli("migrate", tmp_path, "--write").code == 0
    changed = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()
               and p.read_text() == NEW}  # fmt: skip
    assert changed == {"a.py", "b/c.py", "link.py", "b/g.txt"}, "a link stays one"
    assert (tmp_path / "link.py").is_symlink()
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        (b"x = 1\nprint 'a'\n", 2), (b"def f(:\n", 1), (b"x = '\xff'\n", 1), (b"x = 1\0\n", 1),
        (b"# coding: nothing\n", 1), (b"if 1:\n\tx\n  y\n", 3), (b"(" * 5000, 1),
    ],
)  # fmt: skip
def test_a_file_that_is_no_python_changes_nothing(tmp_path: Path, bad: bytes, line: int) -> None:
    (tmp_path / "a.py").write_text(OLD)
    (tmp_path / "b.py").write_bytes(bad)
    (tmp_path / "c.py").write_text(OLD)
    message = refused("migrate", tmp_path, "--write")
    assert message.count("\n") == 1 and "nothing was changed" in message
    assert f"{tmp_path / 'b.py'}:{line}: no Python" in message or bad[:1] in b"x("
    assert (tmp_path / "a.py").read_text() == (tmp_path / "c.py").read_text() == OLD
    assert (tmp_path / "b.py").read_bytes() == bad
    assert "no such file" in refused("migrate", tmp_path / "none.py")


def test_all_files_are_written_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{n}.py" for n in "abc"]
    for path in paths:
        path.write_text(OLD)
    files = migrate_files([tmp_path])
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if str(target).endswith("b.py"):
            raise OSError(28, "No space left on device", str(target))
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            write_migrated(files)
    assert [path.read_text() for path in paths] == [OLD] * 3
    paths[2].write_text(OLD + "x = 1\n")
    with pytest.raises(ConfigError, match="changed in the meantime"):
        write_migrated(files)
    assert paths[0].read_text() == OLD


def notebook(*cells: str | list[str]) -> dict[str, Any]:
    made = [{"cell_type": "markdown", "metadata": {}, "source": ["import pytorchvideo.data ü"]}]
    made += [{"cell_type": "code", "metadata": {}, "outputs": [], "source": cell} for cell in cells]
    return {"cells": made, "metadata": {"name": "é"}, "nbformat": 4, "nbformat_minor": 5}


def test_notebooks(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    cells = [
        ["%matplotlib inline\n", "!pip install \\\n", "  pytorchvideo\n",
         "import pytorchvideo.models.resnet as r, pytorchvideo.models.byol\n", "files = !ls\n"],
        "%%bash\nif then import pytorchvideo.data",
        ["%%time\n", "x = await f()\n", "r.create_acoustic_resnet\n", "help?\n",
         "pytorchvideo.models.byol.BYOL, r.create_resnet"],
        "torch.hub.load('facebookresearch/pytorchvideo', 'x')",
    ]  # fmt: skip
    text = json.dumps(notebook(*cells), indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    done = cli("migrate", tmp_path, "--write")
    assert done.code == 0, done.err
    assert f"{path}:cell 4, line 1: 'facebookresearch" in done.out
    new = json.loads(path.read_text(encoding="utf-8"))
    sources = [cell["source"] for cell in new["cells"]]
    assert sources[1] == [
        "%matplotlib inline\n", "!pip install \\\n", "  pytorchvideo\n",
        "import vitascope.models.resnet as r\n", "import vitascope.models.acoustic_resnet\n",
        "import vitascope.ssl.byol\n", "files = !ls\n",
    ]  # fmt: skip
    assert sources[3] == [
        "%%time\n", "x = await f()\n", "vitascope.models.acoustic_resnet.create_acoustic_resnet\n",
        "help?\n", "vitascope.ssl.byol.BYOL, r.create_resnet",
    ]  # fmt: skip
    # All else is as it was, to the byte.
    for cell, source in zip(new["cells"], [["import pytorchvideo.data ü"], *cells], strict=True):
        cell["source"] = source
    assert json.dumps(new, indent=2, ensure_ascii=False) + "\n" == text


def test_notebooks_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text('{"cells": [\n]')
    assert f"{path}:2: no notebook" in refused("migrate", path)
    path.write_text("[]")
    assert "no notebook" in refused("migrate", path)
    path.write_text(json.dumps(notebook("a = 1", "b = 2\nc = (")))
    assert f"{path}:cell 2, line 2: no Python" in refused("migrate", path, "--write")


def test_the_tables_agree_with_what_is_served() -> None:
    """What the finder serves and what `migrate` writes are the same objects, also of decord."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import vitascope.compat.decord as decord
    space: dict[str, Any] = {}
    names = [name for name in decord.__all__ if name != "install"]
    exec(migrated(f"from decord import {', '.join(names)}\nimport decord.bridge as b\n"), space)
    assert (
        all(space[name] is getattr(decord, name) for name in names) and space["b"] is decord.bridge
    )
