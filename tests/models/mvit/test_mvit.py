"""Multiscale transformers beyond the recorded cases: folding, scripts, sizes, names, bad input."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitascope.errors import ConfigError, InputError
from vitascope.layers.attention import MultiScaleAttention, MultiScaleBlock
from vitascope.models.head import create_vit_basic_head
from vitascope.models.mvit.model import (
    MultiscaleVisionTransformers,
    MViTVariant,
    Reversible,
    RoIVariant,
    create_multiscale_vision_transformers,
)
from vitascope.models.mvit.plan import Schedule, plan_blocks
from vitascope.models.mvit.reversible import ReversibleBlock, TwoStreamFusion

BASE: dict[str, Any] = {
    "spatial_size": 32, "temporal_size": 4, "depth": 4, "patch_embed_dim": 16, "num_heads": 2,
    "head_num_classes": 7, "embed_dim_mul": [[1, 2.0], [3, 2.0]],
    "atten_head_mul": [[1, 2.0], [3, 2.0]], "pool_q_stride_size": [[1, 1, 2, 2]],
    "pool_kv_stride_adaptive": (1, 4, 4), "pool_kvq_kernel": (3, 3, 3), "head_dropout_rate": 0.0,
}  # fmt: skip
V2 = {
    "residual_pool": True, "dim_mul_in_att": True, "separate_qkv": False,
    "variant": {
        "origin": "pyslowfast", "positions": "none", "rel_pos_spatial": True,
        "rel_pos_temporal": True, "residual_pool_cls": False,
    },
}  # fmt: skip
REV = {
    "cls_embed_on": False, "embed_dim_mul": [[1, 2.0]], "atten_head_mul": [[1, 2.0]],
    "variant": {"origin": "pyslowfast", "reversible": {"buffer_layers": (1,)}},
}  # fmt: skip
IMAGE = {
    "temporal_size": 1, "use_2d_patch": True, "conv_patch_embed_kernel": (7, 7),
    "conv_patch_embed_stride": (4, 4), "conv_patch_embed_padding": (3, 3),
    "pool_kvq_kernel": (1, 3, 3),
}  # fmt: skip


def make(seed: int = 0, **changes: Any) -> MultiscaleVisionTransformers:
    """A small model none of whose parameters and statistics is at a special value."""
    torch.manual_seed(seed)
    model = create_multiscale_vision_transformers(**{**BASE, **changes})
    assert isinstance(model, MultiscaleVisionTransformers)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and "running_var" in name:
                value.uniform_(0.5, 1.5)
            elif value.is_floating_point() and value.dim() <= 1:
                value.add_(0.3 * torch.randn_like(value))
    return model


def clip(*shape: int) -> Tensor:
    return torch.randn(*shape or (2, 3, 4, 32, 32), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cls_embed_on": False},
        {"cls_embed_on": False, "separate_qkv": False, "qkv_bias": False, "bias_on": False},
        {"cls_embed_on": False, "dim_mul_in_att": True},
        {"separate_qkv": False, "dim_mul_in_att": True, "residual_pool": True},
        {"pool_first": True},
        {"pool_first": True, "cls_embed_on": False},
        {"pooling_mode": "avg", "cls_embed_on": False},
    ],
)
def test_folding_batch_norms_is_exact(changes: dict[str, Any]) -> None:
    model = make(norm="batchnorm", **changes).double().eval()
    with torch.no_grad():
        before = model(clip().double())
        model.fuse_bn()
        after = model(clip().double())
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-11)
    left = [n for n, m in model.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    attention = {"norm_q", "norm_k", "norm_v", "norm"}
    if changes.get("pool_first"):
        assert left
    elif changes.get("cls_embed_on", True):
        assert {name.split(".")[-1] for name in left} <= attention
    else:
        assert not left


def test_folding_needs_evaluation_and_batch_norms() -> None:
    with pytest.raises(ConfigError, match=r"call eval\(\)"):
        make(norm="batchnorm").train().fuse_bn()
    with pytest.raises(ConfigError, match="no batch norm"):
        make().eval().fuse_bn()


def test_folding_functions_by_hand() -> None:
    norm, linear = nn.BatchNorm1d(3).eval(), nn.Linear(3, 6)
    with torch.no_grad():
        for value in (norm.weight, norm.bias, norm.running_mean):
            value.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    model, x = make(norm="batchnorm"), torch.randn(5, 3)
    torch.testing.assert_close(
        model.fuse_norm_before_linear(norm, linear)(x), linear(norm(x)), rtol=1e-5, atol=1e-6
    )
    heads = linear(x).view(10, 3)
    torch.testing.assert_close(
        model.fuse_norm_after_linear(linear, norm)(x), norm(heads).view(5, 6), rtol=1e-5, atol=1e-6
    )
    assert model.fuse_norm_before_linear(None, linear) is linear


SCRIPTS: dict[str, dict[str, Any]] = {
    "v1": {"droppath_rate_block": 0.2, "dropout_rate_block": 0.1},
    "v2": V2,
    "batchnorm": {"norm": "batchnorm"},
    "reversible": {**REV, "droppath_rate_block": 0.2},
    "image": IMAGE,
    "mean": {"variant": {"mean_pooling": True, "norm_stem": True, "layer_scale": 0.1}},
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_compute_the_same(name: str) -> None:
    model = make(**SCRIPTS[name]).eval()
    x = clip(2, 3, 32, 32) if name == "image" else clip()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)
        script = torch.jit.script(model)
        torch.testing.assert_close(script(x), model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_exports_serve_any_batch(name: str) -> None:
    model = make(**SCRIPTS[name]).eval()
    x = clip(2, 3, 32, 32) if name == "image" else clip()
    batch = torch.export.Dim("batch", min=1, max=16)
    program = torch.export.export(model, (x,), dynamic_shapes={"x": {0: batch}, "bboxes": None})
    more = torch.cat([x, x[:1] + 1])
    with torch.no_grad():
        torch.testing.assert_close(program.module()(more), model(more), rtol=1e-4, atol=1e-5)


def naive_attention(attention: MultiScaleAttention, x: Tensor, thw: tuple[int, int, int]) -> Tensor:
    """One head after the other and one query after the other, with relative positions."""
    t, h, w = thw
    heads, width = attention.num_heads, x.shape[2] // attention.num_heads
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    out = torch.zeros_like(q)
    places = [(a, b, c) for a in range(t) for b in range(h) for c in range(w)]
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        for i, (a, b, c) in enumerate(places):
            query = q[0, i, part]
            logits = torch.stack(
                [
                    query @ k[0, j, part] / width**0.5
                    + query @ attention.rel_pos_h[b - y + h - 1]
                    + query @ attention.rel_pos_w[c - z + w - 1]
                    + query @ attention.rel_pos_t[a - s + t - 1]
                    for j, (s, y, z) in enumerate(places)
                ]
            )
            out[0, i, part] = logits.softmax(0) @ v[0, :, part] + query
    return attention.proj(out)


def test_relative_positions_by_loops() -> None:
    from vitascope.layers.relative_position import RelativePositions

    attention = MultiScaleAttention(
        8, num_heads=2, has_cls_embed=False, separate_qkv=False, residual_pool=True,
        input_size=(2, 3, 3), relative=RelativePositions(spatial=True, temporal=True),
    )  # fmt: skip
    with torch.no_grad():
        for table in (attention.rel_pos_h, attention.rel_pos_w, attention.rel_pos_t):
            table.normal_()
        x = torch.randn(1, 18, 8)
        out, grid = attention(x, [2, 3, 3])
        torch.testing.assert_close(out, naive_attention(attention, x, (2, 3, 3)))
    assert grid == [2, 3, 3]


def test_the_class_token_and_residual_pooling() -> None:
    """PyTorchVideo adds its query to the class token's output, PySlowFast does not."""
    with_cls, without = make(), make()
    for model, flag in ((with_cls, True), (without, False)):
        for block in model.blocks:
            block.attn.residual_pool, block.attn.residual_pool_cls = True, flag
    attention = with_cls.blocks[0].attn
    other = copy.deepcopy(attention)
    other.residual_pool_cls = False
    x = torch.randn(2, 1 + 2 * 8 * 8, 16)
    with torch.no_grad():
        a, _ = attention(x, [2, 8, 8])
        b, _ = other(x, [2, 8, 8])
        weight = attention.proj.weight
        torch.testing.assert_close(a[:, 1:], b[:, 1:])
        torch.testing.assert_close(a[:, 0] - b[:, 0], attention.q(x)[:, 0] @ weight.t())


