"""Makes guessing of passwords slow, and keeps nobody out who knows the right one."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from ti_core.ui.server.roles import Logins, Person

WRONG_PASSWORD_S = 1.0
"""Each wrong password takes this long, one after the other, whoever sends them."""
MOST_QUEUED_S = 10.0
"""As long as the queue of wrong passwords may be. Who comes later is turned away: with a wrong password only."""


class TooManyGuesses(Exception):
    """The queue of wrong passwords is full."""

    sentence = "Too many wrong passwords. Wait a minute."


@dataclass
class Guesses:
    """One queue for all wrong passwords, of the login and of A1111's addresses alike. Used in the server's event
    loop alone.

    The right password never waits: then no flood of wrong ones keeps the owner out. So a flood is limited by the
    connections that strangers may hold (`connections.py`), each of which takes WRONG_PASSWORD_S for a guess, and by
    the length of the password.
    """

    logins: Logins
    _ends: float = 0.0
    """When the last wrong password in the queue will have been answered (time.monotonic)."""

    async def person(self, name: str, password: str) -> Person | None:
        """Who it is; None, after a while, for a wrong password. Raises TooManyGuesses, after a while, when the queue
        is full.
        """
        if self.logins.fits(name, password):
            return self.logins.person(name)
        now = time.monotonic()
        is_full = self._ends > now + MOST_QUEUED_S
        if not is_full:  # counted before anything waits, so that a thousand at once count as a thousand
            self._ends = max(now, self._ends) + WRONG_PASSWORD_S
        await asyncio.sleep(WRONG_PASSWORD_S if is_full else self._ends - now)
        if is_full:
            raise TooManyGuesses
        return None
