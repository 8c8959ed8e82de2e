"""What a file of torch would do, looked at before torch reads it.

torch reads with `weights_only=True`, so nothing runs. But it believes the file about sizes: it
makes room for as many numbers as a storage claims to have, expands whatever is packed, and hashes
whatever stands for a key. Here the same pickle is carried out without making anything, and each
storage and tensor is held against the bytes that the file really has.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

from vitascope.models.weights.machine import Call, Machine, Name, Stored, parts

# The first object of files that torch wrote before it used zip archives: a number.
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
PICKLE = 16 << 20
"""Most bytes of the pickle in an archive; one with a thousand tensors has about 100 kB."""
REPEATED = 16
"""How often a tensor may repeat its numbers (views with stride 0)."""

_BYTES = {
    "UntypedStorage": 1, "ByteStorage": 1, "CharStorage": 1, "BoolStorage": 1, "ShortStorage": 2,
    "HalfStorage": 2, "BFloat16Storage": 2, "IntStorage": 4, "FloatStorage": 4, "LongStorage": 8,
    "DoubleStorage": 8, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
}  # fmt: skip
_STORAGE = re.compile(rf"torch\.(cuda\.|storage\.)?({'|'.join(_BYTES)})")
_DTYPE = re.compile(r"torch\.(float|bfloat|u?int|complex|bool)\w*|torch\.(half|double|long|short)")
_TENSORS = {f"torch._utils._rebuild_tensor{end}" for end in ("", "_v2", "_v3")}
_PARAMETERS = {
    "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter",
}  # fmt: skip
_SCALARS = {"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"}
# What training programs store besides tensors, none of which runs anything.
_OTHERS = {
    "collections.OrderedDict", "collections.Counter", "torch.Size", "torch.device",
    "torch.serialization._get_layout", "_codecs.encode", "builtins.bytearray", "builtins.set",
    "__builtin__.set", "__builtin__.bytearray", "builtins.complex", "__builtin__.complex",
    "argparse.Namespace", "pathlib.PosixPath", "pathlib.PurePosixPath", "numpy.dtype",
}  # fmt: skip
_ALLOWED = {*_TENSORS, *_PARAMETERS, *_SCALARS, *_OTHERS}
# Objects that may take over a state; never the tensors themselves, whose storage it would replace.
_WITH_STATE = {"argparse.Namespace", "numpy.dtype", *_PARAMETERS}


def _allowed(path: str) -> bool:
    return path in _ALLOWED or bool(_STORAGE.fullmatch(path) or _DTYPE.fullmatch(path))


def check_torch(path: Path, *, zipped: bool) -> None:
    """Refuses a file of torch that would run something, or fill the memory.

    Args:
        path: the file.
        zipped: whether it is an archive, as torch writes since 1.6.

    Raises:
        RefusedNameError: it asks for what is neither a tensor nor a container.
        UnpicklingError: it is cut, damaged, or claims more than it holds.
        zipfile.BadZipFile: the archive is damaged.
    """
    if not zipped:
        with path.open("rb") as stream:
            _check_legacy(stream, path.stat().st_size)
        return
    with zipfile.ZipFile(path) as archive:
        members = check_archive(archive, path.stat().st_size)
        pickles = [name for name in members if name.endswith("/data.pkl")]
        if len(pickles) != 1 or "/" in pickles[0].removesuffix("/data.pkl"):
            raise UnpicklingError("no archive of torch: it holds no data.pkl")
        if members[pickles[0]] > PICKLE:
            raise UnpicklingError(f"its data.pkl has {members[pickles[0]] / 1e6:.0f} MB")
        folder = pickles[0].removesuffix("data.pkl")
        pickled = archive.read(pickles[0])
        value = Machine(io.BytesIO(pickled), len(pickled), _allowed).run()
        _Checker(lambda key: members.get(f"{folder}data/{key}", -1)).check(value)


def check_archive(archive: zipfile.ZipFile, size: int) -> Mapping[str, int]:
    """The bytes of each member of an archive that two readers cannot understand in two ways.

    Args:
        archive: the archive.
        size: bytes of its file.

    Raises:
        UnpicklingError: members of one name, bytes before or behind the archive, or members that
            would expand to more than four times the file.
    """
    entries = archive.infolist()
    if len({entry.filename for entry in entries}) < len(entries):
        raise UnpicklingError("it holds two members of one name")
    if archive.comment or min((entry.header_offset for entry in entries), default=1) != 0:
        raise UnpicklingError("there is something before or behind the archive")
    whole = sum(entry.file_size for entry in entries)
    if whole > 4 * size + 65536:
        raise UnpicklingError(f"its {size / 1e6:.1f} MB would expand to {whole / 1e6:.0f} MB")
    return {entry.filename: entry.file_size for entry in entries}


def _check_legacy(stream: BinaryIO, size: int) -> None:
    """Five pickles (mark, version, machine, content, keys of the storages), then the storages."""
    values = []
    for _ in range(5):
        values.append(Machine(stream, size - stream.tell(), _allowed).run())
    claimed: dict[Any, int] = {}

    checker = _Checker(lambda key: claimed.get(key, -1))
    claimed.update(checker.storages(values[3]))
    if sum(claimed.values()) > size:
        raise UnpicklingError(
            f"it claims {sum(claimed.values()) / 1e6:.0f} MB of numbers and has {size / 1e6:.1f} MB"
        )
    if not isinstance(values[4], list) or len(values[4]) != len(claimed):
        raise UnpicklingError("its list of storages is damaged")
    for _ in values[4]:
        head = stream.read(8)
        if len(head) < 8:
            raise UnpicklingError("it ends too early")
        (count,) = struct.unpack("<q", head)
        if not 0 <= count <= size:
            raise UnpicklingError(f"a storage of {count} numbers")
        break  # the width of its numbers stands elsewhere; torch reads the rest and compares
    checker.check(values[3])


class _Checker:
    """Holds storages and tensors against the bytes that are there.

    Args:
        length: bytes of the storage of a key; below 0 where there is none.
    """

    def __init__(self, length: Callable[[Any], int]) -> None:
        self._length = length

    def check(self, value: Any) -> None:
        """Looks at everything that a value is made of, once."""
        for part in _all_parts(value):
            if isinstance(part, Stored):
                count, width, _ = _storage(part)
                if count * width > self._length(part.key[2]):
                    raise UnpicklingError(f"a storage claims {count} numbers and has fewer")
            elif isinstance(part, Call):
                self._call(part)
            elif isinstance(part, Name) and part.path.endswith("Tensor"):
                raise UnpicklingError(f"{part.path} is used as a value")

    def storages(self, value: Any) -> dict[Any, int]:
        """Bytes that each storage claims, by key."""
        found = {}
        for part in _all_parts(value):
            if isinstance(part, Stored):
                count, width, _ = _storage(part)
                found[part.key[2]] = count * width
        return found

    def _call(self, call: Call) -> None:
        if call.path in _TENSORS:
            _check_tensor(call)
        elif call.path in _OTHERS - {"torch.Size", "argparse.Namespace"} or call.path in _SCALARS:
            _check_plain(call)
        elif call.path not in {*_PARAMETERS, "torch.Size", "argparse.Namespace"}:
            raise UnpicklingError(f"a call of {call.path}")
        if call.state is not None and call.path not in _WITH_STATE:
            raise UnpicklingError(f"a state for {call.path}")
        if call.entries and call.path != "collections.Counter":
            raise UnpicklingError(f"entries for {call.path}")


def _all_parts(value: Any) -> list[Any]:
    """A value and all that it is made of, each once."""
    seen, found, waiting = {id(value)}, [], [value]
    while waiting:
        current = waiting.pop()
        found.append(current)
        for part in parts(current):
            if id(part) not in seen:
                seen.add(id(part))
                waiting.append(part)
    return found


def _storage(stored: Stored) -> tuple[int, int, int]:
    """How many numbers a storage claims, the bytes of each, and how many of them are used."""
    key = stored.key
    if not (isinstance(key, tuple) and len(key) >= 5 and key[0] == "storage"):
        raise UnpicklingError("an object outside of the file")
    kind, count = key[1], key[4]
    named = _STORAGE.fullmatch(kind.path) if isinstance(kind, Name) else None
    if named is None or type(count) is not int or count < 0 or not isinstance(key[2], str):
        raise UnpicklingError("a storage of an unknown kind")
    used = count
    if len(key) > 5 and key[5] is not None:  # a part of a storage, as torch wrote them before 1.6
        _, offset, used = key[5] if isinstance(key[5], tuple) and len(key[5]) == 3 else (0, 0, -1)
        if not (type(offset) is type(used) is int and min(offset, used) >= 0):
            raise UnpicklingError("a part of a storage that is damaged")
        if offset + used > count:
            raise UnpicklingError("a part of a storage that is not there")
    return count, _BYTES[named[2]], used


def _check_tensor(call: Call) -> None:
    if len(call.args) < 4 or not isinstance(call.args[0], Stored):
        raise UnpicklingError("a tensor without storage")
    _, width, count = _storage(call.args[0])
    offset, sizes, strides = call.args[1:4]
    sizes, strides = _whole(sizes), _whole(strides)
    if len(sizes) != len(strides) or type(offset) is not int or min([offset, *sizes, *strides]) < 0:
        raise UnpicklingError("a tensor of damaged shape")
    if "_v3" in call.path:  # the storage counts bytes, and torch compares with the type
        count *= width
    numbers = 1
    for side in sizes:
        numbers *= side
        if numbers > REPEATED * max(count, 1):
            raise UnpicklingError(f"a tensor of {numbers} numbers, of which {count} are there")
    steps = zip(sizes, strides, strict=True)
    last = offset + sum((side - 1) * step for side, step in steps) if numbers else 0
    if numbers and last >= count:
        raise UnpicklingError(f"a tensor that reads number {last} of {count}")


def _whole(value: Any) -> list[int]:
    if isinstance(value, Call) and value.path == "torch.Size" and len(value.args) == 1:
        value = value.args[0]
    if not isinstance(value, tuple | list) or not all(type(side) is int for side in value):
        raise UnpicklingError("a tensor of damaged shape")
    return list(value)


_TYPE_CODE = re.compile(r"[?biufcSUVM]\d{0,2}")


def _check_plain(call: Call) -> None:
    """Calls with plain arguments that could still be made to ask for memory or endless time."""
    args, damaged = call.args, UnpicklingError(f"a damaged call of {call.path}")
    if call.path.endswith(".bytearray"):  # a number would be that many bytes
        fine = not args or not isinstance(args[0], int)
    elif call.path.endswith((".set", ".Counter")):
        plain = (str, int, float, bytes, bool)
        given = args[0] if args else ()
        fine = isinstance(given, tuple | list | set | frozenset | dict) and all(
            isinstance(item, plain) for item in given
        )
    elif call.path == "_codecs.encode":
        fine = len(args) == 2 and args[1] == "latin1"
    elif call.path == "numpy.dtype":
        fine = bool(args) and isinstance(args[0], str) and bool(_TYPE_CODE.fullmatch(args[0]))
        fine = fine and _is_state_of_a_type(call.state)
    else:
        fine = all(not isinstance(arg, list | dict | tuple) for arg in args)
    if not fine:
        raise damaged


def _is_state_of_a_type(state: Any) -> bool:
    """Whether it is what numpy writes: version, byte order, nothing else (no fields, no object)."""
    if state is None:
        return True
    if not isinstance(state, tuple) or len(state) not in (8, 9):
        return False
    version, order, *fields = state
    return (
        version in (3, 4)
        and order in ("<", ">", "=", "|")
        and fields[:3] == [None] * 3
        and all(part is None or (type(part) is int and -1 <= part <= 64) for part in fields[3:])
    )
