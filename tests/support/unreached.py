"""Public names that no command, page, card or table of old names leads to, and why they stay.

Both tables may only shrink: whatever is new is reached, or it is not there yet.
"""

from __future__ import annotations

OLD = {
    "distributed": "init_distributed_training GroupGather",
    "layers.fusion": "make_fusion_layer ConcatFusion TemporalConcatFusion ReduceFusion",
    "layers.mlp": "make_multilayer_perceptron",
    "layers.mobile_cpu.pool": "AdaptiveAvgPool3d AdaptiveAvgPool2d AdaptiveAvgPool2dOutSize1",
    "layers.positional_encoding": "PositionalEncoding",
    "layers.squeeze_excitation": "SqueezeAndExcitationLayer2D "
    "create_audio_2d_squeeze_excitation_block",
    "layers.swish": "SwishFunction",
    "layers.sync_batch_norm": "NaiveSyncBatchNorm2d",
    "losses.soft_target_cross_entropy": "SoftTargetCrossEntropyLoss",
    "models.masked_multistream": "MaskedTemporalPooling TransposeMultiheadAttention "
    "TransposeTransformerEncoder LSTM LearnMaskedDefault MaskedSequential MaskedMultiPathWay",
    "ssl.byol": "BYOL",
    "ssl.memory_bank": "MemoryBank",
    "ssl.simclr": "SimCLR",
    "transforms.boxes": "clip_boxes_to_image crop_boxes "
    "short_side_scale_with_boxes random_short_side_scale_with_boxes "
    "random_crop_with_boxes uniform_crop_with_boxes horizontal_flip_with_boxes",
    "transforms.mix": "MixUp CutMix MixVideo",
    "transforms.transforms": "RemoveKey UniformTemporalSubsample UniformTemporalSubsampleRepeated "
    "UniformCropVideo ConvertFloatToUint8 MoveChannelRear MoveChannelFront RandomResizedCrop",
    "transforms.transforms_factory": "create_video_transform",
}
"""Names of PyTorchVideo that programs find by their old path, module by module; the finder has
no row for them, because the module kept its place."""

LATER = {
    "PySlowFast's configurations: clips and transforms of its data sets in recipes": {
        "compat.pyslowfast.sampling": "clip_size start_end separate_clips frames_between "
        "charades_frames ssv2_frames ava_frames view_order",
        "compat.pyslowfast.transforms.color": "blend grayscale brightness_jitter contrast_jitter "
        "saturation_jitter color_jitter lighting_jitter color_normalization "
        "tensor_normalize temporal_difference",
        "compat.pyslowfast.transforms.erasing": "RandomErasing",
        "compat.pyslowfast.transforms.frame_lists": "random_short_side_scale_jitter_list scale "
        "scale_boxes spatial_shift_crop_list horizontal_flip_list random_crop_list pad_image "
        "color_jitter_list lighting_list color_normalization",
        "compat.pyslowfast.transforms.image_augment": "AugmentSettings ImageAugment "
        "ImageRandAugment rand_augment_transform",
        "compat.pyslowfast.transforms.image_ops": "autocontrast equalize posterize solarize "
        "solarize_add color contrast brightness sharpness rotate affine",
        "compat.pyslowfast.transforms.spatial_sampling": "resized_crop random_sized_crop_img "
        "SpatialSampling",
        "transforms.boxes": "random_short_side_scale_jitter scaled_uniform_crop horizontal_flip",
        "transforms.random_source": "permutation",
    },
    "masked pre-training": {
        "compat.pyslowfast.transforms.masking": "MaskingGenerator MaskingGenerator3D",
    },
    "action detection: boxes of AVA and its metric": {
        "data.sets.ava": "AvaPerson AvaKeyframe keyframes every_fourth read_exclusions read_boxes",
        "metrics.ava": "ActionBoxes FrameAP box_iou area_under_envelope frame_average_precision",
    },
    "tasks: losses and metrics by name, several labels, views kept apart": {
        "losses": "FunctionLoss get_loss",
        "losses.ava": "binary_cross_entropy binary_cross_entropy_with_logits",
        "losses.squared_error": "mean_squared_error MultipleMSELoss",
        "metrics.mean_ap": "average_precision mean_average_precision",
        "metrics.meters": "ScalarMeter EpochMeter",
        "metrics.views": "VideoScores ViewScores",
    },
    "features: a command that writes them": {
        "serving.features": "write_features",
    },
}
"""Work to come -> names that it needs, module by module."""
