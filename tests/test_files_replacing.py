"""Files that are replaced in one step, and files that keep others out."""

from __future__ import annotations

import itertools
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from support.nodes import own_device
from vitascope import files
from vitascope.errors import RunError
from vitascope.files import (
    folder_of,
    is_unfinished,
    locked,
    remove_unfinished,
    replacing,
    write_atomically,
)

posix = pytest.mark.skipif(os.name != "posix", reason="links, pipes and modes of POSIX systems")


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("durable", [False, True])
def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with replacing(path, durable=durable) as draft:
        assert draft.name == "a.json" and draft.parent.parent == tmp_path
        draft.write_text("new")
        assert path.read_text() == "old"
        assert [n.startswith(".a.json.") for n in names(tmp_path)] == [True, False]
    assert path.read_text() == "new" and names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt(), ValueError()])
def test_what_fails_or_is_interrupted_leaves_the_old_file_alone(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def chunks():
        yield b"half"
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, chunks())
    with pytest.raises(type(error)), replacing(tmp_path / "b") as draft:
        draft.mkdir()
        (draft / "inner").write_text("half")
        raise error
    assert names(tmp_path) == ["a.bin"] and path.read_bytes() == b"old"


def test_bytes_written_are_counted_and_nothing_written_is_an_error(tmp_path: Path) -> None:
    assert write_atomically(tmp_path / "a", [b"12", memoryview(b"345"), b""]) == 5
    assert write_atomically(tmp_path / "a", []) == 0 and (tmp_path / "a").read_bytes() == b""
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a"):
        pass
    with pytest.raises(OSError), replacing(tmp_path / "no such folder" / "a"):
        pass
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("durable", [False, True])
def test_folders_come_whole_and_replace_no_full_one(tmp_path: Path, durable: bool) -> None:
    def write(text: str) -> None:
        with replacing(tmp_path / "data", durable=durable) as draft:
            (draft / "inner").mkdir(parents=True)
            (draft / "inner" / "a").write_text(text)

    write("one")
    with pytest.raises(OSError, match="not empty"):
        write("two")
    assert names(tmp_path) == ["data"]
    assert (tmp_path / "data" / "inner" / "a").read_text() == "one"


