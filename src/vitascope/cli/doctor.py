"""`vitascope doctor`: what is installed, what works, and the command that mends what does not."""

from __future__ import annotations

import json
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from typing import Any

from rich.progress import SpinnerColumn, TextColumn

from vitascope import __version__
from vitascope.cli.options import JsonFile
from vitascope.cli.output import Output
from vitascope.optional import (
    install_command,
    mend_command,
    packages_of,
    pinned,
    reinstall_command,
)

TIME_LIMIT = 180
"""Seconds after which a trial counts as hanging; the first import on a slow disk can take long."""

# The module behind what is tried, and the extra that brings it.
MODULES = {
    "torch": ("torch", ""),
    "torch.export": ("torch", ""),
    "pyav": ("av", ""),
    "images": ("av", ""),
    "opencv": ("cv2", "opencv"),
    "torchcodec": ("torchcodec", "torchcodec"),
    "decord": ("decord", "decord"),
}
NEEDED = "pyav"
"""The decoder whose time line the others go by."""
_INSTALLED = re.compile(r'File "[^"]*(?:site|dist)-packages[/\\]([\w-]+)')


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What trying one thing showed.

    Attributes:
        kind: "torch", "decoder" or "target".
        name: what was tried.
        works: it did what it should.
        detail: what was seen, or the reason why it does not work.
        versions: versions of the packages behind it.
        mend: the command that mends it; empty when it works.
        found: everything else that the trial told.
    """

    kind: str
    name: str
    works: bool
    detail: str
    versions: dict[str, str] = field(default_factory=dict)
    mend: str = ""
    found: dict[str, Any] = field(default_factory=dict)


def doctor(json_file: JsonFile = None) -> None:
    """Shows what is installed and what works, and how to mend the rest.

    Decoders read a test video; export targets export a small model and run it. Whatever does
    not work is followed by the one command that mends it. Ends with status 1 if no decoder works.

    Examples:
      vitascope doctor
      vitascope doctor --json doctor.json
    """
    with Output("doctor", json_file) as out:
        columns = SpinnerColumn(), TextColumn("{task.description}")
        with out.progress(*columns) as progress:
            progress.add_task("trying PyTorch, decoders and export targets", total=None)
            torch = attempt("torch", "torch")
            trials = _attempt_all(torch)
        _report(out, torch, trials)
        if not any(t.works for t in trials if t.kind == "decoder"):
            out.fail("no decoder works, so no video can be read.")


def _attempt_all(torch: Trial) -> list[Trial]:
    jobs = [("decoder", name) for name in torch.found.get("decoders", ())]
    jobs += [("target", name) for name in torch.found.get("targets", ())]
    extras = torch.found.get("targets", {})
    with ThreadPoolExecutor(max_workers=min(4, torch.found.get("cores", 1))) as pool:
        trials = list(pool.map(lambda job: attempt(job[0], job[1], extras.get(job[1], "")), jobs))
    needed = next((t for t in trials if t.name == NEEDED and not t.works), None)
    if needed is None:
        return trials
    return [
        replace(t, detail=f"it needs {NEEDED}, which does not work", mend=needed.mend)
        if t.kind == "decoder" and not t.works and t is not needed
        else t
        for t in trials
    ]


def attempt(kind: str, name: str, extra: str = "") -> Trial:
    """Tries one thing in a process of its own; whatever happens there, this returns."""
    # With the stack of a crash, which tells whose fault it is.
    command = [sys.executable, "-X", "faulthandler", "-m", "vitascope.cli.probes", kind, name]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return _broken(kind, name, f"no answer within {TIME_LIMIT} s", extra)
    except OSError as error:
        return _broken(kind, name, f"cannot be tried ({error.strerror})", extra)
    if done.returncode != 0:
        return _broken(kind, name, _last_words(done.returncode, done.stderr), extra, done.stderr)
    try:
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return _broken(kind, name, "no readable answer", extra)
    if not found.pop("works"):
        return _broken(kind, name, found["reason"], extra)
    return Trial(
        kind=kind,
        name=name,
        works=True,
        detail=found.pop("detail"),
        versions=found.pop("versions", {}),
        found=found,
    )


def _last_words(code: int, errors: str) -> str:
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return lines[-1] if lines else f"the process ended with status {code}"


def _broken(kind: str, name: str, reason: str, extra: str, errors: str = "") -> Trial:
    told = re.search(r"\s*Run: (pip .+)$", reason)
    if told:  # what is missing says itself what it needs
        command, reason = told[1], reason[: told.start()].rstrip(". ")
    else:
        command = _remedy(name, extra, errors)
    pip = f"{_quoted(sys.executable)} -m pip "
    mend = " && ".join(pip + part.removeprefix("pip ") for part in command.split(" && "))
    return Trial(kind=kind, name=name, works=False, detail=reason, mend=mend)


def _remedy(name: str, extra: str, errors: str) -> str:
    """What mends a thing that fails: its own package, or the one in which it fails."""
    missing = re.search(r"^ModuleNotFoundError: No module named '([\w-]+)", errors, re.MULTILINE)
    if missing and missing[1] != "vitascope":
        return " ".join(part for part in ("pip install", missing[1], pinned()) if part)
    module, own = MODULES.get(name, (name, extra))
    frames = _INSTALLED.findall(errors)
    if frames:  # a crash begins with the innermost frame, an exception ends with it
        failed = frames[0] if "(most recent call first)" in errors else frames[-1]
        if failed not in ("torch", "vitascope", module):
            return mend_command(failed, "")
    if extra and name not in MODULES:
        packages = packages_of(extra)
        return reinstall_command(*packages) if packages else install_command(extra)
    return mend_command(module, own) if own else reinstall_command(module)


def _quoted(path: str) -> str:
    return f'"{path}"' if " " in path else path


def _report(out: Output, torch: Trial, trials: Sequence[Trial]) -> None:
    gpus = torch.found.get("gpus", [])
    python = f"{platform.python_version()} ({sys.executable})"
    cores = torch.found.get("cores")  # nothing can be said of them without torch
    machine = f"{cores or 'unknown'} CPU cores, {platform.system()} {platform.machine()}"
    out.data.update(
        python=platform.python_version(),
        executable=sys.executable,
        platform=platform.platform(),
        cpu_cores=cores,
        gpus=gpus,
        torch={"version": _version("torch"), **_plain_trial(torch)},
        decoders=[_plain_trial(t) for t in trials if t.kind == "decoder"],
        targets=[_plain_trial(t) for t in trials if t.kind == "target"],
    )
    detail = f"{_version('torch')}: {torch.detail}" if torch.works else "does not work"
    out.facts(
        [
            ("vitascope", __version__),
            ("Python", python),
            ("PyTorch", detail),
            ("machine", f"{machine}, {', '.join(gpus) or 'no GPU'}"),
        ]
    )
    if not torch.works:
        _mend(out, torch)
        out.say("Decoders and export targets were not tried, because they need PyTorch.")
    for kind, title in (("decoder", "Decoders"), ("target", "Export targets")):
        chosen = [t for t in trials if t.kind == kind]
        if not chosen:
            continue
        out.heading(title)
        out.facts((t.name, _line(t)) for t in chosen)
        for trial in chosen:
            if not trial.works:
                _mend(out, trial)


def _line(trial: Trial) -> str:
    if not trial.works:
        return "does not work"
    versions = ", ".join(f"{name} {version}" for name, version in trial.versions.items())
    return f"works: {trial.detail}" + (f" ({versions})" if versions else "")


def _mend(out: Output, trial: Trial) -> None:
    out.say(f"{trial.name}: {trial.detail}. Mend it with:", style="yellow")
    out.say(f"  {trial.mend}", whole=True)


def _plain_trial(trial: Trial) -> dict[str, Any]:
    fields = asdict(trial)
    del fields["found"], fields["kind"]
    return fields


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
