"""`latentd train` for torchrun: ``torchrun --nproc-per-node 2 -m trainer -- RECIPE --run RUN``.

Without the ``--`` torchrun takes ``--run`` for an option of its own.
"""

import sys

from trainer.cli import train

if sys.argv[1:2] == ["--"]:
    del sys.argv[1]
train(prog_name="python -m trainer")
