"""python -m ti_core"""

import sys

from ti_core.cli.main import main

sys.exit(main())
