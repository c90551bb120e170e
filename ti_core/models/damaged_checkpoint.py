"""What diffusers, transformers and torch raise on files that are not what they should be, as one sentence."""

from __future__ import annotations

from pickle import UnpicklingError

from safetensors import SafetensorError

from ti_core.checkpoints.library import CheckpointFile
from ti_core.errors import UserError
from ti_core.models.private_diffusers import SingleFileComponentError

DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    TypeError,
    AttributeError,
    EOFError,
    UnpicklingError,
    SafetensorError,
    SingleFileComponentError,
)


def damaged_error(file: CheckpointFile, error: Exception) -> UserError:
    """The error for the user, with the first line of what the library said that found it: diffusers puts a sentence
    of its own in the place of what safetensors or torch says.
    """
    text = str(_first_of(error)).replace(str(file.path), file.path.name).strip()
    reason = text.splitlines()[0][:160] if text else type(error).__name__
    if "meta tensor" in reason:  # what torch says when diffusers goes on with weights that it did not find
        reason = "some of the weights that its family has are missing in it"
    return UserError(
        f"Checkpoint '{file.title}' cannot be loaded: {reason.rstrip('.')}.",
        "Choose another checkpoint, or put a complete copy in its place.",
    )


def _first_of(error: BaseException) -> BaseException:
    """What a reader of files said before others said something else in its place; the error itself if none did."""
    found, chain = error, []
    while found not in chain and (before := found.__cause__ or found.__context__):
        chain.append(found)
        found = before
    readers = (SafetensorError, UnpicklingError, EOFError)
    return next((said for said in (*reversed(chain), found) if isinstance(said, readers)), error)
