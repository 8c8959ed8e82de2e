"""SlowFast (arXiv:1812.03982) and Audiovisual SlowFast (arXiv:2001.08740)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vitascope.models.audio_visual_slowfast import create_audio_visual_slowfast
from vitascope.models.card import ModelCard, publish
from vitascope.models.hub.rows import (
    CENTER,
    DENSE,
    LOGITS,
    PSF_ZOO,
    PTV_ZOO,
    THREE_CROPS,
    clip,
    pixels,
    psf,
    ptv,
    scores,
)
from vitascope.models.slowfast import create_slowfast, create_slowfast_with_roi_head
from vitascope.spec import ClipSpec, Cost, LabelSpec, Result

_PAPER = "arXiv:1812.03982"
_K400, _SSV2 = LabelSpec(name="kinetics400"), LabelSpec(name="ssv2")
_CHARADES, _AVA = LabelSpec(name="charades"), LabelSpec(name="ava")
_8X8, _4X16, _16X8 = clip(32, 2, (4, 1)), clip(32, 2, (8, 1)), clip(64, 2, (4, 1))
_FUSION_5 = {"slowfast_fusion_conv_kernel_size": (5, 1, 1)}
_ARGS_4: dict[str, Any] = {
    **_FUSION_5,
    "slowfast_fusion_conv_stride": (8, 1, 1),
    "head_pool_kernel_sizes": ((4, 7, 7), (32, 7, 7)),
}
_WINDOWS_16: dict[str, Any] = {"head_pool_kernel_sizes": ((16, 7, 7), (64, 7, 7))}
# R101 of which only the first six blocks of the third stage see more than one frame.
_SIX = ((3, 1, 1),) * 6 + ((1, 1, 1),) * 17
_R101_50_50: dict[str, Any] = {
    **_FUSION_5,
    "model_depth": 101,
    "stage_conv_a_kernel_sizes": (
        ((1, 1, 1), (1, 1, 1), _SIX, (3, 1, 1)),
        ((3, 1, 1), (3, 1, 1), _SIX, (3, 1, 1)),
    ),
}
_DOWN = "The published number of parameters is rounded down."
_NONLOCAL: dict[str, Any] = {
    "nonlocal_locations": (((), (), (6, 13, 20), ()), ((), (), (), ())),
    "nonlocal_pool_sizes": (((2, 2, 2),) * 4,) * 2,
    "nonlocal_instantiation": ("dot_product", "dot_product"),
}


def _kinetics(
    name: str,
    tag: str,
    args: Mapping[str, Any],
    clip_spec: ClipSpec,
    results: tuple[Result, ...],
    file: str = "",
    cost: tuple[float, float] | None = None,
    note: str = "",
) -> ModelCard:
    """A row of Kinetics-400; `file` is a path in the zoo that the name's ending tells."""
    weights = ptv(file) if file.endswith(".pyth") else psf(file) if file else ()
    costs = (Cost(gflops=cost[0], parameters=cost[1], source=PTV_ZOO, views=DENSE),) if cost else ()
    return publish(
        ModelCard(
            name=name,
            tag=tag,
            builder=create_slowfast,
            args=args,
            clip=clip_spec,
            pixels=pixels(256),
            labels=_K400,
            results=results,
            weights=weights,
            cost=costs,
            paper=_PAPER,
            note=note,
        )
    )


def _k400(source: str, top1: float, top5: float) -> tuple[Result, ...]:
    return scores("kinetics400/val", source, DENSE, top1=top1, top5=top5)


slowfast_r50 = _kinetics(
    "slowfast_r50", "k400_8x8", {}, _8X8, _k400(PTV_ZOO, 76.94, 92.69),
    "kinetics/SLOWFAST_8x8_R50.pyth", (65.71, 34.57),
)  # fmt: skip
slowfast_r50_4x16 = _kinetics(
    "slowfast_r50", "k400_4x16", _ARGS_4, _4X16, _k400(PTV_ZOO, 75.34, 91.89),
    "kinetics/SLOWFAST_4x16_R50.pyth", (36.69, 34.48),
)  # fmt: skip
slowfast_r101 = _kinetics(
    "slowfast_r101", "k400_8x8", {**_FUSION_5, "model_depth": 101}, _8X8,
    _k400(PTV_ZOO, 77.90, 93.27), "kinetics/SLOWFAST_8x8_R101.pyth", (127.20, 62.83),
)  # fmt: skip
slowfast_16x8_r101_50_50 = _kinetics(
    "slowfast_16x8_r101_50_50", "k400_16x8", {**_R101_50_50, **_WINDOWS_16}, _16X8,
    _k400(PTV_ZOO, 78.70, 93.61), "kinetics/SLOWFAST_16x8_R101_50_50.pyth", (215.61, 53.77),
)  # fmt: skip

