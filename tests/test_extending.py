"""docs/contributing.md, carried out: each file, each row and each command of the page.

The package is copied, so that what the page adds is nowhere else. Three copies are made: with all
that the page says; without the rows; and with a part of each file missing. The last two must fail,
with a sentence that says what is missing.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vitascope.data.render import render_numbered

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?( append)?\n(.*?)^```$', re.M | re.S)


@dataclass
class Walk:
    """One section of the page.

    Attributes:
        files: path -> text of a new file.
        appended: path -> text at the end of a file.
        rows: (path, lines before, lines after).
        commands: as they are typed.
    """

    files: dict[str, str] = field(default_factory=dict)
    appended: dict[str, str] = field(default_factory=dict)
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


def walks() -> dict[str, Walk]:
    found: dict[str, Walk] = {}
    for section in PAGE.split("\n## ")[1:]:
        walk = found.setdefault(section.partition("\n")[0], Walk())
        for kind, path, append, text in BLOCK.findall(section):
            if kind == "python":
                (walk.appended if append else walk.files)[path] = text
            elif kind == "diff":
                lines = text.splitlines(keepends=True)
                old, new = ("".join(x[1:] for x in lines if x[0] in " " + s) for s in "-+")
                walk.rows.append((path, old, new))
            else:
                assert kind == "console", kind
                assert all(line.startswith("$ ") for line in text.splitlines()), text
                walk.commands += [line[2:] for line in text.splitlines()]
    return found


WALKS = walks()
# The page's tests of a row, and of the house rules for the new files.
HOUSE = ("tests/test_rows.py", "tests/test_house.py")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path.name} has {text.count(old)} places like\n{old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def copy(folder: Path, *, rows: bool) -> Path:
    """The package and its tests with the files of the page, with or without its rows."""
    skip = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("src", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    for walk in WALKS.values():
        for path, text in walk.files.items():
            assert not (folder / path).exists(), f"{path} is there already"
            (folder / path).write_text(text, encoding="utf-8")
        for path, text in walk.appended.items():
            with (folder / path).open("a", encoding="utf-8") as file:
                file.write(f"\n\n{text}")
        # Rows of the tests describe a file; without them nothing could be said about the others.
        for path, old, new in walk.rows:
            if rows or path.startswith("tests/"):
                replace(folder / path, old, new)
    render_numbered(folder / "video.mp4", 12)
    return folder


def start(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in a copy."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True,
        check=False, timeout=900,
    )  # fmt: skip


Results = dict[str, tuple[str, str]]


def run_tests(folder: Path, *words: str) -> Results:
    """Test id -> ("passed", "skipped" or "failed", message)."""
    report = folder / f"report-{abs(hash(words))}.xml"
    options = ("-m", "", "-p", "no:cacheprovider", f"--junitxml={report}")
    done = start(folder, "-m", "pytest", *options, *words)
    assert report.is_file(), done.stdout + done.stderr
    results: Results = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        bad = [part for part in case if part.tag in ("failure", "error", "skipped")]
        kind = "passed" if not bad else "skipped" if bad[0].tag == "skipped" else "failed"
        text = "\n".join(f"{part.get('message')}\n{part.text}" for part in bad)
        results[name] = (kind, text)
    assert results, done.stdout + done.stderr
    return results


def asked(walk: Walk) -> tuple[list[str], list[tuple[str, str]], list[list[str]]]:
    """Ids of tests, (file, word of -k), and other commands."""
    ids, words, others = [], [], []
    for command in walk.commands:
        parts = shlex.split(command)
        if parts[:3] != ["python", "-m", "pytest"]:
            others.append(parts)
        elif "-k" in parts:
            words.append((parts[3], parts[5]))
        else:
            ids += parts[3:]
    return ids, words, others


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    """A copy with everything that the page says, and the results of its tests."""
    folder = copy(tmp_path_factory.mktemp("page"), rows=True)
    for walk in WALKS.values():
        for parts in asked(walk)[2]:
            if parts[0] == "python":  # before the tests, which look at what it writes
                done = start(folder, *parts[1:])
                assert done.returncode == 0, done.stdout + done.stderr
    ids = [name for walk in WALKS.values() for name in asked(walk)[0]]
    results = run_tests(folder, *ids, *HOUSE)
    words = [pair for walk in WALKS.values() for pair in asked(walk)[1]]
    either = " or ".join(word for _, word in words)
    results |= run_tests(folder, *dict.fromkeys(file for file, _ in words), "-k", either)
    return folder, results


def faults(results: Results) -> str:
    return "\n".join(f"{n}: {text}" for n, (kind, text) in results.items() if kind == "failed")


@pytest.mark.parametrize("title", WALKS)
def test_a_walk_ends_with_passing_tests(title: str, page: tuple[Path, Results]) -> None:
    folder, results = page
    ids, words, others = asked(WALKS[title])
    for name in ids:
        mine = {n: r for n, r in results.items() if n == name or n.startswith(f"{name}::")}
        assert mine, f"there is no test {name}"
        assert all(kind == "passed" for kind, _ in mine.values()) or "::" not in name, mine
        assert not faults(mine), faults(mine)
    for file, word in words:
        mine = {n: r for n, r in results.items() if n.startswith(f"{file}::") and word in n}
        assert "passed" in {kind for kind, _ in mine.values()}, f"no test of {file} with {word}"
        assert not faults(mine), faults(mine)
    for parts in others:
        if parts[0] == "vitascope":
            done = start(folder, "-m", "vitascope", *parts[1:])
            assert done.returncode == 0, (parts, done.stdout + done.stderr)


def test_the_house_stands_with_all_of_them(page: tuple[Path, Results]) -> None:
    folder, results = page
    house = {name: result for name, result in results.items() if name.startswith(HOUSE)}
    assert len(house) > 300 and not faults(house), faults(house)
    files = [path for walk in WALKS.values() for path in [*walk.files, *walk.appended]]
    for words in (["check"], ["format", "--check", "--diff"]):
        done = start(folder, "-m", "ruff", *words, "--no-cache", *files)
        assert done.returncode == 0, done.stdout + done.stderr


# --- without the rows -------------------------------------------------------------------------

# section -> what the tests say where its row is missing
ROWLESS = {
    "An architecture": r'models/hub/tiny3d\.py: nothing leads to this file\. If it holds cards: '
    r'add "tiny3d" to FAMILIES in models/hub/__init__\.py',
    "A checkpoint dialect": r"models/weights/units\.py: nothing leads to this file\. If it holds a "
    r"dialect: import it in models/weights/dialects\.py, and add a row Dialect\(units\.NAME, ",
    "A data set": r'data/sets/gestures\.py: GESTURES is in no table\. Add a row "gestures": '
    r'"gestures:GESTURES" to data/sets/__init__\.py',
    "A decoder": r'data/decoders/forward\.py: nothing leads to this file\. If it holds a decoder: '
    r'add a row BACKENDS\.add\("forward", "vitascope\.data\.decoders\.forward:open_forward"\)',
    "A transform": r"transforms/reverse\.py: RandomReverse is not exported\. Import it in "
    r"transforms/__init__\.py and add it to __all__",
    "A task": r"engine/tasks/one_vs_all\.py: nothing leads to this file\. If it holds a task: add "
    r'a row TASKS\.add\("one_vs_all", "one_vs_all:build_one_vs_all"\) to engine/tasks/__init__\.py',
    "An export target": r"accelerator/export/torchscript\.py: TorchScriptTarget is in no table\. "
    r"Import it in accelerator/export/target\.py and add TorchScriptTarget\(\) to the table",
    "A command": r"cli/length\.py: length is no command yet\. Import it in cli/app\.py and add a "
    r'row "length": length to COMMANDS',
}  # fmt: skip


@pytest.fixture(scope="module")
def rowless(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What fails without the rows."""
    return faults(run_tests(copy(tmp_path_factory.mktemp("rowless"), rows=False), HOUSE[0]))


