"""Who may do what: every handler of the page asks for the role "may train", but for those that are marked as only
looking.

The check stands at the function itself, so it holds for buttons, plain HTTP, the API and MCP alike.
"""

from __future__ import annotations

import functools
import hmac
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import gradio as gr

from ti_core.errors import UserError
from ti_core.ui.server.gradio_internals import current_request, handlers_of

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Person:
    """Whoever sends a request. An empty name is a stranger."""

    name: str
    may_train: bool = False


STRANGER = Person("")
AT_THIS_COMPUTER = Person("local", may_train=True)
VISITOR = Person("visitor")
"""Whoever comes to a page that everybody may look at."""
ASSISTANT = Person("assistant", may_train=True)
"""Who comes with the token of MCP."""


@dataclass(frozen=True)
class Login:
    """A password, and whether who knows it may train or only look."""

    password: str = field(repr=False)
    may_train: bool


@dataclass(frozen=True)
class Logins:
    """Names with their passwords and roles. None at all means that the page is for this computer alone."""

    of: Mapping[str, Login] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.of)

    def person(self, name: str | None) -> Person:
        """The person of this name; a stranger if no login has it."""
        login = self.of.get(name or "")
        return Person(name or "", login.may_train) if login else STRANGER

    def fits(self, name: str, password: str) -> bool:
        """Compares without telling by its duration how much was right, or whether the name exists."""
        login = self.of.get(name) or Login("", False)
        return hmac.compare_digest(password.encode(), login.password.encode()) & (name in self.of)


def read_only(handler: F) -> F:
    """Mark a handler that changes nothing on the server."""
    handler.is_read_only = True  # type: ignore[attr-defined]
    return handler


def current_user() -> Person:
    """The person behind the call under way; our own code and tests count as this computer."""
    return person_of(current_request())


def person_of(request: Any) -> Person:
    """The person behind a request of gradio's; none at all is our own code or a test."""
    if request is None:
        return AT_THIS_COMPUTER
    # gradio wraps the request of an event, and not that of a server function
    raw = getattr(request, "request", None) or request
    person = raw.scope.get("person", STRANGER)
    return person if isinstance(person, Person) else STRANGER


def may_call(handler: Any, person: Person) -> None:
    """Raise UserError if the person may look only, and the handler does more."""
    if handler is not None and not getattr(handler, "is_read_only", False):
        check_may_train(person)


def check_may_train(person: Person | None = None) -> None:
    """Raise UserError if the person, by default the one behind the call under way, may look only."""
    person = person or current_user()
    if not person.may_train:
        raise UserError(
            "You may look, but change nothing here.",
            f"Ask the owner of this page for a login that may train{_instead_of(person)}.",
        )


def _instead_of(person: Person) -> str:
    return f"; you are signed in as '{person.name}'" if person.name else ""


def for_trainers(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The handler with the check before it, and with the same parameters, by which gradio knows what to hand over."""
    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def checked_async(*given: Any, **named: Any) -> Any:
            _refuse_lookers()
            return await handler(*given, **named)

        return checked_async

    @functools.wraps(handler)
    def checked(*given: Any, **named: Any) -> Any:
        _refuse_lookers()
        return handler(*given, **named)

    return checked


def _refuse_lookers() -> None:
    try:
        check_may_train()
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from None


def guard_handlers(blocks: gr.Blocks, public: Collection[str] = ()) -> None:
    """Put the check before every handler of the page that is not marked with `read_only`; only what stands in the API
    is shown to programs.
    """
    for event in handlers_of(blocks):
        if event.api_name not in public:
            event.api_visibility = "private"
        if event.fn and not getattr(event.fn, "is_read_only", False):
            event.fn = for_trainers(event.fn)
