"""The database of files and jobs: its tables, its migrations, and the transactions everything goes through."""
