"""Pure volatility maths: no I/O, no clock, no Dagster, no ClickHouse."""
