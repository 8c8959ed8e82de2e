"""Files: replaced in one step, locked, kept in a cache, fetched once; never half there.

A file that is fetched grows under `NAME.part` and gets its name when it is complete and its
checksum is right. An interrupted transfer goes on where it stopped, if the server can do that and
the file is still the same there.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import http.client
import json
import logging
import math
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from vitascope.errors import RunError, WeightsError

_log = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Called with (bytes there, bytes in all or None if the server does not tell)."""

LARGEST = 8 << 30
"""Most bytes of a file that is fetched; the largest published weights have under 2 GiB."""
CHUNK = 1 << 20
ATTEMPTS = 3
TIMEOUT = 30.0  # seconds without a byte


@contextlib.contextmanager
def replacing(path: str | Path, *, durable: bool = False, keep_link: bool = True) -> Iterator[Path]:
    """A place to write what takes the place of `path` when the block ends, whole and in one step.

    The place lies in a hidden folder beside `path` and has its name, so writers that go by the
    suffix, or put temporary files of their own beside, work. A reader sees the old file or the new
    one; when the block raises or is interrupted, the old one stays and nothing else is left.

    A device, a pipe and what /dev/stdout or /dev/fd/3 stand for are no files that another could
    replace: they get the complete content appended.

    Args:
        path: a file, or a folder that is not there yet; its own folder must exist.
        durable: the content is on the disk before it gets its name, and the name before the
            block ends, so that a power cut leaves the old file or the new one, too.
        keep_link: where `path` is a link, replace what it points to; False replaces the link.

    Raises:
        OSError: the folder cannot be written to, the disk is full, nothing was written, or links
            lead in a circle.
    """
    path = Path(path)
    if _is_stream(path):
        with tempfile.TemporaryDirectory(prefix="vitascope-") as folder:
            draft = Path(folder) / path.name
            yield draft
            with draft.open("rb") as source, open(path, "ab") as sink:
                shutil.copyfileobj(source, sink, CHUNK)
        return
    target = Path(os.path.realpath(path)) if keep_link else path
    if keep_link and target.is_symlink():  # it leads to itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    with draft_folder(target) as beside:
        draft = beside / path.name
        yield draft
        if draft.is_file():
            # What the folder allows is what the umask gives; some writers give their owner only.
            same = target if target.is_file() else beside
            draft.chmod(same.stat().st_mode & 0o666)
        if durable:
            for file in [draft, *draft.rglob("*")]:
                _onto_disk(file)
        os.replace(draft, target)
        if durable:
            _onto_disk(target.parent)


@contextlib.contextmanager
def draft_folder(path: str | Path) -> Iterator[Path]:
    """A new hidden folder beside `path`, to make there what is then renamed; removed in the end.

    What is left of it by a process that was killed, `remove_unfinished` takes away.

    Raises:
        OSError: the folder of `path` cannot be written to.
    """
    path = Path(path)
    short = os.fsencode(path.name)[:100].decode("utf-8", "ignore")  # names may have 255 bytes
    folder = path.with_name(f".{short}.{os.getpid()}-{secrets.token_hex(4)}.part")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def folder_of(path: str | Path) -> Iterator[Path]:
    """The folder of what is to be written, made with those above it where it is not there yet.

    Those that were made are removed again where nothing was written after all.

    Raises:
        OSError: the folder cannot be made.
    """
    folder = Path(path).parent
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    finally:
        with contextlib.suppress(OSError):  # one that holds something stays, and those above it
            for place in made:
                place.rmdir()


@contextlib.contextmanager
def path_as_text(path: Path) -> Iterator[Path]:
    """A path of a file for libraries that only take names in UTF-8: itself, or a link to it.

    Raises:
        OSError: no link can be made in the folder of temporary files.
    """
    if is_text(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="vitascope-") as folder:
        link = Path(folder) / f"file{path.suffix}"
        link.symlink_to(path.absolute())
        yield link


