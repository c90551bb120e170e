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
    """The error for the user, with the first line of what the libraries said."""
    text = str(error).replace(str(file.path), file.path.name).strip()
    reason = text.splitlines()[0][:160] if text else type(error).__name__
    if "meta tensor" in reason:  # what torch says when diffusers goes on with weights that it did not find
        reason = "some of the weights that its family has are missing in it"
    return UserError(
        f"Checkpoint '{file.title}' cannot be loaded: {reason.rstrip('.')}.",
        "Choose another checkpoint, or put a complete copy in its place.",
    )
