"""``python -m trainer.search RECIPE …``: `latentd search` where the command is not installed."""

from trainer.search.cli import search_command

search_command(prog_name="python -m trainer.search")
