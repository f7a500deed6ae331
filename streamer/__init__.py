"""The standalone collector: Deribit's WebSocket to sealed segments on disk to ClickHouse."""