def is_text(path: Path) -> bool:
    """Whether the name of a file is UTF-8 and not other bytes."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def write_atomically(path: str | Path, chunks: Iterable[bytes | memoryview]) -> int:
    """Writes a file as `replacing` does.

    Returns:
        Number of bytes written.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    size = 0
    with replacing(path) as draft, draft.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
            size += len(chunk)
    return size


def is_unfinished(path: Path, name: str = "") -> bool:
    """Whether `replacing` made this folder, for a file whose name begins with `name`."""
    return path.name.startswith(f".{name}") and path.name.endswith(".part")


def remove_unfinished(folder: Path, name: str = "", *, older: float = 0.0) -> None:
    """Removes what processes that were killed while they wrote have left in a folder.

    Args:
        folder: the folder; those in it are not searched.
        name: beginning of the names of the files that were to be written.
        older: seconds since the last change before which it may still be somebody's work.
    """
    for path in [path for path in folder.iterdir() if is_unfinished(path, name)]:
        with contextlib.suppress(FileNotFoundError):  # its writer was alive, and has finished
            if time.time() - path.stat().st_mtime < older:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def _is_stream(path: Path) -> bool:
    """Whether a path stands for a device, a pipe, a socket or an open file."""
    for _ in range(40):  # more links in a row no system follows
        home = os.path.realpath(path.parent)
        if home == "/dev/fd":
            return True
        if not path.is_symlink():
            return path.exists() and not path.is_file() and not path.is_dir()
        if Path(home).parts[1:2] in (("dev",), ("proc",)):
            return True
        path = path.parent / os.readlink(path)
    return False


def _onto_disk(path: Path) -> None:
    if path.is_dir() and os.name != "posix":  # other systems cannot sync a folder
        return
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(path: str | Path, *, busy: str | None = None) -> Iterator[None]:
    """Keeps every other process and thread that locks the same file out of the block.

    The lock ends with the block or with the process, whatever ends that: processes forked
    meanwhile do not prolong it. Where the system or the file system has no locks (Windows, some
    network drives), nobody is kept out.

    Args:
        path: the file; made when absent, and never removed.
        busy: what another one is doing while it has the lock, as the beginning of an error; the
            file then holds nothing but who has it. None waits until the lock is free.

    Raises:
        RunError: with `busy`, another one has the lock.
        OSError: the file cannot be opened for writing.
    """
    with open(path, "a+b", buffering=0) as stream:
        _held().add(stream)
        try:
            _lock(stream, busy)
            yield
        finally:
            _held().discard(stream)


def _lock(stream: BinaryIO, busy: str | None) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if busy is None else fcntl.LOCK_NB))
    except OSError as error:
        if busy is None or error.errno not in (errno.EAGAIN, errno.EACCES):
            return  # a file system without locks
        stream.seek(0)
        holder = stream.read(200).decode("utf-8", "replace").strip()
        who = f" ({holder})" if holder else ""
        raise RunError(
            f"{busy} at this moment{who}. Wait for it, stop it, or choose another folder"
        ) from None
    if busy is not None:
        with contextlib.suppress(OSError):  # on a full disk it is not known who has it
            stream.truncate(0)
            stream.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())


@functools.cache
def _held() -> set[BinaryIO]:
    """The open files of the locks that this process has.

    A lock lasts while any process has the file open, so forked ones close it: workers may outlive
    a killed parent by seconds.
    """
    held: set[BinaryIO] = set()

    def let_go() -> None:
        for stream in held:
            stream.close()
        held.clear()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=let_go)
    return held


def cache_folder(kind: str) -> Path:
    """The folder for files of a kind that can be made or fetched again.

    It lies in $VITASCOPE_CACHE, else in a folder `vitascope` at the system's usual place.
    """
    given = os.environ.get("VITASCOPE_CACHE")
    try:
        return (Path(given) if given else _usual_place() / "vitascope") / kind
    except RuntimeError:  # no home folder: a place where nothing can be, so nothing is kept
        return Path(os.devnull) / "vitascope" / kind


def _usual_place() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home())
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


JSON_BYTES = 16 << 20
"""Most bytes of a JSON file or entry; the record of a run has a few kilobytes."""


