"""Operators that an exported program may have without being trusted.

All of them compute tensors out of tensors. None reads or writes a file, calls back into Python,
shows memory that nobody filled, or gives a tensor another storage. Names are those of PyTorch's
ATen library; a name stands for all overloads but those that write into a given output, and for
the variant in place (a name with "_" behind).
"""

from __future__ import annotations

import re

_ELEMENTS = """
abs acos add addcdiv addcmul asin atan atan2 bitwise_and bitwise_not bitwise_or bitwise_xor ceil
celu clamp clamp_max clamp_min clip cos cosh div divide elu eq erf exp exp2 expm1 floor
floor_divide fmod ge gelu glu greater gt hardsigmoid hardswish hardtanh isfinite isinf isnan le
leaky_relu lerp less log log10 log1p log2 log_sigmoid logical_and logical_not logical_or logical_xor
lt masked_fill maximum minimum mish mul multiply nan_to_num ne neg negative pow prelu reciprocal
relu relu6 remainder round rsqrt rsub selu sigmoid sign silu sin sinh softplus sqrt square sub
subtract tan tanh threshold true_divide trunc where
"""
_REDUCTIONS = """
all amax amin any argmax argmin argsort cumprod cumsum linalg_vector_norm logsumexp max mean min
norm prod sort std std_mean sum topk var var_mean
"""
_SHAPES = """
_to_copy alias broadcast_to cat chunk clone concat contiguous copy detach diff expand expand_as
flatten flip gather index index_select lift_fresh lift_fresh_copy movedim moveaxis narrow permute
pixel_shuffle pixel_unshuffle ravel repeat repeat_interleave reshape roll select slice split
split_with_sizes squeeze stack swapaxes swapdims t take_along_dim tile to transpose tril triu
type_as unbind unflatten unfold unsqueeze view view_as
"""
_LAYERS = """
_log_softmax _native_batch_norm_legit_no_training _softmax adaptive_avg_pool1d adaptive_avg_pool2d
adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d addmm addmv
avg_pool1d avg_pool2d avg_pool3d baddbmm batch_norm bmm channel_shuffle constant_pad_nd conv1d
conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution cosine_similarity dot
dropout einsum embedding feature_dropout grid_sampler grid_sampler_2d grid_sampler_3d group_norm
instance_norm layer_norm linear log_softmax matmul max_pool1d max_pool2d max_pool2d_with_indices
max_pool3d max_pool3d_with_indices mm mv native_group_norm native_layer_norm pad reflection_pad1d
reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d rms_norm
scaled_dot_product_attention softmax upsample_bicubic2d upsample_bilinear2d upsample_linear1d
upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d
"""
_MADE = """
arange eye full full_like linspace meshgrid new_full new_ones new_zeros ones ones_like scalar_tensor
zeros zeros_like
"""
_CHECKS = "_assert_scalar _assert_tensor_metadata sym_constrain_range_for_size sym_numel sym_size"

OPERATORS = frozenset(" ".join((_ELEMENTS, _REDUCTIONS, _SHAPES, _LAYERS, _MADE, _CHECKS)).split())
"""Names below `torch.ops.aten`."""
ON_SIZES = frozenset("add sub mul floordiv mod neg getitem".split())
"""Names below `_operator`, which compute sizes."""

_TARGET = re.compile(r"(torch\.ops\.aten|_operator)\.(\w+)(?:\.(\w+))?", re.ASCII)


def is_harmless(target: str) -> bool:
    """Whether an operator, as a file spells it ("torch.ops.aten.add.Tensor"), is on the list."""
    found = _TARGET.fullmatch(target)
    if found is None:
        return False
    space, name, overload = found.groups()
    if space == "_operator":
        return overload is None and name in ON_SIZES
    return (
        overload is not None
        and "out" not in overload.split("_")
        and not overload.startswith("_")
        and (name in OPERATORS or name.removesuffix("_") in OPERATORS)
    )
