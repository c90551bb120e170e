"""A run under way: what is trained, with what, and where it is kept."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ti_core.data.latents import Latents
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.named_in import NamedIn
from ti_core.events import Started
from ti_core.models.memory import FitPlan
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.runs.folder import RunFolder
from ti_core.settings import TrainSettings
from ti_core.training.distributed.ranks import Ranks
from ti_core.training.kinds.kind import TrainingKind
from ti_core.training.kinds.ordinary import AS_A1111
from ti_core.training.norms import NormControl
from ti_core.training.run_log import RunLog
from ti_core.training.setup import Prepared
from ti_core.training.writer import Writer


@dataclass
class TrainState:
    """All that updates change. `vectors` holds float32 [n, width] for each text encoder, in the computer's memory: they
    are a few kilobytes, so that their optimizer, norms and copies ask nothing of the device. `average` is
    their running average (EMA), empty where none is asked for. `step` counts the updates done, `refusals` those that
    were left out because their numbers were not finite.
    """

    vectors: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    step: int = 0
    refusals: int = 0

    @property
    def output_vectors(self) -> dict[str, Tensor]:
        """The vectors as they are saved, previewed and evaluated: the average, where one is kept."""
        return self.average or {encoder: rows.detach() for encoder, rows in self.vectors.items()}

    @property
    def rate_factor(self) -> float:
        """Each refused update halves the rate of those after it."""
        return 0.5**self.refusals


@dataclass
class MemoryUse:
    """How the work fits the device. `pixels_at_once` is how many latent pixels go through the UNet together; it falls
    when memory runs out. `loss_scale_share` is the part of float16's loss scale that is used; it falls when a gradient
    overflows.
    """

    fit: FitPlan
    pixels_at_once: int
    loss_scale_share: float = 1.0

    def micro_batch(self, latent: Tensor) -> int:
        """How many images of the size of this one, [c, h, w], go through the UNet at once."""
        return max(1, self.pixels_at_once // (latent.shape[-1] * latent.shape[-2]))


@dataclass
class Run:
    """One training under way: what it was asked for, what it trains, and where it is kept.

    `kind` says what an update asks and aims at. `others` are the other embeddings that captions, template or preview
    prompts name; they stay as they are.
    `preview_prompts` are what all previews show where nothing else is asked for; they are kept with the run, so that it
    goes on showing them after a resume. `is_resumed` tells one that goes on in its folder.
    """

    settings: TrainSettings
    inputs: Prepared
    sd: StableDiffusion
    latents: Latents
    others: NamedIn
    state: TrainState
    norms: NormControl
    memory: MemoryUse
    folder: RunFolder
    log: RunLog
    writer: Writer
    ranks: Ranks
    stop: threading.Event
    preview_prompts: tuple[str, ...] = ()
    is_resumed: bool = False
    kind: TrainingKind = AS_A1111

    @property
    def name(self) -> str:
        """Of the embedding that is trained."""
        return self.inputs.embedding.name

    @property
    def started(self) -> Started:
        """The event that opens the run."""
        plan = self.inputs.plan
        sentence = f"{plan.sentence()} It needs {self.memory.fit.need.sentence()}."
        return Started(f"Training {self.name}", plan.steps, plan.first_step, sentence, str(self.folder.root))

    def prompt_vectors(self, rows: Mapping[str, Tensor]) -> dict[str, Mapping[str, Tensor]]:
        """The vectors of every embedding that a prompt may name, with `rows` ([n, width] for each text encoder) for
        the one that is trained.
        """
        return {**self.others.vectors, self.name: rows}

    def embedding(self, name: str = "") -> Embedding:
        """What is trained so far, as it is saved."""
        vectors = {encoder: rows.detach().cpu().clone() for encoder, rows in self.state.output_vectors.items()}
        return Embedding(
            name or self.name, vectors, self.state.step, self.sd.hash, self.sd.stored_name, kind=self.kind.word
        )
