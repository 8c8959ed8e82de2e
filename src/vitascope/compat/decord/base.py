"""Errors of the decord interface, each one an error of this package as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vitascope.errors import ConfigError, DecodeError

ALL = "__ALL__"


class DECORDError(DecodeError):
    """A video that cannot be opened or read.

    The original has RuntimeError for a file that cannot be opened and DECORDError for the rest;
    this is both.
    """

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.path, self.reason, self.time, self.frames, self.remedy))


class DECORDLimitReachedError(DecodeError):
    """More damaged frames than `fault_tol` allows."""

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.path, self.reason, self.time, self.frames, self.remedy))


class DecordArgumentError(ConfigError, AssertionError):
    """An argument outside of what is possible; the original has AssertionError."""


@contextmanager
def as_decord() -> Iterator[None]:
    """Errors of the decoders as those of decord."""
    try:
        yield
    except (DECORDError, DECORDLimitReachedError):
        raise
    except DecodeError as error:
        raise DECORDError(
            error.path, error.reason, error.time, error.frames, error.remedy
        ) from error
