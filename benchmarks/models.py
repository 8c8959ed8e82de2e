"""Forward pass and training step of each family against the predecessor's formulation.

Both are the same model with the same weights on the same clips, in one process:

- ours as `vitascope train` runs it: clips and weights channels-last, our layers;
- the predecessor's: clips and weights channels-first, eager, each depthwise convolution by
  `torch.nn.Conv3d`, Swish as a product whose backward pass computes the sigmoid again, attention
  as two matrix products with a softmax between them.

Runs alternate (ours, theirs, theirs, ours, ...), so that a slower moment of the machine strikes
both, and the ratio is the median of the ratios of neighbors. Before anything is timed, the scores
of both are compared.

    python benchmarks/models.py                      # all families, 2 threads
    python benchmarks/models.py --quick              # smallest settings: does it run?
    python benchmarks/models.py --only x3d csn --repeats 20 > table.md

Prints Markdown on standard output and progress on standard error; ends with status 1 where ours is
slower than `--least` allows.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitascope import __version__
from vitascope.engine.device import channels_last
from vitascope.layers.depthwise import DepthwiseConv3d
from vitascope.layers.swish import Swish
from vitascope.models.registry import create_model

CLASSES = 10


@dataclass(frozen=True)
class Setting:
    """A model at a size.

    Attributes:
        card: name of the card.
        frames: frames T of each pathway, slowest first.
        side: height and width of a frame.
        batch: clips of a pass.
        args: arguments of the builder for this size.
        shape: (channels, H, W) of a further pathway with as many frames as `frames` says last;
            the spectrogram of audio-visual models.
        boxes: boxes for each clip; detection only.
    """

    card: str
    frames: tuple[int, ...]
    side: int
    batch: int
    args: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, int, int] | None = None
    boxes: int = 0

    @property
    def size(self) -> str:
        """Batch and clip for the table."""
        if self.shape is not None and len(self.frames) == 1:
            return f"{self.batch}×{self.frames[0]}×{self.shape[2]}"
        frames = "+".join(map(str, self.frames))
        return f"{self.batch}×{frames}×{self.side}×{self.side}"

    def clips(self) -> list[Tensor]:
        """Random clips B C T H W, one for each pathway."""
        generator = torch.Generator().manual_seed(1)
        shapes = [(3, self.side, self.side)] * len(self.frames)
        if self.shape is not None:
            shapes[-1] = self.shape
        return [
            torch.randn(self.batch, c, t, h, w, generator=generator)
            for t, (c, h, w) in zip(self.frames, shapes, strict=True)
        ]

    def rows(self) -> tuple[Tensor, ...]:
        """Boxes (index in the batch, x1, y1, x2, y2) of detection models."""
        if not self.boxes:
            return ()
        box = [0.1 * self.side, 0.1 * self.side, 0.8 * self.side, 0.9 * self.side]
        rows = [[clip, *box] for clip in range(self.batch) for _ in range(self.boxes)]
        return (torch.tensor(rows, dtype=torch.float32),)


def settings(quick: bool) -> dict[str, Setting]:
    """One model of each family, at a size that two cores train."""
    side, batch = (64, 1) if quick else (128, 2)
    end = side // 32

    def window(frames: int) -> dict[str, Any]:
        return {"head_pool_kernel_size": (frames, end, end), **shallow}

    pair = {"head_pool_kernel_sizes": ((4, end, end), (16, end, end))}
    here = {"nonlocal_locations": ((), (0,), (0,), ())} if quick else {}
    x3d_side = 64 if quick else 112
    x3d = {"input_clip_length": 8, "input_crop_size": x3d_side}
    tokens = {"spatial_size": 64 if quick else 112, "temporal_size": 8}
    shallow = {"stage_depths": (1, 1, 1, 1)} if quick else {}
    windows = {"head_pool_kernel_sizes": ((4, end, end), (16, end, end), (8, 1, 10))}
    return {
        "c2d": Setting("c2d_r50", (8,), side, batch, window(4)),
        "i3d": Setting("i3d_r50", (8,), side, batch, window(4)),
        "i3d_nln": Setting("i3d_nln_r50", (8,), side, batch, window(4) | here),
        "slow": Setting("slow_r50", (8,), side, batch, window(8)),
        "slow_detection": Setting("slow_r50_detection", (4,), side, batch, shallow, boxes=2),
        "slowfast": Setting("slowfast_r50", (4, 16), side, batch, {**pair, **shallow}),
        "csn": Setting("csn_r101", (8,), side, batch, window(1)),
        "r2plus1d": Setting("r2plus1d_r50", (8,), side, batch, window(2)),
        "x3d": Setting("x3d_s", (8,), x3d_side, 1 if quick else 8, x3d),
        "efficient_x3d": Setting("efficient_x3d_xs", (4,), 64 if quick else 160, batch),
        "mvit": Setting("mvit_base_16x4", (8,), tokens["spatial_size"], batch, dict(tokens)),
        "mvitv2": Setting("mvitv2_s_16x4", (8,), tokens["spatial_size"], batch, dict(tokens)),
        "acoustic": Setting("acoustic_resnet_r50", (128,), 0, batch, shape=(1, 1, 80)),
        "audio_visual": Setting(
            "audio_visual_slowfast_r50",
            (4, 16, 64),
            side,
            batch,
            {**windows, **shallow, "drop_pathway": 0.0},
            shape=(1, 1, 80),
        ),
        "image_resnet": Setting("image_resnet_r50", (1,), side, batch, window(1)),
    }


class _OldSwish(torch.autograd.Function):
    """x * sigmoid(x), keeping x, with the gradient written out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return grads[0] * (s * (1 + x * (1 - s)))