def test_folders_that_were_made_for_nothing_are_removed_again(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for path in (tmp_path / "a" / "b" / "file", tmp_path / "there" / "c" / "file"):
        with pytest.raises(ValueError), folder_of(path) as folder:
            assert folder == path.parent and folder.is_dir()
            raise ValueError
        with folder_of(path):
            pass
    assert names(tmp_path) == ["there"] and names(tmp_path / "there") == []
    with folder_of(tmp_path / "a" / "b" / "file"):
        (tmp_path / "a" / "beside").write_text("of another writer")
    assert names(tmp_path / "a") == ["beside"]
    with folder_of(tmp_path / "there" / "c" / "file") as folder:
        write_atomically(folder / "file", [b"1"])
    assert names(tmp_path / "there" / "c") == ["file"]


def test_names_as_long_as_the_system_allows(tmp_path: Path) -> None:
    for name in ("x" * 255, "ü" * 127, "x" * 99 + "ü" * 70):
        write_atomically(tmp_path / name, [b"1"])
        assert names(tmp_path) == [name]
        (tmp_path / name).unlink()


@posix
def test_the_mode_is_that_of_the_old_file_or_of_the_umask(tmp_path: Path) -> None:
    def write(path: Path) -> int:
        with replacing(path) as draft:
            draft.touch(0o600)  # as safetensors does
        return stat.S_IMODE(path.stat().st_mode)

    before = os.umask(0o027)
    try:
        assert write(tmp_path / "a") == 0o640
        (tmp_path / "a").chmod(0o604)
        assert write(tmp_path / "a") == 0o604
    finally:
        os.umask(before)


@posix
def test_links_are_kept_unless_they_are_to_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far" / "real", tmp_path / "link.mp4"
    link.symlink_to("far/real")
    write_atomically(link, [b"new"])  # also where nothing is there yet
    write_atomically(link, [b"newer"])
    assert link.is_symlink() and real.read_bytes() == b"newer"
    with replacing(link, keep_link=False) as draft:
        assert draft.suffix == ".mp4"
        draft.write_bytes(b"mine")
    assert not link.is_symlink() and link.read_bytes() == b"mine"
    assert real.read_bytes() == b"newer" and names(tmp_path / "far") == ["real"]


@posix
@pytest.mark.parametrize("circle", [("a", "a"), ("a", "b", "a")])
def test_links_in_a_circle_are_refused(tmp_path: Path, circle: tuple[str, ...]) -> None:
    for link, goal in itertools.pairwise(circle):
        (tmp_path / link).symlink_to(goal)
    with pytest.raises(OSError, match="symbolic links"):
        write_atomically(tmp_path / "a", [b"1"])
    assert names(tmp_path) == sorted(set(circle))
    assert all((tmp_path / link).is_symlink() for link in circle)
    with replacing(tmp_path / "a", keep_link=False) as draft:
        draft.write_bytes(b"1")
    assert (tmp_path / "a").read_bytes() == b"1"


@posix
def test_pipes_and_devices_get_the_content_and_stay(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_atomically(pipe, [b"a" * 100_000, b"b"])
    reader.join(10)
    assert got == [b"a" * 100_000 + b"b"] and stat.S_ISFIFO(pipe.stat().st_mode)
    device = own_device(tmp_path / "device")
    (tmp_path / "null").symlink_to(device)
    for path in (device, tmp_path / "null"):
        before = os.stat(path)
        write_atomically(path, [b"gone"])
        assert os.stat(path).st_ino == before.st_ino and stat.S_ISCHR(os.stat(path).st_mode)
    assert names(tmp_path) == ["device", "null", "pipe"]


WRITER = """
import sys
from vitascope.files import write_atomically
print("first", flush=True)
write_atomically(sys.argv[1], [b"middle\\n"])
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="this system has no /proc")
@pytest.mark.parametrize("links", [1, 2])
def test_standard_output_is_written_to_wherever_it_goes(tmp_path: Path, links: int) -> None:
    """By links of the test's own, made as /dev/stdout is: a fault may replace those alone."""
    place = tmp_path / "stdout"
    place.symlink_to("/proc/self/fd/1")
    if links == 2:
        (tmp_path / "again").symlink_to("stdout")
        place = tmp_path / "again"
    before = names(tmp_path)
    command = [sys.executable, "-c", WRITER, str(place)]
    piped = subprocess.run(command, capture_output=True, check=True)
    assert piped.stdout == b"first\nmiddle\n"
    with (tmp_path / "out").open("wb") as out:
        subprocess.run(command, stdout=out, check=True)
    assert (tmp_path / "out").read_bytes() == b"first\nmiddle\n"
    assert place.is_symlink() and os.readlink(tmp_path / "stdout") == "/proc/self/fd/1"
    assert names(tmp_path) == sorted([*before, "out"])


KILLED = """
import sys, time
from vitascope.files import replacing
with replacing(sys.argv[1]) as draft:
    draft.write_bytes(b"half")
    print("go", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_leaves_can_be_told_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdout.readline() == "go\n"
    child.kill()
    child.communicate()
    [left] = [p for p in tmp_path.iterdir() if p != path]
    assert path.read_bytes() == b"old"
    assert is_unfinished(left, "a.") and not is_unfinished(left, "b") and not is_unfinished(path)
    remove_unfinished(tmp_path, "b")
    remove_unfinished(tmp_path, older=3600)
    assert left.is_dir()
    os.utime(left, (time.time() - 7200,) * 2)
    remove_unfinished(tmp_path, "a", older=3600)
    assert names(tmp_path) == ["a.bin"]


# --- locks ---

HOLDER = """
import os, sys, time
from vitascope.files import locked
with locked(sys.argv[1], busy="one is at work" if sys.argv[2] == "busy" else None):
    if sys.argv[3] == "fork" and os.fork() == 0:
        print("go", flush=True)
        time.sleep(3)
        os._exit(0)
    if sys.argv[3] != "fork":
        print("go", flush=True)
    time.sleep(60)
"""


def holder(path: Path, busy: str = "busy", how: str = "alone") -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), busy, how],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None and child.stdout.readline() == "go\n"
    return child


@posix
def test_who_has_the_lock_is_told(tmp_path: Path) -> None:
    child = holder(tmp_path / "lock")
    with pytest.raises(
        RunError, match=rf"^it runs at this moment \(process {child.pid} on .+\)\. "
    ):
        with locked(tmp_path / "lock", busy="it runs"):
            pass
    child.kill()
    child.communicate()
    with locked(tmp_path / "lock", busy="it runs"):  # the lock went with the process
        assert f"process {os.getpid()} on" in (tmp_path / "lock").read_text()
        with pytest.raises(RunError, match=f"process {os.getpid()} on"):  # in one process, too
            with locked(tmp_path / "lock", busy="it runs"):
                pass


@posix
def test_a_process_that_was_forked_meanwhile_does_not_have_it(tmp_path: Path) -> None:
    child = holder(tmp_path / "lock", how="fork")
    child.send_signal(signal.SIGKILL)
    child.wait()  # the forked one lives on
    with locked(tmp_path / "lock", busy="it runs"):
        pass
    assert child.stdout is not None
    child.stdout.close()


@posix
def test_waiting_for_a_lock_and_leaving_its_content_alone(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("0")

    def count() -> None:
        for _ in range(200):
            with locked(path):
                number = int(path.read_text())
                path.write_text(str(number + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "800"
    assert not files._held()


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(OSError), locked(tmp_path / "no such folder" / "lock"):
        pass
