"""An ordinary word: the noise of its pictures is to be predicted from prompts that hold it (Gal et al. 2022, eq. 2)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from torch import Tensor

from ti_core.models.stable_diffusion import Conditioning, StableDiffusion
from ti_core.training.kinds.kind import NAME, Asked, Beside, TrainingKind
from ti_core.training.noise_loss import MicroBatch, NoisyImages, against_noise


class OrdinaryWord(TrainingKind):
    """What A1111 trains."""

    def ask(self, drawn: Sequence[str], name: str, draw: Callable[[int], random.Random]) -> Asked:
        return Asked([line.replace(NAME, name) for line in drawn])

    def compare(
        self, sd: StableDiffusion, images: NoisyImages, batch: MicroBatch, conditioning: Conditioning, beside: Beside
    ) -> tuple[Tensor, Tensor]:
        return against_noise(sd, images, batch, conditioning)


AS_A1111 = OrdinaryWord()
