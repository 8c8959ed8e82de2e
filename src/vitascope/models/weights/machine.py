"""A machine that carries out a pickle without making any of the objects that it asks for.

Python's own reader looks names up, calls functions and hashes whatever stands for a key while it
reads; a file of a hundred bytes can so make it fill the memory or run for years. This one makes
plain values alone. A function that would be called becomes a `Call`, a name a `Name`, an object
outside of the pickle a `Stored`; what is then made of those is decided by who asked.

Bounded are the instructions, the length of each value (by what the file really holds), numbers,
the depth of nesting and what the references would amount to if each were written out. Circles are
refused: no list of weights has one, and whoever walks along them never comes back.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pickle import UnpicklingError
from typing import Any, BinaryIO

INSTRUCTIONS = 2_000_000
"""Most instructions of a file; the largest published checkpoint has about 200,000."""
DEPTH = 100
WRITTEN_OUT = 20_000_000
"""Most values of a file, each counted as often as something refers to it."""
DIGITS = 255  # bytes of a whole number
LINE = 1 << 16  # bytes of a line of the oldest protocol
Scalar = (str, bytes, int, float, bool, type(None))


@dataclass(eq=False, slots=True)
class Name:
    """A function or class that a pickle names."""

    path: str


@dataclass(eq=False, slots=True)
class Stored:
    """An object that lies outside of the pickle.

    Attributes:
        key: what identifies it there.
    """

    key: Any


@dataclass(eq=False, slots=True)
class Call:
    """A call that a pickle asks for, and what it then wants to do to the result.

    Attributes:
        path: name of the function or class.
        args: positional arguments.
        state: what the result is to take over as its state; None if nothing is.
        entries: what is to be put into the result by key.
    """

    path: str
    args: tuple[Any, ...]
    state: Any = None
    entries: dict[Any, Any] = field(default_factory=dict)


class RefusedNameError(Exception):
    """A pickle names something that nobody allowed."""


class Ordered(dict[Any, Any]):
    """An OrderedDict, with the attributes that it carries (versions of the layers)."""

    state: Any = None


_MARK = object()
_SIZES = {
    "T": "<i", "U": "<B", "X": "<I", "\x8c": "<B", "\x8d": "<Q", "B": "<I", "C": "<B",
    "\x8e": "<Q", "\x96": "<Q", "\x8a": "<B", "\x8b": "<i",
}  # fmt: skip
_NUMBERS = {"J": "<i", "K": "<B", "M": "<H", "G": ">d"}
_PUT, _GET = {"q": "<B", "r": "<I"}, {"h": "<B", "j": "<I"}
_PLAIN: dict[str, Callable[[], Any]] = {
    "N": lambda: None, "\x88": lambda: True, "\x89": lambda: False, "]": list, "}": dict,
    ")": tuple, "\x8f": set,
}  # fmt: skip
_TUPLES = {"\x85": 1, "\x86": 2, "\x87": 3}


class Machine:
    """Carries out one pickle.

    Args:
        stream: the file, opened in binary mode, at the beginning of the pickle.
        size: bytes that can be read from there on.
        allowed: whether a name may occur.
        instructions: most instructions.
    """

    def __init__(
        self,
        stream: BinaryIO,
        size: int,
        allowed: Callable[[str], bool],
        instructions: int = INSTRUCTIONS,
    ) -> None:
        self._stream, self._left, self._allowed = stream, size, allowed
        self._instructions = instructions
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value: plain ones, `Call`, `Name` and `Stored`; no circles, nothing that explodes.

        Raises:
            RefusedNameError: it names what is not allowed.
            UnpicklingError: it is cut, damaged, or larger than any list of weights.
        """
        try:
            for _ in range(self._instructions):
                code = self._take(1).decode("latin1")
                if code == ".":
                    value = self._pop()
                    check_memory(value)
                    return value
                self._step(code)
        except (struct.error, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise UnpicklingError(f"damaged: {error!r:.200}") from error
        raise UnpicklingError(f"more than {self._instructions} instructions")

    def _step(self, code: str) -> None:
        if code in _PLAIN:
            self._stack.append(_PLAIN[code]())
        elif code in _PUT or code in "p\x94":
            self._memo[self._index(code)] = self._peek()
        elif code in _GET or code == "g":
            self._stack.append(self._memo[self._index(code)])
        elif code in _NUMBERS:
            self._stack.append(self._unpack(_NUMBERS[code]))
        elif code in _SIZES:
            self._stack.append(self._sized(code))
        elif code in "ILFSV":
            self._stack.append(self._spelt(code))
        elif code in _TUPLES:
            self._stack.append(tuple(self._several(_TUPLES[code])))
        elif code in "ci\x93PQRo\x81\x92b":
            self._object(code)
        elif code in "aelsud\x90\x91t(012":
            self._container(code)
        elif code == "\x80":
            if self._take(1)[0] > 5:
                raise UnpicklingError("an unknown protocol")
        elif code == "\x95":
            self._unpack("<Q")  # the length of a frame; nothing depends on it
        else:
            raise UnpicklingError(f"an unknown instruction {code!r}")

    # Reading.

    def _take(self, count: int) -> bytes:
        if not 0 <= count <= self._left:
            raise UnpicklingError("it ends too early")
        content = self._stream.read(count)
        if len(content) < count:
            raise UnpicklingError("it ends too early")
        self._left -= count
        return content

    def _line(self) -> str:
        line = self._stream.readline(min(LINE, self._left))
        self._left -= len(line)
        if not line.endswith(b"\n"):
            raise UnpicklingError("a line that does not end")
        return line[:-1].decode("latin1")

    def _unpack(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _index(self, code: str) -> int:
        if code == "\x94":
            return len(self._memo)
        if code in "pg":
            return int(self._line())
        return int(self._unpack({**_PUT, **_GET}[code]))

    def _sized(self, code: str) -> Any:
        size = self._unpack(_SIZES[code])
        if code in "\x8a\x8b":
            if size > DIGITS:
                raise UnpicklingError(f"a number of {size} bytes")
            return int.from_bytes(self._take(size), "little", signed=True)
        content = self._take(size)
        if code in "BC\x8e\x96":
            return content
        # Python 2 wrote strings of bytes; latin1 keeps each byte.
        return str(content, "latin1") if code in "TU" else str(content, "utf-8", "surrogatepass")

    def _spelt(self, code: str) -> Any:
        text = self._line()
        if code == "I" and text in ("00", "01"):
            return text == "01"
        if code in "IL":
            if len(text) > 2 * DIGITS:
                raise UnpicklingError(f"a number of {len(text)} digits")
            return int(text.removesuffix("L"))
        if code == "F":
            return float(text)
        if code == "V":
            return text.encode("latin1").decode("raw-unicode-escape")
        if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
            raise UnpicklingError("a text without quotes")
        return (
            text[1:-1].encode("latin1").decode("unicode-escape").encode("latin1").decode("latin1")
        )

    # The stack.

    def _peek(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise UnpicklingError("nothing there")
        return self._stack[-1]

    def _pop(self) -> Any:
        value = self._peek()
        self._stack.pop()
        return value

    def _several(self, count: int) -> list[Any]:
        return [self._pop() for _ in range(count)][::-1]

    def _to_mark(self) -> list[Any]:
        found: list[Any] = []
        while self._stack:
            value = self._stack.pop()
            if value is _MARK:
                return found[::-1]
            found.append(value)
        raise UnpicklingError("no beginning")

    def _container(self, code: str) -> None:
        if code == "(":
            self._stack.append(_MARK)
        elif code == "0":
            if self._stack.pop() is _MARK:
                return
        elif code == "1":
            self._to_mark()
        elif code == "2":
            self._stack.append(self._peek())
        elif code in "tl\x91":
            kind: Any = {"t": tuple, "l": list, "\x91": _frozen}[code]
            self._stack.append(kind(self._to_mark()))
        elif code == "d":
            made: dict[Any, Any] = {}
            self._put(made, self._to_mark())
            self._stack.append(made)
        elif code in "ae":
            items = [self._pop()] if code == "a" else self._to_mark()
            self._peek_list().extend(items)
        elif code in "su":
            items = self._several(2) if code == "s" else self._to_mark()
            target = self._peek()
            self._put(target.entries if isinstance(target, Call) else target, items)
        else:
            items = self._to_mark()
            target = self._peek()
            if not isinstance(target, set):
                raise UnpicklingError("a set is expected")
            target.update(_frozen(items))

    def _peek_list(self) -> list[Any]:
        target = self._peek()
        if not isinstance(target, list):
            raise UnpicklingError("a list is expected")
        return target

    @staticmethod
    def _put(target: Any, items: list[Any]) -> None:
        if not isinstance(target, dict) or len(items) % 2:
            raise UnpicklingError("a table is expected")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    # Objects.

    def _object(self, code: str) -> None:
        if code in "ci\x93":
            module, name = self._several(2) if code == "\x93" else (self._line(), self._line())
            if not (isinstance(module, str) and isinstance(name, str)):
                raise UnpicklingError("a name that is no text")
            path = f"{module}.{name}"
            if not self._allowed(path):
                raise RefusedNameError(path)
            made: Any = Name(path)
            if code == "i":
                made = self._call(made, tuple(self._to_mark()))
            self._stack.append(made)
        elif code in "PQ":
            self._stack.append(Stored(self._line() if code == "P" else self._pop()))
        elif code == "b":
            state = self._pop()
            target = self._peek()
            if not isinstance(target, Call | Ordered):
                raise UnpicklingError("a state for what is no object")
            target.state = state
        elif code == "o":
            function, *args = self._to_mark()
            self._stack.append(self._call(function, tuple(args)))
        else:
            if code == "\x92" and self._pop() != {}:
                raise UnpicklingError("arguments by name")
            function, arguments = self._several(2)
            self._stack.append(self._call(function, arguments))

    @staticmethod
    def _call(function: Any, args: Any) -> Any:
        if not isinstance(function, Name) or not isinstance(args, tuple):
            raise UnpicklingError("a call of what is no function")
        if function.path != "collections.OrderedDict":
            return Call(function.path, args)
        pairs = args[0] if args else ()
        made = Ordered()
        for key, value in pairs.items() if isinstance(pairs, dict) else pairs:
            made[_key(key)] = value
        return made


def _key(value: Any) -> Any:
    """A key that is hashed in no time: a tuple of tuples of the same two tuples is not."""
    flat = isinstance(value, tuple) and all(isinstance(part, Scalar) for part in value)
    if not (flat or isinstance(value, Scalar)):
        raise UnpicklingError(f"a key that is a {type(value).__name__}")
    return value


def _frozen(values: list[Any]) -> frozenset[Any]:
    return frozenset(_key(value) for value in values)


def parts(value: Any) -> Iterator[Any]:
    """What a value of the machine is made of; nothing for plain ones."""
    if isinstance(value, dict):
        yield from value.values()
        if isinstance(value, Ordered):
            yield value.state
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif isinstance(value, Call):
        yield from value.args
        yield value.state
        yield from value.entries.values()
    elif isinstance(value, Stored):
        yield value.key


def check_memory(value: Any) -> None:
    """Refuses circles, and references that would amount to too much or nest too deeply.

    Raises:
        UnpicklingError: as said.
    """
    sizes: dict[int, int] = {}  # of what is finished, by identity
    open_: list[tuple[Any, Iterator[Any], list[int]]] = [(value, parts(value), [1])]
    inside = {id(value)}
    while open_:
        current, rest, size = open_[-1]
        part = next(rest, _MARK)
        if part is _MARK:
            open_.pop()
            inside.discard(id(current))
            sizes[id(current)] = size[0]
            if size[0] > WRITTEN_OUT:
                raise UnpicklingError("references that amount to more than any list of weights")
            if open_:
                open_[-1][2][0] += size[0]
        elif isinstance(part, Scalar):
            size[0] += 1
        elif id(part) in sizes:
            size[0] += sizes[id(part)]
        elif id(part) in inside:
            raise UnpicklingError("a container that holds itself")
        elif len(open_) >= DEPTH:
            raise UnpicklingError(f"nested more than {DEPTH} deep")
        else:
            inside.add(id(part))
            open_.append((part, parts(part), [1]))
