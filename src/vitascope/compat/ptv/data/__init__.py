"""PyTorchVideo's package `data` over the exact clips of `vitascope.data`.

File and public names are the original's; what it computed wrongly is right here, and what a
program can see of that is listed in docs/migrate/pytorchvideo.md.
"""

from vitascope.compat.ptv.data.ava import Ava as Ava
from vitascope.compat.ptv.data.charades import Charades as Charades
from vitascope.compat.ptv.data.clip_sampling import ClipSampler as ClipSampler
from vitascope.compat.ptv.data.clip_sampling import RandomClipSampler as RandomClipSampler
from vitascope.compat.ptv.data.clip_sampling import UniformClipSampler as UniformClipSampler
from vitascope.compat.ptv.data.clip_sampling import make_clip_sampler as make_clip_sampler
from vitascope.compat.ptv.data.domsev import DomsevFrameDataset as DomsevFrameDataset
from vitascope.compat.ptv.data.domsev import DomsevVideoDataset as DomsevVideoDataset
from vitascope.compat.ptv.data.epic_kitchen_forecasting import (
    EpicKitchenForecasting as EpicKitchenForecasting,
)
from vitascope.compat.ptv.data.epic_kitchen_recognition import (
    EpicKitchenRecognition as EpicKitchenRecognition,
)
from vitascope.compat.ptv.data.hmdb51 import Hmdb51 as Hmdb51
from vitascope.compat.ptv.data.kinetics import Kinetics as Kinetics
from vitascope.compat.ptv.data.labeled_video_dataset import (
    LabeledVideoDataset as LabeledVideoDataset,
)
from vitascope.compat.ptv.data.labeled_video_dataset import (
    labeled_video_dataset as labeled_video_dataset,
)
from vitascope.compat.ptv.data.ssv2 import SSv2 as SSv2
from vitascope.compat.ptv.data.ucf101 import Ucf101 as Ucf101
