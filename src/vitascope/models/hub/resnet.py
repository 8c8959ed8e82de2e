"""C2D, I3D and non-local models (arXiv:1711.07971, arXiv:1705.07750), Slow (arXiv:1812.03982)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from vitascope.models.acoustic_resnet import create_acoustic_resnet
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
from vitascope.models.resnet import create_resnet, create_resnet_with_roi_head
from vitascope.spec import ClipSpec, Cost, LabelSpec, PixelSpec

_K400, _SSV2 = LabelSpec(name="kinetics400"), LabelSpec(name="ssv2")
_C2D: dict[str, Any] = {
    "stem_conv_kernel_size": (1, 7, 7),
    "stage1_pool": nn.MaxPool3d,
    "stage_conv_a_kernel_size": ((1, 1, 1),) * 4,
}
_C2D_NOPOOL: dict[str, Any] = {
    "stem_conv_kernel_size": (1, 7, 7),
    "stage_conv_a_kernel_size": ((1, 1, 1),) * 4,
    "head_pool_kernel_size": (8, 7, 7),
}
_I3D: dict[str, Any] = {
    "stem_conv_kernel_size": (5, 7, 7),
    "stage1_pool": nn.MaxPool3d,
    "stage_conv_a_kernel_size": (
        (3, 1, 1),
        ((3, 1, 1), (1, 1, 1)),
        ((3, 1, 1), (1, 1, 1)),
        ((1, 1, 1), (3, 1, 1)),
    ),
}
_SLOW_8: dict[str, Any] = {
    "stem_conv_kernel_size": (1, 7, 7),
    "head_pool_kernel_size": (8, 7, 7),
}
_SLOW_4: dict[str, Any] = {**_SLOW_8, "head_pool_kernel_size": (4, 7, 7)}
_NONLOCAL: dict[str, Any] = {"nonlocal_locations": ((), (1, 3), (1, 3, 5), ())}


def _kinetics(
    name: str,
    tag: str,
    args: Mapping[str, Any],
    clip_spec: ClipSpec,
    top: tuple[float, float],
    cost: tuple[float, float] | None,
    file: str,
    *,
    pyslowfast: bool = False,
    paper: str = "arXiv:1812.03982",
) -> ModelCard:
    """A row of Kinetics-400 of either zoo."""
    source = PSF_ZOO if pyslowfast else PTV_ZOO
    return publish(
        ModelCard(
            name=name,
            tag=tag,
            builder=create_resnet,
            args=args,
            clip=clip_spec,
            pixels=pixels(256),
            labels=_K400,
            results=scores("kinetics400/val", source, DENSE, top1=top[0], top5=top[1]),
            weights=psf(f"model_zoo/kinetics400/{file}") if pyslowfast else ptv(f"kinetics/{file}"),
            cost=(Cost(gflops=cost[0], parameters=cost[1], source=source, views=DENSE),)
            if cost
            else (),
            paper=paper,
        )
    )


c2d_r50 = _kinetics(
    "c2d_r50", "k400_8x8", _C2D, clip(8, 8), (71.46, 89.68), (25.89, 24.33),
    "C2D_8x8_R50.pyth", paper="arXiv:1711.07971",
)  # fmt: skip
i3d_r50 = _kinetics(
    "i3d_r50", "k400_8x8", _I3D, clip(8, 8), (73.27, 90.70), (37.53, 28.04),
    "I3D_8x8_R50.pyth", paper="arXiv:1705.07750",
)  # fmt: skip
slow_r50 = _kinetics(
    "slow_r50", "k400_8x8", _SLOW_8, clip(8, 8), (74.58, 91.63), (54.52, 32.45),
    "SLOW_8x8_R50.pyth",
)  # fmt: skip
slow_r50_4x16 = _kinetics(
    "slow_r50", "k400_4x16", _SLOW_4, clip(4, 16), (72.40, 90.18), (27.55, 32.45),
    "SLOW_4x16_R50.pyth",
)  # fmt: skip

c2d_nopool_r50 = _kinetics(
    "c2d_nopool_r50", "k400_8x8", _C2D_NOPOOL, clip(8, 8), (67.2, 87.8), None,
    "C2D_NOPOOL_8x8_R50.pkl", pyslowfast=True, paper="arXiv:1711.07971",
)  # fmt: skip
i3d_r50_pyslowfast = _kinetics(
    "i3d_r50", "k400_8x8_pyslowfast", _I3D, clip(8, 8), (73.5, 90.8), None,
    "I3D_8x8_R50.pkl", pyslowfast=True, paper="arXiv:1705.07750",
)  # fmt: skip
i3d_nln_r50 = _kinetics(
    "i3d_nln_r50", "k400_8x8", {**_I3D, **_NONLOCAL}, clip(8, 8), (74.0, 91.1), None,
    "I3D_NLN_8x8_R50.pkl", pyslowfast=True, paper="arXiv:1711.07971",
)  # fmt: skip
slow_r50_4x16_pyslowfast = _kinetics(
    "slow_r50", "k400_4x16_pyslowfast", _SLOW_4, clip(4, 16), (72.7, 90.3), None,
    "SLOWONLY_4x16_R50.pkl", pyslowfast=True,
)  # fmt: skip
slow_r50_pyslowfast = _kinetics(
    "slow_r50", "k400_8x8_pyslowfast", _SLOW_8, clip(8, 8), (74.8, 91.6), None,
    "SLOWONLY_8x8_R50.pkl", pyslowfast=True,
)  # fmt: skip

slow_r50_ssv2 = publish(
    ModelCard(
        name="slow_r50",
        tag="ssv2_8x8",
        builder=create_resnet,
        args={**_SLOW_8, "model_num_class": 174},
        clip=clip(8, 8, whole=True),
        pixels=pixels(256),
        labels=_SSV2,
        results=scores("ssv2/val", PTV_ZOO, THREE_CROPS, top1=60.04, top5=85.19),
        weights=ptv("ssv2/SLOW_8x8_R50.pyth"),
        cost=(
            Cost(
                gflops=55.10,
                parameters=31.96,
                source=PTV_ZOO,
                views=THREE_CROPS,
                note="The published 31.96 M parameters are those of 157 classes (Charades).",
            ),
        ),
        paper="arXiv:1812.03982",
        note="Pre-trained on Kinetics-400.",
    )
)
slow_r50_charades = publish(
    ModelCard(
        name="slow_r50",
        tag="charades_8x8",
        builder=create_resnet,
        args={**_SLOW_8, "model_num_class": 157},
        clip=clip(8, 8),
        pixels=pixels(256),
        labels=LabelSpec(name="charades"),
        task="multilabel",
        results=scores("charades/val", PTV_ZOO, DENSE, mAP=34.72),
        weights=ptv("charades/SLOW_8x8_R50.pyth"),
        cost=(Cost(gflops=55.10, parameters=31.96, source=PTV_ZOO, views=DENSE),),
        paper="arXiv:1812.03982",
        note="Pre-trained on Kinetics-400.",
    )
)
slow_r50_detection = publish(
    ModelCard(
        name="slow_r50_detection",
        tag="ava22_4x16",
        builder=create_resnet_with_roi_head,
        logit_args=LOGITS,
        clip=clip(4, 16),
        pixels=pixels(256),
        labels=LabelSpec(name="ava"),
        task="detection",
        results=scores("ava2.2/val", PTV_ZOO, CENTER, mAP=19.5),
        weights=ptv("ava/SLOW_4x16_R50_DETECTION.pyth"),
        cost=(
            Cost(
                gflops=None,
                parameters=31.78,
                source=PTV_ZOO,
                note="The authors' code builds 0.02 M more; nobody says what the table left out.",
            ),
        ),
        paper="arXiv:1812.03982",
        note="Pre-trained on Kinetics-400.",
    )
)
slow_r50_detection_pyslowfast = publish(
    ModelCard(
        name="slow_r50_detection",
        tag="ava22_4x16_pyslowfast",
        builder=create_resnet_with_roi_head,
        logit_args=LOGITS,
        clip=clip(4, 16),
        pixels=pixels(256),
        labels=LabelSpec(name="ava"),
        task="detection",
        results=scores("ava2.2/val", PSF_ZOO, CENTER, mAP=19.5),
        weights=psf("model_zoo/ava/C2D_8x8_R50.pkl"),
        paper="arXiv:1812.03982",
        note="Pre-trained on Kinetics-400. Boxes are not shifted, unlike in newer configurations.",
    )
)
image_resnet_r50 = publish(
    ModelCard(
        name="image_resnet_r50",
        tag="in1k",
        builder=create_resnet,
        args={
            "model_num_class": 1000,
            "dropout_rate": 0.0,
            "stem_conv_kernel_size": (1, 7, 7),
            "stage_conv_a_kernel_size": ((1, 1, 1),) * 4,
            "head_pool_kernel_size": (1, 7, 7),
        },
        clip=ClipSpec(num_frames=1),
        pixels=PixelSpec(
            short_side=256, crop=(224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
        ),
        labels=LabelSpec(name="imagenet1k"),
        # The source gives errors, 23.6 and 6.8.
        results=scores("imagenet1k/val", PSF_ZOO, CENTER, top1=76.4, top5=93.2),
        weights=psf("model_zoo/kinetics400/R50_IN1K.pyth", "pyslowfast"),
        paper="arXiv:1512.03385",
        note="Images are clips of one frame. A start for 3-D models, by inflation.",
    )
)
acoustic_resnet_r50 = publish(
    ModelCard(
        name="acoustic_resnet_r50",
        tag="untrained",
        builder=create_acoustic_resnet,
        clip=ClipSpec(num_frames=128),
        pixels=PixelSpec(short_side=1, crop=(1, 80), mean=(0.0,), std=(1.0,), fit="squash"),
        labels=LabelSpec(),
        paper="arXiv:2001.08740",
        note="Input is a log-mel spectrogram B 1 T 1 F. Nobody published weights.",
    )
)
