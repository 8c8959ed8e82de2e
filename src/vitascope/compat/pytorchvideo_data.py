"""Old import paths of PyTorchVideo's package `data`: rows for the table in `compat.pytorchvideo`.

Modules whose path was kept (`data.kinetics`, `data.encoded_video`, `data.labeled_video_dataset`,
...) need no row; here are those that moved.
"""

from __future__ import annotations

# old module (below pytorchvideo) -> homes (below vitascope) of its names
MODULES: dict[str, tuple[str, ...]] = {
    "data.dataset_manifest_utils": ("compat.pytorchvideo_utils",),
    "data.ego4d": ("data.ego4d_moments_dataset",),
    "data.ego4d.ego4d_dataset": ("data.ego4d_moments_dataset",),
    "data.ego4d.utils": ("data.ego4d_moments_clips", "data.ego4d_moments_imu"),
    "data.encoded_video_decord": ("data.encoded_video",),
    "data.encoded_video_pyav": ("data.encoded_video",),
    "data.encoded_video_torchvision": ("data.encoded_video",),
    "data.epic_kitchen": ("data.epic_kitchens_dataset",),
    "data.epic_kitchen.epic_kitchen_dataset": ("data.epic_kitchens_dataset",),
    "data.epic_kitchen.utils": ("compat.pytorchvideo_utils",),
    "data.epic_kitchen_forecasting": ("data.epic_kitchens_forecasting",),
    "data.epic_kitchen_recognition": ("data.epic_kitchens_recognition",),
    "data.utils": ("compat.pytorchvideo_utils",),
}
_DOMSEV = (
    "DomsevFrameDataset", "DomsevVideoDataset", "LABEL_TYPE_2_MAP", "LabelData", "LabelType",
    "USER_ACTIVITY_MAP", "USER_ATTENTION_MAP", "USER_ENVIRONMENT_MAP",
)  # fmt: skip
# old module -> {old name: home "module:name"}
NAMES: dict[str, dict[str, str]] = {
    "data": {
        "DomsevFrameDataset": "data.domsev_dataset:DomsevFrameDataset",
        "DomsevVideoDataset": "data.domsev_dataset:DomsevVideoDataset",
        "EpicKitchenForecasting": "data.epic_kitchens_forecasting:EpicKitchenForecasting",
        "EpicKitchenRecognition": "data.epic_kitchens_recognition:EpicKitchenRecognition",
    },
    "data.ava": {
        "Ava": "data.ava_frames:Ava",
        "AvaLabeledVideoFramePaths": "data.ava_frames:AvaLabeledVideoFramePaths",
    },
    "data.domsev": {name: f"data.domsev_dataset:{name}" for name in _DOMSEV},
    "data.encoded_video_decord": {"DecordDevice": "compat.pytorchvideo_utils:DecordDevice"},
}
