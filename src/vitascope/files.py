"""Files from elsewhere: fetched once, checked, and never half there.

A file grows under `NAME.part` and gets its name when it is complete and its checksum is right. An
interrupted transfer goes on where it stopped, if the server can do that and the file is still the
same there.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from vitascope.errors import WeightsError

Progress = Callable[[int, int | None], None]
"""Called with (bytes there, bytes in all or None if the server does not tell)."""

CHUNK = 1 << 20
ATTEMPTS = 3
TIMEOUT = 30.0  # seconds without a byte


def cache_folder(kind: str) -> Path:
    """The folder for files of a kind that can be made or fetched again.

    It lies in $VITASCOPE_CACHE, else in a folder `vitascope` at the system's usual place.
    """
    given = os.environ.get("VITASCOPE_CACHE")
    return (Path(given) if given else _usual_place() / "vitascope") / kind


def _usual_place() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home())
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def fetch(
    url: str,
    *,
    sha256: str | None = None,
    folder: Path | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """The local copy of a file, fetched if it is not there yet.

    With $VITASCOPE_MIRROR set (a folder or an address), the file is taken from there, at
    MIRROR/HOST/PATH or MIRROR/PATH of its address, and from nowhere else.

    Args:
        url: address of the file.
        sha256: its checksum in hexadecimal digits; None where nobody published one.
        folder: where copies are kept; None is the cache.
        on_progress: told how far it is.

    Returns:
        The complete file, whose checksum is right.

    Raises:
        WeightsError: the file cannot be fetched, or has another checksum; what is there of an
            interrupted transfer stays as `NAME.part` and is used the next time.
    """
    parts = urllib.parse.urlsplit(url)
    place = Path(parts.netloc, *Path(urllib.parse.unquote(parts.path)).parts[1:])
    if ".." in place.parts or not place.name:
        raise WeightsError(f"{url}: is no address of a file")
    target = (folder or cache_folder("weights")) / place
    if target.is_file() and (sha256 is None or _sha256(target) == sha256.lower()):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if not (target.is_file() and (sha256 is None or _sha256(target) == sha256.lower())):
                _fetch_from_somewhere(url, place, target, sha256, on_progress)
    except OSError as error:
        raise WeightsError(f"{target}: cannot be written ({error.strerror or error}).") from error
    return target


def _fetch_from_somewhere(
    url: str, place: Path, target: Path, sha256: str | None, on_progress: Progress | None
) -> None:
    part = target.with_name(f"{target.name}.part")
    sources = _sources(url, place)
    for number, source in enumerate(sources, 1):
        try:
            if isinstance(source, Path):
                _copy(source, part, on_progress)
            else:
                _download(source, part, on_progress)
            break
        except FileNotFoundError:
            if number == len(sources):
                tried = " and ".join(map(str, sources))
                hint = " (VITASCOPE_MIRROR is set)" if os.environ.get("VITASCOPE_MIRROR") else ""
                raise WeightsError(f"{url}: there is no such file; tried {tried}{hint}.") from None
    found = _sha256(part)
    if sha256 is not None and found != sha256.lower():
        _drop(part)
        raise WeightsError(
            f"{url}: the file has sha256 {found} and should have {sha256.lower()}; it was "
            f"deleted. Try again; if it stays so, the file was replaced or tampered with."
        )
    part.replace(target)
    _drop(part)


def _sources(url: str, place: Path) -> list[str | Path]:
    mirror = os.environ.get("VITASCOPE_MIRROR")
    if not mirror:
        return [url]
    inner = Path(*place.parts[1:])
    if "://" in mirror:
        root = mirror.rstrip("/")
        return [f"{root}/{urllib.parse.quote(p.as_posix())}" for p in (place, inner)]
    return [Path(mirror) / place, Path(mirror) / inner]


def _copy(source: Path, part: Path, on_progress: Progress | None) -> None:
    with source.open("rb") as reader, part.open("wb") as writer:
        shutil.copyfileobj(reader, writer, CHUNK)
    if on_progress is not None:
        on_progress(part.stat().st_size, part.stat().st_size)


def _download(url: str, part: Path, on_progress: Progress | None) -> None:
    """Fetches into `part`, going on after interruptions a few times."""
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            _transfer(url, part, on_progress)
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


def _transfer(url: str, part: Path, on_progress: Progress | None) -> None:
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
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        _note(part).write_text(json.dumps({"tag": tag}), encoding="utf-8")
        with part.open("ab" if went_on else "wb") as writer:
            while chunk := response.read(CHUNK):
                writer.write(chunk)
                there += len(chunk)
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


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Holds off other processes that want the same file, where the system has file locks."""
    try:
        import fcntl
    except ImportError:  # Windows: two processes may fetch twice, and the last rename wins
        yield
        return
    lock = target.with_name(f".{target.name}.lock")
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(stream, fcntl.LOCK_UN)
