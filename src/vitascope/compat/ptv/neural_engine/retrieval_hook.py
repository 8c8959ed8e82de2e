"""A step that finds the frames in which somebody does what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vitascope.compat.ptv.neural_engine.hook import HookBase, Status
from vitascope.errors import ConfigError


def create_keypoint_features_db(frame_tracker: Sequence[Mapping[str, Any]]) -> Tensor:
    """Joints of the people found, N x values.

    Args:
        frame_tracker: people with `keypoint_coord` (a tensor) and `frame_id`.
    """
    return torch.stack([person["keypoint_coord"].flatten() for person in frame_tracker])


def calculate_distance_scores(action_query: Tensor, keypoint_feature_db: Tensor) -> Tensor:
    """Similarity of each query (Q x values) to each person (N x values), Q x N."""
    return action_query @ keypoint_feature_db.T


def get_closest_keypoint_feature_match(scores: Tensor, method: str, n: float) -> list[int]:
    """Numbers of the people that match a query best.

    Args:
        scores: 1 x N.
        method: "topk" for the `n` best, "softmax" for those of a probability above `n`.
        n: see `method`.

    Raises:
        ConfigError: another method.
    """
    if method == "topk":
        return [int(i) for i in torch.topk(scores, int(n)).indices.flatten()]
    if method == "softmax":
        return [int(i) for i in (scores.softmax(dim=1) > n).nonzero()[:, 1]]
    raise ConfigError(f"method = {method!r}; legal values: topk, softmax")


def bbox_to_frame_executor(
    frame_tracker: Sequence[Mapping[str, Any]], best_bbox_matches: Sequence[int]
) -> list[Any]:
    """The frames in which these people are."""
    return [frame_tracker[person]["frame_id"] for person in best_bbox_matches]


class PeopleKeypointRetrievalHook(HookBase):
    """From `frame_tracker` and `action_query` (1 x values) to `frame_id_list`.

    Args:
        executor: gives the frames of the people that match.
    """

    def __init__(self, executor: Callable[..., Any] = bbox_to_frame_executor) -> None:
        super().__init__(executor, ["frame_tracker", "action_query"], ["frame_id_list"])

    def _run(self, status: Status) -> Mapping[str, Any]:
        people = status["frame_tracker"]
        scores = calculate_distance_scores(
            status["action_query"], create_keypoint_features_db(people)
        )
        best = get_closest_keypoint_feature_match(scores, "softmax", 0.9)
        return {
            "frame_id_list": self.executor(frame_tracker=people, best_bbox_matches=best),
        }
