"""Many pictures in one: side by side, or as a table with labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

GRID_MAX_PX = 4096
"""Longest side of a grid without labels; browsers show larger pictures badly."""
CELL_PX, LABEL_PX, MOST_PX = 160, 22, 16_000
"""Of a labelled grid: least width of a cell, height of a label, longest side."""
IN_A_ROW = 3
"""Labelled pictures: a slider's six strengths in one row were a thin line in the page's square."""


def picture_grid(pictures: Sequence[Image.Image]) -> Image.Image:
    """All pictures side by side, about as many rows as columns, shrunk where it would get larger than a browser
    likes.
    """
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    width, height = pictures[0].size
    grid = Image.new("RGB", (columns * width, rows * height))
    for i, picture in enumerate(pictures):
        grid.paste(picture, (i % columns * width, i // columns * height))
    grid.thumbnail((GRID_MAX_PX, GRID_MAX_PX))
    return grid


def labelled_rows(pictures: Sequence[Image.Image], labels: Sequence[str]) -> Image.Image:
    """Pictures of one size at their own size, each with its label above, up to IN_A_ROW side by side."""
    width, height = pictures[0].size[0], LABEL_PX + pictures[0].size[1]
    rows = -(-len(pictures) // IN_A_ROW)
    whole = Image.new("RGB", (min(len(pictures), IN_A_ROW) * width, rows * height), "white")
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(14)
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        left, top = i % IN_A_ROW * width, i // IN_A_ROW * height
        pen.text((left + 4, top + 3), label, "black", font)
        whole.paste(picture, (left, top + LABEL_PX))
    return whole


def labelled_grid(table: Sequence[Sequence[Image.Image]], columns: Sequence[str], rows: Sequence[str]) -> Image.Image:
    """All pictures in one, with the steps above and each row's prompt and seed over it; cells are CELL_PX wide or
    the pictures' own size if larger.
    """
    width, height = table[0][0].size
    scale = min(max(1.0, CELL_PX / width), MOST_PX / (len(columns) * width), MOST_PX / (len(rows) * height))
    cell, font = (max(1, round(width * scale)), max(1, round(height * scale))), ImageFont.load_default(14)
    grid = Image.new("RGB", (len(columns) * cell[0], LABEL_PX + len(rows) * (cell[1] + LABEL_PX)), "white")
    pen = ImageDraw.Draw(grid)
    for i, label in enumerate(columns):
        pen.text((i * cell[0] + 4, 3), label, "black", font)
    for r, (label, line) in enumerate(zip(rows, table, strict=True)):
        top = LABEL_PX + r * (cell[1] + LABEL_PX)
        pen.text((4, top + 3), label, "#444444", font)
        for i, picture in enumerate(line):
            grid.paste(picture.resize(cell, Image.Resampling.LANCZOS), (i * cell[0], top + LABEL_PX))
    return grid
