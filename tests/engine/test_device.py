"""Signals to a training, and to the processes that it has forked."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from vitascope.engine.device import StopOnSignal

ALONE: Any = SimpleNamespace(world_size=1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 7)]
)
def test_a_forked_process_does_not_speak_for_the_training(number: int, ending: int) -> None:
    """One that is ended before it could set handlers of its own is ended, and says nothing."""
    reader, writer = os.pipe()
    with StopOnSignal(ALONE, lambda line: print(os.write(writer, line.encode()))) as stop:
        child = os.fork()
        if child == 0:
            signal.raise_signal(number)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == ending
        assert not stop.requested()
        signal.raise_signal(number)
        assert stop.requested()
    os.close(writer)
    with open(reader, "rb") as said:
        assert said.read().count(b"stopping after this step") == 1
