"""How a picture was made, in the words and order by which A1111 and other programs read it back: the text chunk
`parameters` of a PNG.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin

from ti_core.files import save_atomically

if TYPE_CHECKING:
    from ti_core.models.sampler import SampleRequest
    from ti_core.models.stable_diffusion import StableDiffusion


def infotext(request: SampleRequest, sd: StableDiffusion, hashes: Mapping[str, str]) -> str:
    """`hashes` are those of the embeddings' files, by name. Clip skip, VAE and prediction type are told where they
    are not the checkpoint's own; the noise schedule where it ends at zero terminal SNR, as A1111 tells it, which
    takes it from there when it reads a picture.
    """
    facts: dict[str, Any] = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        "CFG scale": f"{request.cfg_scale:g}",
        "Guidance rescale": f"{request.guidance_rescale:g}" if request.guidance_rescale else "",
        "Seed": request.seed,
        "Size": f"{request.width or sd.file.size_px}x{request.height or sd.file.size_px}",
        "Model hash": sd.hash,
        "Model": sd.name,
        "VAE": sd.other_vae,
        "Clip skip": sd.clip_skip if sd.clip_skip > 1 and sd.family.uses_clip_skip else "",
        "Prediction type": sd.prediction_type if sd.chosen_prediction else "",
        "Noise Schedule": "Zero Terminal SNR" if sd.zero_terminal_snr else "",
    }
    if hashes:
        facts["TI hashes"] = ", ".join(f"{name}: {digest}" for name, digest in hashes.items())
    negative = f"\nNegative prompt: {request.negative_prompt.strip()}" if request.negative_prompt.strip() else ""
    return f"{request.prompt.strip()}{negative}\n" + ", ".join(
        f"{key}: {_quoted(str(value))}" for key, value in facts.items() if value != ""
    )


def _quoted(value: str) -> str:
    """In quotes where a comma, a colon or a line's end would read as the next fact."""
    return json.dumps(value, ensure_ascii=False) if any(mark in value for mark in ",:\n") else value


def save_png(path: Path, picture: Image.Image, parameters: str) -> Path:
    """Save with the infotext where A1111 looks for it."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", parameters)
    return save_atomically(path, lambda part: picture.save(part, "PNG", pnginfo=chunks))