_C2 = "model_zoo/kinetics400"
_MULTIGRID = "pyslowfast/model_zoo/multigrid/model_zoo"
slowfast_r50_4x16_pyslowfast = _kinetics(
    "slowfast_r50", "k400_4x16_pyslowfast", _ARGS_4, _4X16, _k400(PSF_ZOO, 75.6, 92.0),
    f"{_C2}/SLOWFAST_4x16_R50.pkl",
)  # fmt: skip
slowfast_r50_pyslowfast = _kinetics(
    "slowfast_r50", "k400_8x8_pyslowfast", {}, _8X8, _k400(PSF_ZOO, 77.0, 92.6),
    f"{_C2}/SLOWFAST_8x8_R50.pkl",
)  # fmt: skip
slowfast_r101_pyslowfast = _kinetics(
    "slowfast_r101", "k400_8x8_pyslowfast", {**_FUSION_5, "model_depth": 101}, _8X8,
    _k400(_PAPER, 77.9, 93.2), note="No file is known; the scores are those of the paper.",
)  # fmt: skip
slowfast_16x8_r101_50_50_pyslowfast = _kinetics(
    "slowfast_16x8_r101_50_50", "k400_16x8_pyslowfast", {**_R101_50_50, **_WINDOWS_16}, _16X8,
    _k400(_PAPER, 78.9, 93.5), note="No file is known; the scores are those of the paper.",
)  # fmt: skip
slowfast_r50_stepwise = _kinetics(
    "slowfast_r50", "k400_8x8_stepwise", {}, _8X8, _k400(PSF_ZOO, 76.8, 92.7),
    f"{_MULTIGRID}/Kinetics/SLOWFAST_8x8_R50_stepwise.pkl",
)  # fmt: skip
slowfast_r50_multigrid = _kinetics(
    "slowfast_r50", "k400_8x8_multigrid", {}, _8X8, _k400(PSF_ZOO, 76.6, 92.7),
    f"{_MULTIGRID}/Kinetics/SLOWFAST_8x8_R50_stepwise_multigrid.pkl",
    note="Trained with the multigrid schedule (arXiv:1912.00998).",
)  # fmt: skip


def _transferred(
    tag: str,
    labels: LabelSpec,
    classes: int,
    clip_spec: ClipSpec,
    results: tuple[Result, ...],
    file: str,
    cost: tuple[Cost, ...] = (),
    task: str = "classification",
) -> ModelCard:
    """A row of Something-Something v2 or Charades, pre-trained on Kinetics-400."""
    windows = _WINDOWS_16 if clip_spec.num_frames == 64 else {}
    return publish(
        ModelCard(
            name="slowfast_r50",
            tag=tag,
            builder=create_slowfast,
            args={"model_num_class": classes, **windows},
            clip=clip_spec,
            pixels=pixels(256),
            labels=labels,
            task=task,
            results=results,
            weights=ptv(file) if file.endswith(".pyth") else psf(file),
            cost=cost,
            paper=_PAPER,
            note="Pre-trained on Kinetics-400.",
        )
    )


