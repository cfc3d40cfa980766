"""Training systems: what the loop drives without knowing what is inside."""