@pytest.mark.parametrize("keep", ["first", "twins", "both"])
def test_files_with_either_name_of_a_pooling_load(keep: str) -> None:
    state = make(norm="batchnorm").state_dict()
    if keep == "first":
        state = {k: v for k, v in state.items() if "_attention_pool_" not in k}
    elif keep == "twins":
        first = {f"{part}_{letter}" for part in ("pool", "norm") for letter in "qkv"}
        state = {k: v for k, v in state.items() if not first & set(k.split("."))}
    other = make(seed=1, norm="batchnorm")
    other.load_state_dict(state, strict=True)
    with torch.no_grad():
        want = make(norm="batchnorm").eval()(clip())
        torch.testing.assert_close(other.eval()(clip()), want)


def test_relative_positions_serve_any_size() -> None:
    model = make(**V2).eval()
    with torch.no_grad():
        for shape in ((1, 3, 8, 32, 32), (1, 3, 4, 48, 40), (1, 3, 2, 16, 16)):
            assert model(clip(*shape)).shape == (1, 7)


def test_learned_positions_say_which_size_fits() -> None:
    model = make().eval()
    with pytest.raises(InputError, match=r"4x48x32 gives 2x12x8 patches.*2x8x8.*clip of 4x32x32"):
        model(torch.zeros(1, 3, 4, 48, 32))
    with pytest.raises(InputError, match="expected 3 channels"):
        model(torch.zeros(1, 4, 4, 32, 32))
    with pytest.raises(InputError, match="5 dimensions"):
        model(torch.zeros(3, 4, 32, 32))
    model.check = True
    with pytest.raises(InputError, match="NaN"):
        model(torch.full((1, 3, 4, 32, 32), float("nan")))
    tokens = make(enable_patch_embed=False, spatial_size=(4, 6), temporal_size=2)
    with pytest.raises(InputError, match="48 tokens"):
        tokens(torch.zeros(1, 40, 16))


