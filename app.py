"""Starts the page: python app.py [--port 7860] [--share] ... The work is in ti_core."""

import sys

from ti_core.webui import main

if __name__ == "__main__":
    sys.exit(main())
