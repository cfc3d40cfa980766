"""What an upload may be at most."""

from pydantic import BaseModel, ConfigDict, Field


class FileLimits(BaseModel):
    """Caps of an upload; they are given to the process that looks into it as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    bytes: int = Field(default=2 << 30, ge=1)
    """Of the file as it is sent."""

    images: int = Field(default=80_000, ge=1)
    """Pictures, and members of an archive of whatever kind."""

    side: int = Field(default=4096, ge=1)
    """Pixels of an image's longer side."""

    ratio: int = Field(default=100, ge=1)
    """Unpacked contents to the file's size, beyond 64 MiB of them."""

    unpacked_bytes: int = Field(default=8 << 30, ge=1)
    """Of all contents together."""

    member_bytes: int = Field(default=64 << 20, ge=1)
    """Of one encoded picture."""

    rejected_share: float = Field(default=0.1, ge=0, le=1)
    """Of pictures that cannot be read; beyond it the upload is refused."""

    seconds: float = Field(default=300.0, gt=0)
    """For looking into it."""

    memory_bytes: int = Field(default=2 << 30, ge=1 << 28)
    """Of the process that looks into it."""
