"""Where messages go: sealed segments into ClickHouse, each exactly once."""
