"""HOW the record is kept: Dagster assets, checks, partitions, automation, backfills."""
