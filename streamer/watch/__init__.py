"""What is missing: gaps found, said, bridged and repaired."""
