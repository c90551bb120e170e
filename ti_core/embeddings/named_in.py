"""Which embeddings a prompt names, and their vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ti_core.embeddings.embedding import shown_widths
from ti_core.embeddings.folder import StoredEmbedding, stored_embeddings
from ti_core.settings.prompts import split_at_names
from ti_core.workspace import Workspace

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class NamedIn:
    """The embeddings that some texts name. `vectors[name][encoder]` is float32 [vectors, width]; `hashes` are those of
    their files, by name; `left_out` has a sentence for each that cannot be used.
    """

    vectors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def hashes_in(self, *texts: str) -> dict[str, str]:
        """Name -> hash of those embeddings that these texts name."""
        named = {name for text in texts for name, _ in split_at_names(text, self.hashes)}
        return {name: digest for name, digest in self.hashes.items() if name in named}


def named_in(texts: Iterable[str], workspace: Workspace, widths: Mapping[str, int], own: str = "") -> NamedIn:
    """The embeddings whose names stand in the texts, as whole words in any case, for a model whose text encoders take
    vectors of those `widths`.

    `own` is the word that is being trained: its name is none of the files.
    """
    # All embeddings by name: those that fit the model, and why the others do not.
    usable: dict[str, StoredEmbedding] = {}
    problems: dict[str, str] = {}
    for stored in stored_embeddings(workspace):
        if stored.name.lower() == own.lower() or stored.name in usable:
            continue
        if stored.embedding is None:
            problems.setdefault(stored.name, stored.problem)
        elif stored.embedding.vectors_for(widths) is None:
            theirs, ours = shown_widths(stored.embedding.widths), shown_widths(widths)
            problem = (
                f"'{stored.name}' was trained for another model (vectors of {theirs} numbers, not {ours}), so it stays"
                " a plain word here."
            )
            problems.setdefault(stored.name, problem)
        else:
            usable[stored.name] = stored
    # `own` takes part in the split, because the longest name wins: in "anna-01" the word is not "anna".
    names = dict.fromkeys(
        name for name, _ in split_at_names("\n".join(dict.fromkeys(texts)), [own, *usable, *problems])
    )
    found = [usable[name] for name in names if name in usable]
    left_out = [problems[name] for name in names if name in problems and name not in usable]
    vectors = {stored.name: stored.content.vectors_for(widths) or {} for stored in found}
    return NamedIn(vectors, {stored.name: stored.hash for stored in found}, left_out)
