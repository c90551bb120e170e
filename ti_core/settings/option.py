"""What an option is, and what all settings can do: defaults, JSON both ways, checks that report every problem at once,
and the lists that follow from the declarations.
"""

from __future__ import annotations

import dataclasses
import math
import re
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

from ti_core.errors import Problem, SettingsError, shown_number
from ti_core.typed_paths import plain_path

SHOWN_CHARACTERS, SHOWN_NAMES = 60, 10
"""How much of a foreign value, and how many foreign names, a sentence repeats."""


@dataclass(frozen=True)
class Group:
    """Options that the page folds away together under a title; `name` is part of the element's id."""

    name: str
    title: str


@dataclass(frozen=True)
class Option:
    """All that is known of a setting, beside its default: what the page and the command line show, and who cares."""

    label: str
    help: str
    control: str
    """textbox, number, slider, checkbox, dropdown or radio."""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    """Fixed ones; lists that are read from disk (embeddings, templates, checkpoints) are filled in by the page."""
    placeholder: str = ""
    required: bool = False
    lines: int = 1
    takes_number: bool = False
    """For texts that are usually one number, such as a learning rate: programs may send it as one."""
    is_path: bool = False
    """For texts that name a folder: quotes around it and the like are left out (`typed_paths.py`)."""
    of_size: Callable[[int], int] | None = None
    """The value that goes with the size in px of a checkpoint's pictures; 0 then stands for that value."""

    group: Group | None = None
    """Where the page shows it: that of the option before it, if none is given."""
    shown_with: str = ""
    """Name of the switch without which the page hides it."""
    changes_plan: bool = False
    """Whether what the page says before the start depends on it."""
    reset_by_presets: bool = False
    """Whether a preset that does not name it sets it to its default. All of A1111's are, but the sizes."""

    a1111: str = ""
    """A1111's own name of it, in its settings files and its API."""
    flag: str = ""
    """A second flag of the command line, for a shorter name."""
    positional: bool = False
    """Whether the command line takes it without a flag."""
    page_only: bool = False
    """Whether the command line leaves it out."""

    other_ranks: Any = None
    """Of a training on several devices only the first process needs it; the value in all others."""
    evaluation_field: int = 0
    """Its rank in the sign of what an evaluation measures, where it changes the measured loss; 0 where it does not.
    Signs are kept with the runs, so a rank that was given stays.
    """

    @property
    def zero_is_auto(self) -> bool:
        """Whether 0 stands for the checkpoint's own value."""
        return self.of_size is not None

    def own(self, own_px: int) -> int:
        """What goes with a checkpoint whose pictures have `own_px`."""
        assert self.of_size, f"'{self.label}' does not follow the checkpoint"
        return self.of_size(own_px)

    def least(self, own_px: int = 0) -> float | None:
        """The lower bound, which is not above what goes with pictures of `own_px`; 0 where their size is not known."""
        return min(self.minimum or 0, self.own(own_px)) if self.zero_is_auto and own_px else self.minimum


def option(default: Any, label: str, control: str, help: str, **more: Any) -> Any:
    """The declaration of one setting; `more` are fields of `Option`."""
    return field(default=default, metadata={"option": Option(label=label, help=help, control=control, **more)})


S = TypeVar("S", bound="Settings")


