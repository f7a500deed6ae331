"""Numbers read off the surfaces: term structure and skew."""
