"""Aspect buckets: the list of sizes of equal area at which pictures of other shapes are trained, and the part of a
picture that its size shows (NovelAI's idea; SDXL was trained on such a list, Podell et al. 2023, appendix I).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ti_core.data.crops import Size, crop_error

MOST_ASPECT = 2.5
"""Of the longer side to the shorter one: more was trained by no family."""
LEAST_AREA = 0.9
"""Of the area asked for: a size with fewer pixels only stands beside a better one of nearly its shape."""
_STEPS_PX = ((512, 64), (256, 32), (128, 16), (0, 8))
"""Shorter side from which on the sides go in which steps. 64 px are one pixel of the UNet's innermost level."""


def bucket_sizes(width: int, height: int) -> tuple[Size, ...]:
    """The sizes, in px, with about as many pixels as `width` x `height` and never more, from the widest to the
    tallest; `width` x `height` itself is one of them.
    """
    step = next(step for side, step in _STEPS_PX if min(width, height) >= side)
    area = width * height
    found = {(width, height)}
    for longer in range(step, int((area * MOST_ASPECT) ** 0.5) + 1, step):
        shorter = area // longer // step * step
        if shorter <= longer <= MOST_ASPECT * shorter and longer * shorter >= LEAST_AREA * area:
            found |= {(longer, shorter), (shorter, longer)}
    return tuple(sorted(found, key=lambda size: (-size[0] / size[1], size)))


def nearest_bucket(size: Size, buckets: Sequence[Size]) -> Size:
    """The size of the list that cuts least off a picture of `size` px; of two alike the larger one."""
    return min(buckets, key=lambda bucket: (crop_error(size, bucket), -bucket[0] * bucket[1]))


def buckets_sentence(sizes: Iterable[Size], buckets: Sequence[Size]) -> str:
    """How many pictures of these sizes are trained at which size, and how much of them is cut off at most."""
    sizes = list(sizes)
    if not sizes:
        return ""
    counts = Counter(nearest_bucket(size, buckets) for size in sizes)
    lost = max(crop_error(size, nearest_bucket(size, buckets)) for size in sizes)
    shown = ", ".join(f"{count} at {width} x {height}" for (width, height), count in counts.most_common())
    cut = f"; at most {100 * lost:.0f}% of a picture is cut off" if lost >= 0.005 else "; nothing is cut off"
    return f"Shapes: {shown} px{cut}."
