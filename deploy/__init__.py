"""What it takes to run the platform beyond one machine."""