def read_json(path: Path) -> Any:
    """The content of a JSON file that somebody else may have written.

    Raises:
        FileNotFoundError: there is none.
        WeightsError: it cannot be read, is too large or no JSON; see `parse_json`.
    """
    try:
        with path.open("rb") as stream:
            return parse_json(stream.read(JSON_BYTES + 1), path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error


def parse_json(text: str | bytes, where: object) -> Any:
    """JSON as the standard has it: finite numbers, each name of an object once, not too deep.

    Args:
        text: the text; bytes are UTF-8.
        where: the file, for messages.

    Raises:
        WeightsError: it is anything else.
    """
    try:
        if len(text) > JSON_BYTES:
            raise ValueError(f"more than {JSON_BYTES >> 20} MB")
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        return json.loads(
            text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_each_once
        )
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else f"{error!s:.200}"
        raise WeightsError(f"{where} is no readable JSON: {reason}") from error


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.50} is too large for a number")
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has two entries of one name")
    return found


def fetch(
    url: str,
    *,
    sha256: str | None = None,
    size: int | None = None,
    limit: int = LARGEST,
    require_checksum: bool | None = None,
    folder: Path | None = None,
    answer_within: float | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """The local copy of a file, fetched if it is not there yet.

    Where nobody published a checksum, that of the first copy is recorded beside it as
    `NAME.sha256` (as the program sha256sum reads it), which is said, and later ones must match.

    With $VITASCOPE_MIRROR set (a folder or an address), the file is taken from there, at
    MIRROR/HOST/PATH or MIRROR/PATH of its address, and from nowhere else.

    Args:
        url: address of the file, http or https.
        sha256: its checksum in hexadecimal digits; None where nobody published one.
        size: its length in bytes; None where nobody published it.
        limit: most bytes that are fetched.
        require_checksum: refuse a file whose checksum was not published; None asks
            $VITASCOPE_REQUIRE_CHECKSUM (1 is yes).
        folder: where copies are kept; None is the cache.
        answer_within: seconds in which the server must answer at all, names and proxies
            included; None waits as patiently as for the rest of the file.
        on_progress: told how far it is.

    Returns:
        The complete file, whose checksum is right.

    Raises:
        WeightsError: the file cannot be fetched, is longer than `limit`, or has another length or
            checksum; what is there of an interrupted transfer stays as `NAME.part` and is used
            the next time.
    """
    parts = urllib.parse.urlsplit(url)
    place = Path(parts.netloc, *Path(urllib.parse.unquote(parts.path)).parts[1:])
    if parts.scheme not in ("http", "https") or ".." in place.parts or not place.name:
        raise WeightsError(f"{url}: is no address of a file")
    if require_checksum is None:
        require_checksum = os.environ.get("VITASCOPE_REQUIRE_CHECKSUM", "0") not in ("", "0")
    if require_checksum and sha256 is None:
        raise WeightsError(
            f"{url}: nobody published its checksum, and one is required. Compare the file "
            f"yourself and give it with its checksum, or do not set VITASCOPE_REQUIRE_CHECKSUM"
        )
    target = (folder or cache_folder("weights")) / place
    known = _Known(url, sha256 and sha256.lower(), size, min(limit, size or limit))
    try:
        if known.holds(target):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name(f".{target.name}.lock")):
            if not known.holds(target):
                if target.is_file():
                    _log.warning("%s: this copy is damaged, and the file is fetched again", target)
                _fetch_from_somewhere(known, place, target, answer_within, on_progress)
    except OSError as error:
        raise WeightsError(f"{target}: cannot be written ({error.strerror or error}).") from error
    return target


