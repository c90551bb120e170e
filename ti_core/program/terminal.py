"""What is printed cannot command the terminal: names, prompts and messages come from other people's files and
requests.
"""

from __future__ import annotations

import re
import sys
from typing import Any

_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters of ASCII and Latin-1 but for tab and new line, the ends of a line, and those that turn the
direction of writing.
"""


def printable(text: str) -> str:
    """The text with each control character written out, as JSON writes it: a red word comes as \\u001b[31m."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class PrintableStream:
    """A text stream that writes `printable` text. A carriage return at the beginning stays: our own progress lines
    go back there.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        start = "\r" if text.startswith("\r") else ""
        end = "\r\n" if text.endswith("\r\n") and len(text) > 1 else ""
        self._stream.write(start + printable(text[len(start) : len(text) - len(end)]) + end)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def clean_terminal() -> None:
    """From now on all that this process prints is printable: our own lines, warnings, and the traces of gradio and
    of torch.
    """
    if not isinstance(sys.stdout, PrintableStream):
        sys.stdout = PrintableStream(sys.stdout)
    if not isinstance(sys.stderr, PrintableStream):
        sys.stderr = PrintableStream(sys.stderr)
