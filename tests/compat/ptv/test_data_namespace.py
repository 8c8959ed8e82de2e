"""What programs reach in PyTorchVideo's data modules beside the recorded interface.

The record has the public names of each module; here are the names that a module took from its
neighbors, which programs import from it all the same, and the underscored helpers that the
original's own modules, its tests or PySlowFast use.
"""

from __future__ import annotations

import importlib
import pkgutil
import unittest.mock
from typing import Any

import pytest

from support.model_reference import old_names

pytestmark = pytest.mark.filterwarnings("ignore:pytorchvideo:DeprecationWarning")

# module below pytorchvideo.data -> names of its neighbors
TAKEN = {
    "ava": "ClipInfo ClipSampler LabeledVideoDataset",
    "charades": "ClipSampler FrameVideo MultiProcessSampler",
    "dataset_manifest_utils": "EncodedVideo FrameVideo DataclassFieldCaster Video "
    "load_dataclass_dict_from_csv save_dataclass_objs_to_headered_csv",
    "domsev": "ImageDataset ImageFrameInfo VideoClipInfo VideoDataset VideoDatasetType "
    "DataclassFieldCaster load_dataclass_dict_from_csv Video",
    "ego4d.ego4d_dataset": "LabeledVideoDataset ClipSampler Ego4dImuDataBase MomentsClipSampler "
    "VideoPathHandler get_label_id_map",
    "ego4d.utils": "ClipInfo ClipSampler get_logger",
    "encoded_video": "DecoderType Video",
    "encoded_video_decord": "thwc_to_cthw Video",
    "encoded_video_pyav": "EncodedVideo pts_to_secs secs_to_pts thwc_to_cthw",
    "encoded_video_torchvision": "pts_to_secs secs_to_pts thwc_to_cthw Video",
    "epic_kitchen.epic_kitchen_dataset": "EncodedVideoInfo VideoClipInfo VideoDataset "
    "VideoDatasetType VideoFrameInfo VideoInfo get_seconds_from_hms_time FrameVideo "
    "DataclassFieldCaster load_dataclass_dict_from_csv Video",
    "epic_kitchen.utils": "EncodedVideoInfo VideoFrameInfo optional_threaded_foreach",
    "epic_kitchen_forecasting": "EncodedVideoInfo VideoClipInfo VideoDatasetType VideoFrameInfo "
    "VideoInfo ActionData EpicKitchenDataset Video",
    "epic_kitchen_recognition": "EncodedVideoInfo VideoClipInfo VideoDatasetType VideoFrameInfo "
    "VideoInfo ActionData EpicKitchenDataset Video",
    "frame_video": "optional_threaded_foreach thwc_to_cthw Video",
    "hmdb51": "ClipSampler LabeledVideoDataset",
    "json_dataset": "ClipInfo ClipSampler LabeledVideoDataset",
    "kinetics": "ClipSampler LabeledVideoDataset labeled_video_dataset",
    "labeled_video_dataset": "ClipSampler VideoPathHandler LabeledVideoPaths MultiProcessSampler",
    "ssv2": "ClipSampler FrameVideo MultiProcessSampler",
    "ucf101": "ClipSampler LabeledVideoDataset labeled_video_dataset",
}
# module -> underscored helpers
HELPERS = {
    "ava": "AvaLabeledVideoFramePaths._aggregate_bboxes_labels",
    "charades": "_read_video_paths_and_labels Charades._sample_clip_frames",
    "clip_sampling": "UniformClipSampler._clip_start_end",
    "dataset_manifest_utils": "ImageDataset._load_images VideoDataset._load_videos "
    "VideoDataset._load_frame_videos VideoDataset._load_encoded_videos "
    "VideoDataset._frame_number_to_filepaths "
    "VideoDataset._remove_video_info_missing_or_incomplete_videos",
    "domsev": "_seconds_to_frame_index _get_overlap_for_time_range_pair "
    "DomsevFrameDataset._assign_labels_to_frames DomsevFrameDataset._transform_frame "
    "DomsevVideoDataset._transform_clip",
    "ego4d.ego4d_dataset": "Ego4dMomentsDataset._transform_mm "
    "Ego4dMomentsDataset._video_transform Ego4dMomentsDataset._preproc_audio",
    "encoded_video_pyav": "_pyav_decode_stream",
    "epic_kitchen_forecasting": "EpicKitchenForecasting._transform_generator "
    "EpicKitchenForecasting._frame_filter_generator "
    "EpicKitchenForecasting._define_clip_structure_generator",
    "epic_kitchen_recognition": "EpicKitchenRecognition._transform_generator "
    "EpicKitchenRecognition._frame_filter_generator "
    "EpicKitchenRecognition._define_clip_structure_generator",
    "frame_video": "_load_images_with_retries FrameVideo._get_frame_index_for_time "
    "FrameVideo._video_frame_to_path",
    "hmdb51": "Hmdb51LabeledVideoPaths._allowed_splits Hmdb51LabeledVideoPaths._split_type_dict",
    "labeled_video_dataset": "LabeledVideoDataset._MAX_CONSECUTIVE_FAILURES",
    "ssv2": "_read_video_paths_and_labels SSv2._sample_clip_frames",
}


def ptv(module: str) -> Any:
    old_names()
    return importlib.import_module(f"pytorchvideo.data.{module}")


@pytest.mark.parametrize("module", sorted(TAKEN.keys() | HELPERS.keys()))
def test_every_name_is_there(module: str) -> None:
    loaded = ptv(module)
    for name in TAKEN.get(module, "").split():
        assert callable(getattr(loaded, name)), name
    for name in HELPERS.get(module, "").split():
        first, _, second = name.partition(".")
        found = getattr(loaded, first)
        assert not second or hasattr(found, second), name


def test_a_name_is_the_same_object_wherever_it_is_taken_from() -> None:
    homes = {"Video": "video", "FrameVideo": "frame_video", "ClipSampler": "clip_sampling",
             "EncodedVideo": "encoded_video", "VideoInfo": "dataset_manifest_utils",
             "LabeledVideoDataset": "labeled_video_dataset", "VideoPathHandler": "video",
             "MultiProcessSampler": "utils", "DecoderType": "decoder"}  # fmt: skip
    seen = 0
    for module, names in TAKEN.items():
        for name in set(names.split()) & homes.keys():
            assert getattr(ptv(module), name) is getattr(ptv(homes[name]), name)
            seen += 1
    assert seen >= 25


def test_modules_are_attributes_of_the_package() -> None:
    """After `import pytorchvideo.data`, as there; the function hides its module, as there."""
    old_names()
    package = importlib.import_module("pytorchvideo.data")
    for name in (
        "ava charades clip_sampling dataset_manifest_utils decoder domsev encoded_video "
        "epic_kitchen epic_kitchen_forecasting epic_kitchen_recognition frame_video hmdb51 "
        "kinetics labeled_video_paths ssv2 ucf101 utils video"
    ).split():
        assert getattr(package, name) is ptv(name)
    assert package.labeled_video_dataset is ptv("labeled_video_dataset").labeled_video_dataset
    from pytorchvideo.data import json_dataset

    assert json_dataset is ptv("json_dataset")
    assert pkgutil.resolve_name("pytorchvideo.data.ego4d.utils:check_window_len")


def test_patches_of_users_reach_the_code() -> None:
    old_names()
    with unittest.mock.patch(
        "pytorchvideo.data.frame_video.FrameVideo.get_clip", return_value="patched"
    ):
        video = ptv("frame_video").FrameVideo.from_frame_paths(["a.jpg"])
        assert video.get_clip(0, 1) == "patched"
