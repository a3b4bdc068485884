"""What every net that is trained here is made of: a body that ends in features, and a linear head."""

from __future__ import annotations

import torch
from torch import nn


class Headed(nn.Module):
    """A body and a linear head."""

    def __init__(self, body: nn.Module, width: int, n_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = body
        self.width = width
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, shape (n, n_classes), of float images (n, 3, S, S)."""
        return torch.as_tensor(self.head(self.dropout(self.body(x))))
