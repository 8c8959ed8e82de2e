"""The table of dialects: whose names the entries of a checkpoint have.

A new dialect is a module with `NAME` and `naming(our names) -> Naming | None`, and one row here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from torch import nn

from vitascope.catalog import Catalog
from vitascope.models.foreign import weights as foreign
from vitascope.models.weights import caffe2, pyslowfast, torchvision
from vitascope.models.weights.tables import NameTable, Naming


@dataclass(frozen=True)
class Dialect:
    """One way of naming the entries of models.

    Attributes:
        name: its key.
        title: what a report calls it.
        naming: gives the table for a model whose entries have these names (ours); None where
            the dialect has no model of that kind.
        twins: whether its files repeat entries that two names share.
        ignored: whether an entry of this name (theirs) is no weight of a model.
        by_model: takes the place of `naming` where the names of the entries do not tell enough.
    """

    name: str
    title: str
    naming: Callable[[Collection[str]], Naming | None] = lambda names: None
    twins: bool = False
    ignored: Callable[[str], bool] = lambda name: False
    by_model: Callable[[nn.Module], Naming | None] | None = None

    def table(self, model: nn.Module) -> Naming | None:
        """The table for a model; None where the dialect has no model of that kind."""
        return self.naming([*model.state_dict()]) if self.by_model is None else self.by_model(model)


DIALECTS: Catalog[Dialect] = Catalog("dialect")
"""Earlier entries win where two fit a file equally well."""

for _dialect in (
    # Our builders keep PyTorchVideo's names, so its table is empty.
    Dialect(
        "pytorchvideo", "PyTorchVideo names, which are ours", lambda _: NameTable(()), twins=True
    ),
    Dialect(pyslowfast.NAME, "PySlowFast's own names", pyslowfast.pyslowfast_naming),
    Dialect(caffe2.NAME, "Caffe2 blobs", caffe2.caffe2_naming, ignored=caffe2.is_training_state),
    Dialect(torchvision.NAME, "torchvision or timm ResNet", torchvision.torchvision_naming),
    Dialect(
        foreign.TRANSFORMERS,
        "Transformers video classifier",
        ignored=foreign.is_for_pretraining,
        by_model=foreign.transformers,
    ),
    Dialect(foreign.TIMM, "timm image encoder", by_model=foreign.timm),
):
    DIALECTS.add(_dialect.name, _dialect)
