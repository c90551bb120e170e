"""Where a run is, in one file of its folder: vectors, optimizer, step, rate and settings, written atomically, so
that it goes on exactly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ti_core.data.dataset import Example
from ti_core.embeddings.embedding import Embedding
from ti_core.errors import UserError
from ti_core.files import save_atomically
from ti_core.runs.folder import RunFolder, saved_facts
from ti_core.settings import MOST_PREVIEW_PROMPTS, TrainSettings
from ti_core.settings.option import KeptSettings
from ti_core.training.optimizers import fill, tensors_of
from ti_core.training.run import Run

VECTORS, AVERAGE, OPTIMIZER = "vectors.", "average.", "optimizer."


@dataclass(frozen=True)
class RunState:
    """What `save_run_state` wrote; `average` is empty where none is kept. `refusals` counts the updates that were
    refused because their numbers were not finite.

    `checkpoint_hash` and `inputs` are None where another version of this program has not kept them. `notes` tell
    what else that version did not know, or knew.
    """

    folder: RunFolder
    settings: TrainSettings
    embedding: Embedding
    average: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    refusals: int
    checkpoint_hash: str | None
    inputs: str | None
    preview_prompts: tuple[str, ...] = ()
    prediction: str = ""
    """What the checkpoint was taken to predict; empty in the state of a run that was begun before this was kept."""
    notes: tuple[str, ...] = ()

    def fill(self, optimizer: torch.optim.Optimizer) -> None:
        """Put its state back; the rate is the schedule's."""
        fill(optimizer, self.optimizer)


def save_run_state(run: Run) -> Future[None]:
    """Copy the state now, and have it written after all that the run has written before it, so that what it counts
    is on the disk too. The returned future completes when the file is on disk.

    The run's writer raises UserError, with the state before it
    intact, if the disk is full or the folder may not be written.
    """
    state = run.state
    kept = ((VECTORS, state.vectors), (AVERAGE, state.average))
    tensors = {
        prefix + encoder: rows.detach().cpu().clone().contiguous()
        for prefix, vectors in kept
        for encoder, rows in vectors.items()
    }
    tensors |= {OPTIMIZER + name: tensor for name, tensor in tensors_of(state.optimizer).items()}
    facts = {
        "step": str(state.step),
        "name": run.name,
        "suffix": run.folder.suffix,
        "settings": json.dumps(run.settings.to_dict()),
        "refusals": str(state.refusals),
        "inputs": describe_inputs(run.inputs.examples, run.others.hashes),
        "preview_prompts": json.dumps(run.preview_prompts),
        "prediction": run.sd.prediction,
    }

    def write() -> None:
        known = facts | {"checkpoint_hash": run.sd.hash}  # here, because the loop does not wait for it
        run.folder.check_there()
        save_atomically(run.folder.state, lambda part: part.write_bytes(save(tensors, metadata=known)))

    return run.writer.put(write)


def load_run_state(folder: RunFolder) -> RunState:
    """Raises UserError for a file that is missing or damaged. What another version wrote is used as far as it is
    known here, and told in `notes`.
    """
    facts = saved_facts(folder.root)
    try:
        assert facts is not None, "there is no state, or one that no run wrote"
        # copies, because the file itself stays mapped, and Windows then locks it
        tensors = {key: tensor.clone() for key, tensor in load_file(folder.state).items()}
        kept = TrainSettings.from_kept(json.loads(facts["settings"]))
        if kept.wrong:
            raise UserError(
                f"The settings of the run '{folder.root.name}' are damaged. {' '.join(kept.wrong)}",
                "Train on from its latest copy instead.",
            )
        folder = RunFolder(folder.root, facts["name"], facts["suffix"])
        vectors, average, optimizer = (
            {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
            for prefix in (VECTORS, AVERAGE, OPTIMIZER)
        )
        embedding = Embedding(folder.name, vectors, int(facts["step"]))
        refusals = int(facts.get("refusals", "0"))
        settings, prompts = _preview_prompts(kept.settings, facts)
        return RunState(
            folder,
            settings,
            embedding,
            average,
            optimizer,
            refusals,
            facts.get("checkpoint_hash"),
            facts.get("inputs"),
            prompts,
            facts.get("prediction", ""),
            _notes(kept, facts),
        )
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AssertionError, RecursionError) as error:
        raise UserError(
            f"The state of the run '{folder.root.name}' cannot be read.", "Train on from its latest copy instead."
        ) from error


def _preview_prompts(settings: TrainSettings, facts: Mapping[str, str]) -> tuple[TrainSettings, tuple[str, ...]]:
    """The settings, and what the run's previews show where nothing was typed. A state without "preview_prompts" is of a
    version that had one prompt, which might be typed in several lines.
    """
    if "preview_prompts" in facts:
        return settings, tuple(map(str, json.loads(facts["preview_prompts"])))[:MOST_PREVIEW_PROMPTS]
    drawn = facts.get("preview_prompt", "")
    settings = replace(settings, preview_prompt=" ".join(settings.preview_prompt.split()))
    return settings, (drawn,) if drawn else ()


def _notes(kept: KeptSettings[TrainSettings], facts: Mapping[str, str]) -> tuple[str, ...]:
    lacking = [name for name in ("refusals", "checkpoint_hash", "inputs") if name not in facts]
    notes = kept.sentences()
    if lacking:
        notes.append(
            f"The state of this run was written by another version of this program, which kept no {', '.join(lacking)};"
            " that is not compared."
        )
    return (*notes, "So the run goes on, but perhaps not exactly as it would have.") if notes else ()


def describe_inputs(examples: Sequence[Example], hashes: Mapping[str, str]) -> str:
    """Names and captions of the pictures, what is known of their photos and folders, and the hashes of other embeddings
    that are named, by which what was changed in between is noticed.
    """
    pictures = [
        [
            example.path.name,
            example.caption,
            *([[*example.origin.size, *example.origin.box]] if example.origin else []),
            *([[example.folder, example.repeats]] if example.folder or example.repeats > 1 else []),
            *([example.lines] if example.lines else []),
        ]
        for example in examples
    ]
    return json.dumps([pictures, dict(hashes)], ensure_ascii=True)
