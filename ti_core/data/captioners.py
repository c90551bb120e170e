"""Models that write captions. Each is loaded once for a job, when the first picture needs it; one that cannot be
had is left out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from ti_core.data.model_files import ModelFiles, fetch_model
from ti_core.errors import UserError
from ti_core.events import Emit, Notice, Progress
from ti_core.settings import PreprocessSettings
from ti_core.workspace import Workspace


class Captioner(Protocol):
    """A model that writes a caption."""

    def describe(self, image: Image.Image) -> str:
        """The caption of an upright RGB picture of any size."""


@dataclass
class CaptionWriter:
    """All captioners that were asked for, as one. `loaders` holds those that were not needed so far."""

    loaders: list[tuple[str, Callable[[], Captioner]]]
    emit: Emit
    loaded: list[Captioner] | None = None

    def describe(self, image: Image.Image) -> str:
        """What each wrote, in order, with commas between (A1111 1.6.1, preprocess.py: save_pic_with_caption); empty
        if there is none.
        """
        if self.loaded is None:
            self.loaded = self._load()
        return ", ".join(text for captioner in self.loaded if (text := captioner.describe(image)))

    def _load(self) -> list[Captioner]:
        """Those that can be had; for each other one a Notice, because crops without captions are better than
        nothing.
        """
        loaded = []
        for title, load in self.loaders:
            self.emit(Progress(f"Loading {title}", 0, 1))
            try:
                loaded.append(load())
            except UserError as error:
                self.emit(Notice(f"{error} Until then no captions are written by it."))
        return loaded


def make_caption_writer(
    settings: PreprocessSettings, workspace: Workspace, emit: Emit, stop: threading.Event
) -> CaptionWriter:
    """BLIP first, then Florence-2, then the tagger, where ticked. Torch is imported, and a model fetched, only when a
    picture is described; `stop` ends the fetching.
    """

    def get(files: ModelFiles) -> None:
        """Fetch what is not there, and make room for the model."""
        from ti_core.models.device import device_state
        from ti_core.models.warm import release_model

        fetch_model(files, workspace, emit, stop)
        device_state()  # one that does not answer is a sentence
        release_model()  # the last training's model makes room

    def blip() -> Captioner:
        from ti_core.data.blip import Blip, blip_files

        get(blip_files(settings.blip_model, workspace))
        return Blip(settings, workspace)

    def florence() -> Captioner:
        from ti_core.data.florence import Florence, florence_files

        get(florence_files(settings.florence_model, workspace))
        return Florence(settings, workspace)

    def tagger() -> Captioner:
        from ti_core.data.tagger import Tagger, tagger_files

        get(tagger_files(settings.booru_model, workspace))
        return Tagger(settings, workspace)

    wanted = [("BLIP", blip)] * settings.blip_caption
    wanted += [("Florence-2", florence)] * settings.florence_caption
    wanted += [("the booru tagger", tagger)] * settings.booru_caption
    return CaptionWriter(wanted, emit)
