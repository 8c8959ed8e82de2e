"""Old import paths of PyTorchVideo's package `data`: rows for the table in `compat.pytorchvideo`.

Modules whose path was kept (`data.kinetics`, `data.encoded_video`, `data.labeled_video_dataset`,
...) need no row; here are those that moved.
"""

from __future__ import annotations

# old module (below pytorchvideo) -> homes (below vitascope) of its names
MODULES: dict[str, tuple[str, ...]] = {
    "data.dataset_manifest_utils": ("compat.pytorchvideo_utils",),
    "data.encoded_video_decord": ("data.encoded_video",),
    "data.encoded_video_pyav": ("data.encoded_video",),
    "data.encoded_video_torchvision": ("data.encoded_video",),
    "data.ego4d.utils": ("compat.pytorchvideo_utils",),
    "data.epic_kitchen.utils": ("compat.pytorchvideo_utils",),
    "data.utils": ("compat.pytorchvideo_utils",),
}
# old module -> {old name: home "module:name"}
NAMES: dict[str, dict[str, str]] = {
    "data.ava": {
        "Ava": "data.ava_frames:Ava",
        "AvaLabeledVideoFramePaths": "data.ava_frames:AvaLabeledVideoFramePaths",
    },
}
