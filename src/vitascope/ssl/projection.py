"""Heads that project features for comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from vitascope.layers.batch_norm import ModuleFactory, make_activation
from vitascope.models.head import make_dropout, make_head_pool

NormFactory = Callable[[int], nn.Module]


class ProjectionMLP(nn.Module):
    """Linear layers with ReLU, and with norm if wanted, between them.

    Args:
        dim_in: width of the input.
        dim_out: width of the output.
        hidden: width between the layers.
        num_layers: number of linear layers.
        norm: norm between the layers, called with their width; linear layers before one have no
            bias. None for none.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        hidden: int,
        num_layers: int,
        norm: NormFactory | None = None,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(num_layers):
            last = i == num_layers - 1
            width_in, width = dim_in if i == 0 else hidden, dim_out if last else hidden
            layers.append(nn.Linear(width_in, width, bias=last or norm is None))
            if not last:
                if norm is not None:
                    layers.append(norm(width))
                layers.append(nn.ReLU(inplace=True))
        self.projection = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C to B dim_out."""
        out: Tensor = self.projection(x)
        return out


class ContrastiveHead(nn.Module):
    """Pooling, dropout, projection, and predictions from the projection.

    Args:
        pool: pooling over time and space.
        dropout: dropout of the pooled features.
        proj: maps features to projections, rows to rows.
        activation: activation of the projections, in evaluation only.
        predictors: each maps projections to predictions.
    """

    def __init__(
        self,
        pool: nn.Module | None,
        dropout: nn.Module | None,
        proj: nn.Module,
        activation: nn.Module | None = None,
        predictors: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.pool = pool
        self.dropout = dropout
        self.proj = proj
        self.activation = activation
        self.predictors = nn.ModuleList(predictors)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Maps B C T H W to projections B D, with predictors to a list of them and predictions."""
        if self.pool is not None:
            x = self.pool(x)
        places = x.flatten(2).transpose(1, 2)
        if self.dropout is not None:
            places = self.dropout(places)
        batch, count = places.shape[:2]
        found = [self.proj(places.flatten(0, 1))]
        found += [predictor(found[0]) for predictor in self.predictors]
        if self.activation is not None and not self.training:
            found[0] = self.activation(found[0])
        rows = [row.view(batch, count, -1).mean(1) for row in found]
        return rows if len(rows) > 1 else rows[0]


def create_contrastive_head(
    *,
    in_features: int,
    out_features: int,
    pool: ModuleFactory | None = nn.AdaptiveAvgPool3d,
    output_size: Any = (1, 1, 1),
    pool_kernel_size: Any = (1, 7, 7),
    pool_stride: Any = (1, 1, 1),
    pool_padding: Any = (0, 0, 0),
    dropout_rate: float = 0.0,
    activation: ModuleFactory | None = None,
    mlp_dim: int = 2048,
    num_layers: int = 1,
    norm: NormFactory | None = None,
    predictor_depths: Sequence[int] = (),
) -> ContrastiveHead:
    """Builds a head for `create_resnet(head=...)` and its like.

    Args:
        in_features: channels of the features.
        out_features: width of the projections.
        pool: pooling class, None for none.
        output_size: result (T, H, W) of an adaptive pooling.
        pool_kernel_size: window (T, H, W) of any other pooling.
        pool_stride: step of the window.
        pool_padding: zeros at both ends.
        dropout_rate: dropout of the pooled features.
        activation: class of the activation in evaluation; None for none.
        mlp_dim: hidden width of projection and predictors.
        num_layers: linear layers of the projection; 1 is a plain linear layer.
        norm: norm between linear layers, called with their width; None for none.
        predictor_depths: linear layers of each predictor.
    """
    proj: nn.Module = nn.Linear(in_features, out_features)
    if num_layers > 1:
        proj = ProjectionMLP(in_features, out_features, mlp_dim, num_layers, norm)
    return ContrastiveHead(
        make_head_pool(pool, pool_kernel_size, pool_stride, pool_padding, output_size),
        make_dropout(dropout_rate),
        proj,
        make_activation(activation),
        [
            ProjectionMLP(out_features, out_features, mlp_dim, depth, norm)
            for depth in predictor_depths
        ],
    )
