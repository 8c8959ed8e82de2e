"""What is in a .pt2 file, understood without PyTorch and written anew from what was understood.

`torch.export.load` evaluates the text of sizes as Python, looks up any function below `torch` that
a graph names, unpickles objects, and pastes names of values, parameters and arguments into Python
source that it then executes. The operators of the graph run with every clip, and some of them
read and write files (`aten.from_file`). So PyTorch never sees a file that is not trusted. It sees
an archive in memory whose every entry was read here against a list of what an exported model
consists of: operators of `OPERATORS`, names that are identifiers, sums and products of sizes, raw
numbers. What a model does not need for running (example inputs, traces, metadata) is not copied.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitascope.accelerator.export.program import BYTES, EXPORTED, PAYLOAD, RefusedError
from vitascope.errors import WeightsError
from vitascope.files import JSON_BYTES, parse_json

_ROOT = "model"
_PROGRAM = "models/model.json"
_WEIGHTS = "data/weights/model_weights_config.json"
_CONSTANTS = "data/constants/model_constants_config.json"
_SAMPLES = "data/sample_inputs/model.pt"
_PARTS = re.compile(
    r"(data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|data/sample_inputs/model\.pt|models/model\.json|extra/[\w.-]+"
    r"|archive_format|archive_version|byteorder|\.data/\w+|version)",
    re.ASCII,
)


def read_archive(path: Path) -> io.BytesIO:
    """Reads a .pt2 file that nobody vouches for.

    Args:
        path: the file.

    Returns:
        An archive for `torch.export.load` in which nothing is that could run code or reach a file.

    Raises:
        WeightsError: the file could do that, or is no exported model.
        zipfile.BadZipFile: it is no archive.
    """
    try:
        members = _members(path)
        config, constants = members.get(_WEIGHTS), members.get(_CONSTANTS)
        if _PROGRAM not in members or config is None or constants is None:
            raise RefusedError("it lacks the parts of an exported model")
        if members.get(_SAMPLES):
            raise RefusedError("it has example inputs, which are pickled objects")
        if members.get("byteorder", b"little") != b"little":
            raise RefusedError("its numbers are in another byte order")
        program = EXPORTED(_json(members[_PROGRAM], path), "program")
        weights = _payload(members, config, path, "data/weights/")
        tensors = _payload(members, constants, path, "data/constants/")
    except RefusedError as error:
        raise WeightsError(
            f"{path}: {error}. To open it could run code of its maker. If you trust the file, say "
            f"so with --trust (trust=True in Python); one that `vitascope export --to "
            f"torch.export` wrote needs neither"
        ) from None
    kept = {
        **{name: content for name, content in members.items() if name.startswith("data/")},
        _PROGRAM: json.dumps(program).encode(),
        _WEIGHTS: json.dumps(weights).encode(),
        _CONSTANTS: json.dumps(tensors).encode(),
        _SAMPLES: b"",
        "archive_format": b"pt2",
        "archive_version": b"0",
        "byteorder": b"little",
        ".data/version": b"6\n",
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, content in kept.items():
            writer.writestr(f"{_ROOT}/{name}", content)
    archive.seek(0)
    return archive


def read_extra(path: Path, name: str) -> bytes | None:
    """One of the extra files of an archive; None if it is not there, or unreasonably large."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.partition("/")[2] == f"extra/{name}":
                return archive.read(entry) if entry.file_size <= JSON_BYTES else None
    return None


def _members(path: Path) -> dict[str, bytes]:
    """The members by name; none expands, so they take no more memory than the file."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len({entry.filename.partition("/")[0] for entry in entries}) != 1:
            raise RefusedError("it is no archive with one folder")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise RefusedError("it has members that expand")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise RefusedError("its members are larger than the file")
        found: dict[str, bytes] = {}
        for entry in entries:
            name = entry.filename.partition("/")[2]
            if not _PARTS.fullmatch(name):
                raise RefusedError(
                    f"it holds {name!r:.100}, which is not part of an exported model"
                )
            if name in found:
                raise RefusedError(f"it holds two members named {name!r}")
            if name.endswith(".json") and entry.file_size > JSON_BYTES:
                raise RefusedError(f"{name} has more than {JSON_BYTES >> 20} MB")
            found[name] = archive.read(entry)
    return found


def _json(content: bytes, path: Path) -> Any:
    try:
        return parse_json(content, path)
    except WeightsError as error:
        raise RefusedError(str(error).removeprefix(f"{path} ")) from error


def _payload(
    members: Mapping[str, bytes], config: bytes, path: Path, folder: str
) -> dict[str, Any]:
    """The table of stored tensors, each within the numbers of its member."""
    whole: dict[str, Any] = PAYLOAD(_json(config, path), folder)
    found: dict[str, Any] = whole["config"]
    for name, payload in found.items():
        facts = payload["tensor_meta"]
        content = members.get(folder + payload["path_name"])
        width = BYTES.get(facts["dtype"])
        if payload["use_pickle"]:
            raise RefusedError(f"{name} is stored as a pickled object")
        if content is None or width is None:
            raise RefusedError(f"{name} is not stored as plain numbers")
        sizes = [size["as_int"] for size in facts["sizes"]]
        strides = [size["as_int"] for size in facts["strides"]]
        offset = facts["storage_offset"]["as_int"]
        if len(sizes) != len(strides) or min([offset, *sizes, *strides]) < 0:
            raise RefusedError(f"{name} has a damaged shape")
        steps = zip(sizes, strides, strict=True)
        last = offset + sum((side - 1) * step for side, step in steps)
        if math.prod(sizes) and (last + 1) * width > len(content):
            raise RefusedError(f"{name} claims more numbers than are stored")
        if math.prod(sizes) * width > 16 * max(len(content), 1):
            raise RefusedError(f"{name} repeats its numbers too often")
    return whole
