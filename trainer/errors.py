"""Errors a user can cause, each one sentence that names the value and what is allowed.

::

    ValueError
    └─ TrainerError       shown without a trace by the command line
       ├─ ConfigError     a recipe, a `--set`, or a field's value
       ├─ DataError       images that are missing, unreadable or do not fit together
       ├─ RunError        a run folder that cannot be used or resumed
       │  ├─ RunHeld            another process works in it
       │  └─ CheckpointDamaged  its state cannot be read
       ├─ CollapseError   a run that collapsed more often than it may
       └─ ExportError     a graph that does not load, run or agree with its reference
"""


class TrainerError(ValueError):
    """What a user can mend; the message says how."""


class ConfigError(TrainerError):
    """A recipe or an override names an unknown field or a value that is not allowed."""


class DataError(TrainerError):
    """The images cannot be read or cannot be trained on as they are."""


class RunError(TrainerError):
    """The run folder belongs to another run, or its checkpoint cannot be read."""


class RunHeld(RunError):
    """Another process works in the run folder."""


class CheckpointDamaged(RunError):
    """A checkpoint does not hold what was written into it, or never was one of this trainer."""


class CollapseError(TrainerError):
    """The generator or a loss went wrong again after the run had been rolled back once."""


class ExportError(TrainerError):
    """An exported graph fails to load, to run, or to agree with its reference."""