@pytest.mark.parametrize("title", ROWLESS)
def test_without_its_row_a_test_says_what_to_write(title: str, rowless: str) -> None:
    assert re.search(ROWLESS[title], rowless), rowless


def test_every_section_with_a_row_is_among_them() -> None:
    assert {title for title, walk in WALKS.items() if walk.rows} - {"A setting"} == set(ROWLESS)


# --- a part missing ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A part of an example that is taken away.

    Attributes:
        path: the file.
        old: what stands there.
        new: what stands there instead.
        test: the test that fails.
        said: what it says.
    """

    path: str
    old: str
    new: str
    test: str
    said: str


HUB, SETS = "src/vitascope/models/hub", "src/vitascope/data/sets"
PARTS = {
    "Weights or a variant": Part(
        f"{HUB}/csn.py", 'tag="untrained"', 'tag="k400_32x2"',
        "tests/models/test_cards.py::test_every_result_has_a_source_and_every_file_an_address",
        r"csn_r50\.k400_32x2: its labels name no classes",
    ),
    "An architecture": Part(
        "src/vitascope/models/tiny3d.py",
        '            FeatureInfo(name="stem", channels=(self.width,), stride=((1, 2, 2),)),\n', "",
        "tests/models/test_every_card.py::test_feature_info_is_what_the_stages_give[tiny3d]",
        r"tiny3d: feature_info lists 1 stage; two at least",
    ),
    "A checkpoint dialect": Part(
        "src/vitascope/models/weights/units.py", '".res_blocks."', '".no_blocks."',
        "tests/models/weights/test_dialects.py::test_there_and_back[units]",
        r"dialect 'units': naming\(\) gives no table for any model",
    ),
    "A data set: its finder": Part(
        f"{SETS}/gestures.py", '    find="gestures:find_gestures",\n', "",
        "tests/test_rows.py::test_a_data_set_has_a_reader_and_a_finder[gestures]",
        r"data set 'gestures': its card names no find\. Add find=",
    ),
    "A data set: its fake copy": Part(
        "tests/support/fake_datasets.py", '    "gestures": lambda root: _gestures(root),\n', "",
        "tests/data/test_two_steps.py::test_two_steps[gestures]",
        r"fake_datasets\.py cannot write a fake copy of 'gestures': add a function",
    ),
    "A decoder": Part(
        "src/vitascope/data/decoders/forward.py", "    time_limit: float | None = None,\n", "",
        "tests/test_rows.py::test_a_decoder_is_opened_as_open_video_does[forward]",
        r"decoder 'forward': .*open_forward takes no time_limit, which open_video gives",
    ),
    "A transform": Part(
        "src/vitascope/transforms/reverse.py", "p: float = 0.5)", "p: float)",
        "tests/transforms/test_every_transform.py::test_the_key_decides[RandomReverse]",
        r"RandomReverse needs p: add a row to CASES",
    ),
    "A recipe": Part(
        "src/vitascope/recipes/gestures.py", "return Recipe(", "Recipe(",
        "tests/recipes/test_stored.py::test_two_steps[gestures.x3d_small]",
        r"returns NoneType; a recipe returns a Recipe",
    ),
    "A task": Part(
        "src/vitascope/engine/tasks/one_vs_all.py", "def evaluate(", "def score_it(",
        "tests/test_rows.py::test_a_task_has_a_builder[one_vs_all]",
        r"task 'one_vs_all': OneVsAll has no evaluate\(\)",
    ),
    "An export target": Part(
        "src/vitascope/accelerator/export/torchscript.py", "    tolerance = 1e-5\n", "",
        "tests/test_rows.py::test_a_target_has_all_that_targets_have[torchscript]",
        r"export target 'torchscript': TorchScriptTarget has no tolerance",
    ),
    "A command": Part(
        "src/vitascope/cli/length.py", "    Examples:\n      vitascope length video.mp4\n", "",
        "tests/test_rows.py::test_every_command_is_in_the_table",
        r"cli/length\.py: the docstring of length, its help page, has no Examples",
    ),
    "A setting": Part(
        "src/vitascope/engine/config.py",
        "        remark: what people should know about the run.\n", "",
        "tests/engine/test_config.py::test_every_setting_has_a_type_and_one_line",
        r"run\.remark has no description",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    """A copy in which a part of each example is missing, and the results of the tests named."""
    folder = copy(tmp_path_factory.mktemp("partial"), rows=True)
    for part in PARTS.values():
        replace(folder / part.path, part.old, part.new)
    return folder, run_tests(folder, *dict.fromkeys(part.test for part in PARTS.values()))


@pytest.mark.parametrize("title", PARTS)
def test_without_a_part_a_test_says_which(title: str, partial: tuple[Path, Results]) -> None:
    part = PARTS[title]
    kind, text = partial[1][part.test]
    assert kind == "failed" and re.search(part.said, text), (kind, text)


def test_every_section_is_among_them() -> None:
    assert {title.partition(":")[0] for title in PARTS} == set(WALKS)


def test_a_data_set_without_a_finder_is_one_line_and_no_fault(
    partial: tuple[Path, Results],
) -> None:
    done = start(partial[0], "-m", "vitascope", "data", "verify", "gestures", ".")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: data set 'gestures': its card names no find. Add find=")
    assert "fault of vitascope" not in done.stderr
    done = start(partial[0], "-m", "vitascope", "data", "list")
    assert done.returncode == 0 and "gestures" in done.stdout


def test_the_table_of_the_page_leads_to_its_sections() -> None:
    slug: Callable[[str], str] = lambda title: title.lower().replace(" ", "-")  # noqa: E731
    linked = re.findall(r"^\| \[[^\]]+\]\(#([\w-]+)\)", PAGE, re.M)
    assert linked == [slug(title) for title in WALKS]
