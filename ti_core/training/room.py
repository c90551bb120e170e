"""What a training does when the device's memory runs out: the same work again, with less on the device, which gives
the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from accelerate.utils.memory import clear_device_cache

from ti_core.errors import TooLittleMemory, is_out_of_memory
from ti_core.events import Notice
from ti_core.models.recompute import save_memory
from ti_core.training.run import Run

T = TypeVar("T")


def with_room(run: Run, work: Callable[[], T]) -> T:
    """What `work` gives; it is done again, after `make_room`, each time that memory runs out. Raises TooLittleMemory
    where nothing smaller is left to try.
    """
    while True:
        try:
            return work()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        # outside of the handler, where the error no longer holds the tensors
        clear_device_cache(garbage_collection=True)
        make_room(run)


def make_room(run: Run) -> None:
    """Take what is idle off the device; halve what is on it together, down to one image; then recompute instead of
    keeping; then let the text encoders work on the processor. A Notice says so.
    """
    sd = run.sd
    if not sd.vae_idles_on_cpu:
        sd.vae_idles_on_cpu = True
        sd.vae.to("cpu")
    largest = max(mean.shape[-1] * mean.shape[-2] for mean in run.latents.mean)
    at_once = min(run.inputs.plan.images_per_step, run.memory.pixels_at_once // largest)
    if sd.compiled_unet is not None:
        sd.compiled_unet = None
        save_memory(sd.unet)
        run.log(Notice("The device's memory ran out with the compiled UNet. The training goes on without it."))
    elif at_once > 1:
        run.memory.pixels_at_once = at_once // 2 * largest
        run.log(
            Notice(
                f"The device's memory ran out with {at_once} pictures at once. The step is done again with"
                f" {at_once // 2}, and the training goes on."
            )
        )
    elif not sd.unet.is_gradient_checkpointing:
        sd.unet.enable_gradient_checkpointing()
        run.log(
            Notice(
                "The device's memory ran out with one picture at a time. Gradient checkpointing is on from here: each"
                " step takes nearly half as long again."
            )
        )
    elif sd.encoder_device != (processor := type(sd.device)("cpu")):
        sd.encoder_device = processor
        for encoder in sd.text_encoders:
            encoder.to(processor)
        run.log(
            Notice(
                "The device's memory ran out with gradient checkpointing. The text encoders work on the processor from"
                " here: each step takes some seconds longer."
            )
        )
    else:
        raise TooLittleMemory(
            f"The device's memory is too small for pictures of {run.settings.width or sd.file.size_px} px, even one"
            " at a time.",
            "Choose a smaller Width and Height, or close other programs that use the graphics card.",
        )
