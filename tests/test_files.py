"""Fetching files from a server on this machine that fails in every way."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from vitascope import files
from vitascope.errors import WeightsError
from vitascope.files import fetch

DATA = np.random.default_rng(0).bytes(300_000)
SHA = hashlib.sha256(DATA).hexdigest()


@dataclass
class Server:
    """What is served, and how badly."""

    url: str = ""
    data: bytes = DATA
    tag: str | None = '"one"'
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)
    status: int | None = None
    asked: list[str | None] = field(default_factory=list)
    sent: int = 0


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            if state.status is not None or not self.path.endswith("net.pyth"):
                self.send_error(state.status or 404)
                return
            first = 0
            same = self.headers.get("If-Range") in (None, state.tag)
            if wanted and state.ranges and same:
                first = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if first >= len(state.data):
                    self.send_error(416)
                    return
                self.send_response(206)
                end = len(state.data) - 1
                self.send_header("Content-Range", f"bytes {first}-{end}/{len(state.data)}")
            else:
                self.send_response(200)
            body = state.data[first:]
            self.send_header("Content-Length", str(len(body)))
            if state.tag:
                self.send_header("ETag", state.tag)
            self.end_headers()
            if state.cut_after:
                body = body[: state.cut_after.pop(0)]
            self.wfile.write(body)
            state.sent += len(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{http_server.server_port}/zoo/net.pyth"
        yield state
        http_server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VITASCOPE_MIRROR", raising=False)
    monkeypatch.setattr(files, "CHUNK", 10_000)


def left_over(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir() if not p.name.endswith(".lock"))


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch(server.url, sha256=SHA.upper(), on_progress=lambda *now: seen.append(now))
    assert path.read_bytes() == DATA and path.is_relative_to(tmp_path / "cache")
    assert seen[-1] == (len(DATA), len(DATA)) and len(seen) == 30
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert fetch(server.url, sha256=SHA) == fetch(server.url) == path
    assert server.asked == [None] and left_over(path) == ["net.pyth"]


def test_an_interruption_costs_what_is_missing_only(server: Server) -> None:
    server.cut_after = [100_000]
    path = fetch(server.url, sha256=SHA)
    assert path.read_bytes() == DATA
    assert server.asked == [None, "bytes=100000-"] and server.sent == len(DATA)


def test_the_next_call_goes_on_where_the_last_one_failed(server: Server) -> None:
    server.cut_after = [50_000, 50_000, 50_000]
    with pytest.raises(WeightsError, match=r"after 150000 of 300000 .*150000 bytes are there"):
        fetch(server.url, sha256=SHA)
    path = files.cache_folder("weights") / server.url.removeprefix("http://")
    assert not path.exists() and path.with_name("net.pyth.part").stat().st_size == 150_000
    assert fetch(server.url, sha256=SHA) == path
    assert path.read_bytes() == DATA and server.sent == len(DATA)
    assert left_over(path) == ["net.pyth"]


def test_a_server_without_ranges_sends_all_again(server: Server) -> None:
    server.ranges, server.cut_after = False, [100_000]
    path = fetch(server.url, sha256=SHA)
    assert path.read_bytes() == DATA and server.sent == len(DATA) + 100_000


@pytest.mark.parametrize("tag", [None, 'W/"one"'])
def test_a_server_that_does_not_name_the_file_is_not_trusted(
    server: Server, tag: str | None
) -> None:
    server.tag, server.cut_after = tag, [100_000]
    assert fetch(server.url).read_bytes() == DATA
    assert server.asked == [None, None]


def test_a_file_that_changed_meanwhile_is_not_mixed(server: Server) -> None:
    server.cut_after = [90_000] * 3
    with pytest.raises(WeightsError):
        fetch(server.url)
    server.data, server.tag, server.cut_after = DATA[::-1], '"two"', []
    assert fetch(server.url).read_bytes() == DATA[::-1]


def test_a_shorter_file_than_what_is_there(server: Server) -> None:
    server.cut_after = [90_000] * 3
    with pytest.raises(WeightsError):
        fetch(server.url)
    server.data, server.cut_after = DATA[:1000], []
    assert fetch(server.url).read_bytes() == DATA[:1000]


def test_a_wrong_checksum_leaves_nothing(server: Server) -> None:
    with pytest.raises(WeightsError, match=f"has sha256 {SHA} and should have {'0' * 64}") as e:
        fetch(server.url, sha256="0" * 64)
    assert server.url in str(e.value)
    folder = files.cache_folder("weights") / server.url.removeprefix("http://")
    assert left_over(folder) == []


def test_a_damaged_copy_in_the_cache_is_fetched_again(server: Server) -> None:
    path = fetch(server.url, sha256=SHA)
    path.write_bytes(DATA[:-1])
    assert fetch(server.url, sha256=SHA).read_bytes() == DATA


def test_servers_that_refuse(server: Server) -> None:
    with pytest.raises(WeightsError, match="there is no such file"):
        fetch(server.url + ".gone")
    server.status = 403
    with pytest.raises(WeightsError, match="the server says 403 Forbidden"):
        fetch(server.url)
    assert len(server.asked) == 2
    server.status = 503
    with pytest.raises(WeightsError, match=r"503 Service Unavailable.*VITASCOPE_MIRROR"):
        fetch(server.url)
    assert len(server.asked) == 5  # worth another attempt, unlike the others
    with pytest.raises(WeightsError, match="cannot be fetched"):
        fetch("http://127.0.0.1:9/net.pyth")
    with pytest.raises(WeightsError, match="no address of a file"):
        fetch(server.url.replace("zoo", "../.."))


@pytest.mark.parametrize("whole", [True, False])
def test_a_folder_as_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    mirror = tmp_path / "mirror"
    file = mirror / ("example.org/zoo/net.pyth" if whole else "zoo/net.pyth")
    file.parent.mkdir(parents=True)
    file.write_bytes(DATA)
    monkeypatch.setenv("VITASCOPE_MIRROR", str(mirror))
    path = fetch("https://example.org/zoo/net.pyth", sha256=SHA)
    assert path.read_bytes() == DATA and not path.is_relative_to(mirror)
    with pytest.raises(WeightsError, match="VITASCOPE_MIRROR is set"):
        fetch("https://example.org/zoo/other.pyth")
    file.write_bytes(DATA[:5])
    path.unlink()
    with pytest.raises(WeightsError, match="has sha256"):
        fetch("https://example.org/zoo/net.pyth", sha256=SHA)
    assert not path.exists()


def test_an_address_as_mirror(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITASCOPE_MIRROR", server.url.removesuffix("/zoo/net.pyth"))
    assert fetch("https://example.org/zoo/net.pyth", sha256=SHA).read_bytes() == DATA


def test_processes_that_want_the_same_file_fetch_it_once(server: Server) -> None:
    threads = [threading.Thread(target=fetch, args=(server.url,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.asked == [None]
    assert fetch(server.url).read_bytes() == DATA


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="cannot be written"):
        fetch(server.url, folder=tmp_path / "file")
