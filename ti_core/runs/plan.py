"""What the Train form's numbers come to for a dataset: effective batch size, accumulation and image passes (A1111
1.10.1, textual_inversion.py: train_embedding; textual_inversion/dataset.py: PersonalizedBase).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunPlan:
    """One update looks at `batch` x `accumulation` different images, at most one pass over the data."""

    images: int
    batch: int
    accumulation: int
    steps: int
    first_step: int = 0

    @property
    def images_per_step(self) -> int:
        return self.batch * self.accumulation

    @property
    def steps_per_epoch(self) -> int:
        return max(1, self.images // self.batch // self.accumulation)

    @property
    def passes(self) -> int:
        """Image passes from the first step of this run to its last."""
        return self.images_per_step * max(0, self.steps - self.first_step)

    def sentence(self) -> str:
        """The plan in words, shown before the start."""
        return (
            f"{self.images} images. Each step looks at {self.images_per_step} of them (batch {self.batch} x"
            f" accumulation {self.accumulation}), so {self.steps_per_epoch}"
            f" step{'s go' if self.steps_per_epoch > 1 else ' goes'} once through the dataset."
            f" {max(0, self.steps - self.first_step)} steps look at {self.passes} images in all."
        )


def plan_run(images: int, batch_size: int, accumulation_steps: int, steps: int, first_step: int = 0) -> RunPlan:
    """A1111's rule: batch at most the number of images, accumulation at most images // batch."""
    batch = min(batch_size, images)
    return RunPlan(images, batch, min(accumulation_steps, images // batch), steps, first_step)
