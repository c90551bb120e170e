"""Textual Inversion: what the page, the command line and the tests call. Nothing of it tells anybody on the network
what is done here.
"""

import os

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # it recommends a package that nothing here needs
