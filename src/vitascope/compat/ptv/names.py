"""PyTorchVideo's modules, and where the names that its modules showed besides their own are now.

Every module there showed what it imported from its neighbors, and had helpers with an underscore
that programs reach by their dotted path. Tables only; `compat.pytorchvideo` serves them.
"""

from __future__ import annotations

# package (below pytorchvideo) -> the modules in it
SUBMODULES: dict[str, tuple[str, ...]] = {
    "": ("accelerator", "data", "layers", "losses", "models", "transforms"),
    "accelerator": ("deployment", "efficient_blocks"),
    "accelerator.deployment": ("common", "mobile_cpu"),
    "accelerator.deployment.common": ("model_transmuter",),
    "accelerator.deployment.mobile_cpu": ("transmuter", "utils"),
    "accelerator.deployment.mobile_cpu.transmuter": ("transmuter_mobile_cpu",),
    "accelerator.deployment.mobile_cpu.utils": ("model_conversion",),
    "accelerator.efficient_blocks": ("efficient_block_base", "no_op_convert_block"),
    "data": (
        "ava", "charades", "clip_sampling", "dataset_manifest_utils", "decoder", "domsev", "ego4d",
        "encoded_video", "encoded_video_decord", "encoded_video_pyav",
        "encoded_video_torchvision", "epic_kitchen", "epic_kitchen_forecasting",
        "epic_kitchen_recognition", "frame_video", "hmdb51", "json_dataset", "kinetics",
        "labeled_video_dataset", "labeled_video_paths", "ssv2", "ucf101", "utils", "video",
    ),
    "data.ego4d": ("ego4d_dataset", "utils"),
    "data.epic_kitchen": ("epic_kitchen_dataset", "utils"),
    "layers": (
        "accelerator", "attention", "attention_torchscript", "batch_norm", "convolutions",
        "distributed", "drop_path", "fusion", "mlp", "nonlocal_net", "positional_encoding",
        "positional_encoding_torchscript", "squeeze_excitation", "swish", "utils",
    ),
    "layers.accelerator": ("mobile_cpu",),
    "layers.accelerator.mobile_cpu": (
        "activation_functions", "attention", "conv_helper", "convolutions", "fully_connected",
        "pool",
    ),
    "losses": ("soft_target_cross_entropy",),
    "models": (
        "accelerator", "audio_visual_slowfast", "byol", "csn", "head", "hub", "masked_multistream",
        "memory_bank", "net", "r2plus1d", "resnet", "simclr", "slowfast", "stem",
        "vision_transformers", "weight_init", "x3d",
    ),
    "models.accelerator": ("mobile_cpu",),
    "models.accelerator.mobile_cpu": ("efficient_x3d", "residual_blocks"),
    "models.hub": (
        "csn", "efficient_x3d_mobile_cpu", "r2plus1d", "resnet", "slowfast", "utils",
        "vision_transformers", "x3d",
    ),
    "transforms": (
        "augmentations", "augmix", "functional", "mix", "rand_augment", "transforms",
        "transforms_factory",
    ),
}  # fmt: skip

