"""The list of the Embeddings tab, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ti_core.embeddings.describe import describe
from ti_core.embeddings.folder import shown_file, stored_embeddings
from ti_core.settings.emphasis import escaped
from ti_core.workspace import Workspace


def table_rows(workspace: Workspace, word_norms: Mapping[str, tuple[float, int]]) -> list[list[str]]:
    """One row a file: path below embeddings/, its word as a prompt needs it, model family, vectors, step, norms, mean
    norm of the checkpoint's words, checkpoint.

    `word_norms` are the chosen checkpoint's mean norm and width by text encoder (models/vocabulary.py), empty where
    they are not known.
    """
    widths = {encoder: width for encoder, (_, width) in word_norms.items()}
    rows = []
    for stored in stored_embeddings(workspace):
        file = shown_file(stored, workspace)
        if stored.embedding is None:
            rows.append([file, "", "cannot be read", "", "", "", "", stored.problem])
            continue
        facts: Mapping[str, Any] = describe(stored.embedding)
        norms = facts["norms"]
        # Norms that differ by less than 0.5% are shown as one.
        spread = (
            f"{min(norms):.3g}"
            if max(norms) - min(norms) <= 0.005 * max(norms)
            else f"{min(norms):.3g} to {max(norms):.3g}"
        )
        fits = stored.embedding.vectors_for(widths) is not None
        words = " + ".join(f"{norm:.3g}" for norm, _ in word_norms.values()) if fits else "–"
        step = "–" if facts["step"] is None else str(facts["step"])
        word, checkpoint = escaped(stored.name), facts["checkpoint"] or "–"
        rows.append([file, word, facts["family"], str(facts["vectors"]), step, spread, words, checkpoint])
    return rows
