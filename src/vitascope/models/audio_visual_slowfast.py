"""Audiovisual SlowFast (arXiv:2001.08740): SlowFast with a third pathway that hears."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError, InputError
from vitascope.layers.batch_norm import ModuleFactory, make_activation, make_norm
from vitascope.models.acoustic_resnet import create_acoustic_bottleneck_block
from vitascope.models.base import Triple
from vitascope.models.net import Net
from vitascope.models.pathways import FusionBuilder
from vitascope.models.resnet_blocks import create_bottleneck_block, same_padding
from vitascope.models.resnet_stages import Kernels
from vitascope.models.slowfast import create_slowfast
from vitascope.models.stem import create_acoustic_res_basic_stem, create_res_basic_stem

_BOTTLENECKS = (
    (create_bottleneck_block,) * 4,
    (create_bottleneck_block,) * 4,
    (create_acoustic_bottleneck_block,) * 2 + (create_bottleneck_block,) * 2,
)
# Steps in time of the audio at the stem and after each stage, down to the slow pathway's frames.
_AUDIO_STRIDES = ((16, 1, 1), (16, 1, 1), (8, 1, 1), (4, 1, 1))


class DropPathway(nn.Module):
    """Leaves pathways out of a training step altogether.

    Audio is learnt sooner than images; leaving it out most of the time lets both go on together.

    Args:
        probability: of a step without the pathways.
        pathways: indices of the pathways that are left out.

    Raises:
        ConfigError: a probability outside [0, 1].
    """

    def __init__(self, probability: float, pathways: Sequence[int] = (2,)) -> None:
        super().__init__()
        if not 0.0 <= probability <= 1.0:
            raise ConfigError(f"drop_pathway = {probability}; a probability is from 0 to 1")
        self.probability = probability
        self.pathways = tuple(pathways)

    def forward(self, x: list[Any]) -> list[Any]:
        """Returns a list in which the dropped pathways are None."""
        if not self.training or self.probability == 0.0:
            return list(x)
        if float(torch.rand(())) >= self.probability:
            return list(x)
        return [None if index in self.pathways else part for index, part in enumerate(x)]


class FuseAudioToFastSlow(nn.Module):
    """Joins the fast pathway to the slow one, then adds audio to both of them together.

    Args:
        block_fast_to_slow: brings the fast pathway to the frames of the slow one.
        block_audio_to_fastslow: brings audio, averaged over frequency, to the same frames and to
            the channels of slow and fast together.
    """

    def __init__(self, block_fast_to_slow: nn.Module, block_audio_to_fastslow: nn.Module) -> None:
        super().__init__()
        self.block_fast_to_slow = block_fast_to_slow
        self.block_audio_to_fastslow = block_audio_to_fastslow

    def forward(self, x: list[Any]) -> list[Any]:
        """Maps [slow, fast, audio] to [slow with both, fast, audio]; audio may be None.

        Raises:
            InputError: clips whose frames do not match.
        """
        slow, fast, audio = x
        fuse: Tensor = self.block_fast_to_slow(fast)
        if fuse.shape[2:] != slow.shape[2:]:
            raise InputError(
                f"the slow pathway has {slow.shape[2]} frames, the fast one becomes "
                f"{fuse.shape[2]}; it needs alpha times the frames at the same frame size"
            )
        joined = torch.cat([slow, fuse], dim=1)
        if audio is None:
            return [joined, fast, audio]
        heard: Tensor = self.block_audio_to_fastslow(audio.mean(dim=-1, keepdim=True))
        if heard.shape[2] != slow.shape[2]:
            raise InputError(
                f"the slow pathway has {slow.shape[2]} frames, audio becomes {heard.shape[2]}; "
                f"the spectrogram has to be as many times as long as the model was built for"
            )
        return [joined + heard, fast, audio]


class AudioToSlowFastFusionBuilder:
    """Builds the fusion of each stage.

    Args:
        slowfast_channel_reduction_ratio: slow channels for one fast channel.
        slowfast_audio_reduction_ratio: slow channels for one audio channel.
        conv_fusion_channel_ratio: channels joined to the slow pathway for one fast channel.
        conv_kernel_size: size (T, H, W) of the convolution of the fast pathway.
        conv_kernel_size_a: size of those of audio.
        conv_stride: step of the fast pathway's, one for all stages or one for each.
        conv_stride_a: step of audio's, likewise.
        conv_fusion_channel_interm_dim: channels between audio's convolutions: a share of audio's
            channels, or a whole number of them.
        conv_num_a: number of audio's convolutions; the last takes the step.
        norm: norm class, None for none.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
        activation: activation class, None for none.
        max_stage_idx: last stage that is fused.
    """

    def __init__(
        self,
        slowfast_channel_reduction_ratio: int,
        slowfast_audio_reduction_ratio: int,
        conv_fusion_channel_ratio: float,
        conv_kernel_size: Triple,
        conv_kernel_size_a: Triple,
        conv_stride: Triple | Sequence[Triple],
        conv_stride_a: Triple | Sequence[Triple],
        conv_fusion_channel_interm_dim: int | float = 0.25,
        conv_num_a: int = 2,
        norm: ModuleFactory | None = nn.BatchNorm3d,
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.1,
        activation: ModuleFactory | None = nn.ReLU,
        max_stage_idx: int = 3,
    ) -> None:
        self.slowfast_channel_reduction_ratio = slowfast_channel_reduction_ratio
        self.slowfast_audio_reduction_ratio = slowfast_audio_reduction_ratio
        self.conv_fusion_channel_ratio = conv_fusion_channel_ratio
        self.conv_kernel_size = conv_kernel_size
        self.conv_kernel_size_a = conv_kernel_size_a
        self.conv_stride = _per_stage(conv_stride, max_stage_idx + 1)
        self.conv_stride_a = _per_stage(conv_stride_a, max_stage_idx + 1)
        self.conv_fusion_channel_interm_dim = conv_fusion_channel_interm_dim
        self.conv_num_a = conv_num_a
        self.norm = norm
        self.norm_eps = norm_eps
        self.norm_momentum = norm_momentum
        self.activation = activation
        self.max_stage_idx = max_stage_idx

    def _conv(self, dim_in: int, dim_out: int, kernel: Triple, stride: Triple) -> list[nn.Module]:
        parts: list[nn.Module | None] = [
            nn.Conv3d(dim_in, dim_out, kernel, stride, same_padding(kernel), bias=False),
            make_norm(self.norm, dim_out, self.norm_eps, self.norm_momentum),
            make_activation(self.activation),
        ]
        return [part for part in parts if part is not None]

    def create_module(self, fusion_dim_in: int, stage_idx: int) -> nn.Module:
        """Builds the fusion after a stage (0 is the stem) with `fusion_dim_in` slow channels."""
        if stage_idx > self.max_stage_idx:
            return nn.Identity()
        fast = fusion_dim_in // self.slowfast_channel_reduction_ratio
        fused = int(fast * self.conv_fusion_channel_ratio)
        audio = fusion_dim_in // self.slowfast_audio_reduction_ratio
        inner = self.conv_fusion_channel_interm_dim
        width = inner if isinstance(inner, int) else int(audio * inner)
        dims = [audio, *[width] * (self.conv_num_a - 1), fusion_dim_in + fused]
        layers: list[nn.Module] = []
        for index in range(self.conv_num_a):
            last = index == self.conv_num_a - 1
            stride = self.conv_stride_a[stage_idx] if last else (1, 1, 1)
            layers += self._conv(dims[index], dims[index + 1], self.conv_kernel_size_a, stride)
        return FuseAudioToFastSlow(
            nn.Sequential(
                *self._conv(fast, fused, self.conv_kernel_size, self.conv_stride[stage_idx])
            ),
            nn.Sequential(*layers),
        )


def _per_stage(stride: Triple | Sequence[Triple], stages: int) -> list[Any]:
    rows: list[Any] = [stride] * stages if isinstance(stride[0], int) else list(stride)
    if len(rows) != stages:
        raise ConfigError(f"{len(rows)} steps for {stages} fused stages: {stride}")
    return rows


def create_audio_visual_slowfast(
    *,
    slowfast_channel_reduction_ratio: Sequence[int] = (8, 2),
    slowfast_conv_channel_fusion_ratio: float = 2,
    fusion_builder: FusionBuilder | None = None,
    input_channels: Sequence[int] = (3, 3, 1),
    model_depth: int = 50,
    model_num_class: int = 400,
    dropout_rate: float = 0.5,
    norm: ModuleFactory | None = nn.BatchNorm3d,
    activation: ModuleFactory | None = nn.ReLU,
    stem_dim_outs: Sequence[int] = (64, 8, 32),
    stem_conv_kernel_sizes: Sequence[Triple] = ((1, 7, 7), (5, 7, 7), (9, 1, 9)),
    stem_conv_strides: Sequence[Triple] = ((1, 2, 2), (1, 2, 2), (1, 1, 1)),
    stem_pool: Sequence[ModuleFactory | None] = (nn.MaxPool3d, nn.MaxPool3d, None),
    stem_pool_kernel_sizes: Sequence[Triple] = ((1, 3, 3),) * 3,
    stem_pool_strides: Sequence[Triple] = ((1, 2, 2), (1, 2, 2), (1, 1, 1)),
    stage_conv_a_kernel_sizes: Sequence[Kernels] = (
        ((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1)),
        ((3, 1, 1),) * 4,
        ((1, 1, 1),) * 4,
    ),
    stage_conv_b_kernel_sizes: Sequence[Kernels] = (
        ((1, 3, 3),) * 4,
        ((1, 3, 3),) * 4,
        ((3, 1, 3),) * 4,
    ),
    stage_conv_b_num_groups: Sequence[int | Sequence[int]] = ((1, 1, 1, 1),) * 3,
    stage_conv_b_dilations: Sequence[Kernels] = (((1, 1, 1),) * 4,) * 3,
    stage_spatial_strides: Sequence[Sequence[int]] = ((1, 2, 2, 2),) * 3,
    stage_temporal_strides: Sequence[Sequence[int]] = ((1,) * 4, (1,) * 4, (1, 2, 2, 2)),
    bottleneck: ModuleFactory | Sequence[ModuleFactory | Sequence[ModuleFactory]] = _BOTTLENECKS,
    head_pool: ModuleFactory | None = nn.AvgPool3d,
    head_pool_kernel_sizes: Sequence[Triple] = ((8, 7, 7), (32, 7, 7), (16, 1, 10)),
    head_output_size: Triple | Sequence[Triple] = (1, 1, 1),
    head_activation: ModuleFactory | None = None,
    head_output_with_global_average: bool = True,
    drop_pathway: float = 0.0,
    **kwargs: Any,
) -> Net:
    """Builds an audiovisual SlowFast; lists have an entry for slow, fast and audio.

    Args:
        slowfast_channel_reduction_ratio: slow channels for one fast and for one audio channel.
        slowfast_conv_channel_fusion_ratio: see `create_slowfast`, and so are the others below.
        fusion_builder: see there; None takes `AudioToSlowFastFusionBuilder` for audio of 16 times
            the slow pathway's frames.
        input_channels: see there.
        model_depth: see there.
        model_num_class: see there.
        dropout_rate: see there.
        norm: see there.
        activation: see there.
        stem_dim_outs: see there.
        stem_conv_kernel_sizes: see there.
        stem_conv_strides: see there.
        stem_pool: see there.
        stem_pool_kernel_sizes: see there.
        stem_pool_strides: see there.
        stage_conv_a_kernel_sizes: see there.
        stage_conv_b_kernel_sizes: see there.
        stage_conv_b_num_groups: see there.
        stage_conv_b_dilations: see there.
        stage_spatial_strides: see there.
        stage_temporal_strides: see there.
        bottleneck: see there.
        head_pool: see there.
        head_pool_kernel_sizes: see there.
        head_output_size: see there.
        head_activation: see there.
        head_output_with_global_average: see there.
        drop_pathway: probability that a training step leaves audio out (0.8 in the paper).
        kwargs: further arguments of `create_slowfast`.

    Returns:
        A model from [slow B C T H W, fast B C T H W, audio B 1 T 1 F] to B classes. Where a
        video has no sound, None may stand for the audio of a batch.
    """
    if fusion_builder is None:
        fusion_builder = AudioToSlowFastFusionBuilder(
            slowfast_channel_reduction_ratio=slowfast_channel_reduction_ratio[0],
            slowfast_audio_reduction_ratio=slowfast_channel_reduction_ratio[1],
            conv_fusion_channel_ratio=slowfast_conv_channel_fusion_ratio,
            conv_kernel_size=(7, 1, 1),
            conv_kernel_size_a=(5, 1, 1),
            conv_stride=(4, 1, 1),
            conv_stride_a=_AUDIO_STRIDES,
            norm=norm,
            activation=activation,
        ).create_module
    return create_slowfast(
        slowfast_channel_reduction_ratio=slowfast_channel_reduction_ratio,
        slowfast_conv_channel_fusion_ratio=slowfast_conv_channel_fusion_ratio,
        fusion_builder=fusion_builder,
        input_channels=input_channels,
        model_depth=model_depth,
        model_num_class=model_num_class,
        dropout_rate=dropout_rate,
        norm=norm,
        activation=activation,
        stem_function=(
            create_res_basic_stem,
            create_res_basic_stem,
            create_acoustic_res_basic_stem,
        ),
        stem_dim_outs=stem_dim_outs,
        stem_conv_kernel_sizes=stem_conv_kernel_sizes,
        stem_conv_strides=stem_conv_strides,
        stem_pool=stem_pool,
        stem_pool_kernel_sizes=stem_pool_kernel_sizes,
        stem_pool_strides=stem_pool_strides,
        stage_conv_a_kernel_sizes=stage_conv_a_kernel_sizes,
        stage_conv_b_kernel_sizes=stage_conv_b_kernel_sizes,
        stage_conv_b_num_groups=stage_conv_b_num_groups,
        stage_conv_b_dilations=stage_conv_b_dilations,
        stage_spatial_strides=stage_spatial_strides,
        stage_temporal_strides=stage_temporal_strides,
        bottleneck=bottleneck,
        head_pool=head_pool,
        head_pool_kernel_sizes=head_pool_kernel_sizes,
        head_output_size=head_output_size,
        head_activation=head_activation,
        head_output_with_global_average=head_output_with_global_average,
        drop=DropPathway(drop_pathway),
        **kwargs,
    )