_BLOCKS, _HELPERS = "layers.accelerator.mobile_cpu", "compat.ptv.helpers"
# home of a name -> old modules that showed it as well
_SHOWN: dict[str, tuple[str, ...]] = {
    "layers.attention:MultiScaleBlock": ("models.vision_transformers",),
    "distributed:get_world_size": ("layers.batch_norm",),
    "layers.mobile_cpu.activations:supported_act_functions": (
        f"{_BLOCKS}.convolutions", "models.accelerator.mobile_cpu.efficient_x3d",
        "models.accelerator.mobile_cpu.residual_blocks",
    ),
    "layers.mobile_cpu.base:EfficientBlockBase": (f"{_BLOCKS}.activation_functions",),
    "layers.positional_encoding:SpatioTemporalClsPositionalEncoding": (
        "models.vision_transformers",
    ),
    "layers.utils:round_width": ("models.vision_transformers",),
    "layers.utils:set_attributes": (
        "layers.convolutions", "layers.nonlocal_net", "models.audio_visual_slowfast",
        "models.head", "models.masked_multistream", "models.memory_bank", "models.net",
        "models.resnet", "models.simclr", "models.slowfast", "models.stem",
        "models.vision_transformers", "models.x3d",
    ),
    "models.head:create_res_basic_head": ("models.csn", "models.r2plus1d"),
    "models.head:create_vit_basic_head": ("models.vision_transformers",),
    "models.net:MultiPathWayWithFuse": ("models.slowfast",),
    "models.resnet_blocks:create_res_stage": ("models.csn", "models.r2plus1d", "models.slowfast"),
    "models.stem:create_acoustic_res_basic_stem": ("models.resnet",),
    "models.stem:create_conv_patch_embed": ("models.vision_transformers",),
    "models.stem:create_res_basic_stem": ("models.csn", "models.r2plus1d"),
    "models.weight_init:init_net_weights": ("models.vision_transformers",),
    "transforms.transforms:ConvertUint8ToFloat": ("transforms.transforms_factory",),
    f"{_HELPERS}:_Conv3dTemporalKernel1Decomposed": (
        f"{_BLOCKS}.conv_helper", f"{_BLOCKS}.convolutions",
    ),
    f"{_HELPERS}:_Conv3dTemporalKernel3Decomposed": (
        f"{_BLOCKS}.conv_helper", f"{_BLOCKS}.convolutions",
    ),
    f"{_HELPERS}:_Conv3dTemporalKernel5Decomposed": (
        f"{_BLOCKS}.conv_helper", f"{_BLOCKS}.convolutions",
    ),
    f"{_HELPERS}:_Reshape": (
        f"{_BLOCKS}.conv_helper", f"{_BLOCKS}.attention", f"{_BLOCKS}.convolutions",
    ),
    f"{_HELPERS}:_SkipConnectMul": (f"{_BLOCKS}.conv_helper", f"{_BLOCKS}.attention"),
    f"{_HELPERS}:_find_equivalent_efficient_module": (
        "accelerator.deployment.common.model_transmuter",
    ),
    f"{_HELPERS}:_add_input_tensor_size_lut_hook": (
        "accelerator.deployment.mobile_cpu.utils.model_conversion",
    ),
    f"{_HELPERS}:_convert_module": ("accelerator.deployment.mobile_cpu.utils.model_conversion",),
    f"{_HELPERS}:_attention_pool": ("layers.attention",),
    f"{_HELPERS}:_verify_feature_dim": ("layers.fusion",),
    f"{_HELPERS}:_is_pos_int": ("layers.mlp",),
    f"{_HELPERS}:_init_resnet_weights": ("models.weight_init",),
    f"{_HELPERS}:_init_vit_weights": ("models.weight_init",),
    f"{_HELPERS}:_check_fill_arg": ("transforms.augmentations",),
    f"{_HELPERS}:_HAS_CV2": ("transforms.functional",),
    f"{_HELPERS}:_interpolate_opencv": ("transforms.functional",),
    f"{_HELPERS}:_uniform_crop_helper": ("transforms.functional",),
    f"{_HELPERS}:_get_param_spatial_crop": ("transforms.functional",),
    f"{_HELPERS}:_mix_labels": ("transforms.mix",),
    f"{_HELPERS}:_RANDAUG_DEFAULT_PARAS": ("transforms.transforms_factory",),
    f"{_HELPERS}:_AUGMIX_DEFAULT_PARAS": ("transforms.transforms_factory",),
    f"{_HELPERS}:_get_augmentation": ("transforms.transforms_factory",),
}  # fmt: skip

