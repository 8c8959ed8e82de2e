"""PyTorchVideo's modules as programs see them: attributes, `dir`, stars, patches, mistakes."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from support.model_reference import old_names
from vitascope.compat.ptv.names import NAMES, SUBMODULES
from vitascope.models import hub

pytestmark = pytest.mark.filterwarnings("ignore:pytorchvideo:DeprecationWarning")
DATA = "data"  # has tests of its own


def old(relative: str) -> ModuleType:
    old_names()
    return importlib.import_module(f"pytorchvideo.{relative}" if relative else "pytorchvideo")


def test_the_table_of_modules_is_the_record(shared: Path) -> None:
    record = json.loads((shared / "reference" / "api" / "pytorchvideo_api.json").read_text())
    listed = {
        f"{package}.{name}".lstrip(".") for package, names in SUBMODULES.items() for name in names
    }
    assert listed == {module.removeprefix("pytorchvideo.") for module in record["modules"]}


@pytest.mark.parametrize("package", [p for p in SUBMODULES if not p.startswith(DATA)])
def test_every_module_is_an_attribute_and_listed(package: str) -> None:
    module = old(package)
    for name in SUBMODULES[package]:
        if name == DATA:
            continue
        assert name in dir(module)
        below = getattr(module, name)
        path = ".".join(part for part in ("pytorchvideo", package, name) if part)
        assert below is importlib.import_module(path) is sys.modules[path]


def test_without_any_other_import() -> None:
    """In a fresh process, where no test has loaded a module yet."""
    code = (
        "import vitascope.compat.pytorchvideo, pytorchvideo.models, pytorchvideo.layers as layers\n"
        "import pytorchvideo.transforms, pytorchvideo.accelerator as accelerator\n"
        "pytorchvideo.models.head.create_res_basic_head, layers.mlp.make_multilayer_perceptron\n"
        "pytorchvideo.transforms.functional.short_side_scale, layers.accelerator.mobile_cpu.pool\n"
        "accelerator.deployment.mobile_cpu.utils.model_conversion.convert_to_deployable_form\n"
        "pytorchvideo.models.hub.vision_transformers.checkpoint_paths\n"
        "from pytorchvideo.models.hub import utils; utils.hub_model_builder\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def rows() -> Iterator[tuple[str, str]]:
    for module, names in NAMES.items():
        yield from ((module, name) for name in names)


@pytest.mark.parametrize(("module", "name"), list(rows()))
def test_every_name_that_a_module_showed_besides_its_own(module: str, name: str) -> None:
    loaded = old(module)
    assert getattr(loaded, name) is not None and name in dir(loaded)


def test_stars_bring_moved_names() -> None:
    found: dict[str, object] = {}
    old_names()
    exec("from pytorchvideo.models.resnet import *", found)
    assert {"create_resnet", "create_acoustic_resnet", "set_attributes"} <= set(found)
    exec("from pytorchvideo.layers import *", found)
    assert "ScriptableMultiScaleBlock" in found
    exec("from pytorchvideo.models.vision_transformers import *", found)
    assert {"round_width", "create_vit_basic_head"} <= set(found)


def test_what_is_patched_is_patched_at_its_home() -> None:
    home = importlib.import_module("vitascope.ssl.simclr")
    original = home.SimCLR
    old("models.simclr")
    with mock.patch("pytorchvideo.models.simclr.SimCLR") as patched:
        assert home.SimCLR is patched
    assert home.SimCLR is original
    with mock.patch("pytorchvideo.models.x3d.create_x3d_stem", side_effect=KeyError("seen")):
        with pytest.raises(KeyError, match="seen"):
            old("models.x3d").create_x3d(input_clip_length=4, input_crop_size=160)


@pytest.mark.parametrize(
    ("module", "name", "meant"),
    [
        ("models", "create_slowfst", "create_slowfast"),
        ("models.resnet", "create_acoustic_resnt", "create_acoustic_resnet"),
        ("models.simclr", "SimClr", "SimCLR"),
        ("", "model", "models"),
    ],
)
def test_a_name_that_never_existed(
    module: str, name: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = old(module)
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'") as caught:
        getattr(loaded, name)
    sys.__excepthook__(AttributeError, caught.value, None)  # what an uncaught error prints
    assert f"Did you mean: '{meant}'?" in capsys.readouterr().err
    with pytest.raises(ImportError, match="cannot import name"):
        exec(f"from {loaded.__name__} import {name}", {})


@pytest.mark.parametrize("name", ["models.nothing", "models.mvit", "engine", "layers.res_block"])
def test_a_module_that_never_existed_is_no_second_copy_of_ours(name: str) -> None:
    old("models"), old("layers")
    with pytest.raises(ModuleNotFoundError, match=f"No module named 'pytorchvideo.{name}'"):
        importlib.import_module(f"pytorchvideo.{name}")


def test_addresses_and_configurations_of_the_hub() -> None:
    paths = old("models.hub.slowfast").checkpoint_paths
    root = old("models.hub.utils").MODEL_ZOO_ROOT_DIR
    assert paths["slowfast_r50"] == f"{root}/kinetics/SLOWFAST_8x8_R50.pyth"
    assert old("models.hub.resnet").root_dir == root
    config = old("models.hub.vision_transformers").mvit_video_base_config
    assert config["temporal_size"] == 16 and config == dict(hub.mvit_base_16x4.args)
    network = old("models.hub.resnet")._resnet(
        pretrained=False, progress=True, checkpoint_path="", model_num_class=3
    )
    assert network.num_classes == 3


def test_helpers_compute_what_their_names_say() -> None:
    functional, attention = old("transforms.functional"), old("layers.attention")
    clip = torch.rand(3, 2, 8, 11)
    cropped, x, y = functional._uniform_crop_helper(clip, 6, 2)
    assert (x, y) == (5, 1) and torch.equal(cropped, clip[:, :, 1:7, 5:11])
    torch.manual_seed(0)
    top, left, height, width = functional._get_param_spatial_crop((0.2, 0.5), (0.8, 1.2), 40, 60)
    torch.manual_seed(0)
    crop = old("transforms").RandomResizedCrop(height, width, (0.2, 0.5), (0.8, 1.2))
    clip = torch.rand(3, 2, 40, 60, generator=torch.Generator().manual_seed(1))
    assert torch.equal(crop(clip), clip[..., top : top + height, left : left + width])
    # Tokens of two heads, pooled over space, with a class token and without.
    tokens, pool = torch.rand(2, 2, 1 + 2 * 4 * 4, 5), nn.MaxPool3d((1, 2, 2))
    pooled, shape = attention._attention_pool(tokens, pool, [2, 4, 4], True, nn.LayerNorm(5))
    grid = tokens[:, :, 1:].reshape(4, 2, 4, 4, 5).permute(0, 4, 1, 2, 3)
    naive = pool(grid).permute(0, 2, 3, 4, 1).reshape(2, 2, 8, 5)
    naive = nn.LayerNorm(5)(torch.cat([tokens[:, :, :1], naive], 2))
    assert shape == [2, 2, 2] and torch.allclose(pooled, naive, atol=1e-6)
    same, shape = attention._attention_pool(tokens[:, 0, 1:], None, [2, 4, 4], False)
    assert torch.equal(same, tokens[:, 0, 1:]) and shape == [2, 4, 4]


def test_blocks_of_the_accelerator_by_their_old_path() -> None:
    blocks = old("layers.accelerator.mobile_cpu.conv_helper")
    x = torch.rand(2, 4, 6, 7, 7)
    for taps, name in ((1, "Kernel1"), (3, "Kernel3"), (5, "Kernel5")):
        conv = nn.Conv3d(4, 3, (taps, 3, 3), padding=(taps // 2, 1, 1))
        lowered = getattr(blocks, f"_Conv3dTemporal{name}Decomposed")(conv, (6, 7, 7))
        assert torch.allclose(lowered(x), conv(x), atol=1e-5)
    assert blocks._Reshape((2, -1))(x).shape == (2, 4 * 6 * 49)
    assert torch.equal(blocks._SkipConnectMul(nn.Identity())(x), x * x)
    conversion = old("accelerator.deployment.mobile_cpu.utils.model_conversion")
    convs = old("layers.accelerator.mobile_cpu.convolutions")
    net = nn.Sequential(convs.Conv3dPwBnAct(4, 6), nn.Identity()).eval()
    sizes: dict[str, tuple[int, ...]] = {}
    handles: list[torch.utils.hooks.RemovableHandle] = []
    conversion._add_input_tensor_size_lut_hook(net, sizes, handles)
    before: Tensor = net(x)
    for handle in handles:
        handle.remove()
    assert sizes[""] == sizes[".0"] == (2, 4, 6, 7, 7) and sizes[".1"] == (2, 6, 6, 7, 7)
    conversion._convert_module(net, sizes)
    assert net[0].convert_flag and torch.allclose(net(x), before, atol=1e-5)
