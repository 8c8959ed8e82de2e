"""The recipe of a run: names, numbers and frozen specs, checked when created.

A recipe holds no live object, goes to JSON and back without loss, and is stored whole in every
checkpoint. Only `engine.build` reads it; models, layers and data take plain arguments.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Self

from vitascope.engine.typed import help_lines, hints, spell, to_type
from vitascope.errors import ConfigError
from vitascope.spec import ClipSpec, PixelSpec, ViewProtocol, require_range, to_json
from vitascope.transforms.train import TrainTransform

ONE_VIEW = ViewProtocol()
MOST_SEED = 2**63 - 1
"""Seeds are kept in 64 bits with a sign."""


def _typed(config: Any, where: str) -> None:
    """Converts every field to its declared type in place."""
    cls: type = type(config)
    for name, hint in hints(cls).items():
        path = f"{where}.{name}" if where else name
        object.__setattr__(config, name, to_type(hint, getattr(config, name), path))


def _require(where: str, *rules: tuple[bool, str]) -> None:
    """Raises ConfigError with the message of the first rule (holds, message) that fails."""
    for holds, message in rules:
        if not holds:
            raise ConfigError(f"{where}.{message}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which model is trained.

    Attributes:
        name: card name of the model, such as x3d_s (`vitascope models` lists them).
        args: arguments of its builder that differ from the card's.
        init: run or checkpoint to start from, "pretrained" for the published weights, or none.
        zero_residual: without init, residual blocks start as identities (last norm at 0).
    """

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    init: str | None = None
    zero_residual: bool = True

    def __post_init__(self) -> None:
        _typed(self, "model")
        _require("model", (bool(self.name), "name is empty; `vitascope models` lists the names"))


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the videos are and how they are read.

    Attributes:
        path: folder of clips, or CSV, TSV or JSONL list of them.
        root: folder that holds the videos of a list; none is the list's own folder.
        remote: rows of a list on this machine may name addresses (https://..., s3://...).
        labels: file with one class name a line, in the order of the outputs; none sorts the names.
        split_seed: seed of the split that is made when the data has none.
        fractions: shares of training, validation and test videos in such a split.
        val_share: share of the training videos set apart for validation where data has no val.
        on_bad: a bad video is an error, or is counted and left out, or counted and shown as black.
        bad_budget: share of the videos that may be bad before the run stops after all; 1 is any.
        workers: processes that decode; 0 decodes in the training process.
        decoder: name of the decoding backend.
        balance: unequal classes: weighted in the loss, or sampled equally often, or none of it.
        scale: size at which frames are decoded for training, as a multiple of `pixels.short_side`.
        cache: keep these frames on disk after their first use.
        cache_dir: folder of that cache; none takes the user's cache folder.
        cache_gb: most disk space the cache may take, in GB; none is a tenth of the free disk.
    """

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "split_seed": (0, MOST_SEED), "fractions": (0, 1), "val_share": (0, 1),
        "bad_budget": (0, 1), "workers": (0, 512), "scale": (1, 16), "cache_gb": (0, 1e6),
    }  # fmt: skip

    path: str = ""
    root: str | None = None
    remote: bool = False
    labels: str | None = None
    split_seed: int = 0
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    val_share: float = 0.1
    on_bad: Literal["error", "skip", "substitute-black"] = "error"
    bad_budget: float = 1.0
    workers: int = 2
    decoder: str = "pyav"
    balance: Literal["none", "weighted", "sampled"] = "none"
    scale: float = 1.25
    cache: bool = True
    cache_dir: str | None = None
    cache_gb: float | None = None

    def __post_init__(self) -> None:
        _typed(self, "data")
        require_range("data", self, **self.RANGES)
        total = sum(self.fractions)
        _require(
            "data",
            (self.workers >= 0, f"workers = {self.workers}; it cannot be negative"),
            (0 <= self.val_share < 1, f"val_share = {self.val_share}; from 0 to below 1"),
            (0 <= self.bad_budget <= 1, f"bad_budget = {self.bad_budget}; a share from 0 to 1"),
            (self.scale >= 1, f"scale = {self.scale}; it must be at least 1"),
            ((self.cache_gb or 0) >= 0, f"cache_gb = {self.cache_gb}; it cannot be negative"),
            (
                abs(total - 1) < 1e-6 and min(self.fractions) >= 0 and self.fractions[0] > 0,
                f"fractions = {self.fractions}; they must add up to 1, the first above 0",
            ),
        )


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How training clips are changed at random. Zero switches an item off.

    Attributes:
        span: least and greatest share of the video for a clip, with clip.coverage=video.
        hflip: probability of a mirror image; 0 where classes name a direction.
        scale: least and greatest area shown, as a share of the largest window that fits.
        ratio: least and greatest change of width by height.
        crop_jitter: share of the room around the middle in which the window may lie, 0 to 1.
        brightness: greatest relative change of brightness, 0 to 1.
        contrast: greatest relative change of contrast, 0 to 1.
        saturation: greatest relative change of saturation, 0 to 1.
        hue: greatest turn of the hue in turns of the color circle, 0 to 0.5.
        grayscale: probability that all color goes.
        erase: probability that a box in all frames is set to the mean color.
        rotate: greatest rotation in degrees, either way.
        translate: greatest shift as a share of the window's sides, either way.
        mixup: alpha of MixUp (arXiv:1710.09412).
        cutmix: alpha of CutMix (arXiv:1905.04899); with both, each batch draws one of the two.
        mix_prob: probability that a batch is mixed at all.
        label_smoothing: share of the label spread evenly over all classes.
    """

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "span": (0, 1), "hflip": (0, 1), "scale": (0, 1), "ratio": (0.01, 100),
        "crop_jitter": (0, 1), "brightness": (0, 1), "contrast": (0, 1), "saturation": (0, 1),
        "hue": (0, 0.5), "grayscale": (0, 1), "erase": (0, 1), "rotate": (0, 360),
        "translate": (0, 1), "mixup": (0, 1e3), "cutmix": (0, 1e3), "mix_prob": (0, 1),
        "label_smoothing": (0, 1),
    }  # fmt: skip

    RENAMED: ClassVar[Mapping[str, str]] = {"cover": "span", "place": "crop_jitter"}

    span: tuple[float, float] = (1.0, 1.0)
    hflip: float = 0.5
    scale: tuple[float, float] = (0.4, 1.0)
    ratio: tuple[float, float] = (0.75, 1.3333)
    crop_jitter: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grayscale: float = 0.0
    erase: float = 0.0
    rotate: float = 0.0
    translate: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_prob: float = 1.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _typed(self, "augment")
        require_range("augment", self, **self.RANGES)
        smoothing, prob = self.label_smoothing, self.mix_prob
        _require(
            "augment",
            (min(self.mixup, self.cutmix) >= 0, "mixup and augment.cutmix cannot be negative"),
            (0 <= prob <= 1, f"mix_prob = {prob}; it must be from 0 to 1"),
            (0 <= smoothing < 1, f"label_smoothing = {smoothing}; it must be from 0 to below 1"),
        )
        _require(
            "augment",
            (0 < self.span[0] <= self.span[1] <= 1, f"span = {self.span}; two shares up to 1"),
        )
        try:
            TrainTransform(pixels=PixelSpec(short_side=1, crop=(1, 1)), **self.single_clip)
        except ConfigError as error:
            raise ConfigError(f"augment.{error}") from error

    @property
    def single_clip(self) -> dict[str, Any]:
        """The settings that change single clips: arguments of `TrainTransform`."""
        known = {f.name for f in dataclasses.fields(TrainTransform)}
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in own.items() if name in known}


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """How weights are updated.

    Attributes:
        name: optimizer.
        lr: peak learning rate, for `batch_size` clips an update.
        weight_decay: decay of weights; norms, biases and position embeddings have none.
        momentum: momentum of sgd, first beta of adam and adamw.
        beta2: second beta of adam and adamw.
        nesterov: look-ahead momentum of sgd.
        layer_decay: factor on the rate from each layer to the one below it; 1 is off.
        schedule: course of the rate: cosine, one_cycle (cosine up and down), steps or constant.
        warmup: epochs in which the rate rises to its peak.
        warmup_start: share of `lr` at the first step of the warm-up.
        end: share of `lr` at the last step of cosine and one_cycle.
        after_warmup: the cosine begins at its top when the warm-up ends, not at epoch 0.
        steps: epochs at which the rates below begin; the first is 0.
        rates: share of `lr` from each of these epochs on.
        clip_grad: largest norm of the gradient, longer ones are shortened; none leaves them.
        epochs: passes over the training videos.
        batch_size: clips of one update, over all devices and parts.
        accumulate: parts in which the clips of an update pass through the model, to save memory.
    """

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "lr": (0, 1e6), "weight_decay": (0, 1e6), "momentum": (0, 1), "beta2": (0, 1),
        "layer_decay": (0, 1), "warmup": (0, 1e6), "warmup_start": (0, 1e6), "end": (0, 1e6),
        "steps": (0, 1e6), "rates": (0, 1e6), "clip_grad": (0, 1e9), "epochs": (1, 1_000_000),
        "batch_size": (1, 1_000_000), "accumulate": (1, 1_000_000),
    }  # fmt: skip

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.05
    momentum: float = 0.9
    beta2: float = 0.999
    nesterov: bool = True
    layer_decay: float = 1.0
    schedule: Literal["cosine", "one_cycle", "steps", "constant"] = "cosine"
    warmup: float = 0.0
    warmup_start: float = 0.01
    end: float = 0.0
    after_warmup: bool = True
    steps: tuple[float, ...] = (0.0,)
    rates: tuple[float, ...] = (1.0,)
    clip_grad: float | None = None
    epochs: int = 30
    batch_size: int = 16
    accumulate: int = 1

    def __post_init__(self) -> None:
        _typed(self, "optim")
        require_range("optim", self, **self.RANGES)
        ordered = list(self.steps) == sorted(set(self.steps)) and self.steps[:1] == (0.0,)
        parts = self.accumulate
        _require(
            "optim",
            *(
                (getattr(self, n) >= 0, f"{n} = {getattr(self, n)}; it cannot be negative")
                for n in ("lr", "weight_decay", "warmup", "warmup_start", "end")
            ),
            *(
                (0 <= getattr(self, n) < 1, f"{n} = {getattr(self, n)}; it must be 0 to below 1")
                for n in ("momentum", "beta2")
            ),
            (0 < self.layer_decay <= 1, f"layer_decay = {self.layer_decay}; above 0, at most 1"),
            (self.epochs >= 1, f"epochs = {self.epochs}; it must be at least 1"),
            (self.batch_size >= 1, f"batch_size = {self.batch_size}; it must be at least 1"),
            (
                parts >= 1 and self.batch_size % parts == 0,
                f"accumulate = {parts}; batch_size = {self.batch_size} must be a multiple of it",
            ),
            (
                self.clip_grad is None or self.clip_grad > 0,
                f"clip_grad = {self.clip_grad}; it must be above 0 or none",
            ),
            (
                ordered and len(self.steps) <= len(self.rates),
                f"steps = {self.steps}, rates = {self.rates}; steps begin at 0 and rise, and "
                "each needs a rate",
            ),
        )


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Where and how the loop runs.

    Attributes:
        seed: the run's seed; the same seed gives the same weights on the same machine.
        accelerator: kind of device.
        devices: how many of them; 0 takes all GPUs, or one process on the CPU.
        precision: number format of training: 32, bf16 or 16 (mixed).
        eval_precision: number format of evaluation: 32 or bf16.
        compile: compile the model with torch.compile.
        threads: CPU threads of each training process; none leaves it to torch.
        log_every: steps from one row of the log to the next.
        eval_every: steps from one evaluation to the next; none evaluates after every epoch.
        save_every: steps from one checkpoint to the next; none saves after every epoch.
        ema: decay of the moving average of the weights that is evaluated; 0 is off.
        views: views of a validation video that are averaged, clips x crops.
        select: validation figure that chooses the step: score, loss, or auto: loss of few videos.
        select_over: evaluations in a row whose loss is averaged where the loss chooses.
    """

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "seed": (0, MOST_SEED), "devices": (0, 1024), "threads": (1, 1024),
        "log_every": (1, 1e9), "eval_every": (1, 1e9), "save_every": (1, 1e9), "ema": (0, 1),
        "select_over": (1, 1e6),
    }  # fmt: skip

    seed: int = 0
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = 0
    precision: Literal["32", "bf16", "16"] = "32"
    eval_precision: Literal["32", "bf16"] = "32"
    compile: bool = False
    threads: int | None = None
    log_every: int = 10
    eval_every: int | None = None
    save_every: int | None = None
    ema: float = 0.0
    views: ViewProtocol = ONE_VIEW
    select: Literal["auto", "score", "loss"] = "auto"
    select_over: int = 3

    def __post_init__(self) -> None:
        _typed(self, "run")
        require_range("run", self, **self.RANGES)
        _require(
            "run",
            (self.seed >= 0, f"seed = {self.seed}; it cannot be negative"),
            (self.devices >= 0, f"devices = {self.devices}; it cannot be negative"),
            (0 <= self.ema < 1, f"ema = {self.ema}; it must be from 0 to below 1"),
            *(
                (
                    getattr(self, n) is None or getattr(self, n) >= 1,
                    f"{n} = {getattr(self, n)}; it must be at least 1",
                )
                for n in ("threads", "log_every", "eval_every", "save_every", "select_over")
            ),
        )


class Field(NamedTuple):
    """One setting of a recipe: its path, its type in words, its value and what it means."""

    path: str
    type: str
    value: Any
    help: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a run.

    Attributes:
        task: kind of learning.
        model: which model is trained.
        clip: which frames of a video it sees.
        pixels: how large the frames are and how they are scaled.
        data: where the videos are and how they are read.
        augment: how training clips are changed at random.
        optim: how weights are updated.
        run: where and how the loop runs.
    """

    task: str = "classification"
    model: ModelConfig
    clip: ClipSpec
    pixels: PixelSpec
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    optim: OptimConfig = OptimConfig()
    run: RunConfig = RunConfig()

    def __post_init__(self) -> None:
        _typed(self, "")
        if self.pixels.background == "remove" and self.clip.num_frames == 1:
            raise ConfigError(
                "pixels.background = 'remove': a single frame (clip.num_frames = 1) does not move; "
                "take more frames or keep the background"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values of all fields."""
        plain: dict[str, Any] = to_json(self)
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote; absent fields take their defaults.

        Raises:
            ConfigError: a value of the wrong type, or a required field is absent.
            UnknownNameError: a field that no recipe has.
        """
        recipe: Self = to_type(cls, data, "")
        return recipe

    def fields(self) -> Iterator[Field]:
        """All settings in order, for `vitascope recipes show`."""
        return _walk(self, "")

    def differences(self, other: Recipe) -> dict[str, tuple[Any, Any]]:
        """Paths whose values differ, with the value here and the value there."""
        mine = {f.path: f.value for f in self.fields()}
        theirs = {f.path: f.value for f in other.fields()}
        paths = dict.fromkeys([*mine, *theirs])
        return {p: (mine.get(p), theirs.get(p)) for p in paths if mine.get(p) != theirs.get(p)}


def _walk(config: Any, prefix: str) -> Iterator[Field]:
    cls: type = type(config)
    for name, hint in hints(cls).items():
        value, path = getattr(config, name), f"{prefix}{name}"
        if dataclasses.is_dataclass(hint) and not hasattr(hint, "parse"):
            yield from _walk(value, f"{path}.")
        else:
            yield Field(path, spell(hint), value, help_lines(cls).get(name, ""))
