"""The folder of a run: what it holds, whether it may be used, and who may write to it."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitascope.engine.checkpoint import versions, write_json
from vitascope.engine.config import Recipe
from vitascope.errors import ConfigError, RunError, UnknownNameError
from vitascope.files import folder_of, is_unfinished, locked, read_json, remove_unfinished

FORMAT = "vitascope.run/1"
# Settings that change neither the weights nor what is compared: a run may go on with other ones.
FREE = ("data.workers", "data.path", "data.cache", "data.cache_dir", "data.cache_gb",
        "run.log_every", "run.save_every", "run.eval_precision")  # fmt: skip
LOCK = ".lock"  # who trains in the folder
# Beginnings of the names of what a training writes; evaluations and exports write others.
TRAINED = ("run.json", "split.csv", "log.jsonl", "curves.html", "best", "last")
OURS = ("run.json", "split.csv", "log.jsonl", "curves.html", "report.html", "scores.csv",
        "history.json", "best.json", "last.json")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """A folder that may be written to.

    Attributes:
        path: the folder; it need not exist yet.
        resumed: it holds this very run already.
        threads: CPU threads with which the run was begun; None before it began.
        empty: the run that it holds is to be removed first.
        versions: versions of the packages with which the run was begun.
    """

    path: Path
    resumed: bool = False
    threads: int | None = None
    empty: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps every other process from training in the folder, as long as this one lives.

        What one that was killed has left half-written is removed.

        Raises:
            RunError: another process is training here.
        """
        with locked(self.path / LOCK, busy=f"another process is training in {self.path}"):
            for name in TRAINED:
                remove_unfinished(self.path, name)
            yield

    def begin(
        self, recipe: Recipe, classes: Sequence[str], data: Mapping[str, Any], threads: int
    ) -> None:
        """Empties the folder where that was asked for and writes run.json.

        Raises:
            RunError: the folder cannot be written, or another process is training here.
        """
        run = {
            "format": FORMAT,
            "recipe": recipe.to_json(),
            "classes": list(classes),
            "data": dict(data),
            "threads": threads,
            "versions": versions(),
        }
        new = not self.path.exists()
        try:
            with folder_of(self.path / LOCK), self.held():
                try:
                    if self.empty:
                        _empty(self.path)
                    write_json(self.path / "run.json", run)
                except (OSError, RunError):
                    if new:  # nobody else knows of it yet
                        (self.path / LOCK).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise RunError(f"cannot make the run folder {self.path}: {error.strerror}") from error


def version_note(held: Mapping[str, str]) -> str:
    """A sentence where a run goes on with other versions than it was begun with; else empty."""
    now = versions()
    moved = [f"{n} {v} (now {now.get(n)})" for n, v in held.items() if now.get(n) != v]
    if not moved:
        return ""
    return (
        f"begun with {', '.join(moved)}: the weights may differ in their last bits from those of "
        "a run that was never stopped"
    )


def fingerprint(rows: Sequence[Sequence[Any]]) -> str:
    """A short hash of the videos of a run; another one means other data."""
    text = json.dumps([[str(v) for v in row] for row in rows], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_run(path: Path) -> dict[str, Any]:
    """Contents of a run folder's run.json.

    Raises:
        RunError: the folder is no run folder, or the file is damaged.
    """
    file = path / "run.json"
    if not path.is_dir():
        raise RunError(f"{path}: no such run folder")
    if not file.is_file():
        raise RunError(f"{path} is not a run folder (it has no run.json)")
    try:
        run = read_json(file)
        Recipe.from_json(run["recipe"])
    except (OSError, ValueError, KeyError, TypeError, ConfigError, UnknownNameError) as error:
        raise RunError(f"{file} is damaged or of another version: {error}") from error
    return dict(run)


def progress(path: Path) -> tuple[int, int]:
    """Steps done at the last checkpoint of a run folder, and steps of its run; 0, 0 without one."""
    try:
        state = read_json(path / "last.json")["state"]
        return int(state["step"]), int(state["steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0


def open_folder(
    out: str | Path, recipe: Recipe, data: str, *, resume: bool = False, force: bool = False
) -> RunFolder:
    """Decides whether a run may use a folder; writes nothing.

    Args:
        out: the folder.
        recipe: the recipe of the run to be.
        data: fingerprint of its videos.
        resume: go on with the run that the folder holds; a new or empty folder begins one.
        force: the run that the folder holds is to be replaced.

    Raises:
        RunError: the folder holds something else, another run, or this run without `resume`.
    """
    path = Path(out)
    if not holds_run(path):
        return RunFolder(path=path)
    if force:
        return RunFolder(path=path, empty=True)
    run = read_run(path)
    changed = _changes(recipe, Recipe.from_json(run["recipe"]))
    if run.get("data", {}).get("fingerprint") != data:
        changed.append("the videos, labels or split of the data")
    step, steps = progress(path)
    where = f"at step {step} of {steps}" if steps else "before its first checkpoint"
    if changed:
        verb = "resume with the settings it was begun with" if resume else "choose another folder"
        raise RunError(
            f"{path} holds another run. Different: {'; '.join(changed)}. Either {verb}, or give "
            "--force to replace it"
        )
    if not resume and steps and step >= steps:
        raise RunError(
            f"{path} holds this run already, finished ({steps} steps). Evaluate it, choose "
            "another folder, or give --force to train again"
        )
    if not resume:
        raise RunError(
            f"{path} holds this run already, stopped {where}. Add --resume to go on, or --force "
            "to begin anew"
        )
    return RunFolder(
        path=path, resumed=True, threads=run.get("threads"), versions=run.get("versions", {})
    )


def holds_run(path: Path) -> bool:
    """Whether a folder holds a run; it does not if a run may begin there.

    Raises:
        RunError: it is a file, or holds something else.
    """
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file; give a folder for the run")
    # A run killed before its first file was written leaves hidden ones only.
    if not path.exists() or all(_is_trace(p) for p in path.iterdir()):
        return False
    if not (path / "run.json").is_file():
        raise RunError(
            f"{path} is not empty and holds no run (no run.json). Give a new folder, so that "
            "nothing of yours is overwritten"
        )
    return True


def _changes(recipe: Recipe, held: Recipe) -> list[str]:
    return [
        f"{path} = {here!r} (there {there!r})"
        for path, (here, there) in recipe.differences(held).items()
        if path not in FREE
    ]


def _is_trace(path: Path) -> bool:
    return path.name == LOCK or is_unfinished(path, "run.json")


def _empty(path: Path) -> None:
    """Removes what a run wrote, and nothing else."""
    for name in OURS:
        (path / name).unlink(missing_ok=True)
    for pattern in ("best-*.safetensors", "last-*.safetensors"):
        for file in path.glob(pattern):
            file.unlink()
    for name in (*OURS, "best-", "last-"):
        remove_unfinished(path, name)
