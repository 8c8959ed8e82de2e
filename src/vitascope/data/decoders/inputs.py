"""What a video can be read from: a file, bytes in memory, an open file, an address."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from vitascope.data.listing import has_image_suffix, is_remote
from vitascope.data.shards.remote import EXTRAS, parse_part
from vitascope.errors import ConfigError, DecodeError, MissingExtraError, VideoNotFoundError
from vitascope.optional import install_command

VideoInput = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]


@dataclass(frozen=True)
class Input:
    """Something to read a video from.

    Attributes:
        name: for messages: the path, the address, or "<1234 bytes>".
        open: gives the content as a file at its beginning, each time it is called; None for a
            local file, which FFmpeg reads by itself.
    """

    name: str
    open: Callable[[], Any] | None = None


def resolve_input(source: VideoInput) -> Input:
    """Finds out what `source` is.

    Raises:
        ConfigError: something that cannot be read from, or a file that cannot go back.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
        return Input(f"<{len(content)} bytes>", lambda: io.BytesIO(content))
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        part = parse_part(name)
        if part is not None:
            return Input(name, lambda: io.BytesIO(part.read()))
        if is_remote(name):
            return Input(name, lambda: _Guarded(name, _open_address(name), owned=True))
        if _is_plain(name) and not has_image_suffix(name):
            return Input(name)
        # By its name FFmpeg would take a still image for one of a numbered series.
        return Input(name, lambda: _Guarded(name, open(name, "rb"), owned=True))
    if not (hasattr(source, "read") and hasattr(source, "seek")):
        raise ConfigError(
            f"a video cannot be read from {type(source).__name__}; give a path, an address, "
            "bytes, or a file opened in binary mode"
        )
    name = f"<{getattr(source, 'name', type(source).__name__)}>"
    return Input(name, lambda: _rewound(name, source))


def _is_plain(name: str) -> bool:
    """Whether FFmpeg can be given the name: it takes UTF-8 only."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _open_address(address: str) -> Any:
    import fsspec

    scheme = address.partition(":")[0].lower()
    try:
        return fsspec.open(address, "rb").open()
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        remedy = f"Run: {install_command(extra)}" if extra else str(error)
        raise MissingExtraError(f"{address} needs a package that is absent. {remedy}") from error
    except Exception as error:  # each kind of storage has errors of its own
        raise decode_error(error)(address, f"cannot be opened ({_said(error)})") from error


def decode_error(cause: Exception) -> type[DecodeError]:
    """The class of the error about a file that could not be opened because of `cause`."""
    return VideoNotFoundError if isinstance(cause, FileNotFoundError) else DecodeError


def _rewound(name: str, file: Any) -> Any:
    try:
        file.seek(0)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name} cannot go back to its beginning; read it into bytes") from error
    return _Guarded(name, file, owned=False)


class _Guarded:
    """A file whose own errors all become OSError, and that is closed only if it is ours.

    It has no name, so that FFmpeg finds out the format from the content alone.
    """

    def __init__(self, name: str, file: Any, owned: bool) -> None:
        self._label, self._file, self._owned = name, file, owned

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""
        try:
            return bytes(self._file.read(size))
        except Exception as error:  # each kind of storage has errors of its own
            raise OSError(f"cannot be read ({_said(error)})") from error

    def seek(self, offset: int, whence: int = 0) -> int:
        """Goes to a place and returns it."""
        try:
            place = self._file.seek(offset, whence)
            return int(self._file.tell() if place is None else place)  # mmap does not say it
        except Exception as error:
            raise OSError(f"cannot be read ({_said(error)})") from error

    def tell(self) -> int:
        """The present place."""
        return int(self._file.tell())

    def close(self) -> None:
        """Closes the file if it was opened here."""
        if self._owned:
            self._file.close()


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
