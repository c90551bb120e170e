"""`python -m tests.program.run_file FILE ...` runs the file as a program."""

import runpy
import sys

if __name__ == "__main__":
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