class _Known(NamedTuple):
    """What is known of a file before it is fetched: address, checksum, length, most bytes."""

    url: str
    sha256: str | None
    size: int | None
    limit: int

    def holds(self, target: Path) -> bool:
        """Whether a copy is there and is right; one without any checksum is recorded now."""
        if not target.is_file():
            return False
        expected = self.sha256 or _recorded(target)
        found = _sha256(target)
        if expected is None:
            _record(self.url, target, found)
        return expected in (None, found)

    def check(self, found: str, length: int, target: Path) -> None:
        """Compares a file that was fetched.

        Raises:
            WeightsError: it is another file.
        """
        again = "it was deleted. Try again; if it stays so, the file was replaced or tampered with."
        if self.size is not None and length != self.size:
            raise WeightsError(
                f"{self.url}: the file has {length} bytes and should have {self.size}; {again}"
            )
        if self.sha256 is not None and found != self.sha256:
            raise WeightsError(
                f"{self.url}: the file has sha256 {found} and should have {self.sha256}; {again}"
            )
        before = _recorded(target)
        if self.sha256 is None and before not in (None, found):
            raise WeightsError(
                f"{self.url}: the file has sha256 {found}, and when it was first fetched here it "
                f"had {before}; {again} If you know that its publisher replaced it, delete "
                f"{_note_of(target)}"
            )


def forget(copy: Path) -> None:
    """Removes a fetched copy that is not what it should be, and what was recorded of it.

    Else an error page that came in the place of a file without a published checksum would be
    believed from then on.
    """
    copy.unlink(missing_ok=True)
    _note_of(copy).unlink(missing_ok=True)


def _note_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def _recorded(target: Path) -> str | None:
    """The checksum that the first copy had; None where none was recorded."""
    try:
        digest = _note_of(target).read_text(encoding="utf-8").split()[0]
    except (OSError, ValueError, IndexError):
        return None
    return digest if re.fullmatch("[0-9a-f]{64}", digest) else None


def _record(url: str, target: Path, digest: str) -> None:
    note = _note_of(target)
    part = note.with_name(f".{note.name}.{os.getpid()}.part")
    part.write_text(f"{digest}  {target.name}\n", encoding="utf-8")
    part.replace(note)
    _log.warning(
        "%s: nobody published a checksum, so this copy is believed as it came. Its sha256 %s is "
        "kept in %s, and later copies must match",
        url, digest, note,
    )  # fmt: skip


def _fetch_from_somewhere(
    known: _Known,
    place: Path,
    target: Path,
    answer_within: float | None,
    on_progress: Progress | None,
) -> None:
    part = target.with_name(f"{target.name}.part")
    sources = _sources(known.url, place)
    for number, source in enumerate(sources, 1):
        try:
            if isinstance(source, Path):
                _copy(source, part, known, on_progress)
            else:
                if answer_within is not None:
                    require_answer(source, answer_within)
                _download(source, part, known, on_progress)
            break
        except FileNotFoundError:
            if number == len(sources):
                tried = " and ".join(map(str, sources))
                hint = " (VITASCOPE_MIRROR is set)" if os.environ.get("VITASCOPE_MIRROR") else ""
                raise WeightsError(
                    f"{known.url}: there is no such file; tried {tried}{hint}."
                ) from None
    found = _sha256(part)
    try:
        known.check(found, part.stat().st_size, target)
    except WeightsError:
        _drop(part)
        raise
    part.replace(target)
    _drop(part)
    if known.sha256 is None and _recorded(target) is None:
        _record(known.url, target, found)


def _sources(url: str, place: Path) -> list[str | Path]:
    mirror = os.environ.get("VITASCOPE_MIRROR")
    if not mirror:
        return [url]
    inner = Path(*place.parts[1:])
    if "://" in mirror:
        root = mirror.rstrip("/")
        return [f"{root}/{urllib.parse.quote(p.as_posix())}" for p in (place, inner)]
    return [Path(mirror) / place, Path(mirror) / inner]


def _too_long(known: _Known, length: int) -> WeightsError:
    if known.size == known.limit:
        return WeightsError(
            f"{known.url}: the file has more than {known.limit} bytes, which is its published "
            f"length. It was replaced, or is an error page"
        )
    return WeightsError(
        f"{known.url}: the file has {length / 2**30:.3g} GiB or more, and at most "
        f"{known.limit / 2**30:.3g} GiB are fetched. Fetch it yourself and give its path"
    )


