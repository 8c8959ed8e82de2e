"""Streams of features with gaps: pooling, attention and recurrence that know what is missing.

Features are N T D with a mask N T, true where a step is there. No module writes to its inputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from vitascope.errors import ConfigError, InputError, UnknownChoiceError


def _first_step_valid(mask: Tensor) -> Tensor:
    """The mask with the first step of every row there, so that no row is empty."""
    mask = mask.clone()
    mask[:, 0] = True
    return mask


def _check_sequence(x: Tensor) -> None:
    if x.dim() < 3:
        raise InputError(f"expected features N T D, got shape {tuple(x.shape)}")


class MaskedTemporalPooling(nn.Module):
    """Pools the steps that are there: N T ... D to N ... D; an empty row gives 0.

    Args:
        method: "max", "avg" or "sum".

    Raises:
        ConfigError: another method.
    """

    def __init__(self, method: str) -> None:
        super().__init__()
        if method not in ("max", "avg", "sum"):
            raise ConfigError(f"method = {method!r}; legal values: max, avg, sum")
        self._method = method

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pools over dimension 1."""
        _check_sequence(x)
        if mask is None:
            mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        there = mask.reshape(*mask.shape, *[1] * (x.dim() - 2))
        empty = ~there.any(dim=1)
        if self._method == "max":
            lowest = torch.finfo(x.dtype).min
            return x.masked_fill(~there, lowest).amax(dim=1).masked_fill(empty, 0.0)
        total = x.masked_fill(~there, 0.0).sum(dim=1)
        if self._method == "sum":
            return total
        return total / there.sum(dim=1).clamp(min=1)


class TransposeMultiheadAttention(nn.Module):
    """Self-attention between the steps that are there: N T D to N T D.

    A row without any step attends to its first one.

    Args:
        feature_dim: width D.
        num_heads: number of heads.
    """

    def __init__(self, feature_dim: int, num_heads: int = 1) -> None:
        super().__init__()
        self._attention = nn.MultiheadAttention(embed_dim=feature_dim, num_heads=num_heads)
        self._attention_weights: Tensor | None = None

    @property
    def attention_weights(self) -> Tensor | None:
        """Weights N T T of the last call, averaged over the heads."""
        return self._attention_weights

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Maps N T D to N T D."""
        _check_sequence(x)
        missing = None if mask is None else ~_first_step_valid(mask)
        steps = x.transpose(0, 1)
        out, weights = self._attention(steps, steps, steps, key_padding_mask=missing)
        self._attention_weights = weights
        result: Tensor = out.transpose(0, 1)
        return result

    def mask_after(self, mask: Tensor) -> Tensor:
        """The mask of the result: what an empty row holds now counts as its first step."""
        return _first_step_valid(mask)


class TransposeTransformerEncoder(nn.Module):
    """A transformer over the steps that are there; its first step is the result: N T D to N D.

    Args:
        dim_in: width D.
        num_heads: number of heads.
        num_layers: number of layers.
    """

    def __init__(self, dim_in: int, num_heads: int = 1, num_layers: int = 1) -> None:
        super().__init__()
        # Nested tensors would only save time on the CPU's masked steps, and warn.
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(dim_in, num_heads), num_layers, enable_nested_tensor=False
        )

    def forward(self, data: Tensor, mask: Tensor | None = None) -> Tensor:
        """Maps N T D to N D."""
        _check_sequence(data)
        missing = None if mask is None else ~_first_step_valid(mask)
        out: Tensor = self.encoder(data.transpose(0, 1), src_key_padding_mask=missing)
        return out[0]

    def mask_after(self, mask: Tensor) -> Tensor:
        """See `TransposeMultiheadAttention.mask_after`."""
        return _first_step_valid(mask)


class LSTM(nn.Module):
    """Last state of an LSTM over the steps that are there: N T D to N H.

    The steps that are there have to come first; a row without any is read as one step long.

    Args:
        dim_in: width D.
        hidden_dim: width of the state; with `bidirectional` H is twice as much.
        dropout: dropout of the input.
        bidirectional: read from both ends.
    """

    def __init__(
        self, dim_in: int, hidden_dim: int, dropout: float = 0.0, bidirectional: bool = False
    ) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim_in, hidden_dim, batch_first=True, bidirectional=bidirectional)
        self.dropout = nn.Dropout(dropout)
        self.hidden_dim = hidden_dim
        self.output_dim = 2 * hidden_dim if bidirectional else hidden_dim
        self.bidirectional = bidirectional

    def forward(self, data: Tensor, mask: Tensor | None = None) -> Tensor:
        """Maps N T D to N H."""
        data = self.dropout(data)
        if mask is None:
            lengths = torch.full((len(data),), data.shape[1], dtype=torch.int64)
        else:
            lengths = mask.sum(dim=1).clamp(min=1).cpu()
        packed = pack_padded_sequence(data, lengths, batch_first=True, enforce_sorted=False)
        _, (state, _) = self.lstm(packed)
        return torch.cat([*state], dim=1)


class LearnMaskedDefault(nn.Module):
    """Puts learnt features in place of rows without any step: N D to N D.

    Args:
        feature_dim: width D.
        init_method: start of the learnt features, "gaussian" or "zeros".
        freeze: keep them at their start.

    Raises:
        ConfigError: another start.
    """

    def __init__(
        self, feature_dim: int, init_method: str = "gaussian", freeze: bool = False
    ) -> None:
        super().__init__()
        if init_method not in ("gaussian", "zeros"):
            raise UnknownChoiceError(
                f"init_method = {init_method!r}; legal values: gaussian, zeros"
            )
        start = torch.zeros(feature_dim)
        if init_method == "gaussian":
            nn.init.normal_(start)
        self._learned_defaults = nn.Parameter(start, requires_grad=not freeze)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Maps N D and a mask N ... to N D."""
        there = mask.reshape(len(mask), -1).any(dim=1)
        return torch.where(there[:, None], x, self._learned_defaults)


class MaskedSequential(nn.Sequential):
    """Modules one after the other; those that know about missing steps get the mask.

    A module that fills empty rows (attention) hands a mask without empty rows to those after it;
    the caller's mask stays as it is.
    """

    def forward(self, input: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """Maps N T D and its mask N T through all modules."""
        for module in self:
            if not isinstance(module, _MASKED):
                input = module(input)
                continue
            input = module(input, mask)
            if isinstance(module, TransposeMultiheadAttention | TransposeTransformerEncoder):
                mask = module.mask_after(mask)
        return input


class MaskedMultiPathWay(nn.Module):
    """One module for each stream, then a fusion of the results.

    Args:
        multipathway_blocks: modules that take features and mask, one for each stream.
        multipathway_fusion: maps the list of results to the output; None returns the list.
    """

    def __init__(
        self, *, multipathway_blocks: nn.ModuleList, multipathway_fusion: nn.Module | None
    ) -> None:
        super().__init__()
        self.multipathway_blocks = multipathway_blocks
        self.multipathway_fusion = multipathway_fusion

    def forward(self, x_and_mask: list[tuple[Tensor, Tensor]]) -> Any:
        """Maps a list of (features, mask) to the fused output."""
        pairs = zip(self.multipathway_blocks, x_and_mask, strict=True)
        out = [block(x, mask) for block, (x, mask) in pairs]
        return out if self.multipathway_fusion is None else self.multipathway_fusion(out)


_MASKED = (
    MaskedTemporalPooling,
    TransposeMultiheadAttention,
    TransposeTransformerEncoder,
    LSTM,
    LearnMaskedDefault,
    MaskedSequential,
)
