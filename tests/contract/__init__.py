"""The wire contract as golden files: the OpenAPI document, the proto descriptors, the metrics' names.

`make golden` writes them anew, and refuses what would break a client unless it is told so: `make golden BREAKING=1`.
"""
