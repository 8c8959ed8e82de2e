"""Files and notebooks whose imports change."""

from __future__ import annotations

import difflib
import io
import json
import os
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope.compat.migrate.edits import ImportEdits
from vitascope.compat.migrate.text import Edit
from vitascope.errors import ConfigError
from vitascope.files import write_atomically

_SUFFIXES = (".py", ".pyi", ".ipynb")
_PASSED_OVER = {"__pycache__", "node_modules", "site-packages"}
_MAGIC = re.compile(r"\s*[%!?]|\s*[\w, ]+=\s*[%!]|.*\?\s*$")
_PYTHON_CELLS = ("%%time", "%%timeit", "%%capture", "%%prun")
_CELL = "\n"  # between the cells of a notebook, of which none ends within a line


@dataclass(frozen=True)
class MigratedFile:
    """What becomes of a file.

    Attributes:
        path: the file.
        before: its program; of a notebook, all cells of Python.
        after: the program after the changes.
        changes: number of places that change.
        left: where (a line, or a cell and a line) and what has to be looked at by a person.
        content: the file after the changes, in bytes.
        read: the file as it was read, in bytes.
    """

    path: Path
    before: str
    after: str
    changes: int
    left: tuple[tuple[str, str], ...]
    content: bytes
    read: bytes

    def diff(self) -> str:
        """The changes as `diff -u` writes them."""
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(),
            str(self.path), str(self.path), lineterm="",
        )  # fmt: skip
        return "\n".join(lines)


def migrate_files(paths: Sequence[str | Path]) -> tuple[MigratedFile, ...]:
    """Finds what becomes of programs; writes nothing.

    Args:
        paths: files, or folders that are searched for .py, .pyi and .ipynb. Hidden folders,
            virtual environments and installed packages are passed over.

    Returns:
        One entry for each file that changes or in which something is left to a person.

    Raises:
        ConfigError: a path that is not there, or a file that is no Python.
    """
    found = [_migrated(file) for path in paths for file in _files(Path(path))]
    return tuple(file for file in found if file.changes or file.left)


def write_migrated(files: Sequence[MigratedFile]) -> int:
    """Writes what changed, each file whole or not at all, and all of them or none.

    Returns:
        Number of files written.

    Raises:
        ConfigError: a file is no longer what was read.
        OSError: a file cannot be written.
    """
    changed = [file for file in files if file.changes]
    for file in changed:
        if file.path.read_bytes() != file.read:
            raise ConfigError(f"{file.path} changed in the meantime; nothing was written")
    done: list[MigratedFile] = []
    try:
        for file in changed:
            _write(file.path, file.content)
            done.append(file)
    except OSError:
        for file in done:
            _write(file.path, file.read)
        raise
    return len(changed)


def _write(path: Path, content: bytes) -> None:
    target = path.resolve()  # a link stays a link
    mode = target.stat().st_mode
    write_atomically(target, [content])
    os.chmod(target, mode)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise ConfigError(f"{path}: no such file or folder")
    for folder, below, names in os.walk(path):
        below[:] = sorted(
            name
            for name in below
            if not name.startswith(".")
            and name not in _PASSED_OVER
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
        )
        for name in sorted(names):
            if name.endswith(_SUFFIXES) and not name.startswith("."):
                yield Path(folder, name)


def _migrated(path: Path) -> MigratedFile:
    read = path.read_bytes()
    if path.suffix == ".ipynb":
        return _notebook(path, read)
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(read).readline)
        text = read.decode(encoding)
        found = ImportEdits(text)
    except (SyntaxError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None) or 1
        raise _not_python(f"{path}:{line}", error) from error
    after = found.apply()
    ImportEdits(after)  # an invariant: what comes out is Python
    left = tuple((str(line), said) for line, said in found.left)
    return MigratedFile(path, text, after, len(found.edits), left, after.encode(encoding), read)


def _notebook(path: Path, read: bytes) -> MigratedFile:
    try:
        content: Any = json.loads(read)
        cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in cells]
    except (ValueError, KeyError, TypeError) as error:
        line = getattr(error, "lineno", 1)
        raise ConfigError(f"{path}:{line}: no notebook ({error}); nothing was changed") from error
    chosen = [i for i, source in enumerate(sources) if _is_python(source)]
    text = _CELL.join(sources[i] for i in chosen)
    starts = [1]
    for i in chosen:
        starts.append(starts[-1] + sources[i].count("\n") + 1)

    def where(line: int) -> str:
        place = max(n for n, start in enumerate(starts[:-1]) if start <= line)
        return f"cell {chosen[place] + 1}, line {line - starts[place] + 1}"

    try:
        found = ImportEdits(text, _CELL.join(_masked(sources[i]) for i in chosen))
    except SyntaxError as error:
        raise _not_python(f"{path}:{where(error.lineno or 1)}", error) from error
    for i, new in zip(chosen, _split(text, [sources[i] for i in chosen], found.edits), strict=True):
        if new != sources[i]:
            as_list = isinstance(cells[i]["source"], list)
            cells[i]["source"] = new.splitlines(keepends=True) if as_list else new
    left = tuple((where(line), said) for line, said in found.left)
    return MigratedFile(
        path, text, found.apply(), len(found.edits), left, _dumped(content, read), read
    )


def _is_python(cell: str) -> bool:
    return not cell.startswith("%%") or cell.startswith(_PYTHON_CELLS)


def _masked(cell: str) -> str:
    """A cell with the lines that only notebooks understand replaced."""
    lines, indent, continued = [], "", False
    for line in cell.split("\n"):
        magic = continued or _MAGIC.match(line) is not None
        if not continued:
            indent = line[: len(line) - len(line.lstrip())]
        lines.append(f"{indent}pass" if magic else line)
        continued = magic and line.endswith("\\")
    return "\n".join(lines)


def _split(text: str, cells: list[str], edits: Sequence[Edit]) -> list[str]:
    """Each cell after the changes."""
    found, begin = [], 0
    for cell in cells:
        end, parts, at = begin + len(cell), [], begin
        for edit in edits:
            if begin <= edit.start < end:
                parts += [text[at : edit.start], edit.text]
                at = edit.end
        found.append("".join([*parts, text[at:end]]))
        begin = end + len(_CELL)
    return found


def _dumped(content: Any, read: bytes) -> bytes:
    """A notebook as it was laid out before."""
    text = read.decode()
    indent = re.match(r"\s*\{\r?\n( *)", text)
    dumped = json.dumps(
        content, indent=len(indent[1]) if indent else 1, ensure_ascii=text.isascii()
    )
    return (dumped + ("\n" if text.endswith("\n") else "")).encode()


def _not_python(where: str, error: Exception) -> ConfigError:
    said = getattr(error, "msg", None) or str(error)
    return ConfigError(f"{where}: no Python ({said}); nothing was changed")