def test_images_come_with_or_without_a_frame() -> None:
    model, x = make(**IMAGE).eval(), clip(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(x[:, :, None]), model(x))
        torch.testing.assert_close(model([x]), model(x))
    with pytest.raises(InputError, match="one frame"):
        model(torch.zeros(1, 3, 2, 32, 32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "groupnorm"}, "batchnorm, layernorm"),
        ({"use_2d_patch": True}, "temporal_size = 4 must be 1"),
        ({"pool_kv_stride_size": [[0, 1, 2, 2]]}, "takes the place of"),
        ({"pool_q_stride_size": [[4, 1, 2, 2]]}, "of one of the 4 blocks"),
        ({"pool_q_stride_size": [[1, 2, 2]]}, "not \\(block, T, H, W\\)"),
        ({"embed_dim_mul": [[9, 2.0]]}, "names block 9, but there are 4"),
        ({"pooling_mode": "median"}, "avg, max"),
        ({"pooling_mode": "conv_unshared"}, "pool_first=True"),
        ({"num_heads": 3}, "3 heads do not divide"),
        ({"variant": {"origin": "elsewhere"}}, "pyslowfast, pytorchvideo|pytorchvideo, pyslowfast"),
        ({"variant": {"mean_poling": True}}, "mean_poling"),
        ({"variant": {"positions": "sincos"}}, "sep_pos_embed=False"),
        ({**REV, "cls_embed_on": True}, "cls_embed_on=False"),
        ({**REV, "variant": {"reversible": {}}}, "block 1 changes width or grid"),
        ({**REV, "variant": {"reversible": {"buffer_layers": (1, 2)}}}, "block 2 of buffer_layers"),
        ({**REV, "variant": {"reversible": {"respath_fuse": "sum"}}}, "respath_fuse = 'sum'"),
        ({"multiscale_vit_class": nn.Identity, "variant": {"norm_stem": True}}, "knows no variant"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**changes)


