"""Videos from memory, open files and addresses; nothing is opened that a file names itself."""

from __future__ import annotations

import functools
import http.server
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vitascope.data.decoder import open_video
from vitascope.data.modalities.audio import SoundReader
from vitascope.data.render import read_number, render_numbered
from vitascope.errors import ConfigError, DecodeError, MissingExtraError, VideoNotFoundError

GROUPS = {"preset": "veryfast", "crf": "20", "threads": "1", "g": "12", "bf": "2"}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_numbered(tmp_path_factory.mktemp("films") / "film.mp4", 40, options=GROUPS)


@pytest.fixture(scope="module")
def address(film: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(film.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def check(video) -> None:
    assert len(video.times) == 40
    for wanted in ([39, 3, 20], [0], [13, 12]):
        found = [read_number(image) for image in video.read(wanted).data.numpy()]
        assert found == wanted
    assert [read_number(image) for _, image in video.stream()] == list(range(40))


def test_bytes_are_a_video(film: Path) -> None:
    content = film.read_bytes()
    for given in (content, bytearray(content), memoryview(content)):
        with open_video(given) as video:
            assert video.path == f"<{len(content)} bytes>"
            check(video)


def test_an_open_file_is_a_video_and_stays_open(film: Path) -> None:
    with open(film, "rb") as file:
        file.seek(100)
        with open_video(file) as video:
            check(video)
        assert not file.closed
        with open_video(file) as video:
            check(video)
    with open_video(io.BytesIO(film.read_bytes())) as video:
        check(video)


def test_fsspec_addresses(film: Path) -> None:
    import fsspec

    with fsspec.open("memory://films/a.mp4", "wb") as file:
        file.write(film.read_bytes())
    with open_video("memory://films/a.mp4") as video:
        assert video.path == "memory://films/a.mp4"
        check(video)
    with open_video(f"file://{film}") as video:
        check(video)
    with pytest.raises(VideoNotFoundError, match=r"memory://films/absent\.mp4: cannot be opened"):
        open_video("memory://films/absent.mp4")
    with pytest.raises(FileNotFoundError, match="cannot be opened"):
        SoundReader("memory://films/absent.mp4")
    with pytest.raises(DecodeError, match="nonsense"):
        open_video("nonsense://films/absent.mp4")


def test_http(address: str) -> None:
    pytest.importorskip("aiohttp", reason="fsspec needs aiohttp for http")
    with open_video(f"{address}/film.mp4") as video:
        check(video)
    with pytest.raises(DecodeError, match="cannot be opened"):
        open_video(f"{address}/absent.mp4")


def test_a_missing_package_is_named(monkeypatch) -> None:
    import fsspec

    def absent(*args: object) -> object:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "open", absent)
    with pytest.raises(MissingExtraError, match=r"vitascope\[s3\]"):
        open_video("s3://bucket/a.mp4")
    with pytest.raises(MissingExtraError, match="Install s3fs"):
        open_video("gs://bucket/a.mp4")


def test_what_is_no_video_is_one_clear_error(film: Path) -> None:
    content = film.read_bytes()
    for bad, reason in (
        (b"", "0 bytes"),
        (b"text", "not a video file"),
        (content[: len(content) // 3], "not a video file"),
    ):
        with pytest.raises(DecodeError, match=reason):
            open_video(bad)
        with pytest.raises(DecodeError, match=reason):
            open_video(io.BytesIO(bad))


def test_a_file_that_breaks_while_it_is_read(film: Path) -> None:
    class Breaking(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1) -> bytes:
            self.reads += 1
            if self.reads > 2:
                raise KeyError("the storage has errors of its own")
            return super().read(size)

    with pytest.raises(DecodeError, match="errors of its own"):
        with open_video(Breaking(film.read_bytes() * 20)) as video:
            video.read([39])


def test_what_cannot_be_read_from(film: Path) -> None:
    class Forward(io.BytesIO):
        def seek(self, *args: int) -> int:
            raise io.UnsupportedOperation("no way back")

    with pytest.raises(ConfigError, match="go back"):
        open_video(Forward(film.read_bytes()))
    with pytest.raises(ConfigError, match="cannot be read from int"):
        open_video(7)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="local files only"):
        open_video(film.read_bytes(), decoder="torchcodec")


def test_nothing_is_opened_that_a_file_names(film: Path, address: str, tmp_path: Path) -> None:
    """A playlist that names a video on a server, and one that names a video on the disk."""
    asked = []
    names = [f"{address}/film.mp4", str(film), f"file:{film}", "film.mp4"]
    for name in names:
        for text in (
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{name}\n#EXT-X-ENDLIST\n",
            f"ffconcat version 1.0\nfile '{name}'\n",
            f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{name}</BaseURL></MPD>',
            f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 {name}\n",
        ):
            path = tmp_path / "list.mp4"
            path.write_text(text)
            for given in (path, text.encode()):
                try:
                    open_video(given).close()
                except DecodeError:
                    continue
                asked.append(text)
    assert asked == []


def test_names_that_are_not_utf8(film: Path, tmp_path: Path) -> None:
    name = bytes(tmp_path) + b"/caf\xe9.mp4"
    with open(name, "wb") as file:
        file.write(film.read_bytes())
    with open_video(os.fsdecode(name)) as video:
        check(video)
