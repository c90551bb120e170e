"""Means, passes to likeness, and the table and plot of docs/quality.md, from the runs of bench/quality.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from bench.quality_rows import POINTS, ROWS
from ti_core.files import save_atomically, save_text
from ti_core.workspace import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "quality.md"
PLOT = REPOSITORY / "docs" / "images" / "quality.png"
LIKENESS = 0.95
BEGIN, END = "<!-- table: bench/quality.py --write -->", "<!-- end of the table -->"
COLOURS = (
    "#9ca3af",
    "#2563eb",
    "#16a34a",
    "#7c3aed",
    "#0891b2",
    "#ca8a04",
    "#be185d",
    "#65a30d",
    "#0f766e",
    "#9333ea",
    "#b45309",
    "#475569",
    "#db2777",
    "#ea580c",
    "#111827",
    "#15803d",
)


def mean_runs(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each row the means over its runs: identity and obedience at the chosen step, and by passes; the runs
    themselves stay beside them.
    """
    rows: dict[str, dict[str, Any]] = {}
    for run in runs:
        rows.setdefault(run["key"][0], {"runs": []})["runs"].append(run)
    for row in rows.values():
        found = row["runs"]
        row["identity"], row["obedience"] = (
            round(float(np.mean([run["best"][i] for run in found])), 4) for i in (0, 1)
        )
        row["count"] = len(found)
        points = [p for p in map(str, POINTS) if any(p in run["curve"] for run in found)]
        row["by_passes"] = {p: _means([run["curve"][p] for run in found if p in run["curve"]]) for p in points}
        if points:
            row["chosen_passes"] = round(float(np.mean([run["best_passes"] for run in found])), 1)
            row["best_snapshot"] = max(row["by_passes"][p]["identity"] for p in points)
            row["short_of_own_best"] = round(
                float(np.mean([max(v[0] for v in run["curve"].values()) - run["best"][0] for run in found])), 4
            )
    return rows


