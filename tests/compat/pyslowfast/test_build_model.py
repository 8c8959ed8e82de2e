"""PySlowFast's keys: every shipped file builds, start values, one clear error for each mistake."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.parity.test_parity_transformers import check_start, start_values
from support.model_reference import FOLDER
from support.pyslowfast_cases import configurations, keys_of, native_names
from vitascope.compat.pyslowfast import MODELS, build_model, complete
from vitascope.compat.pyslowfast.keys import DEFAULTS
from vitascope.compat.pyslowfast.mvit import mvit_arguments
from vitascope.errors import ConfigError, UnknownNameError
from vitascope.models.base import VideoModel, count_parameters

# What keeps a shipped file from building here: keys that contradict each other.
REFUSED = {
    "configs/Kinetics/REV_MVIT_B_16x4_CONV.yaml": "cls_embed_on=False",
    "configs/Kinetics/c2/C2D_NOPOOL_8x8_R50.yaml": "slow_c2d",
    "configs/SSv2/MVITv2_B_32x3.yaml": "unknown PySlowFast key 'PREFETCH.NUM_LOADERS'",
    "configs/SSv2/MVITv2_L_40x3.yaml": "unknown PySlowFast key 'PREFETCH.NUM_LOADERS'",
    "configs/SSv2/MVITv2_S_16x4.yaml": "unknown PySlowFast key 'PREFETCH.NUM_LOADERS'",
    "demo/AVA/SLOWFAST_32x2_R101_50_50.yaml": "unknown PySlowFast key 'TENSORBOARD",
}


def meta(**keys: Any) -> torch.nn.Module:
    dotted = {name.replace("__", "."): value for name, value in keys.items()}
    with torch.device("meta"):
        return build_model(dotted)


def test_the_table_holds_every_key_with_its_default() -> None:
    recorded = configurations()["keys"]
    assert list(DEFAULTS) == list(recorded)
    for name, key in recorded.items():
        same = DEFAULTS[name] == key["default"] or str(DEFAULTS[name]) == key["default"]
        assert same, name


def _shipped() -> list[str]:
    if not (FOLDER.parent / "api" / "pyslowfast_config.json").is_file():
        return []
    return list(configurations()["yamls"])


@pytest.mark.slow
def test_every_shipped_file_builds_or_says_why_not() -> None:
    built, seen = 0, set()
    for path in _shipped() or pytest.skip("reference data not present"):
        keys = dict(configurations()["yamls"][path])
        seen.add(keys.get("MODEL.MODEL_NAME", "SlowFast"))
        if path in REFUSED:
            with pytest.raises((ConfigError, UnknownNameError), match=REFUSED[path]):
                build_model(keys)
            continue
        # Rows of remembered features are storage, not network.
        keys |= {"CONTRASTIVE.LENGTH": 8, "CONTRASTIVE.QUEUE_LEN": 8}
        with torch.device("meta"):
            model = build_model(keys)
        assert count_parameters(model) > 1e6
        built += 1
    assert built == len(_shipped()) - len(REFUSED)
    assert set(MODELS) <= seen


@pytest.mark.parametrize(
    "config",
    [
        "ImageNet/REV_VIT_S",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                "Kinetics/MVIT_B_16x4_CONV", "Kinetics/MVITv2_S_16x4",
                "Kinetics/I3D_NLN_8x8_R50", "Kinetics/SLOWFAST_8x8_R50", "Kinetics/X3D_XS",
            )
        ),
    ],
)  # fmt: skip
def test_start_values(config: str) -> None:
    if not FOLDER.is_dir():
        pytest.skip(f"reference data not present: {FOLDER}")
    model = build_model(keys_of({"config": config}))
    check_start(model, start_values(f"cfg:{config}"), native_names(model).get)


def test_two_keys_are_enough() -> None:
    model = meta(MODEL__MODEL_NAME="SlowFast", RESNET__DEPTH=50)
    assert isinstance(model, VideoModel) and model.num_classes == 400
    assert complete({"RESNET.DEPTH": 101})["SLOWFAST.ALPHA"] == 8


def test_text_that_stands_for_a_value() -> None:
    """YAML reads a tuple as text, and PySlowFast takes it as a tuple."""
    full = complete({"MVIT.PATCH_KERNEL": "(3, 7, 7)", "MVIT.DROPPATH_RATE": "1e-1"})
    assert full["MVIT.PATCH_KERNEL"] == (3, 7, 7) and full["MVIT.DROPPATH_RATE"] == 0.1
    assert full["MODEL.ARCH"] == "slowfast"


def test_a_clip_may_stand_in_a_list_and_activations_are_for_evaluation() -> None:
    keys = {
        "MODEL.MODEL_NAME": "X3D", "MODEL.ARCH": "x3d", "RESNET.TRANS_FUNC": "x3d_transform",
        "DATA.TRAIN_CROP_SIZE": 32, "DATA.NUM_FRAMES": 4, "MODEL.NUM_CLASSES": 5,
        "MODEL.DROPCONNECT_RATE": 0.999, "MODEL.DROPOUT_RATE": 0.0,
    }  # fmt: skip
    model, clip = build_model(keys).eval(), torch.randn(3, 3, 4, 64, 64)
    scores = model([clip])
    torch.testing.assert_close(scores.sum(1), torch.ones(3))
    torch.testing.assert_close(scores, model(clip), rtol=0, atol=0)
    trained = model.train()(clip).detach()
    assert trained.shape == (3, 5 * 4) and float(trained.min()) < 0, "logits of every position"


def test_dropped_branches_have_an_effect() -> None:
    """With branches that always drop, the model is its shortcuts alone."""
    keys = {
        "MODEL.MODEL_NAME": "X3D", "MODEL.ARCH": "x3d", "RESNET.TRANS_FUNC": "x3d_transform",
        "DATA.TRAIN_CROP_SIZE": 32, "DATA.NUM_FRAMES": 4, "MODEL.NUM_CLASSES": 5,
        "MODEL.DROPOUT_RATE": 0.0,
    }  # fmt: skip
    plain, dropping = (build_model({**keys, "MODEL.DROPCONNECT_RATE": rate}) for rate in (0.0, 0.9))
    rates = [m.rate for m in dropping.modules() if type(m).__name__ == "_DroppedSum"]
    assert rates == sorted(rates) and rates[0] == pytest.approx(0.9 * 2 / 5)
    assert rates[-1] == pytest.approx(0.9) and len(rates) == 11
    assert list(plain.state_dict()) == list(dropping.state_dict())


def test_detached_features_get_no_gradient() -> None:
    keys = {
        "MODEL.MODEL_NAME": "ResNet", "MODEL.ARCH": "2d", "DATA.NUM_FRAMES": 1,
        "DATA.INPUT_CHANNEL_NUM": [3], "DATA.TRAIN_CROP_SIZE": 32, "MODEL.NUM_CLASSES": 4,
        "RESNET.WIDTH_PER_GROUP": 4, "MODEL.DETACH_FINAL_FC": True,
    }  # fmt: skip
    model = build_model(keys)
    model(torch.randn(2, 3, 1, 32, 32)).sum().backward()
    with_gradient = {n for n, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {"blocks.5.proj.weight", "blocks.5.proj.bias"}


SLOW = {"MODEL.MODEL_NAME": "ResNet", "MODEL.ARCH": "slow", "DATA.INPUT_CHANNEL_NUM": [3]}
X3D = {"MODEL.MODEL_NAME": "X3D", "MODEL.ARCH": "x3d", "RESNET.TRANS_FUNC": "x3d_transform"}
MVIT = {"MODEL.MODEL_NAME": "MViT", "DATA.TEST_CROP_SIZE": 224}
NLN = {"NONLOCAL.LOCATION": [[[]], [[1, 3]], [[1, 3, 5]], [[]]]}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"MODEL.MODEL_NAM": "ResNet"}, "Did you mean 'MODEL.MODEL_NAME'"),
        ({"MODEL": {"MODEL_NAME": "ResNet"}}, "Keys are dotted"),
        ({"MODEL.MODEL_NAME": "Resnet"}, "Did you mean 'ResNet'"),
        ({"MODEL.MODEL_NAME": "ResNet_nopool"}, "slow_c2d"),
        ({"RESNET.DEPTH": "fifty"}, "type str.; PySlowFast takes a value of type int"),
        ({**SLOW, "RESNET.DEPTH": 34}, "legal values: 101, 18, 50"),
        ({**SLOW, "MODEL.ARCH": "slowfast"}, "MODEL.ARCH = 'slowfast'; legal values: 2d, c2d"),
        ({"MODEL.MODEL_NAME": "SlowFast", "MODEL.ARCH": "slow"}, "legal values: slowfast"),
        ({**SLOW, "BN.NORM_TYPE": "layernorm"}, "BN.NORM_TYPE = 'layernorm'"),
        ({**SLOW, "MODEL.HEAD_ACT": "relu"}, "none, sigmoid, softmax"),
        ({**SLOW, "RESNET.SPATIAL_STRIDES": [[1], [2]]}, "4 lists, one for each stage"),
        ({"DATA.INPUT_CHANNEL_NUM": [3, 3, 3]}, "a number for each of the 2"),
        ({**SLOW, "RESNET.NUM_BLOCK_TEMP_KERNEL": [[4], [4], [6], [3]]}, "have \\(3, 4, 6, 3\\)"),
        ({"DATA.NUM_FRAMES": 4}, "nothing is left of such a clip"),
        ({"RESNET.STRIDE_1X1": True}, "no effect on SlowFast"),
        ({**SLOW, **NLN, "MODEL.MODEL_NAME": "PTVResNet"}, "no effect on PTVResNet"),
        ({**X3D, **NLN}, "no effect on X3D"),
        ({**X3D, "DETECTION.ENABLE": True}, "DETECTION.ENABLE = True has no effect on X3D"),
        ({**MVIT, "DATA.TEST_CROP_SIZE": 256}, "learned for one size"),
        ({**MVIT, "MVIT.NORM": "batchnorm"}, "layernorm only"),
        ({**MVIT, "MVIT.POOL_Q_STRIDE": [[16, 1, 2, 2]]}, "of one of the 16 blocks"),
        ({**MVIT, "MVIT.DIM_MUL": [[17, 2.0]]}, "names block 17, but there are 16"),
        (
            {**MVIT, "MODEL.MODEL_NAME": "PTVMViT", "MVIT.REL_POS_SPATIAL": True},
            "MVIT.REL_POS_SPATIAL = True has no effect on PTVMViT",
        ),
        ({"MODEL.MODEL_NAME": "ContrastiveModel"}, "must be equal"),
        (
            {**X3D, "MODEL.MODEL_NAME": "ContrastiveModel", "MODEL.NUM_CLASSES": 128,
             "CONTRASTIVE.NUM_MLP_LAYERS": 2}, "no effect on a ContrastiveModel",
        ),
    ],
)  # fmt: skip
def test_wrong_keys(keys: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message), torch.device("meta"):
        build_model(keys)


def test_building_leaves_the_keys_alone() -> None:
    keys = {**MVIT, "MVIT.POOL_KV_STRIDE_ADAPTIVE": [1, 8, 8], "MVIT.POOL_KV_STRIDE": []}
    before = {name: list(v) if isinstance(v, list) else v for name, v in keys.items()}
    mvit_arguments(complete(keys))
    assert keys == before
    assert meta(**{n.replace(".", "__"): v for n, v in keys.items()}) is not None
    assert keys == before