slowfast_r50_ssv2 = _transferred(
    "ssv2_8x8", _SSV2, 174, clip(32, 2, (4, 1), whole=True),
    scores("ssv2/val", PTV_ZOO, THREE_CROPS, top1=61.68, top5=86.92), "ssv2/SLOWFAST_8x8_R50.pyth",
    (Cost(gflops=66.60, parameters=34.04, source=PTV_ZOO, views=THREE_CROPS, note=_DOWN),),
)  # fmt: skip
slowfast_r50_ssv2_16x8 = _transferred(
    "ssv2_16x8", _SSV2, 174, clip(64, 2, (4, 1), whole=True),
    scores("ssv2/val", PSF_ZOO, THREE_CROPS, top1=63.0, top5=88.5),
    f"{_MULTIGRID}/SSv2/SLOWFAST_16x8_R50.pkl",
)  # fmt: skip
slowfast_r50_ssv2_16x8_multigrid = _transferred(
    "ssv2_16x8_multigrid", _SSV2, 174, clip(64, 2, (4, 1), whole=True),
    scores("ssv2/val", PSF_ZOO, THREE_CROPS, top1=63.5, top5=88.7),
    f"{_MULTIGRID}/SSv2/SLOWFAST_16x8_R50_multigrid.pkl",
)  # fmt: skip
slowfast_r50_charades = _transferred(
    "charades_8x8", _CHARADES, 157, _8X8, scores("charades/val", PTV_ZOO, DENSE, mAP=37.24),
    "charades/SLOWFAST_8x8_R50.pyth",
    (Cost(gflops=66.60, parameters=34.00, source=PTV_ZOO, views=DENSE),), task="multilabel",
)  # fmt: skip
slowfast_r50_charades_16x8 = _transferred(
    "charades_16x8", _CHARADES, 157, _16X8, scores("charades/val", PSF_ZOO, DENSE, mAP=38.9),
    f"{_MULTIGRID}/Charades/SLOWFAST_16x8_R50.pkl", task="multilabel",
)  # fmt: skip
slowfast_r50_charades_16x8_multigrid = _transferred(
    "charades_16x8_multigrid", _CHARADES, 157, _16X8,
    scores("charades/val", PSF_ZOO, DENSE, mAP=38.6),
    f"{_MULTIGRID}/Charades/SLOWFAST_16x8_R50_multigrid.pkl", task="multilabel",
)  # fmt: skip


def _detection(
    name: str,
    tag: str,
    args: Mapping[str, Any],
    clip_spec: ClipSpec,
    results: tuple[Result, ...],
    file: str,
    cost: tuple[Cost, ...] = (),
    note: str = "",
) -> ModelCard:
    """A row of AVA."""
    return publish(
        ModelCard(
            name=name,
            tag=tag,
            builder=create_slowfast_with_roi_head,
            args=args,
            logit_args=LOGITS,
            clip=clip_spec,
            pixels=pixels(256),
            labels=_AVA,
            task="detection",
            results=results,
            weights=ptv(file) if file.endswith(".pyth") else psf(file),
            cost=cost,
            paper=_PAPER,
            note=note,
        )
    )


slowfast_r50_detection = _detection(
    "slowfast_r50_detection", "ava22_8x8", {}, _8X8,
    scores("ava2.2/val", PTV_ZOO, CENTER, mAP=24.67), "ava/SLOWFAST_8x8_R50_DETECTION.pyth",
    (Cost(gflops=None, parameters=33.82, source=PTV_ZOO, note=_DOWN),),
    "Pre-trained on Kinetics-400.",
)  # fmt: skip
_NLN_101: dict[str, Any] = {**_R101_50_50, **_NONLOCAL}
_K600 = "Pre-trained on Kinetics-600. With non-local blocks."
slowfast_r101_detection_v21 = _detection(
    "slowfast_r101_detection", "ava21_8x8", _NLN_101, _8X8,
    scores("ava2.1/val", PSF_ZOO, CENTER, mAP=28.2),
    "model_zoo/ava/SLOWFAST_32x2_R101_50_50_v2.1.pkl", note=_K600,
)  # fmt: skip
slowfast_r101_detection = _detection(
    "slowfast_r101_detection", "ava22_8x8", _NLN_101, _8X8,
    scores("ava2.2/val", PSF_ZOO, CENTER, mAP=29.1),
    "model_zoo/ava/SLOWFAST_32x2_R101_50_50.pkl", note=_K600,
)  # fmt: skip
slowfast_r101_detection_16x8 = _detection(
    "slowfast_r101_detection", "ava22_16x8",
    {**_NLN_101, "head_pool_kernel_sizes": ((16, 1, 1), (64, 1, 1))}, _16X8,
    scores("ava2.2/val", PSF_ZOO, CENTER, mAP=29.4),
    "model_zoo/ava/SLOWFAST_64x2_R101_50_50.pkl", note=_K600,
)  # fmt: skip

audio_visual_slowfast_r50 = publish(
    ModelCard(
        name="audio_visual_slowfast_r50",
        tag="untrained",
        builder=create_audio_visual_slowfast,
        args={"drop_pathway": 0.8},
        clip=_8X8,
        pixels=pixels(224),
        labels=LabelSpec(),
        paper="arXiv:2001.08740",
        note="Input is [slow, fast, log-mel spectrogram B 1 128 1 80]. Nobody published weights.",
    )
)