def _copy(source: Path, part: Path, known: _Known, on_progress: Progress | None) -> None:
    if source.stat().st_size > known.limit:
        raise _too_long(known, source.stat().st_size)
    with source.open("rb") as reader, part.open("wb") as writer:
        shutil.copyfileobj(reader, writer, CHUNK)
    if on_progress is not None:
        on_progress(part.stat().st_size, part.stat().st_size)


def require_answer(url: str, seconds: float) -> None:
    """Asks a server whether it is there, for a bounded time.

    The time limit of a socket does not bound the look-up of a name, so a thread asks, and is left
    behind where it does not come back.

    Args:
        url: an address, http or https.
        seconds: how long to wait for any answer; that there is no such file is one.

    Raises:
        WeightsError: the server cannot be reached, or does not answer in time.
    """
    reasons: list[str] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "vitascope"})
        try:
            with urllib.request.urlopen(request, timeout=seconds):
                reasons.append("")
        except urllib.error.HTTPError:
            reasons.append("")
        except (http.client.HTTPException, OSError) as error:
            reasons.append(str(getattr(error, "reason", "") or error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    reason = reasons[0] if reasons else f"no answer within {seconds:g} seconds"
    if reason:
        raise WeightsError(f"{url}: cannot be reached ({reason}).")


def _download(url: str, part: Path, known: _Known, on_progress: Progress | None) -> None:
    """Fetches into `part`, going on after interruptions a few times."""
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            _transfer(url, part, known, on_progress)
            return
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                raise FileNotFoundError(url) from error
            if error.code == 416:  # what is there does not belong to the file any more
                _drop(part)
            elif error.code < 500:
                raise WeightsError(
                    f"{url}: the server says {error.code} {error.reason}."
                ) from error
            reason = f"the server says {error.code} {error.reason}"
        except (http.client.HTTPException, urllib.error.URLError, ConnectionError) as error:
            reason = str(getattr(error, "reason", "") or error)
        except TimeoutError:
            reason = f"nothing came for {TIMEOUT:g} seconds"
    there = part.stat().st_size if part.is_file() else 0
    raise WeightsError(
        f"{url}: cannot be fetched ({reason}). {there} bytes are there; try again to go on, or "
        f"set VITASCOPE_MIRROR to a folder or an address that has the file."
    )


def _transfer(url: str, part: Path, known: _Known, on_progress: Progress | None) -> None:
    there, tag = _begun(part)
    headers = {"User-Agent": "vitascope", "Accept-Encoding": "identity"}
    if there:
        headers |= {"Range": f"bytes={there}-", "If-Range": tag}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        went_on = response.status == 206 and there > 0
        if went_on and not (response.headers.get("Content-Range") or "").startswith(
            f"bytes {there}-"
        ):
            _drop(part)
            raise http.client.HTTPException("the server sent another range than was asked for")
        if not went_on:
            there = 0
        length = response.headers.get("Content-Length")
        total = None if length is None else there + int(length)
        if url.startswith("https:") and not response.url.startswith("https:"):
            raise WeightsError(f"{url}: leads to {response.url}, where anybody could answer.")
        if total is not None and total > known.limit:
            _drop(part)
            raise _too_long(known, total)
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        _note(part).write_text(json.dumps({"tag": tag}), encoding="utf-8")
        with part.open("ab" if went_on else "wb") as writer:
            while chunk := response.read(CHUNK):
                writer.write(chunk)
                there += len(chunk)
                if there > known.limit:
                    _drop(part)
                    raise _too_long(known, there)
                if on_progress is not None:
                    on_progress(there, total)
    if total is not None and there < total:
        raise http.client.HTTPException(f"the connection ended after {there} of {total} bytes")


def _begun(part: Path) -> tuple[int, str]:
    """Bytes of an interrupted transfer that can be used, and what the server called the file.

    Without a name from the server nobody can tell whether the rest would belong to the beginning,
    and weak ones ("W/...") do not vouch for bytes.
    """
    try:
        tag = json.loads(_note(part).read_text(encoding="utf-8"))["tag"]
        size = part.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return 0, ""
    usable = isinstance(tag, str) and tag and not tag.startswith("W/")
    return (size, tag) if usable else (0, "")


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _drop(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
