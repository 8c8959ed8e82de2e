"""Training step of X3D and CSN on a CUDA GPU: before, ours, and ours with the Triton kernels.

All three are the same model with the same weights on the same clips under bf16 autocast, eager:

- before: channels-first, each depthwise convolution by `torch.nn.Conv3d`, Swish as a product (the
  predecessor's formulation);
- native: channels-last, our layers, PyTorch's depthwise kernels (`VITASCOPE_DEPTHWISE=native`);
- auto: the same, with the kernel that was measured to be faster for each convolution.

They take turns step by step in changing order, and a ratio is the median of the ratios of
neighbors. Before anything is timed, the scores in float32 with the Triton kernels are compared
with those of before.

    python benchmarks/depthwise_gpu.py                       # x3d_s, x3d_m and csn_r101
    python benchmarks/depthwise_gpu.py --only x3d_m --batch 32 --repeats 50

Prints Markdown on standard output: device and versions, a table of steps, and what was chosen for
each convolution. Ends with status 2 where there is no CUDA device or results differ.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from statistics import median
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import commit, predecessor
from vitascope import __version__
from vitascope.engine.device import channels_last
from vitascope.layers.depthwise import depthwise_choices
from vitascope.layers.depthwise.choice import VARIABLE
from vitascope.models.registry import create_model

CLASSES = 400
# card -> (frames, side of the training crop, clips of a batch, arguments of the builder)
SETTINGS: dict[str, tuple[int, int, int, dict[str, Any]]] = {
    "x3d_s": (13, 160, 32, {"input_clip_length": 13, "input_crop_size": 160}),
    "x3d_m": (16, 224, 16, {"input_clip_length": 16, "input_crop_size": 224}),
    "csn_r101": (32, 224, 8, {}),
}
SIDES = ("before", "native", "auto")


class Side:
    """A model ready for training steps.

    Args:
        model: the model, on its device.
        clip: B C T H W.
        mode: value of `VITASCOPE_DEPTHWISE` while it runs.
        dtype: type of autocast.
    """

    def __init__(self, model: nn.Module, clip: Tensor, mode: str, dtype: torch.dtype) -> None:
        self.model, self.clip, self.mode, self.dtype = model, clip, mode, dtype
        self.labels = torch.arange(len(clip), device=clip.device) % CLASSES
        self.optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:
        """The kernels and the precision of this side."""
        half = self.dtype is not torch.float32
        with (
            mock.patch.dict(os.environ, {VARIABLE: self.mode}),
            torch.autocast(self.clip.device.type, self.dtype, enabled=half),
        ):
            yield

    def step(self) -> None:
        """Forward, loss, backward, update."""
        self.model.train()
        with self.context():
            loss = F.cross_entropy(self.model(self.clip).float(), self.labels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def scores(self) -> Tensor:
        """Scores in training mode without dropout, on a copy of the network."""
        model = copy.deepcopy(self.model).train()
        for module in model.modules():
            if isinstance(module, nn.Dropout) or type(module).__name__ == "DropPath":
                module.eval()
        with self.context(), torch.no_grad():
            scores: Tensor = model(self.clip).float()
        return scores


def sides(name: str, batch: int, device: torch.device, dtype: torch.dtype) -> dict[str, Side]:
    """The three formulations with the same weights and clips."""
    frames, side, usual, args = SETTINGS[name]
    torch.manual_seed(0)
    model = create_model(name, num_classes=CLASSES, **args)
    clip = torch.randn(batch or usual, 3, frames, side, side).to(device)
    last = clip.contiguous(memory_format=torch.channels_last_3d)
    ours = channels_last(copy.deepcopy(model).to(device))
    return {
        "before": Side(predecessor(model).to(device), clip, "native", dtype),
        "native": Side(ours, last, "native", dtype),
        "auto": Side(copy.deepcopy(ours), last, "auto", dtype),
    }


def difference(name: str, device: torch.device, mode: str) -> float:
    """Largest difference of a score in float32, two clips, as a share of the largest score."""
    pair = sides(name, 2, device, torch.float32)
    pair["auto"].mode = mode
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    mine, other = pair["auto"].scores(), pair["before"].scores()
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32
    return float((mine - other).abs().max() / other.abs().max())


def milliseconds(run: Callable[[], object]) -> float:
    """Time of a call on the device, from an idle device to an idle device."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


def alternate(
    runs: Sequence[Callable[[], object]],
    repeats: int,
    clock: Callable[[Callable[[], object]], float],
) -> list[list[float]]:
    """Times of all in turns, each turn in another order, after three of each to warm up."""
    for run in runs:
        for _ in range(3):
            run()
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(repeats):
        order = list(range(len(runs)))
        for i in order[turn % len(runs) :] + order[: turn % len(runs)]:
            times[i].append(clock(runs[i]))
    return times


def head() -> str:
    """Device and versions."""
    versions = [f"PyTorch {torch.__version__}", f"CUDA {torch.version.cuda}"]
    versions.append(f"cuDNN {torch.backends.cudnn.version()}")
    try:
        versions.append(f"Triton {metadata.version('triton')}")
    except metadata.PackageNotFoundError:
        versions.append("no Triton")
    return (
        f"{torch.cuda.get_device_name()}. Python {platform.python_version()}, "
        f"{', '.join(versions)}, vitascope {__version__} {commit()}. bf16 autocast, eager.\n\n"
        "| model | batch×T×H×W | before, ms | native, ms | auto, ms | auto over native "
        "| auto over before | difference |\n|---|---|--:|--:|--:|--:|--:|--:|"
    )


def row(name: str, clip: Tensor, times: Sequence[Sequence[float]], error: float) -> str:
    """A line of the table."""
    before, native, auto = times
    b, _, t, h, w = clip.shape
    over = [median(x / y for x, y in zip(s, auto, strict=True)) for s in (native, before)]
    cells = [name, f"{b}×{t}×{h}×{w}", *(f"{median(s):.2f}" for s in times)]
    cells += [*(f"{ratio:.2f}" for ratio in over), f"{error:.0e}"]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=sorted(SETTINGS), help="these models")
    parser.add_argument("--batch", type=int, default=0, help="clips of a step (0: as listed)")
    parser.add_argument("--repeats", type=int, default=21, help="steps of each formulation")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        cuda = torch.version.cuda
        why = f"PyTorch is built with CUDA {cuda}" if cuda else "PyTorch is built without CUDA"
        print(f"This needs a CUDA device, and none was found ({why}).", file=sys.stderr)
        return 2
    device = torch.device("cuda", torch.cuda.current_device())
    print(head(), flush=True)
    for name in options.only or SETTINGS:
        error = difference(name, device, "triton")
        if not error < 1e-3:
            print(f"{name}: the kernels give other scores ({error:.1e})", file=sys.stderr)
            return 2
        three = sides(name, options.batch, device, torch.bfloat16)
        times = alternate([three[s].step for s in SIDES], options.repeats, milliseconds)
        print(row(name, three["auto"].clip, times, error), flush=True)
        del three
        torch.cuda.empty_cache()
    print("\n" + "\n".join(f"- {choice}" for choice in depthwise_choices()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
