"""Flags that say on which devices jobs run, and how long these keep what they hold."""

from __future__ import annotations

import argparse

from ti_core.jobs.worker import FREE_AFTER_MIN
from ti_core.models.chosen_device import device_name


def add_device_flags(parser: argparse.ArgumentParser) -> None:
    """Those of the server."""
    parser.add_argument(
        "--device",
        "--device-id",
        metavar="NAMES",
        default="",
        help="devices on which jobs run, such as cuda:1 or cuda:0,cuda:1 (default: every card of this computer, or the"
        " processor where there is none); each does one job at a time",
    )
    parser.add_argument(
        "--free-after",
        metavar="MINUTES",
        type=_minutes,
        default=FREE_AFTER_MIN,
        help="give a card's memory back when no job came for so long; 0 keeps the model for ever"
        f" (default: {FREE_AFTER_MIN:.0f})",
    )


def named_devices(typed: str) -> list[str]:
    """The devices of --device, as torch names them. Raises UserError for what can be none."""
    return [device_name(name) for name in typed.split(",") if name.strip()]


def _minutes(typed: str) -> float:
    minutes = float(typed)
    if not 0 <= minutes <= 100_000:
        raise ValueError
    return minutes
