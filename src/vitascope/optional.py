"""Optional dependencies: import one, or explain which extra brings it."""

from __future__ import annotations

import importlib
import re
from importlib import metadata
from types import ModuleType
from typing import Any

from vitascope.errors import MissingExtraError

_BESIDE_TORCH = ("timm", "torchcodec")
"""Extras with packages that are compiled for one build of PyTorch, and come from its index."""


def install_command(extra: str) -> str:
    """The command that brings an extra and leaves the PyTorch that is installed as it is.

    Without it, pip may take another version, and for a CPU build the one with CUDA.
    """
    index = _index() if extra in _BESIDE_TORCH else ""
    return " ".join(part for part in (f'pip install "vitascope[{extra}]"', pinned(), index) if part)


def reinstall_command(*packages: str) -> str:
    """The command that installs packages anew in the versions that are there, and nothing else.

    A package that is compiled for one build of PyTorch may not fit the one that is there, so of it
    the newest is taken.
    """
    exact = []
    for package in packages:
        version = None if package in _BESIDE_TORCH else _version(package)
        exact.append(package if version is None else f'"{package}=={version}"')
    index = _index() if "torch" in packages else ""
    command = f"pip install --force-reinstall --no-deps {' '.join(exact)} {index}"
    return command.rstrip()


def mend_command(module: str, extra: str) -> str:
    """The command for a module that is there and does not work.

    Where another package brings it than the one of the extra, or several do (OpenCV has four that
    write the same files), those go first.
    """
    top = module.partition(".")[0]
    found = sorted({name.lower() for name in metadata.packages_distributions().get(top, ())})
    if not found:
        return install_command(extra)
    if len(found) == 1 and (not extra or found[0] in packages_of(extra)):
        return reinstall_command(found[0])
    return f"pip uninstall -y {' '.join(found)} && {install_command(extra)}"


def packages_of(extra: str) -> tuple[str, ...]:
    """The packages that an extra brings; none where this package is not installed itself."""
    try:
        needed = metadata.requires("vitascope") or []
    except metadata.PackageNotFoundError:
        return ()
    mark = re.compile(rf"""extra\s*==\s*['"]{re.escape(extra)}['"]""")
    names = (re.match(r"[\w.-]+", text) for text in needed if mark.search(text))
    return tuple(name[0].lower() for name in names if name)


def pinned() -> str:
    """The installed PyTorch as a requirement that nothing else meets; empty without one."""
    version = _version("torch")
    return "" if version is None else f'"torch=={version}"'


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _index() -> str:
    """Where builds like the installed one are; empty for those of the usual index."""
    build = (_version("torch") or "").partition("+")[2]
    known = re.fullmatch(r"cpu|xpu|cu\d+|rocm[\d.]+", build)
    return f"--extra-index-url https://download.pytorch.org/whl/{build}" if known else ""


def require(module: str, *, extra: str) -> Any:
    """Imports `module`, which the pip extra `extra` installs.

    Returns:
        The module (typed as Any: most optional packages carry no types).

    Raises:
        MissingExtraError: the package is absent, or is present and fails to load; the message
            names the command that mends it and, in the second case, the original reason.
    """
    command = install_command(extra)
    try:
        loaded: ModuleType = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise MissingExtraError(
                f"{module} is installed but needs {error.name}, which is not. Run: {command}"
            ) from error
        raise MissingExtraError(f"{module} is not installed. Run: {command}") from error
    except (ImportError, OSError, RuntimeError) as error:
        # Packages around a native library (torchcodec, decord) fail with any of these.
        reason = str(error).strip().splitlines()
        raise MissingExtraError(
            f"{module} is installed but does not load ({reason[0] if reason else error!r}). "
            f"Run: {mend_command(module, extra)}"
        ) from error
    return loaded
