"""``python -m trainer.finetune --job FOLDER``: `latentd finetune` where the command is not installed."""

from trainer.finetune.cli import finetune

finetune(prog_name="python -m trainer.finetune")
