"""python -m tests.pretend_cuda COMMAND ...: runs a command, and the Python processes it starts, with the device.

PRETEND_MIB, PRETEND_COUNT, PRETEND_BF16 and PRETEND_FLASH say what card it is (README.md).
"""

from __future__ import annotations

import os
import sys

from tests.pretend_cuda.build import CannotBuild, environment


def main() -> None:
    if not sys.argv[1:]:
        sys.exit(__doc__)
    try:
        os.environ.update(environment())
    except CannotBuild as error:
        sys.exit(f"There is no pretend device here: {error}.")
    command = sys.argv[1:]
    if command[0].endswith(".py") or command[0] == "-m":
        command = [sys.executable, *command]
    os.execvp(command[0], command)


main()
