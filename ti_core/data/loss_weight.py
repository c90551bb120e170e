"""How much each part of a picture counts in the loss: from its mask or its transparency to a weight for each latent
pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Weighting:
    """What weighs the loss. `alpha` is A1111's switch: transparency alone, and nothing outside counts. `masks` uses
    mask files, and transparency where a picture has none (masks.py); outside, a pixel counts `outside` (0 to 1).
    """

    alpha: bool = False
    masks: bool = False
    outside: float = 0.0

    @property
    def is_used(self) -> bool:
        """Whether anything weighs the loss."""
        return self.alpha or self.masks


NO_WEIGHTING = Weighting()
_LEAST_MEAN = 1e-3
"""Below that a mask holds nothing to divide by."""


def loss_weight(
    mask: np.ndarray | None, latent_size: torch.Size | tuple[int, int], weighting: Weighting = NO_WEIGHTING
) -> Tensor:
    """float32 [1, height, width] with mean 1 from a mask or an alpha channel, uint8 [height, width]: white or opaque
    pixels count, black or transparent ones do not, or as little as `weighting.outside` says.

    With mean 1 a picture counts as much as another in an update, however large the part is that it shows. A1111's,
    mended (docs/parity.md, T13): nothing, all or none to be seen means weight 1 everywhere (A1111 divides 0 by 0), and
    sizes that are not square stay in order. As there, the least opaque place has weight 0, unless masks are used: a
    mask says itself where it is black.
    """
    ones = torch.ones(1, *latent_size)
    if mask is None:
        return ones
    values = torch.from_numpy(mask.astype(np.float32))
    small = F.interpolate(values[None, None], size=tuple(latent_size), mode="area")[0]
    least = weighting.outside
    weight = least + (1 - least) * small / 255 if weighting.masks else small - small.min()
    return weight / weight.mean() if float(weight.mean()) > _LEAST_MEAN else ones
