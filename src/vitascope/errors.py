"""Errors that a user can mend: what was wrong, where, what is allowed, and the remedy.

Every class derives from `VitascopeError`; the command line prints such an error as one message
and exits with status 2. A failed check (accuracy, parity, a faulty file) is no error of this
kind: it is a result, and exits with status 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fractions import Fraction

from vitascope.text import shown


class VitascopeError(Exception):
    """Bad input or a missing requirement; the message says how to mend it."""


class UnknownNameError(VitascopeError, KeyError, AssertionError):
    """A name that is not in a table. The message lists the nearest legal names."""

    def __init__(self, kind: str, name: str, legal: Iterable[str], hint: str = "") -> None:
        self.kind, self.legal = kind, sorted(legal)
        self.name = name = name if len(name) <= 200 else f"{name[:200]}..."
        near = difflib.get_close_matches(name, self.legal, n=3, cutoff=0.5)
        shown = ", ".join(self.legal[:12]) + (", ..." if len(self.legal) > 12 else "")
        text = f"unknown {kind} {name!r}."
        if near:
            text += f" Did you mean {' or '.join(repr(n) for n in near)}?"
        text += f" Known: {shown or 'none'}."
        super().__init__(text + (f" {hint}" if hint else ""))

    def __str__(self) -> str:  # KeyError would print the repr of the message.
        return str(self.args[0])


class ConfigError(VitascopeError, ValueError, AssertionError):
    """A setting with an illegal value or of the wrong type.

    Also an AssertionError, which is what the libraries before raise for the same, so that programs
    that catch it keep working; `InputError` and `UnknownNameError` likewise.
    """


class WrongTypeError(ConfigError, TypeError):
    """A value of the wrong type, where programs may expect a TypeError."""


class UnknownChoiceError(ConfigError, NotImplementedError):
    """A word that names nothing here, where programs may expect a NotImplementedError."""


class DatasetNotFoundError(VitascopeError, FileNotFoundError):
    """A data set folder or list that does not exist."""


class DatasetError(VitascopeError, ValueError):
    """A data set that was found but cannot be used (no classes, missing files, bad rows)."""


class DecodeError(VitascopeError, RuntimeError):
    """A video that cannot be decoded, with the file, the time in seconds and the reason.

    Attributes:
        path: the file as given by the caller.
        time: presentation time in seconds at which decoding failed; None when it never began.
        reason: what the decoder said.
        frames: how many frames came out before the fault; None when not counted.
    """

    def __init__(
        self,
        path: str,
        reason: str,
        time: Fraction | None = None,
        frames: int | None = None,
        remedy: str = "",
    ) -> None:
        self.path, self.reason, self.time, self.frames = path, reason, time, frames
        self.remedy = remedy
        where = "" if time is None else f" at {float(time):.3f} s"
        got = "" if frames is None else f" after {frames} frames"
        super().__init__(f"{shown(path)}: {reason}{where}{got}." + (f" {remedy}" if remedy else ""))

    def __reduce__(self) -> tuple[object, ...]:  # crosses process borders in loader workers
        return (type(self), (self.path, self.reason, self.time, self.frames, self.remedy))


class VideoNotFoundError(DecodeError, FileNotFoundError):
    """A video, folder of frames or image that does not exist."""


class WeightsError(VitascopeError, ValueError):
    """A checkpoint that is cut, foreign, of another shape, or that asks to run code."""


class InputError(VitascopeError, ValueError, RuntimeError, AssertionError):
    """A tensor whose rank, channels, pathways or length do not fit a model.

    Also a RuntimeError, as torch's own complaint about such a tensor is.
    """


class RunError(VitascopeError, ValueError):
    """An output folder that cannot be used or resumed as asked."""


class MissingExtraError(VitascopeError, ImportError):
    """An optional dependency is not installed; the message names the pip extra."""


class VerificationError(VitascopeError):
    """A converted model that does not compute what the original computes."""
