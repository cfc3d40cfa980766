"""What was measured of the recipes, and how: ``python -m trainer.results`` (`make results`)."""
