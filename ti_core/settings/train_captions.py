"""Options of the Train tab: which folders of a dataset are used, how often, and what is made of the captions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ti_core.errors import Problem, UserError
from ti_core.settings.option import Group, Settings, option

FOLDERS = Group("folders", "Folders and captions")
JOINED, ONE_LINE = "one caption, lines are tags", "one line at each use"
MOST_REPEATS = 999
_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True)
class CaptionTrainOptions(Settings):
    """What other trainers offer for a dataset; all of it is a function of (seed, step, index)."""

    subfolders: bool = option(
        False,
        "Use subfolders too",
        "checkbox",
        "Trains on the pictures of all folders inside the Dataset directory. Folders such as 10_anna woman are used"
        " without it: the number says how often.",
        changes_plan=True,
        group=FOLDERS,
    )
    folder_repeats: str = option(
        "",
        "Folder repeats",
        "textbox",
        "Leave it empty. Says how often the pictures of a folder are used, such as close-ups: 3, garden: 1.",
        changes_plan=True,
    )
    caption_lines: str = option(
        JOINED,
        "Captions with several lines",
        "radio",
        "Keep the first: each line is a tag. The second is for files with several captions, one a line: each use draws"
        " one of them.",
        choices=(JOINED, ONE_LINE),
        changes_plan=True,
    )
    keep_first: int = option(
        0,
        "Keep the first N tags",
        "number",
        "So many tags at the beginning are never shuffled or dropped. 0 shuffles and drops all.",
        minimum=0,
        step=1,
        reset_by_presets=True,
    )
    caption_drop_out: float = option(
        0.0,
        "Drop out whole captions",
        "slider",
        "How often all of a caption is left out by chance, so that the word stands alone. Keep 0, or choose 0.1.",
        minimum=0,
        maximum=1,
        step=0.05,
        reset_by_presets=True,
    )
    pruned_tags: str = option(
        "",
        "Tags to leave out",
        "textbox",
        "Leave it empty, or write tags with commas between them. They are left out of all captions; files stay as they"
        " are.",
        lines=2,
        changes_plan=True,
    )
    prune_traits: bool = option(
        False,
        "Leave out how a character looks",
        "checkbox",
        "For booru tags: leaves out hair, eyes, ears and the like, so that the word learns them. docs/captions.md has"
        " the list.",
        changes_plan=True,
    )

    def problems(self, own_px: int = 0) -> list[Problem]:
        """Those of each value, and repeats that cannot be read."""
        found = super().problems(own_px)
        try:
            parse_repeats(self.folder_repeats)
        except UserError as error:
            found.extend(error.problems)
        return found


def parse_repeats(text: str) -> dict[str, float]:
    """Name of a folder -> how often its pictures are used, of `close-ups: 3, garden: 1`; commas or new lines stand
    between. Raises UserError for what is none.
    """
    found = dict[str, float]()
    for piece in filter(None, (piece.strip() for piece in text.replace("\n", ",").split(","))):
        name, _, typed = piece.rpartition(":")
        number = float(typed) if _NUMBER.fullmatch(typed.strip()) else -1.0
        if not name.strip() or not 0 <= number <= MOST_REPEATS:
            raise UserError(
                f"Folder repeats holds '{piece[:60]}', which is no folder with a number from 0 to {MOST_REPEATS}.",
                "Write them such as close-ups: 3, garden: 1.",
                field="folder_repeats",
            )
        found[name.strip()] = number
    return found
