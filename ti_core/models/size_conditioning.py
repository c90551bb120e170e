"""The sizes that a UNet may be conditioned on (the time ids of Stable Diffusion XL)."""

from __future__ import annotations


def size_conditioning(
    width: int, height: int, original: tuple[int, int] | None = None, crop: tuple[int, int] = (0, 0)
) -> list[int]:
    """Six numbers in pixels, in the order of Podell et al. 2023, section 2.2: original height and width, top and left
    of the crop, height and width.

    `original` is (width, height) before the picture was scaled and cropped; without it the picture is one of its own
    size, as when sampling. `crop` is (left, top).
    """
    original_width, original_height = original or (width, height)
    left, top = crop
    return [original_height, original_width, top, left, height, width]
