"""What the Train form's numbers come to for a dataset: effective batch size, accumulation and image passes (A1111
1.10.1, textual_inversion.py: train_embedding; textual_inversion/dataset.py: PersonalizedBase).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunPlan:
    """The effective numbers of a run. One step (one update) uses `batch` x `accumulation` different images, at most one
    epoch of them; `first_step` counts the updates that the embedding has already.
    """

    images: int
    batch: int
    accumulation: int
    steps: int
    first_step: int = 0

    @property
    def images_per_step(self) -> int:
        """Images of one update, the effective batch size."""
        return self.batch * self.accumulation

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one pass over the dataset, at least 1."""
        return max(1, self.images // self.batch // self.accumulation)

    @property
    def passes(self) -> int:
        """Image passes (one image through the UNet) from the first step of this run to its last."""
        return self.images_per_step * max(0, self.steps - self.first_step)

    def sentence(self) -> str:
        """The plan in words, which the page shows before the start."""
        return (
            f"{self.images} images. Each step looks at {self.images_per_step} of them (batch {self.batch} x"
            f" accumulation {self.accumulation}), so {self.steps_per_epoch}"
            f" step{'s go' if self.steps_per_epoch > 1 else ' goes'} once through the dataset."
            f" {max(0, self.steps - self.first_step)} steps look at {self.passes} images in all."
        )


def plan_run(images: int, batch_size: int, accumulation_steps: int, steps: int, first_step: int = 0) -> RunPlan:
    """The plan by A1111's rule: batch at most the number of images, accumulation at most images // batch."""
    batch = min(batch_size, images)
    return RunPlan(images, batch, min(accumulation_steps, images // batch), steps, first_step)