class OldSwish(nn.Module):
    """Swish of two kernels forward and several backward."""

    def forward(self, x: Tensor) -> Tensor:
        """Applies it to each value."""
        return _OldSwish.apply(x)  # type: ignore[no-untyped-call]


def plain_attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """softmax(q k' / sqrt(D) + mask) v with the matrix of all weights in memory."""
    weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if attn_mask is not None:
        weights = weights + attn_mask
    return weights.softmax(dim=-1) @ v


def predecessor(model: nn.Module) -> nn.Module:
    """A copy of a model in the predecessor's formulation."""
    old = copy.deepcopy(model)
    for module in list(old.modules()):
        if type(module) is DepthwiseConv3d:
            module.__class__ = nn.Conv3d
        for name, child in module.named_children():
            if isinstance(child, Swish):
                setattr(module, name, OldSwish())
    for parameter in old.parameters():
        parameter.data = parameter.data.contiguous()
    return old


@contextlib.contextmanager
def old_attention() -> Iterator[None]:
    """Attention as two products while the predecessor's formulation runs."""
    with mock.patch.object(F, "scaled_dot_product_attention", plain_attention):
        yield


@dataclass
class Side:
    """One of the two formulations, ready to run.

    Attributes:
        model: the model.
        clips: its clips in its memory layout.
        rows: boxes, for detection.
        context: entered around every run.
    """

    model: nn.Module
    clips: list[Tensor]
    rows: tuple[Tensor, ...]
    context: Callable[[], contextlib.AbstractContextManager[None]]

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-4, momentum=0.9)

    def scores(self) -> Tensor:
        """One forward pass."""
        x: Any = self.clips if len(self.clips) > 1 else self.clips[0]
        with self.context():
            return self.model(x, *self.rows)

    def forward(self) -> Tensor:
        """A pass in evaluation."""
        self.model.eval()
        with torch.no_grad():
            return self.scores()

    def step(self) -> None:
        """A training step: forward, loss, backward, update."""
        self.model.train()
        with self.context():
            scores = self.scores()
            labels = torch.arange(len(scores)) % CLASSES
            loss = F.cross_entropy(scores, labels)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()


def sides(setting: Setting) -> tuple[Side, Side]:
    """Ours and the predecessor's, with the same weights and clips."""
    torch.manual_seed(0)
    model = create_model(setting.card, num_classes=CLASSES, **setting.args)
    old = predecessor(model)
    clips, rows = setting.clips(), setting.rows()
    last = [clip.contiguous(memory_format=torch.channels_last_3d) for clip in clips]
    ours = Side(channels_last(model), last, rows, contextlib.nullcontext)
    return ours, Side(old, clips, rows, old_attention)


