"""What Dagster loads: the record, with the settings of this process."""

import dagster as dg

from vol_platform.record.graph import build_definitions
from vol_platform.settings import load_settings

__all__ = ["definitions"]


@dg.definitions
def definitions() -> dg.Definitions:
    """Return the definitions of the record."""
    return build_definitions(load_settings())
