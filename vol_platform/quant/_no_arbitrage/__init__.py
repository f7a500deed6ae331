"""Proofs and checks that a surface, or the quotes themselves, allow no arbitrage."""
