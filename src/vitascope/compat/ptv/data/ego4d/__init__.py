"""PyTorchVideo's Ego4D moments."""

from vitascope.compat.ptv.data.ego4d.ego4d_dataset import Ego4dMomentsDataset as Ego4dMomentsDataset
