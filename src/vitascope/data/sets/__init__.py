"""Public data sets, one a file: its reader, how its lists are found, its card."""

from __future__ import annotations

from vitascope.catalog import Catalog

# name -> "module:attribute" below vitascope.data.sets.
DATASETS: Catalog[str] = Catalog("data set", hint="`vitascope data list` shows them all.")
for _name, _home in {
    "kinetics400": "kinetics:KINETICS400",
    "kinetics600": "kinetics:KINETICS600",
    "kinetics700": "kinetics:KINETICS700",
    "ucf101": "ucf101:UCF101",
    "hmdb51": "hmdb51:HMDB51",
    "ssv2": "ssv2:SSV2",
    "jester": "jester:JESTER",
    "moments_in_time": "moments_in_time:MOMENTS_IN_TIME",
    "charades": "charades:CHARADES",
    "ava21": "ava:AVA21",
    "ava22": "ava:AVA22",
    "ava_kinetics": "ava:AVA_KINETICS",
    "epic_kitchens55": "epic_kitchens:EPIC55",
    "epic_kitchens100": "epic_kitchens:EPIC100",
    "domsev": "domsev:DOMSEV",
    "ego4d_moments": "ego4d_moments:EGO4D_MOMENTS",
}.items():
    DATASETS.add(_name, _home)
