"""The server: two thin transports over one engine. It imports no torch and nothing of the trainer."""
