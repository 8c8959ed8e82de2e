"""Every code block of the README and the docs runs, and what they promise is there."""

from __future__ import annotations

import re
import shlex
import shutil
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from support.command_line import TINY, cli
from vitascope.data.render import render_motion_dataset
from vitascope.models.registry import create_model, get_card

ROOT = Path(__file__).resolve().parents[1]
LINKED = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# tests/test_extending.py carries out docs/contributing.md.
PAGES = [page for page in LINKED if page.stem != "contributing"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SET_UP = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt "


def blocks(page: Path) -> list[tuple[str, str]]:
    return [b for b in BLOCK.findall(page.read_text()) if b[0] in ("bash", "python")]


def set_up_commands() -> list[str]:
    lines = (ROOT / "README.md").read_text().splitlines()
    return [line for line in lines if line.startswith("python3 -m venv")]


def publish_weights(mirror: Path) -> Path:
    """A mirror with weights of the model that the pages name; untrained, but of the right form."""
    (weights,) = get_card("x3d_s").weights
    file = mirror / weights.url.partition("://")[2]
    file.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save({"model_state": create_model("x3d_s").state_dict()}, file)
    return mirror


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory):
    """A folder with `clips/` and `run/`, as the pages assume them."""
    folder = tmp_path_factory.mktemp("pages")
    counts = {"train": 8, "val": 2, "test": 2}
    classes = ("move_left", "grow")
    render_motion_dataset(folder / "clips", classes, counts, frames=16, size=(32, 40))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITASCOPE_CACHE", str(folder / "cache"))
        patch.setenv("VITASCOPE_MIRROR", str(publish_weights(folder / "mirror")))
        patch.chdir(folder)
        done = cli("train", "clips/", "--out", "run", *TINY)
        assert done.code == 0, done
        yield folder


def with_tiny_settings(words: list[str]) -> list[str]:
    """A training of a page, made so small that it takes a second."""
    given = {word.partition("=")[0] for word in words}
    return [*words, *(s for s in TINY if s.partition("=")[0] not in given and "name" not in s)]


def carry_out(kind: str, text: str, names: dict) -> None:
    if kind == "python":
        exec(compile(text, "block", "exec"), names)
        return
    for line in text.replace("\\\n", " ").strip().splitlines():
        command = line.partition("  #")[0].strip()
        if not command or command.startswith("#") or command in set_up_commands():
            continue
        words = shlex.split(command)
        assert words[0] == "vitascope", f"a block may only call vitascope: {line}"
        assert words[1] != "quickstart" or len(words) > 2, "quickstart takes minutes"
        done = cli(*(with_tiny_settings(words[1:]) if words[1] == "train" else words[1:]))
        assert done.code == 0, (line, done)


@pytest.mark.slow  # .ci/run gives it a process of its own
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page, place, tmp_path, monkeypatch):
    todo = blocks(page)
    if not todo:
        return
    if any(kind == "python" and "onnxruntime" in text for kind, text in todo):
        pytest.importorskip("onnxruntime")
    (tmp_path / "clips").symlink_to(place / "clips")
    if not any("vitascope train" in text and "--out run" in text for _, text in todo):
        shutil.copytree(place / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "__page__"}
    for kind, text in todo:
        if "import lightning" not in text:
            carry_out(kind, text, names)
        elif find_spec("lightning"):  # no extra of ours has it, and its warnings are its own
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                carry_out(kind, text, names)


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """To a file, and to a heading in it."""
    for link in re.findall(r"\]\(([^)\s]+)", page.read_text()):
        if "://" in link:
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE) if heading else []
        slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not heading or heading in slugs, f"{link}: no such heading"


def test_exactly_two_set_up_commands_which_ci_uses():
    first, second = set_up_commands()
    assert first == SET_UP + '".[onnx]" && .venv/bin/vitascope quickstart'
    assert second == SET_UP + '-e ".[test]" && .venv/bin/python -m pytest'
    script = (ROOT / ".ci" / "run").read_text()
    assert "grep '^python3 -m venv' README.md" in script
    assert "readme_command 2" in script
    assert "${line//.venv/$work/venv}" in script


def test_every_constraint_has_its_reason():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert not line.strip() or ("#" in line and len(line.partition("#")[2].split()) > 2), line


def test_the_index_links_every_page() -> None:
    docs = ROOT / "docs"
    links = {
        (docs / link.partition("#")[0]).resolve()
        for link in re.findall(r"\]\(([^)\s]+)\)", (docs / "index.md").read_text())
        if "://" not in link
    }
    missing = [str(p.relative_to(docs)) for p in docs.rglob("*.md") if p.resolve() not in links]
    assert set(missing) == {"index.md"}, f"docs/index.md links none of {sorted(missing)}"
