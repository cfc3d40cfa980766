"""A real server process, called by real clients."""
