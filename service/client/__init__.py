"""A client of the server, for the command line: it uses the wire contract and nothing of the server's inside."""
