"""Strict loading: everything fits, or nothing is changed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vitascope.errors import WeightsError
from vitascope.files import Progress, fetch, forget
from vitascope.models.base import VideoModel
from vitascope.models.weights.convert import convert_state_dict
from vitascope.models.weights.read import read_content
from vitascope.models.weights.report import ConversionReport
from vitascope.spec import Weights

# Names under which dialects keep the classifying layer; with a new head they are not wanted.
_HEADS = (
    "head.projection.", "head.proj.", "detection_head.proj.", "projection.model.", "fc.", "pred_",
    "classifier.", "head.fc.", "head.weight", "head.bias",
)  # fmt: skip
# What vitascope's own files hold besides the weights.
_AVERAGE, _OPTIMIZER = "ema.", "optim."


def load_into(
    model: nn.Module,
    source: str | Path | Mapping[str, Any],
    *,
    new_head: bool = False,
    what: str | None = None,
) -> ConversionReport:
    """Loads a checkpoint of any dialect into a model.

    Args:
        model: changed in place, and only if everything fits.
        source: a checkpoint file, what it holds, or a state dict.
        new_head: leave the classifying layer as it is if the checkpoint has one for another
            number of classes, or none.
        what: how messages call the checkpoint; None is the file's name.

    Returns:
        What became of every entry; `new_head` says which were left as they were.

    Raises:
        WeightsError: the file cannot be read, or an entry is missing, too many or of another
            shape; the message says which and what to do.
    """
    content: Any = source
    if isinstance(source, str | Path):
        content, what = read_content(source), what or str(source)
    what = what or "the checkpoint"
    state, report = convert_state_dict(_weights_alone(content), model, what=what)
    return _settle(model, state, report, new_head, lambda left: _refusal(left, model, what))


def load_own(
    model: VideoModel, entries: Mapping[str, Tensor], *, new_head: bool = False, what: str
) -> ConversionReport:
    """Loads entries that vitascope wrote itself: nothing is renamed, resampled or inflated.

    Args:
        model: changed in place, and only if everything fits.
        entries: tensors under the model's own names.
        new_head: leave the classifying layer as it is if the entries have another one, or none.
        what: how messages call the checkpoint.

    Returns:
        What became of every entry; `new_head` says which were left as they were.

    Raises:
        WeightsError: an entry is missing, too many, or of another shape.
    """
    own = model.state_dict()
    shapes = {n: (tuple(entries[n].shape), tuple(v.shape)) for n, v in own.items() if n in entries}
    other = {name: pair for name, pair in shapes.items() if pair[0] != pair[1]}
    report = ConversionReport(
        dialect="vitascope",
        missing=tuple(n for n in own if n not in entries),
        unexpected=tuple(n for n in entries if n not in own),
        other_shape=other,
        head=model.head_entries(),
        entries=len(own),
    )

    def refusal(left: ConversionReport) -> str:
        wrong = [*left.missing, *left.other_shape, *left.unexpected]
        return (
            f"{what} does not fit this model: {len(wrong)} tensors are missing, unknown or of "
            f"another shape, the first {wrong[0]}"
        )

    state = {n: v for n, v in entries.items() if n in own and n not in other}
    return _settle(model, state, report, new_head, refusal)


def _settle(
    model: nn.Module,
    state: Mapping[str, Tensor],
    report: ConversionReport,
    new_head: bool,
    refusal: Callable[[ConversionReport], str],
) -> ConversionReport:
    """Loads what fits, if nothing else is wrong than a head that is to be a new one."""
    if new_head:
        report = _without_head(report)
    if not report.fits:
        raise WeightsError(refusal(report))
    own = model.state_dict()
    model.load_state_dict({**{n: own[n] for n in report.new_head}, **state})
    return report


def _weights_alone(content: Any) -> Any:
    """Of vitascope's own tensors those to predict with."""
    if not isinstance(content, Mapping):
        return content
    average = {
        str(name).removeprefix(_AVERAGE): value
        for name, value in content.items()
        if str(name).startswith(_AVERAGE)
    }
    if average:
        return average
    return {n: v for n, v in content.items() if not str(n).startswith(_OPTIMIZER)}


