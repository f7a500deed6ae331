"""Pictures: smiles, surfaces, term structures; PNG bytes here, terminal renderings in `terminal`.

Every function takes rows of the tables ``surfaces`` and ``quotes_clean`` of one currency and one
snapshot, and returns the same bytes for the same rows.
"""

from vol_platform.plots.overview import overview_png
from vol_platform.plots.smile import slice_png, smile_png
from vol_platform.plots.surface import surface_png
from vol_platform.plots.term_structure import term_structure_png

__all__ = ["overview_png", "slice_png", "smile_png", "surface_png", "term_structure_png"]
