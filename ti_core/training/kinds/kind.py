"""What a kind of word says to the one loop: which prompts an update asks the UNet about, and what its prediction
should be.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ti_core.models.stable_diffusion import Conditioning, StableDiffusion
from ti_core.settings.strength import without_word
from ti_core.settings.word_kind import ORDINARY_WORD, WordKind
from ti_core.training.noise_loss import MicroBatch, NoisyImages

NAME = "[name]"


@dataclass(frozen=True)
class Asked:
    """What the UNet is asked about each of n images. The gradient flows through the `trained` prompts, which hold the
    word; `beside` are lists of n prompts that do not, of whose predictions the target is made. `strengths` are those
    of the word, empty where it has none. With `emphasis`, brackets weigh.
    """

    trained: list[str]
    beside: tuple[list[str], ...] = ()
    strengths: tuple[float, ...] = ()
    emphasis: bool = False

    def of(self, images: Sequence[int]) -> Asked:
        """What is asked about some of the images."""
        return Asked(
            [self.trained[i] for i in images],
            tuple([prompts[i] for i in images] for prompts in self.beside),
            tuple(self.strengths[i] for i in images) if self.strengths else (),
            self.emphasis,
        )


@dataclass(frozen=True)
class Beside:
    """The conditioning of each list of prompts in `Asked.beside`, of all n images, and the strengths, float32 [n] on
    the device.
    """

    conditionings: tuple[Conditioning, ...]
    strengths: Tensor


@dataclass(frozen=True)
class TrainingKind(ABC):
    """A kind of word. `word` says what it is for; `strengths` are the columns of its previews, empty for one picture of
    the prompt as it is.
    """

    word: WordKind = ORDINARY_WORD
    strengths = tuple[float, ...]()
    shown_strength = 1.0
    """The column that stands for the word where one picture is shown."""
    uses_captions = True
    """Whether the captions of the pictures must say what is not the word."""

    def lines(self, of_template: Sequence[str]) -> list[str]:
        """The lines that are made into prompts, with `[name]` where the word stands."""
        return list(of_template)

    @property
    def texts(self) -> list[str]:
        """What its prompts hold beside lines and captions."""
        return []

    @abstractmethod
    def ask(self, drawn: Sequence[str], name: str, draw: Callable[[int], random.Random]) -> Asked:
        """What an update asks. `drawn` are the lines of its images with everything filled in but `[name]`, which is
        `name`; `draw` gives a generator for the image of that index.
        """

    def ask_without(self, asked: Asked, drawn: Sequence[str]) -> Asked:
        """The same without the word, for comparison."""
        return Asked([line.replace(NAME, "") for line in drawn], asked.beside, asked.strengths, asked.emphasis)

    @abstractmethod
    def compare(
        self, sd: StableDiffusion, images: NoisyImages, batch: MicroBatch, conditioning: Conditioning, beside: Beside
    ) -> tuple[Tensor, Tensor]:
        """The prediction for a micro-batch of k images and what it should be, [k, c, h, w] each. `conditioning` is
        that of the trained prompts of all images; the gradient flows to it, and not to the target.
        """

    def probes(self, things: Sequence[str]) -> list[tuple[str, str, str]] | None:
        """Prompts that tell whether the word leaves other things alone: one that asks for a thing, the same without
        it, and the negative prompt, with `[name]` where the word stands. None for those of any word.
        """
        return None

    def preview(self, thing: str) -> str:
        """A preview's prompt that asks for a thing which the training's pictures are not; empty for the usual one."""
        return ""


def bare(line: str) -> str:
    """A drawn line without the word."""
    return without_word(line)