@dataclass(frozen=True)
class Settings:
    """The settings of one kind of work. They may be wrong until `check` has looked at them."""

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Name of each setting -> what is known of it, in the page's order."""
        return {f.name: f.metadata["option"] for f in fields(cls)}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Name of each setting -> its default."""
        return {f.name: f.default for f in fields(cls)}

    @classmethod
    def names(cls, fact: str) -> list[str]:
        """Names of the settings for which this field of `Option` says something, such as "changes_plan"."""
        return [name for name, option in cls.options().items() if getattr(option, fact) not in (None, "", False)]

    @classmethod
    def grouped(cls) -> dict[Group | None, list[str]]:
        """Group -> names of its settings, in the page's order; those before the first group are under None."""
        found: dict[Group | None, list[str]] = {}
        group = None
        for name, option in cls.options().items():
            group = option.group or group
            found.setdefault(group, []).append(name)
        return found

    @classmethod
    def switched(cls) -> dict[str, list[str]]:
        """Switch -> names of the settings that the page hides without it."""
        found: dict[str, list[str]] = {}
        for name in cls.names("shown_with"):
            found.setdefault(cls.options()[name].shown_with, []).append(name)
        return found

    @classmethod
    def reset_values(cls) -> dict[str, Any]:
        """Name -> default of what a preset sets back where it is silent, so that whatever stood in a form before, it
        can be trained.
        """
        options = cls.options()
        return {
            name: default
            for name, default in cls.defaults().items()
            if options[name].reset_by_presets or (options[name].a1111 and not options[name].zero_is_auto)
        }

    @classmethod
    def other_rank_values(cls) -> dict[str, Any]:
        """Name -> value of what only the first of several processes needs, in the others."""
        return {name: option.other_ranks for name, option in cls.options().items() if option.other_ranks is not None}

    def evaluation_values(self) -> list[Any]:
        """The values that change what an evaluation measures, in the order of their ranks."""
        ranks = {name: option.evaluation_field for name, option in self.options().items() if option.evaluation_field}
        return [getattr(self, name) for name in sorted(ranks, key=ranks.__getitem__)]

    @classmethod
    def from_dict(cls: type[S], values: dict[str, Any]) -> S:
        """From JSON or a form; unknown names are refused, missing ones take their default, texts of numbers are
        converted.

        Raises SettingsError naming every value that is not of the option's kind.
        """
        kept = cls.from_kept(values)
        problems = [*(f"There is no setting called '{name}'." for name in kept.unknown), *kept.wrong]
        if problems:
            raise SettingsError(problems)
        return kept.settings

    @classmethod
    def from_kept(cls: type[S], written: object) -> KeptSettings[S]:
        """From a file that an older or a newer version may have written: what is known and of the right kind is
        used, the rest is told.
        """
        options, defaults = cls.options(), cls.defaults()
        values = written if isinstance(written, dict) else {}
        wrong = (
            []
            if isinstance(written, dict)
            else [Problem(f"The settings are {shown_value(written)}, and no list of names and values.")]
        )
        used = {}
        for name, default in defaults.items():
            try:
                used[name] = _converted(values[name], default, options[name]) if name in values else default
            except (TypeError, ValueError, OverflowError):
                used[name] = default
                wrong.append(Problem(_kind_problem(values[name], default, options[name]), name))
        unknown = tuple(str(name)[:SHOWN_CHARACTERS] for name in values if name not in defaults)
        missing = tuple(name for name in defaults if name not in values) if isinstance(written, dict) else ()
        return KeptSettings(cls(**used), unknown, missing, tuple(wrong))

    def sized(self: S, size_px: int) -> S:
        """With the values that go with a checkpoint whose pictures have `size_px` where none was given."""
        own = self.own_sizes(size_px)
        return dataclasses.replace(self, **{name: value for name, value in own.items() if not getattr(self, name)})

    @classmethod
    def own_sizes(cls, size_px: int) -> dict[str, int]:
        """Name -> value of all settings that follow the size of a checkpoint's pictures."""
        return {name: option.of_size(size_px) for name, option in cls.options().items() if option.of_size}

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    def a1111_values(self) -> dict[str, Any]:
        """The values under A1111's names, of those that it knows."""
        return {option.a1111: getattr(self, name) for name, option in self.options().items() if option.a1111}

    def problems(self, own_px: int = 0) -> list[Problem]:
        """One sentence for each value that cannot be used. `own_px` is the size of the checkpoint's pictures where it
        is known: what goes with it is allowed however small it is.
        """
        found: list[Problem] = []
        for name, option in self.options().items():
            value = getattr(self, name)
            if isinstance(value, str) and option.required and not value.strip():
                found.append(Problem(f"{option.label} is empty. {option.help}", name))
            elif option.choices and value not in option.choices:
                choices = ", ".join(option.choices)
                found.append(Problem(f"{option.label} is {shown_value(value)}. Choose one of: {choices}.", name))
            elif (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and not (option.zero_is_auto and value == 0)
            ):
                found.extend(Problem(sentence, name) for sentence in _range_problem(option, value, own_px))
        return found

    def check(self, own_px: int = 0) -> None:
        """Raise SettingsError with every problem at once; `own_px` as for `problems`."""
        if found := self.problems(own_px):
            raise SettingsError(found)


