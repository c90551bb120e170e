"""What we use of torch and diffusers beside their public interface is as it was in the versions that we looked at."""

from __future__ import annotations

import inspect

import diffusers
import torch
from diffusers.loaders import single_file_utils

from ti_core.models.private_torch import cpu_multiplies_bf16

SEEN_IN = {"torch": "2.13.0", "diffusers": "0.42.1"}
"""With another version: read models/private_torch.py, private_diffusers.py and recompute.py (which computes diffusers'
blocks in its place) beside it, then write it here.
"""


def test_the_versions_are_those_that_were_looked_at() -> None:
    there = {"torch": torch.__version__.split("+")[0], "diffusers": diffusers.__version__}
    assert there == SEEN_IN


def test_torch_says_whether_the_processor_multiplies_bf16() -> None:
    assert isinstance(cpu_multiplies_bf16(), bool)


def test_diffusers_makes_a_text_encoder_of_tensors_by_these_parameters() -> None:
    made = inspect.signature(single_file_utils.create_diffusers_clip_model_from_ldm).parameters
    assert {"cls", "checkpoint", "subfolder", "config", "torch_dtype", "local_files_only"} <= set(made)
    assert next(iter(inspect.signature(single_file_utils.load_single_file_checkpoint).parameters)).startswith(
        "pretrained_model_link_or_path"
    )
    assert issubclass(single_file_utils.SingleFileComponentError, Exception)
