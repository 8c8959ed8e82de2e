"""The table of dialects: whose names the entries of a checkpoint have.

A new dialect is a module with `NAME` and `naming(our names) -> Naming | None`, and one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from vitascope.catalog import Catalog
from vitascope.models.weights import caffe2, pyslowfast, torchvision
from vitascope.models.weights.tables import Naming, Table


@dataclass(frozen=True)
class Dialect:
    """One way of naming the entries of networks.

    Attributes:
        name: its key.
        title: what a report calls it.
        naming: gives the table for a network whose entries have these names (ours); None where
            the dialect has no network of that kind.
        twins: whether its files repeat entries that two names share.
    """

    name: str
    title: str
    naming: Callable[[Collection[str]], Naming | None]
    twins: bool = False


DIALECTS: Catalog[Dialect] = Catalog("dialect")
"""Earlier entries win where two fit a file equally well."""

# Our builders keep PyTorchVideo's names, so its table is empty.
DIALECTS.add(
    "pytorchvideo",
    Dialect("pytorchvideo", "PyTorchVideo names, which are ours", lambda _: Table(()), twins=True),
)
DIALECTS.add(pyslowfast.NAME, Dialect(pyslowfast.NAME, "PySlowFast's own names", pyslowfast.naming))
DIALECTS.add(caffe2.NAME, Dialect(caffe2.NAME, "Caffe2 blobs", caffe2.naming))
DIALECTS.add(
    torchvision.NAME, Dialect(torchvision.NAME, "torchvision or timm ResNet", torchvision.naming)
)