def of_the_mark(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How the marked step compares with each run's own snapshot of the most identity, in percent: `short` of identity
    and `obeys` more, means over the runs, with those of the last evaluated step and of the lowest loss beside them.
    """
    chosen: dict[str, list[tuple[float, float]]] = {"mark": [], "by_loss": [], "last": []}
    measured = [run for run in runs if run["curve"] and "by_loss" in run]
    for run in measured:
        last = run["curve"][max(run["curve"], key=int)]
        snapshots = [*run["curve"].values(), run["best"], run["by_loss"][1:]]
        best = max(snapshots, key=lambda found: (found[0], found[1]))
        for name, found in (("mark", run["best"]), ("by_loss", run["by_loss"][1:]), ("last", last)):
            chosen[name].append((best[0] - found[0], found[1] - best[1]))
    means = {
        name: {
            key: round(100 * float(np.mean([pair[i] for pair in pairs])), 2) for i, key in enumerate(("short", "obeys"))
        }
        for name, pairs in chosen.items()
        if pairs
    }
    is_last = [run["best_step"] == max(map(int, run["bests"])) for run in measured if run["bests"]]
    return {"runs": len(measured), **means, "mark_is_last": sum(is_last)}


def _person(run: Mapping[str, Any]) -> str:
    """Whom a run was about: the people's seed and a number from 1 on."""
    return f"{run['key'][2]}-{run['key'][3] + 1}"


def _means(values: Sequence[Sequence[float]]) -> dict[str, float]:
    """Of the runs that were measured there; `runs` is their number."""
    identity, obedience, norm = (round(float(v), 4) for v in np.mean(values, axis=0))
    return {"identity": identity, "obedience": obedience, "norm": norm, "runs": len(values)}


def likeness(row: Mapping[str, Any], a1111: Mapping[str, Any] | None) -> dict[str, Any]:
    """Mean over the people of the passes until 95% of the best identity that A1111's recipe ever reaches on that
    person.

    A person's curve is the mean over the training seeds, read between the measured points on a logarithmic scale of
    passes. People who never get there count with the last measured point, and are told apart.
    """
    if a1111 is None or not row["by_passes"]:
        return {}
    goals = {person: LIKENESS * max(curve.values()) for person, curve in _curves(a1111["runs"]).items()}
    found = {
        person: passes_to(curve, goals[person]) for person, curve in _curves(row["runs"]).items() if person in goals
    }
    last = max(int(p) for p in row["by_passes"])
    reached = [passes for passes in found.values() if passes is not None]
    return {
        "passes_to_likeness": (
            round(float(np.mean([last if passes is None else passes for passes in found.values()])), 1)
            if found
            else None
        ),
        "median_passes_to_likeness": (
            round(float(np.median([last if passes is None else passes for passes in found.values()])), 1)
            if found
            else None
        ),
        "people_who_got_there": f"{len(reached)} of {len(found)}",
    }


def _curves(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    """Person -> passes -> identity, the mean over the training seeds."""
    people: dict[str, dict[int, list[float]]] = {}
    for run in runs:
        for passes, values in run["curve"].items():
            people.setdefault(_person(run), {}).setdefault(int(passes), []).append(values[0])
    return {
        person: {passes: float(np.mean(values)) for passes, values in sorted(curve.items())}
        for person, curve in people.items()
    }


def passes_to(curve: Mapping[int, float], goal: float) -> float | None:
    """Where the curve first reaches the goal; None if it never does."""
    before: tuple[int, float] | None = None
    for passes, identity in sorted(curve.items()):
        if identity >= goal:
            if before is None or identity == before[1]:
                return float(passes)
            share = (goal - before[1]) / (identity - before[1])
            return math.exp(math.log(before[0]) + share * (math.log(passes) - math.log(before[0])))
        before = (passes, identity)
    return None


def oracle(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The row "oracle": for each person the best that was had with 200 photos, at any snapshot of any of its rows."""
    best: dict[str, tuple[float, float]] = {}
    for run in (run for name, row in results.items() if name.startswith("oracle") for run in row["runs"]):
        found = max((v[0], v[1]) for v in (*run["curve"].values(), run["best"]))
        best[_person(run)] = max(found, best.get(_person(run), (0.0, 0.0)))
    if not best:
        return {}
    identity, obedience = (round(float(np.mean([found[i] for found in best.values()])), 4) for i in (0, 1))
    people = {person: round(found[0], 4) for person, found in sorted(best.items())}
    return {"oracle": {"identity": identity, "obedience": obedience, "by_person": people}}


def by_person(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Identity of each person in percent, a column for each row: in words, the oracle, and at the marked steps. Where
    words and oracle are low, the model is the limit; where the oracle is higher than a recipe's row, its 12 photos or
    its optimization are.
    """
    found: dict[str, dict[str, float]] = {}
    for name, row in results.items():
        runs = [run for run in row["runs"] if name not in ("known", "class") and not name.startswith("oracle")]
        for person in {_person(run) for run in runs}:
            found.setdefault(name, {})[person] = float(np.mean([r["best"][0] for r in runs if _person(r) == person]))
    if ceiling := oracle(results).get("oracle"):
        found["oracle"] = ceiling["by_person"]
    people = sorted({person for row in found.values() for person in row})
    lines = [_line(["person", *found]), _line(["---"] * (len(found) + 1))]
    for person in people:
        cells = [f"{100 * row[person]:.1f}" if person in row else "" for row in found.values()]
        lines.append(_line([person, *cells]))
    return "\n".join(lines) if found else ""


def show(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The results as a table in Markdown: identity / obedience by passes, in percent."""
    heads = ["row", "runs", *(f"{p:,}" for p in POINTS), "at the marked step (passes)", "passes to likeness"]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for name, found in results.items():
        cells = [
            _pair(values := found["by_passes"].get(str(p)))
            + (f" ({values['runs']} runs)" if values and values["runs"] < found["count"] else "")
            for p in POINTS
        ]
        chosen = f"{_pair(found)} ({found['chosen_passes']:.0f})" if found["by_passes"] else _pair(found)
        there = (
            f"{found['passes_to_likeness']:.0f} ({found['people_who_got_there']})"
            if found.get("passes_to_likeness")
            else ""
        )
        lines.append(
            _line([ROWS[name].title, str(found["count"]) if found["by_passes"] else "", *cells, chosen, there])
        )
    return "\n".join(lines)


def _pair(values: Mapping[str, float] | None) -> str:
    return f"{100 * values['identity']:.1f} / {100 * values['obedience']:.1f}" if values else ""


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def save_report(results: Mapping[str, Mapping[str, Any]], people_seed: str) -> None:
    """Put the table between its two marks in docs/quality.md, and draw the plot beside it."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    save_text(
        DOCUMENT,
        f"{before}{BEGIN}\nPeople of seed {people_seed}.\n\n{show(results)}\n\n{by_person(results)}\n{END}{after}",
    )
    save_atomically(PLOT, lambda part: draw_plot(results).save(part, "PNG"))


def draw_plot(results: Mapping[str, Mapping[str, Any]]) -> Image.Image:
    """Identity (left) and obedience (right) over image passes, logarithmic, one line a row; the known names are a
    level.
    """
    picture = Image.new("RGB", (1500, 560), "white")
    pen, names = ImageDraw.Draw(picture), list(results)
    for place, key in enumerate(("identity", "obedience")):
        _draw_panel(pen, (60 + place * 600, 40, 500, 440), key, results)
    for i, name in enumerate(names):
        pen.text((1240, 40 + 18 * i), ROWS[name].title[:44], COLOURS[i % len(COLOURS)])
    return picture


def _draw_panel(
    pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], key: str, results: Mapping[str, Mapping[str, Any]]
) -> None:
    left, top, width, height = box
    values = [v[key] for row in results.values() for v in (*row["by_passes"].values(), row)]
    low, high = min(values) - 0.02, max(values) + 0.02

    def at(passes: float, value: float) -> tuple[float, float]:
        return left + width * math.log(passes / POINTS[0]) / math.log(POINTS[-1] / POINTS[0]), top + height * (
            high - value
        ) / (high - low)

    pen.rectangle((left, top, left + width, top + height), outline="#9ca3af")
    pen.text((left, top - 18), f"{key}, % by image passes", "black")
    for passes in POINTS:
        pen.text((at(passes, low)[0] - 8, top + height + 6), str(passes), "black")
    for level in range(math.ceil(low * 20), math.floor(high * 20) + 1):
        pen.text((left - 26, at(POINTS[0], level / 20)[1] - 5), str(level * 5), "black")
    for i, (name, row) in enumerate(results.items()):
        line = [at(int(p), v[key]) for p, v in row["by_passes"].items()] or [
            at(POINTS[0], row[key]),
            at(POINTS[-1], row[key]),
        ]
        pen.line(line, fill=COLOURS[i % len(COLOURS)], width=4 if name in ("a1111", "ours") else 2)