ARGUMENTS: list[tuple[dict[str, Any], Callable[[MultiscaleVisionTransformers], object]]] = [
    ({"enable_patch_embed_norm": True}, lambda m: m.patch_embed.norm),
    ({"dropout_rate_block": 0.5}, lambda m: m.pos_drop.p),
    ({"droppath_rate_block": 0.6}, lambda m: m.blocks[-1].drop_path.drop_prob),
    ({"variant": {"norm_stem": True}}, lambda m: m.norm_stem),
    ({"variant": {"layer_scale": 0.3}}, lambda m: m.blocks[0].gamma_1[0].item()),
    ({"variant": {"head_init_scale": 0.0}}, lambda m: m.head.proj.weight.abs().max().item() + 1),
    ({"head": None}, lambda m: "none" if m.head is None else None),
    ({"mlp_ratio": 2.0}, lambda m: m.blocks[0].mlp.fc1.out_features),
    ({"qkv_bias": False}, lambda m: "none" if m.blocks[0].attn.q.bias is None else None),
    ({"depthwise_conv": False}, lambda m: m.blocks[0].attn.pool_k.weight.shape[1]),
]


@pytest.mark.parametrize("index", range(len(ARGUMENTS)))
def test_arguments_have_an_effect(index: int) -> None:
    changes, found = ARGUMENTS[index]
    want = [True, 0.5, 0.6, True, None, None, "none", 32, "none", 8][index]
    torch.manual_seed(0)
    value = found(create_multiscale_vision_transformers(**{**BASE, **changes}))
    if want is True:
        assert isinstance(value, nn.LayerNorm)
    elif want is None:
        assert value == pytest.approx({4: 0.3, 5: 1.0}[index])
    else:
        assert value == want


def test_the_patch_norm_is_computed() -> None:
    plain = make(enable_patch_embed_norm=True)
    x = plain.patch_embed(clip())
    assert float(x.detach().mean(-1).abs().max()) < 5 and x.shape == (2, 128, 16)
    torch.testing.assert_close(
        x, plain.patch_embed.norm(plain.patch_embed.patch_model(clip()).flatten(2).transpose(1, 2))
    )


def test_average_pooling_of_fewer_frames_than_the_window() -> None:
    """Torch refuses a window of 3 frames on 2, although the padding makes room for it."""
    for mode in ("avg", "max"):
        model = make(pooling_mode=mode).eval()
        with torch.no_grad():
            assert bool(torch.isfinite(model(clip())).all())
            longer = make(pooling_mode=mode, temporal_size=8).eval()
            pool = longer.blocks[0].attn.pool_k
            maps = torch.randn(1, 2, 4, 8, 8)
            reference = (nn.MaxPool3d if mode == "max" else nn.AvgPool3d)(
                pool.kernel_size, pool.stride, pool.padding
            )
            torch.testing.assert_close(pool(maps), reference(maps))


class Own(nn.Module):
    """A class put in place of the model's."""

    def __init__(self, **parts: Any) -> None:
        super().__init__()
        self.parts = parts


def test_a_class_of_ones_own_gets_the_six_parts() -> None:
    model = create_multiscale_vision_transformers(**BASE, multiscale_vit_class=Own)
    assert sorted(model.parts) == [
        "blocks", "cls_positional_encoding", "head", "norm_embed", "patch_embed", "pos_drop",
    ]  # fmt: skip
    assert isinstance(model.parts["blocks"][0], MultiScaleBlock)