_HUB = "compat.ptv.hub"
_LEVELS = {
    f"_{name}": f"transforms.augmentations:{name}"
    for name in (
        "increasing_magnitude_to_arg", "increasing_randomly_negate_to_arg", "decreasing_to_arg",
        "decreasing_int_to_arg",
    )
}  # fmt: skip
_MAX_LEVEL = {"_AUGMENTATION_MAX_LEVEL": "transforms.augmentations:MAX_LEVEL"}
# old module -> {old name: home}, where the name is another one now
_RENAMED: dict[str, dict[str, str]] = {
    f"{_BLOCKS}.activation_functions": {
        "SwishCustomOp": "layers.swish:Swish",
        "_NaiveSwish": "layers.swish:Swish",
    },
    "models.resnet": {
        "_trivial_sum": "layers.res_block:sum_fusion",
        "_MODEL_STAGE_DEPTH": "models.resnet_stages:STAGE_DEPTHS",
    },
    "models.slowfast": {"_MODEL_STAGE_DEPTH": "models.slowfast:SLOWFAST_DEPTHS"},
    "models.hub.csn": {"checkpoint_paths": f"{_HUB}:csn_paths", "root_dir": f"{_HUB}:root_dir"},
    "models.hub.efficient_x3d_mobile_cpu": {
        "_checkpoint_paths": f"{_HUB}:efficient_x3d_paths",
        "_root_dir": f"{_HUB}:kinetics_dir",
        "_efficient_x3d": f"{_HUB}:_efficient_x3d",
        "create_x3d": "models.efficient_x3d:create_efficient_x3d",
    },
    "models.hub.r2plus1d": {
        "checkpoint_paths": f"{_HUB}:r2plus1d_paths",
        "root_dir": f"{_HUB}:root_dir",
    },
    "models.hub.resnet": {
        "checkpoint_paths": f"{_HUB}:resnet_paths",
        "root_dir": f"{_HUB}:root_dir",
        "_resnet": f"{_HUB}:_resnet",
    },
    "models.hub.slowfast": {
        "checkpoint_paths": f"{_HUB}:slowfast_paths",
        "root_dir": f"{_HUB}:root_dir",
        "_slowfast": f"{_HUB}:_slowfast",
    },
    "models.hub.vision_transformers": {
        "checkpoint_paths": f"{_HUB}:mvit_paths",
        "hub_model_builder": "compat.pytorchvideo:hub_model_builder",
        "mvit_video_base_config": f"{_HUB}:mvit_video_base_config",
        "mvit_video_base_32x3_config": f"{_HUB}:mvit_video_base_32x3_config",
        "mvit_image_base_16_config": f"{_HUB}:mvit_image_base_16_config",
    },
    "models.hub.x3d": {
        "checkpoint_paths": f"{_HUB}:x3d_paths",
        "root_dir": f"{_HUB}:kinetics_dir",
    },
    "transforms.augmentations": {
        **_LEVELS,
        **_MAX_LEVEL,
        "_NAME_TO_TRANSFORM_FUNC": "transforms.augmentations:OPERATIONS",
        "_LEVEL_TO_ARG": "transforms.augmentations:LEVEL_TO_ARG",
        "_TRANSFORM_MAX_PARAMS": "transforms.augmentations:TRANSFORM_MAX_PARAS",
    },
    "transforms.augmix": {
        **_LEVELS,
        **_MAX_LEVEL,
        "_AUGMIX_LEVEL_TO_ARG": "transforms.augmix:LEVEL_TO_ARG",
        "_TRANSFORM_AUGMIX_MAX_PARAMS": "transforms.augmix:TRANSFORM_AUGMIX_MAX_PARAS",
    },
    "transforms.rand_augment": {
        "_TRANSFORM_RANDAUG_MAX_PARAMS": "transforms.rand_augment:TRANSFORM_RANDAUG_MAX_PARAS",
    },
    "transforms.transforms_factory": {
        "_RANDOM_RESIZED_CROP_DEFAULT_PARAS": "transforms.transforms_factory:_RESIZED_CROP",
    },
}


def _names() -> dict[str, dict[str, str]]:
    found = {module: dict(rows) for module, rows in _RENAMED.items()}
    for home, modules in _SHOWN.items():
        for module in modules:
            found.setdefault(module, {})[home.rpartition(":")[2]] = home
    return found


# old module -> {old name: home "module:name" (below vitascope)}
NAMES = _names()
