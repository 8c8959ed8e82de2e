"""Carrying out command lines in the process of the tests."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

from vitascope.cli.app import run

# A real X3D, as small and as short as it goes.
TINY = (
    "model.name=x3d_xs",
    "model.args.depth_factor=0.3",
    "clip.num_frames=4",
    "pixels.crop=32",
    "pixels.short_side=32",
    "optim.batch_size=4",
    "optim.epochs=1",
    "data.workers=0",
    "data.cache=false",
    "run.threads=1",
)


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def cli(*words: object) -> Done:
    """Carries out a command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = run([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
    return Done(code, out.getvalue(), err.getvalue())


def refused(*words: object) -> str:
    """Carries out a command line that must be refused; returns its message."""
    done = cli(*words)
    assert done.code == 2, done
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err and "unexpected" not in done.err
    return done.err
