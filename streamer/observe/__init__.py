"""What the collector tells of itself: metrics, lags, health."""
