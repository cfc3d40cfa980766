"""Ratios, measured in the run that states them."""