def test_parts_of_ones_own() -> None:
    """A positional encoding whose grid is a method, as PyTorchVideo's."""

    class Positions(nn.Module):
        def patch_embed_shape(self) -> tuple[int, int, int]:
            return (2, 4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return x

    parts: dict[str, Any] = {
        "patch_embed": None, "pos_drop": None, "norm_embed": None,
        "blocks": nn.ModuleList([MultiScaleBlock(8, 8, 2, has_cls_embed=False)]),
        "head": create_vit_basic_head(in_features=8, out_features=3, seq_pool_type="mean"),
    }  # fmt: skip
    model = MultiscaleVisionTransformers(cls_positional_encoding=Positions(), **parts)
    assert model(torch.randn(2, 32, 8)).shape == (2, 3)
    with pytest.raises(ConfigError, match="patch_embed_shape"):
        MultiscaleVisionTransformers(cls_positional_encoding=nn.Identity(), **parts)


def test_detection() -> None:
    model = make(variant=MViTVariant(roi=RoIVariant(resolution=4, scale=8.0)), head_activation=None)
    model.eval()
    boxes = torch.tensor([[0, 2.0, 3.0, 20.0, 30.0], [1, 0, 0, 31, 31], [1, 4, 4, 9, 12]])
    with torch.no_grad():
        scores = model(clip(), boxes)
        features = model.forward_features(clip())
    assert scores.shape == (3, 7) and features.shape == (2, 64, 2, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(
            model(clip()[1:], torch.tensor([[0.0, 0, 0, 31, 31]])), scores[1:2]
        )
    with pytest.raises(InputError, match="needs boxes"):
        model(clip())
    with pytest.raises(InputError, match="no head for boxes"):
        make()(clip(), boxes)


def test_head_activation_in_evaluation_only() -> None:
    model = make(head_activation=nn.Softmax, variant={"head_in_evaluation": True})
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(clip()).sum(1), torch.ones(2))
        raw = model.train()(clip())
        torch.testing.assert_close(raw.softmax(1), model.eval()(clip()))
        assert not torch.allclose(raw.sum(1), torch.ones(2))


def test_mean_pooling_averages_patches_then_norms() -> None:
    model = make(variant={"mean_pooling": True}).eval()
    with torch.no_grad():
        tokens = model.forward_features(clip())
        pooled = model.norm_embed(tokens[:, 1:].mean(1))
        torch.testing.assert_close(model(clip()), model.head.proj(pooled))


def test_detached_head() -> None:
    model = make(variant={"detach_head": True})
    model(clip()).sum().backward()
    assert {n for n, p in model.named_parameters() if p.grad is not None} == {
        "head.proj.weight", "head.proj.bias",
    }  # fmt: skip


class TestReversible:
    """Computing activations back gives the gradients of keeping them."""

    def gradients(self, model: nn.Module, keep: bool, seed: int) -> list[Tensor]:
        model.rev_backbone.keep_activations = keep
        model.zero_grad()
        torch.manual_seed(seed)
        x = clip().double().requires_grad_()
        (model(x) ** 2).sum().backward()
        after = torch.rand(3)  # random numbers go on as if nothing had been drawn twice
        return [x.grad, *(p.grad for p in model.parameters()), after]

    @pytest.mark.parametrize("fusion", ["avg", "add", "max", "min", "concat", "ln+concat_linear_2"])
    def test_gradients(self, fusion: str) -> None:
        variant = MViTVariant(
            reversible=Reversible(
                buffer_layers=(1,), pre_q_fusion=fusion, respath_fuse=fusion,
                res_path="max" if fusion == "max" else "conv",
            )
        )  # fmt: skip
        model = make(**{**REV, "variant": variant}, dropout_rate_block=0.2, droppath_rate_block=0.5)
        model.double().train()
        kept = self.gradients(model, True, 3)
        back = self.gradients(model, False, 3)
        for a, b in zip(kept, back, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)

    def test_autocast_and_frozen_parameters(self) -> None:
        model = make(**REV).train()
        first = model.rev_backbone.layers[0]
        first.F.norm.weight.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(clip()).float().square().sum()
        loss.backward()
        assert first.F.norm.weight.grad is None
        rough = first.G.mlp.fc1.weight.grad.clone()
        model.zero_grad()
        model(clip()).square().sum().backward()
        exact = first.G.mlp.fc1.weight.grad
        assert float((rough - exact).norm() / exact.norm()) < 0.1

    def test_activations_are_not_kept(self) -> None:
        model = make(**REV).train()
        block = next(m for m in model.rev_backbone.layers if isinstance(m, ReversibleBlock))
        kept: list[int] = []

        def count(value: Tensor) -> Tensor:
            kept.append(value.numel())
            return value

        sizes = []
        for keep in (True, False):
            model.rev_backbone.keep_activations = keep
            kept.clear()
            with torch.autograd.graph.saved_tensors_hooks(count, lambda value: value):
                model.rev_backbone(torch.randn(1, 128, 16, requires_grad=True), [2, 8, 8])
            sizes.append(sum(kept))
        assert sizes[1] < sizes[0] / 2, (sizes, type(block))

    def test_fusions_by_hand(self) -> None:
        x = torch.randn(2, 5, 8)
        a, b = x[..., :4], x[..., 4:]
        for mode, want in {
            "add": a + b, "avg": (a + b) / 2, "max": torch.maximum(a, b),
            "min": torch.minimum(a, b), "concat": x,
        }.items():  # fmt: skip
            torch.testing.assert_close(TwoStreamFusion(mode, 8)(x), want)
        perceptron = TwoStreamFusion("concat_linear_3_0.5", 8)
        assert perceptron.fuse_fn.fc1.out_features == 24 and perceptron.fuse_fn.dropout.p == 0.5
        for wrong in ("multiply", "concat_linear_x", "bn+concat_linear"):
            with pytest.raises(ConfigError, match="fusion"):
                TwoStreamFusion(wrong, 8)


def test_plans_follow_the_published_rules() -> None:
    schedule = Schedule(
        depth=4, dim=96, num_heads=1, dim_mul=((1, 2.0), (3, 2.0)), head_mul=((1, 2.0), (3, 2.0)),
        q_stride=((1, 1, 2, 2), (3, 1, 2, 2)), kv_stride_adaptive=(1, 8, 8), kernel=(3, 3, 3),
    )  # fmt: skip
    plans = plan_blocks(schedule, (8, 56, 56), exact=True)
    assert [(p.dim, p.dim_out, p.num_heads) for p in plans] == [
        (96, 192, 1), (192, 192, 2), (192, 384, 2), (384, 384, 4),
    ]  # fmt: skip
    assert [p.stride_kv for p in plans] == [(1, 8, 8), (1, 4, 4), (1, 4, 4), (1, 2, 2)]
    assert [p.stride_q for p in plans] == [(), (1, 2, 2), (), (1, 2, 2)]
    assert [p.input_size for p in plans] == [(8, 56, 56), (8, 56, 56), (8, 28, 28), (8, 28, 28)]
    assert [p.kernel_q for p in plans] == [(), (3, 3, 3), (), (3, 3, 3)]


def test_depths_and_head() -> None:
    model = make(**REV)
    assert model.num_depths == 6
    assert model.param_depth("cls_positional_encoding.pos_embed_temporal") == 0
    assert model.param_depth("rev_backbone.layers.2.F.norm.weight") == 3
    assert model.param_depth("head.proj.bias") == 5
    with pytest.raises(InputError, match="without a classifying head"):
        make(head=None).head_linear()


def test_features_of_reversible_networks_in_training() -> None:
    """Blocks that are computed back keep nothing, but their features are there when asked for."""
    model = make(**REV).train()
    x = clip(2, 3, 4, 32, 32)
    found = model.stage_features(x)
    assert not model.rev_backbone.keep_activations  # type: ignore[union-attr]
    expected = model.eval().stage_features(x)
    assert list(found) == [info.name for info in model.feature_info]
    for name, (value,) in found.items():
        torch.testing.assert_close(value, expected[name][0])
    sum(value.square().mean() for (value,) in found.values()).backward()  # type: ignore[union-attr]
    assert model.patch_embed.patch_model.weight.grad is not None  # type: ignore[union-attr]
