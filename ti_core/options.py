"""What an option is, and what all settings can do: defaults, JSON both ways, checks that report every problem at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from ti_core.errors import SettingsError, shown_number


@dataclass(frozen=True)
class Option:
    """What the page and the command line show of a setting.

    `control` is textbox, number, slider, checkbox, dropdown or radio. `choices` are fixed ones; lists that are read from
    disk (embeddings, templates, checkpoints) are filled in by the page. `a1111` is A1111's own name of the setting, in its settings
    files and its API. `of_size` gives the value that goes with the size in px of a checkpoint's pictures; 0 then stands for that value.
    """

    label: str
    help: str
    control: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    placeholder: str = ""
    required: bool = False
    of_size: Callable[[int], int] | None = None
    lines: int = 1
    a1111: str = ""

    @property
    def zero_is_auto(self) -> bool:
        return self.of_size is not None


def option(default: Any, label: str, control: str, help: str, **more: Any) -> Any:
    return field(default=default, metadata={"option": Option(label=label, help=help, control=control, **more)})


S = TypeVar("S", bound="Settings")


@dataclass(frozen=True)
class Settings:
    @classmethod
    def options(cls) -> dict[str, Option]:
        """Name of each setting -> what the page shows of it, in the page's order."""
        return {f.name: f.metadata["option"] for f in fields(cls)}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        return {f.name: f.default for f in fields(cls)}

    @classmethod
    def from_dict(cls: type[S], values: dict[str, Any]) -> S:
        """From JSON or a form; unknown names are refused, missing ones take their default, numbers are converted.

        Raises SettingsError naming every value that is not of the option's kind.
        """
        defaults, problems, kept = cls.defaults(), [], {}
        for name in values.keys() - defaults.keys():
            problems.append(f"There is no setting called '{name}'.")
        for name, default in defaults.items():
            value = values.get(name, default)
            try:
                kept[name] = _converted(value, default)
            except (TypeError, ValueError, OverflowError):
                kind = "a whole number" if type(default) is int else "a number"
                problems.append(f"{cls.options()[name].label}: '{value}' is not {kind}.")
        if problems:
            raise SettingsError(problems)
        return cls(**kept)

    def sized(self: S, size_px: int) -> S:
        """With the values that go with a checkpoint whose pictures have `size_px` where none was given."""
        own = self.own_sizes(size_px)
        return dataclasses.replace(self, **{name: value for name, value in own.items() if not getattr(self, name)})

    @classmethod
    def own_sizes(cls, size_px: int) -> dict[str, int]:
        """Name -> value of all settings that follow the size of a checkpoint's pictures."""
        return {name: option.of_size(size_px) for name, option in cls.options().items() if option.of_size}

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def a1111_values(self) -> dict[str, Any]:
        """The values under A1111's names, of those that it knows."""
        return {option.a1111: getattr(self, name) for name, option in self.options().items() if option.a1111}

    def problems(self) -> list[str]:
        """One sentence for each value that cannot be used."""
        found = []
        for name, option in self.options().items():
            value = getattr(self, name)
            if isinstance(value, str) and option.required and not value.strip():
                found.append(f"{option.label} is empty. {option.help}")
            elif option.choices and value not in option.choices:
                found.append(f"{option.label} is '{value}'. Choose one of: {', '.join(option.choices)}.")
            elif isinstance(value, int | float) and not isinstance(value, bool) and not (option.zero_is_auto and value == 0):
                found.extend(_range_problem(option, value))
        return found

    def check(self) -> None:
        """Raise SettingsError with every problem at once."""
        if found := self.problems():
            raise SettingsError(found)


def _converted(value: Any, default: Any) -> Any:
    """`value` as the type of `default`; a form gives 3.0 for 3 and None for an empty box."""
    if isinstance(default, bool):
        return bool(value)
    if isinstance(default, int):
        number = float(0 if value in (None, "") else value)
        if number != int(number):
            raise ValueError
        return int(number)
    if isinstance(default, float):
        return float(0 if value in (None, "") else value)
    return "" if value is None else str(value)


def _range_problem(option: Option, value: float) -> list[str]:
    low, high = option.minimum, option.maximum
    if value != value or (low is not None and value < low) or (high is not None and value > high):
        upto = f" and at most {shown_number(high)}" if high is not None else ""
        return [f"{option.label} is {shown_number(value)}. It must be at least {shown_number(low or 0)}{upto}."]
    if option.step == 8 and value % 8:
        return [f"{option.label} is {shown_number(value)}. It must be a multiple of 8."]
    return []
