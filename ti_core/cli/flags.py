"""Flags of the command line, from the declarations of the settings."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from typing import Any, Protocol, TypeVar

from ti_core.settings.option import Settings
from ti_core.workspace import Workspace


class _AddLine(argparse.Action):
    """For texts of several lines: the flag may be given once for each."""

    def __call__(self, parser: Any, namespace: Any, value: Any, option_string: str | None = None) -> None:
        before = getattr(namespace, self.dest, None)
        setattr(namespace, self.dest, value if before is None else f"{before}\n{value}")


AnySettings = TypeVar("AnySettings", bound=Settings)


class AddCommand(Protocol):
    """Adds a command: its name, what runs it, and what it does."""

    def __call__(
        self, name: str, run: Callable[[argparse.Namespace, Workspace], int], help: str
    ) -> argparse.ArgumentParser: ...


def add_flags(
    parser: argparse.ArgumentParser,
    settings: type[Settings],
    leave_out: Collection[str] = (),
    only: Collection[str] = (),
    may_miss: bool = False,
) -> None:
    """One flag for each option; absent flags leave the default to whoever builds the settings. With `may_miss` what
    has no flag may be left out too, because it may stand in a file.
    """
    defaults = settings.defaults()
    more: dict[str, Any]
    for name, option in settings.options().items():
        if name in leave_out or option.page_only or (only and name not in only):
            continue
        if option.positional:
            more = {"nargs": "?", "default": argparse.SUPPRESS} if may_miss else {}
            parser.add_argument(name, metavar=name.upper(), help=_escaped(option.help), **more)
            continue
        flags = ["--" + name.replace("_", "-")] + ([option.flag] if option.flag else [])
        usual = "empty" if defaults[name] == "" else defaults[name]
        default = "0, what goes with the checkpoint" if option.zero_is_auto else usual
        more = {"dest": name, "default": argparse.SUPPRESS}
        more["help"] = _escaped(f"{option.label}: {option.help} (default: {default})")
        if isinstance(defaults[name], bool):
            parser.add_argument(*flags, action=argparse.BooleanOptionalAction, **more)
        elif option.lines > 1:
            more["help"] += " The flag may be given several times, once for each line."
            parser.add_argument(*flags, metavar="LINE", action=_AddLine, **more)
        else:
            parser.add_argument(*flags, metavar="VALUE", **more)


def _escaped(help: str) -> str:
    """argparse fills in what follows a percent sign."""
    return help.replace("%", "%%")


def settings_of(settings: type[AnySettings], args: argparse.Namespace, **values: Any) -> AnySettings:
    """The given values, with the flags that were typed on top of them. Raises SettingsError."""
    typed = {name: value for name, value in vars(args).items() if name in settings.options()}
    return settings.from_dict({**values, **typed})
