"""python -m ti_core"""

import sys

from ti_core.cli import main

sys.exit(main())
