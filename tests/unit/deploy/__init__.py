"""The files that operators build and start from."""
