"""What the Train form's numbers come to for a dataset: effective batch size, accumulation and image passes (A1111
1.10.1, textual_inversion.py: train_embedding; textual_inversion/dataset.py: PersonalizedBase).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunPlan:
    """The effective numbers of a run. One step (one update) uses `batch` x `accumulation` different images, at most one
    epoch of them; `first_step` counts the updates that the embedding has already.

    `repeats` says for each image how often one pass over the dataset takes it; empty for once each. `folders` are the
    dataset's folders by name, with how many of a pass's images each gives.
    """

    images: int
    batch: int
    accumulation: int
    steps: int
    first_step: int = 0
    repeats: tuple[int, ...] = ()
    folders: tuple[tuple[str, int], ...] = ()

    @property
    def images_per_pass(self) -> int:
        """Images of one pass over the dataset, each as often as it is repeated."""
        return sum(self.repeats) or self.images

    @property
    def images_per_step(self) -> int:
        """Images of one update, the effective batch size."""
        return self.batch * self.accumulation

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one pass over the dataset, at least 1."""
        return max(1, self.images_per_pass // self.batch // self.accumulation)

    @property
    def passes(self) -> int:
        """Image passes (one image through the UNet) from the first step of this run to its last."""
        return self.images_per_step * max(0, self.steps - self.first_step)

    def sentence(self) -> str:
        """The plan in words, which the page shows before the start."""
        repeated = self.images_per_pass > self.images
        more = f", {self.images_per_pass} with their repeats" if repeated else ""
        return (
            f"{self.images} images{more}. Each step looks at {self.images_per_step} of them (batch {self.batch} x"
            f" accumulation {self.accumulation}), so {self.steps_per_epoch}"
            f" step{'s go' if self.steps_per_epoch > 1 else ' goes'} once through the dataset."
            f" {max(0, self.steps - self.first_step)} steps look at {self.passes} images in all.{self._balance()}"
        )

    def _balance(self) -> str:
        """How the passes fall on the folders, of which each epoch takes its share."""
        if len(self.folders) < 2:
            return ""
        counts = [f"{name}: {self.passes * images / self.images_per_pass:.0f}" for name, images in self.folders]
        return f" Folder {counts[0]} passes, folder {', folder '.join(counts[1:])}."


def plan_run(
    images: int,
    batch_size: int,
    accumulation_steps: int,
    steps: int,
    first_step: int = 0,
    repeats: tuple[int, ...] = (),
    folders: tuple[tuple[str, int], ...] = (),
) -> RunPlan:
    """The plan by A1111's rule: batch at most the images of one pass over the dataset, accumulation at most images //
    batch.
    """
    in_a_pass = sum(repeats) or images
    batch = min(batch_size, in_a_pass)
    return RunPlan(images, batch, min(accumulation_steps, in_a_pass // batch), steps, first_step, repeats, folders)
