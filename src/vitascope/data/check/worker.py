"""One process of `check`: examines the files that it is told on its standard input.

A process of its own, because a broken file can take a decoder down with it, and because only a
process can be stopped. Requests and answers are lines of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import IO

from vitascope.data.cache.timelines import store
from vitascope.data.check.examine import examine

_HEARTBEAT = 1.0  # seconds between signs of life


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Answers one request after the other until the input ends.

    A request is {"path": file, "time_limit": seconds or null, "index": folder or null}. The
    answer is {"report": fields of FileReport}; before it {"alive": frames} comes while the
    examination goes on, and {"alive": 0} when the process is ready.
    """
    _send(answers, {"alive": 0})
    for line in requests:
        request = json.loads(line)
        last = time.monotonic()

        def alive(frames: int) -> None:
            nonlocal last
            if time.monotonic() - last > _HEARTBEAT:
                last = time.monotonic()
                _send(answers, {"alive": frames})

        report, timeline = examine(request["path"], request["time_limit"], alive)
        if timeline is not None and request["index"] is not None:
            store(request["path"], timeline, request["index"])
        _send(answers, {"report": asdict(report)})


def _send(answers: IO[str], message: object) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
