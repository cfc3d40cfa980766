"""What a user can mend about a synthesis."""


class SynthesisError(ValueError):
    """Options, a folder, or filters that do not go together; the message names the value and what is allowed."""


class WorkplaceTaken(SynthesisError):
    """Another run is at work in the folder."""
