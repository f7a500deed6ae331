"""The calibration of a chain of slices, from a board to a surface without arbitrage."""
