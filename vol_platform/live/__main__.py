"""``python -m vol_platform.live``."""

import os
import sys

# One market is under a thousand rows: handing them to a pool of threads costs more than it saves,
# and takes the cores from the store and the streamer.  Polars reads this once, when first imported.
os.environ.setdefault("POLARS_MAX_THREADS", "1")  # noqa: TID251 - must come before the import

from vol_platform.live.main import main

sys.exit(main())
