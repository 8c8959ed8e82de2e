"""PyTorchVideo's EPIC-Kitchens."""

from vitascope.compat.ptv.data.epic_kitchen.epic_kitchen_dataset import ActionData as ActionData
from vitascope.compat.ptv.data.epic_kitchen.epic_kitchen_dataset import (
    EpicKitchenDataset as EpicKitchenDataset,
)