@dataclass(frozen=True)
class KeptSettings(Generic[S]):
    """What `from_kept` could use of a file, and what it could not: names that are not known here or not there, and
    a sentence for each wrong value.
    """

    settings: S
    unknown: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    wrong: tuple[Problem, ...] = ()

    def sentences(self) -> list[str]:
        """For the user; none for what this version wrote itself."""
        found = []
        if self.unknown:
            found.append(f"Settings of another version of this program are left out: {_listed(self.unknown)}.")
        if self.missing:
            usual = [f"{name} ({shown_value(getattr(self.settings, name))})" for name in self.missing]
            found.append(
                f"Settings that another version of this program did not know take their usual value: {_listed(usual)}."
            )
        return found + [f"{sentence} The usual value is used." for sentence in self.wrong]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def shown_value(value: object) -> str:
    """A foreign value as a sentence may show it: in quotes if it is a text, and never long."""
    if isinstance(value, str):
        return f"'{value[:SHOWN_CHARACTERS]}'"
    try:
        return reprlib.repr(value)[:SHOWN_CHARACTERS]
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return "a number of thousands of digits"


def _kind(default: Any) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number"}.get(type(default), "text")


def _kind_problem(value: object, default: Any, option: Option) -> str:
    """What is wrong with a value that `_converted` refuses."""
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    if is_number and (value is None or (isinstance(value, str) and not value.strip())):
        low, high = option.minimum, option.maximum
        upto = f" from {shown_number(low or 0)} to {shown_number(high)}" if high is not None else ""
        bounds = upto or (f" of {shown_number(low)} or more" if low is not None else "")
        return f"{option.label} is empty. Write {_kind(default)}{bounds}."
    sentence = f"{option.label}: {shown_value(value)} is not {_kind(default)}."
    if is_number and isinstance(value, str) and _THOUSANDS.fullmatch(value.strip()):
        sentence += f" Write it without a comma: {value.strip().replace(',', '')}."
    return sentence


_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")


def _number(value: Any, default: float) -> float:
    """The number that was typed or sent; 0,5 is 0.5 where a fraction is wanted. Nothing typed is no number."""
    if isinstance(value, str):
        value = value.strip()
        if isinstance(default, float) and _DECIMAL_COMMA.fullmatch(value):
            value = value.replace(",", ".")
    return float(value)


def _converted(value: Any, default: Any, option: Option) -> Any:
    """`value` as the type of `default`; a form gives 3.0 for 3, and None for an empty box, which is no number. Raises
    for what is of another kind.

    Nothing is guessed: a program that sends "false" for a switch means the opposite of what Python takes it for.
    """
    if isinstance(default, bool):
        if not isinstance(value, bool | int | float) or value not in (0, 1):
            raise ValueError
        return bool(value)
    if isinstance(value, bool | bytes):
        raise TypeError
    if isinstance(default, int | float):
        number = _number(value, default)
        if not math.isfinite(number) or (isinstance(default, int) and number != int(number)):
            raise ValueError
        return type(default)(number)
    if option.takes_number and isinstance(value, int | float) and math.isfinite(value):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise TypeError
    return plain_path(value or "") if option.is_path else value or ""


def _range_problem(option: Option, value: float, own_px: int) -> list[str]:
    low, high = option.least(own_px), option.maximum
    if value != value or (low is not None and value < low) or (high is not None and value > high):
        upto = f" and at most {shown_number(high)}" if high is not None else ""
        return [f"{option.label} is {shown_number(value)}. It must be at least {shown_number(low or 0)}{upto}."]
    if option.step == 8 and value % 8:
        return [f"{option.label} is {shown_number(value)}. It must be a multiple of 8."]
    return []
