"""`latentd` for a process that does not know where the command was installed: ``python -m runtime``."""

from runtime.cli import main

main(prog_name="latentd")
