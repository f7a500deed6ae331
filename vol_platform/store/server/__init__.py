"""The embedded engine behind ClickHouse's own HTTP interface, as a process."""
