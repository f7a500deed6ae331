"""``python -m vol_platform.live``."""

import sys

from vol_platform.live.main import main

sys.exit(main())
