"""Textual Inversion: what the page, the command line and the tests call. Nothing of it tells anybody on the network
what is done here.
"""

import os
import sys

__version__ = "0.2.0"

if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    sys.exit(  # a sentence, where an older Python would show the trace of a syntax error
        f"error: Python {sys.version_info[0]}.{sys.version_info[1]} is not supported. Use Python 3.11, 3.12, 3.13"
        " or 3.14: webui.sh and webui.bat look for one by themselves."
    )

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # it recommends a package that nothing here needs
if not os.environ.get("OMP_WAIT_POLICY"):
    # How long torch's threads wait for each other in a loop before they sleep. GNU OpenMP's own 300,000 rounds are
    # milliseconds, which a browser beside it turns into steps that take ten times as long (bench/cpu_threads.py).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import ti_core.network  # noqa: F401 - sets the environment for whoever makes an HTTP client