@dataclass(frozen=True)
class Timing:
    """Seconds of both, run by run.

    Attributes:
        ours: seconds of each run.
        theirs: the same for the predecessor's formulation.
    """

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """How many times as fast ours is: median of the ratios of neighbors."""
        return median(b / a for a, b in zip(self.ours, self.theirs, strict=True))


def alternate(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> Timing:
    """Times both in turns, after one run of each to warm up."""

    def seconds(run: Callable[[], Any]) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    ours(), theirs()
    a, b = [], []
    for i in range(repeats):
        # The order changes each time, so that neither always runs on a warm cache.
        pair = [(a, ours), (b, theirs)]
        for times, run in pair if i % 2 == 0 else pair[::-1]:
            times.append(seconds(run))
    return Timing(tuple(a), tuple(b))


def difference(ours: Side, theirs: Side) -> float:
    """Largest difference of a score in training mode, as a share of the largest score.

    In training mode, because there norms use the batch, and nothing is scaled away by statistics
    that belong to no data. Dropout is off, so that both compute the same.
    """
    found = []
    for side in (ours, theirs):
        copied = copy.deepcopy(side.model).train()
        for module in copied.modules():
            if isinstance(module, nn.Dropout) or type(module).__name__ == "DropPath":
                module.eval()
        with torch.no_grad():
            found.append(Side(copied, side.clips, side.rows, side.context).scores())
    return float((found[0] - found[1]).abs().max() / found[1].abs().max())


def cpu_name() -> str:
    """The processor as the system calls it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """The commit of this checkout; empty outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def head(threads: int, repeats: int) -> list[str]:
    """What the table was measured with."""
    return [
        f"CPU: {cpu_name()}, {threads} threads. Python {platform.python_version()}, "
        f"PyTorch {torch.__version__}, vitascope {__version__} {commit()}. fp32, median of "
        f"{repeats} runs of each, in turns.",
        "",
        "| family | model | batch×T×H×W | forward, ms a clip | before | times as fast "
        "| training step, ms a clip | before | times as fast | difference |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]


def row(name: str, setting: Setting, forward: Timing, step: Timing, error: float) -> str:
    """A line of the table."""
    cells = [name, setting.card, setting.size]
    for timing in (forward, step):
        ours, theirs = (1000 * median(t) / setting.batch for t in (timing.ours, timing.theirs))
        cells += [f"{ours:.1f}", f"{theirs:.1f}", f"{timing.ratio:.2f}"]
    return f"| {' | '.join([*cells, f'{error:.0e}'])} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smallest settings, two runs each")
    parser.add_argument("--only", nargs="+", metavar="FAMILY", help="these families")
    parser.add_argument("--repeats", type=int, default=7, help="runs of each formulation")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument(
        "--least", type=float, default=0.95, help="smallest ratio that does not count as slower"
    )
    options = parser.parse_args(arguments)
    table = settings(options.quick)
    unknown = set(options.only or ()) - set(table)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(table)}")
    torch.set_num_threads(options.threads)
    repeats = 2 if options.quick else options.repeats
    print("\n".join(head(options.threads, repeats)), flush=True)
    slower = []
    for name in options.only or table:
        setting = table[name]
        print(f"{name}: {setting.card} {setting.size}", file=sys.stderr, flush=True)
        ours, theirs = sides(setting)
        error = difference(ours, theirs)
        if not error < 1e-3:
            print(f"{name}: the two compute different scores ({error:.1e})", file=sys.stderr)
            return 2
        forward = alternate(ours.forward, theirs.forward, repeats)
        step = alternate(ours.step, theirs.step, repeats)
        print(row(name, setting, forward, step, error), flush=True)
        slower += [
            f"{name} {what} {timing.ratio:.2f}"
            for what, timing in (("forward", forward), ("step", step))
            if timing.ratio < options.least
        ]
    if slower:
        print(f"slower than the predecessor's formulation: {', '.join(slower)}", file=sys.stderr)
    return int(bool(slower) and not options.quick)


if __name__ == "__main__":
    sys.exit(main())