def _without_head(report: ConversionReport) -> ConversionReport:
    """The report when the classifying layer is to stay as it is where the file's does not fit."""
    head = set(report.head)
    left = tuple(n for n in report.head if n in report.missing or n in report.other_shape)
    if not left:
        return report
    theirs = tuple(n for n in report.unexpected if _is_head(n.removeprefix(report.prefix)))
    return replace(
        report,
        new_head=left,
        missing=tuple(n for n in report.missing if n not in head),
        other_shape={n: s for n, s in report.other_shape.items() if n not in head},
        unexpected=tuple(n for n in report.unexpected if n not in theirs),
        ignored=(*report.ignored, *theirs),
    )


def _is_head(name: str) -> bool:
    first, _, rest = name.partition(".")
    in_blocks = first == "blocks" and rest.partition(".")[2] in ("proj.weight", "proj.bias")
    return in_blocks or name.startswith(_HEADS)


def _refusal(report: ConversionReport, model: nn.Module, what: str) -> str:
    name = type(model).__name__
    if report.only_head_differs:
        shapes = [s for n, s in report.other_shape.items() if n.endswith("weight")]
        has = (
            f"a classifying layer for {shapes[0][0][0]} classes, here are {shapes[0][1][0]}"
            if shapes
            else "no classifying layer of this model"
        )
        return (
            f"{what} ({report.dialect}) has {has}. Load it with new_head=True "
            f"to keep the model's own, or build the model for as many classes."
        )
    text = f"{what} ({report.dialect}) does not fit this {name}: {report.misfit()}. "
    if any(".branch1_bn." in n or ".branch1_norm." in n for n in report.unexpected):
        return text + (
            "PySlowFast's X3D has a norm that PyTorchVideo's has not: load it into a card that "
            "ends in _pyslowfast."
        )
    return text + "Choose the model it was made for; vitascope models lists them."


def fetch_published(
    weights: Sequence[Weights],
    *,
    progress: bool = True,
    require_checksum: bool | None = None,
    answer_within: float | None = None,
) -> tuple[Path, Any]:
    """The local copy of published weights and what it holds, fetched where it is not there yet.

    Args:
        weights: where the weights lie, the preferred place first.
        progress: show a bar while they are fetched, if a person looks.
        require_checksum: refuse files whose checksum is not on the card; None asks
            $VITASCOPE_REQUIRE_CHECKSUM.
        answer_within: seconds in which a server must answer; None is as patient as `fetch`.

    Raises:
        WeightsError: no place has them. A file that is no checkpoint is not kept.
    """
    reasons = []
    for place in weights:
        try:
            with _bar(place.url, progress) as on_progress:
                path = fetch(
                    place.url,
                    sha256=place.sha256,
                    size=place.size,
                    require_checksum=require_checksum,
                    answer_within=answer_within,
                    on_progress=on_progress,
                )
            return path, _content(path)
        except WeightsError as error:
            reasons.append(str(error))
    raise WeightsError(" ".join(reasons) or "no place of the weights is known")


def load_published(
    model: nn.Module,
    weights: Sequence[Weights],
    *,
    progress: bool = True,
    require_checksum: bool | None = None,
) -> ConversionReport:
    """Fetches published weights and loads them.

    Args:
        model: changed in place.
        weights: where the weights lie, the preferred place first.
        progress: show a bar while they are fetched, if a person looks.
        require_checksum: refuse files whose checksum is not on the card; None asks
            $VITASCOPE_REQUIRE_CHECKSUM.

    Raises:
        WeightsError: no place has them, or they do not fit.
    """
    path, content = fetch_published(weights, progress=progress, require_checksum=require_checksum)
    return load_into(model, content, what=str(path))


def _content(path: Path) -> Any:
    try:
        return read_content(path)
    except WeightsError:
        forget(path)
        raise


@contextlib.contextmanager
def _bar(url: str, wanted: bool) -> Iterator[Progress | None]:
    if not (wanted and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Bars(*columns, TransferSpeedColumn(), console=Console(stderr=True)) as bars:
        task = bars.add_task(url.rpartition("/")[2], total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
