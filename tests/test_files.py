"""Fetching files from a server on this machine that fails in every way."""

from __future__ import annotations

import hashlib
import http.server
import importlib.util
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
    told: bool = True
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
            if state.told:
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
    assert fetch(server.url, sha256=SHA) == path
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


def test_a_damaged_copy_in_the_cache_is_fetched_again(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    path = fetch(server.url, sha256=SHA)
    assert "damaged" not in caplog.text
    path.write_bytes(DATA[:-1])
    assert fetch(server.url, sha256=SHA).read_bytes() == DATA
    assert f"{path}: this copy is damaged" in caplog.text


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


def test_the_first_copy_is_recorded_and_later_ones_must_match(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    path = fetch(server.url)
    note = path.with_name("net.pyth.sha256")
    assert note.read_text() == f"{SHA}  net.pyth\n"
    assert SHA in caplog.text and str(note) in caplog.text
    caplog.clear()
    assert fetch(server.url) == path and server.asked == [None] and not caplog.text
    path.write_bytes(DATA[:-1])  # the copy is damaged: the file is fetched again
    assert fetch(server.url).read_bytes() == DATA and len(server.asked) == 2
    path.unlink()
    server.data, server.tag = DATA[::-1], '"two"'
    other = hashlib.sha256(server.data).hexdigest()
    with pytest.raises(WeightsError, match=f"{other}.*first fetched here it had {SHA}.*delete"):
        fetch(server.url)
    assert not path.exists() and left_over(path) == ["net.pyth.sha256"]
    note.unlink()
    assert fetch(server.url).read_bytes() == server.data
    with pytest.raises(WeightsError, match=f"has sha256 {other} and should have {SHA}"):
        fetch(server.url, sha256=SHA)  # what is published counts more than what was recorded


def test_a_copy_of_an_older_version_is_recorded_when_it_is_used(server: Server) -> None:
    path = fetch(server.url, sha256=SHA)
    assert left_over(path) == ["net.pyth"]
    fetch(server.url)
    assert left_over(path) == ["net.pyth", "net.pyth.sha256"] and server.asked == [None]
    path.with_name("net.pyth.sha256").write_text("damaged")
    assert fetch(server.url) == path


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1, 0])
def test_another_length_than_the_published_is_refused(server: Server, size: int) -> None:
    with pytest.raises(WeightsError, match=r"published length|bytes and should have"):
        fetch(server.url, size=size or 1)
    path = files.cache_folder("weights") / server.url.removeprefix("http://")
    assert left_over(path) == []
    assert fetch(server.url, size=len(DATA), sha256=SHA).read_bytes() == DATA


@pytest.mark.parametrize("told", [True, False])
def test_a_file_beyond_the_limit_is_not_fetched(server: Server, told: bool) -> None:
    server.told = told
    with pytest.raises(WeightsError, match=r"at most 9\.31e-05 GiB are fetched.*give its path"):
        fetch(server.url, limit=100_000)
    assert len(server.asked) == 1
    path = files.cache_folder("weights") / server.url.removeprefix("http://")
    assert left_over(path) == []


def test_a_checksum_can_be_required(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match="one is required"):
        fetch(server.url, require_checksum=True)
    monkeypatch.setenv("VITASCOPE_REQUIRE_CHECKSUM", "1")
    with pytest.raises(WeightsError, match="VITASCOPE_REQUIRE_CHECKSUM"):
        fetch(server.url)
    assert server.asked == []
    assert fetch(server.url, sha256=SHA).read_bytes() == DATA
    assert fetch(server.url, require_checksum=False).read_bytes() == DATA


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "data:,x", "/etc/passwd"])
def test_other_addresses_are_not_fetched(url: str) -> None:
    with pytest.raises(WeightsError, match="no address of a file"):
        fetch(url)


def test_the_script_fills_the_table(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Path(__file__).resolve().parents[1] / "tools" / "fill_checksums.py"
    spec = importlib.util.spec_from_file_location("fill_checksums", place)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert all(url.startswith("https://") for url in script.published_files())
    table = tmp_path / "checksums.py"
    table.write_text('"""Text."""\n\nCHECKSUMS: dict[str, tuple[int, str]] = {}\n')
    urls = [server.url, server.url + ".gone"]
    assert script.main([], table, urls) == 0
    found: dict[str, object] = {}
    exec(table.read_text(), found)
    assert found["CHECKSUMS"] == {server.url: (len(DATA), SHA)}
    assert "1 of 2 files have a checksum" in capsys.readouterr().out
