"""Generators with fewer channels or fewer weights, taught to draw what the whole one draws."""
