"""``python -m vol_platform.store.server --data DIR --port N``."""

import sys

from vol_platform.store.server.process import main

sys.exit(main())
