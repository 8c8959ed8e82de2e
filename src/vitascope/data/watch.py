"""Processes that decode, watched: lost batches, deaths and limits are noticed within seconds.

A DataLoader waits without end for a batch that was lost on its way, because an error in the thread
that sends it is printed and forgotten. So each process leaves signs on a board that all share.
"""

from __future__ import annotations

import errno
import gc
import mmap
import multiprocessing
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing.queues import Queue
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info

from vitascope.data.limits import process_limit, shared_memory, system_limit, too_many_files
from vitascope.errors import VitascopeError

POLL = 5
"""Seconds without a batch after which the signs are looked at."""

STUCK = 600.0
"""Seconds that one video may take; decoders give up by themselves long before."""

_TORCHS = "torch.utils.data._utils.signal_handling"
"""Module of PyTorch's handler of dead processes."""

_HANDED, _SIGN, _FAULT, _COLUMNS = 0, 1, 2, 3


class Watch:
    """What the processes of one loader leave for each other to see.

    Args:
        workers: number of processes; 0 for none, and then nothing is watched.
        start_method: how they are started.
    """

    def __init__(self, workers: int, start_method: str) -> None:
        self.workers = workers
        self._waited: tuple[int, int] | None = None
        self._processes: set[multiprocessing.process.BaseProcess] = set()
        size = workers * _COLUMNS
        # Memory that forked processes share needs neither a file nor room in /dev/shm.
        self._board: Any = None
        if workers and start_method == "fork":
            self._board = memoryview(mmap.mmap(-1, size * 8)).cast("d")
        elif workers:
            self._board = multiprocessing.get_context(start_method).RawArray("d", size)

    def start(self, loader: DataLoader[Any]) -> Iterator[Any]:
        """Starts the processes of a loader.

        Raises:
            VitascopeError: they cannot be started.
        """
        before = set(multiprocessing.active_children())
        with warnings.catch_warnings():
            # Python 3.12 and later warn of forks beside threads; workers use none of theirs.
            warnings.filterwarnings("ignore", ".*use of fork\\(\\) may lead to deadlocks")
            # The number of workers is the user's choice; what it costs is measured, not guessed.
            warnings.filterwarnings("ignore", "This DataLoader will create")
            try:
                batches = iter(loader)
            except OSError as error:
                said = process_limit(error) or f"decoding processes cannot be started ({error})"
                _end(set(multiprocessing.active_children()) - before)
                _forget(error)
            else:
                self._processes = set(multiprocessing.active_children()) - before
                _explain_deaths()
                return batches
        raise VitascopeError(said)

    def begin(self, worker: int) -> None:
        """Prepares a process that has just been started."""
        # Ctrl-C reaches every process of the terminal; the main one finishes its step and ends us.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        torch.set_num_threads(1)
        # What was there before the fork is garbage to nobody. A collection would write to each
        # object of it, and so copy the shared memory into every worker, bit by bit.
        gc.freeze()
        self.sign()
        board, place = self._board, worker * _COLUMNS + _FAULT

        def failed(error: BaseException, _: object) -> None:
            number = getattr(error, "errno", None) or errno.EPROTO
            if too_many_files(error):
                number = errno.EMFILE
            elif system_limit(error):
                number = errno.ENOSPC
            board[place] = number

        # Of this process only; its default prints a traceback and goes on.
        setattr(Queue, "_on_queue_feeder_error", staticmethod(failed))  # noqa: B010

    def sign(self) -> None:
        """Tells that this process is at work."""
        worker = get_worker_info()
        if worker is not None and self._board is not None:
            self._board[worker.id * _COLUMNS + _SIGN] = time.monotonic()

    def hand_over(self) -> None:
        """Tells that this process has made a batch and sends it."""
        worker = get_worker_info()
        if worker is not None and self._board is not None:
            self._board[worker.id * _COLUMNS + _HANDED] += 1

    def check(self, number: int) -> None:
        """Finds out why a batch does not come.

        Args:
            number: which batch of the pass is waited for, from 0.

        Raises:
            VitascopeError: it never will; the processes are ended.
        """
        try:
            self._check(number)
        except VitascopeError:
            _end(self._processes)
            raise

    def _check(self, number: int) -> None:
        for worker in range(self.workers):
            fault = int(self._board[worker * _COLUMNS + _FAULT])
            if fault:
                limit = OSError(fault, "")
                said = shared_memory() if fault == errno.ENOSPC else too_many_files(limit)
                raise _lost(said or f"error {fault}")
        # Batches are dealt out in turn.
        worker, before = number % self.workers, number // self.workers
        row = self._board[worker * _COLUMNS : (worker + 1) * _COLUMNS]
        handed = int(row[_HANDED])
        if handed > before and self._waited == (number, handed):
            raise _lost(f"sent {POLL} s ago and not received")
        self._waited = (number, handed)
        if row[_SIGN] and time.monotonic() - row[_SIGN] > STUCK:
            raise VitascopeError(
                f"a process that decodes videos has done nothing for {STUCK:g} s. Check the disk "
                f"or model that the videos lie on, or take another decoder (data.decoder)"
            )


def _lost(why: str) -> VitascopeError:
    text = f"a batch was lost between processes: {why}"
    if "data.workers" not in why:
        text += ". Decode in the training process (data.workers=0), or run the command again"
    return VitascopeError(text)


def share(value: Any) -> None:
    """Moves the tensors of a batch into memory that other processes see, in a worker only."""
    if get_worker_info() is None:
        return
    if isinstance(value, Tensor):
        value.share_memory_()  # type: ignore[no-untyped-call]
    elif isinstance(value, Mapping):
        for one in value.values():
            share(one)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for one in value:
            share(one)


def _end(processes: Iterable[multiprocessing.process.BaseProcess]) -> None:
    """Ends processes at once: a loader waits 5 s for each that is stuck."""
    for process in processes:
        process.terminate()


def _explain_deaths() -> None:
    """Lets PyTorch's handler of dead processes raise what `explained` makes of its error.

    It raises wherever the main thread is, in the middle of a step, too: outside of the loader.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        return
    theirs = signal.getsignal(signal.SIGCHLD)
    if not callable(theirs) or getattr(theirs, "__module__", "") != _TORCHS:
        return  # wrapped before, or somebody else's

    def handler(number: int, frame: FrameType | None) -> None:
        try:
            theirs(number, frame)
        except RuntimeError as error:
            raise explained(error) from None

    signal.signal(signal.SIGCHLD, handler)


def _forget(error: BaseException) -> None:
    """Ends what an error keeps alive: a loader that is half made complains when it goes."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        error.__traceback__ = error.__context__ = error.__cause__ = None
        gc.collect()
    finally:
        sys.unraisablehook = hook


def explained(error: Exception) -> Exception:
    """An error of a loader as one that says what helps; any other error as it is."""
    text = str(error)
    died = "DataLoader worker" in text and ("exited unexpectedly" in text or "killed" in text)
    said = system_limit(error)
    if died and "shared memory" not in text:
        said = None
    if said is not None:
        return VitascopeError(said)
    if died:
        first = text.strip().splitlines()[0]
        return VitascopeError(
            f"a process that decodes videos died ({first}). If memory ran out, use fewer workers "
            f"(data.workers); in a container, /dev/shm may be too small (docker run --shm-size=2g)"
        )
    if isinstance(error, EOFError | ConnectionError):
        return VitascopeError(
            f"the connection to a process that decodes videos broke ({type(error).__name__}). "
            f"Raise the limit of open files (ulimit -n 4096), or use fewer workers (data.workers)"
        )
    return error
