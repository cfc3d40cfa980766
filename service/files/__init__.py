"""Files of clients: uploads of images, and the data sets that jobs made.

An upload is received to a temporary file while it is hashed (`receiving`), looked into by a process with little
memory (`inspection`, `inspector`), and kept under its SHA-256 (`blobs`) beside a row of the database (`file_store`).
Nothing of an upload that is refused stays. A job gets its images unpacked into its own folder (`unpacking`).
"""
