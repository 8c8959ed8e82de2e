"""Steps: what each needs, what it gives, and the two that decode and classify."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import nn

from vitascope.data.clips import Clip
from vitascope.data.decoder import DecoderType, open_video
from vitascope.data.modalities.audio import SoundReader
from vitascope.errors import ConfigError, VitascopeError
from vitascope.models.registry import create_model, get_card
from vitascope.transforms import functional as F

Status = MutableMapping[str, Any]

FAIL_STRATEGY = ("RANDOM_FILL", "ZERO_FILL", "RETURN_NONE", "RAISE_ERROR")
HOOK_STATUS = ("PENDING", "SCHEDULED", "EXECUTING", "EXECUTED", "FAILED", "EARLY_EXIT")
_SERVED = ("RETURN_NONE", "RAISE_ERROR")


class HookBase:
    """A step that takes values by name and gives others.

    Args:
        executor: called with the values so far; gives the results by name. Subclasses call it as
            they need it.
        inputs: names of the values that must be there.
        outputs: names of the results.
        fail_strategy: "RAISE_ERROR", or "RETURN_NONE" for None as every result where the step
            fails. The original lists two more that fill in numbers, and does nothing for them.
        priority: of the steps that can run, that of the highest comes first.
        conditional_execution_func: whether to run at all, asked without arguments.
        exit_func: called without arguments after the step.

    Attributes:
        status: one of `HOOK_STATUS`.

    Raises:
        ConfigError: another strategy, or a negative priority.
    """

    def __init__(
        self,
        executor: Callable[..., Any],
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        fail_strategy: str = "RAISE_ERROR",
        priority: int = 1,
        conditional_execution_func: Callable[[], bool] | None = None,
        exit_func: Callable[[], Any] | None = None,
    ) -> None:
        if fail_strategy not in _SERVED:
            raise ConfigError(
                f"fail_strategy = {fail_strategy!r}; legal values: {', '.join(_SERVED)}"
            )
        if priority < 0:
            raise ConfigError(f"priority = {priority}; it must be at least 0")
        self.executor, self.inputs, self.outputs = executor, list(inputs), list(outputs)
        self.fail_strategy, self.priority = fail_strategy, priority
        self.conditional_execution_func = conditional_execution_func
        self.exit_func = exit_func
        self.status = "PENDING"

    def run(self, status: Status) -> dict[str, Any]:
        """Runs the step.

        Args:
            status: the values so far.

        Returns:
            The results by name; none if the step is not to run.

        Raises:
            ConfigError: a result is missing.
        """
        condition = self.conditional_execution_func
        if condition is not None and not condition():
            self.status = "EARLY_EXIT"
            return {}
        self.status = "EXECUTING"
        try:
            found = self._run(status)
        except (VitascopeError, ArithmeticError, LookupError, OSError, RuntimeError, TypeError,
                ValueError):  # fmt: skip
            self.status = "FAILED"
            if self.fail_strategy == "RAISE_ERROR":
                raise
            return dict.fromkeys(self.outputs)
        missing = [name for name in self.outputs if name not in found]
        if missing:
            self.status = "FAILED"
            raise ConfigError(f"{type(self).__name__} gave no {', '.join(missing)}")
        self.status = "EXECUTED"
        if self.exit_func is not None:
            self.exit_func()
        return {name: found[name] for name in self.outputs}

    def _run(self, status: Status) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.executor(status)
        return found

    def get_inputs(self) -> list[str]:
        """Names of the values that must be there."""
        return self.inputs

    def get_outputs(self) -> list[str]:
        """Names of the results."""
        return self.outputs


def full_decode(
    status: Status, decode_audio: bool = True, decoder: str = DecoderType.PYAV
) -> dict[str, Any]:
    """All of the video at `status["path"]`.

    Args:
        status: the values so far.
        decode_audio: whether its sound is wanted.
        decoder: decoder by name.

    Returns:
        `video` float32 C T H W from 0 to 255, and `audio` float32 S or None.
    """
    path = status["path"]
    with open_video(path, decoder=DecoderType(decoder)) as video:
        frames = video.read(range(len(video.times))).data
        whole, origin = Clip(Fraction(0), video.duration), video.start
    found: dict[str, Any] = {"video": frames.permute(3, 0, 1, 2).float(), "audio": None}
    if decode_audio:
        sound = SoundReader(path, origin)
        if sound.has_stream:
            found["audio"] = sound.read(whole).samples[0]
    return found


class DecodeHook(HookBase):
    """From `path` to `video` (and `audio`).

    Args:
        executor: decodes; see `full_decode`.
        decode_audio: whether the sound is wanted.
        decoder: decoder by name.
        fail_strategy: see `HookBase`.
        priority: see `HookBase`.
    """

    def __init__(
        self,
        executor: Callable[..., Any] = full_decode,
        decode_audio: bool = True,
        decoder: str = DecoderType.PYAV,
        fail_strategy: str = "RAISE_ERROR",
        priority: int = 0,
    ) -> None:
        outputs = ["video", "audio"] if decode_audio else ["video"]
        super().__init__(executor, ["path"], outputs, fail_strategy, priority)
        self.decode_audio, self.decoder = decode_audio, decoder

    def _run(self, status: Status) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.executor(
            status, decode_audio=self.decode_audio, decoder=self.decoder
        )
        return found


class X3DClsHook(HookBase):
    """From `video` (C T H W, 0 to 255) to `action_class`, scores 1 x classes of X3D-S.

    Frames, size and colors are those that the model was published with. The original has 32
    frames of 256 x 256 whatever the model.

    Args:
        executor: takes the prepared batch 1 C T H W and gives the scores; None is the model.
        fail_strategy: see `HookBase`.
        priority: see `HookBase`.
        model: the model; None fetches the published one.
    """

    def __init__(
        self,
        executor: Callable[..., Any] | None = None,
        fail_strategy: str = "RAISE_ERROR",
        priority: int = 0,
        model: nn.Module | None = None,
    ) -> None:
        self.model = (create_model("x3d_s", pretrained=True) if model is None else model).eval()
        super().__init__(
            executor or self.model, ["video"], ["action_class"], fail_strategy, priority
        )
        self.card = get_card("x3d_s")

    def transform(self, video: torch.Tensor) -> torch.Tensor:
        """A clip C T H W from 0 to 255 as the model takes it, C T H W."""
        pixels = self.card.pixels
        assert pixels.short_side is not None
        frames = F.uniform_temporal_subsample(video, self.card.clip.num_frames)
        large = F.short_side_scale(frames.float(), pixels.short_side)
        small = F.uniform_crop(large, pixels.crop[0], 1)
        mean, std = (torch.tensor(v).reshape(-1, 1, 1, 1) for v in (pixels.mean, pixels.std))
        return (small / 255 - mean) / std

    def _run(self, status: Status) -> Mapping[str, Any]:
        with torch.no_grad():
            return {"action_class": self.executor(self.transform(status["video"])[None])}
