"""Smaller and faster forms of an exported graph."""
