"""How long a run goes on: a number of images, a time, or whichever ends first; a quality may end it earlier."""

from pydantic import Field, model_validator

from trainer.config import Config
from trainer.quality import QualityTarget


class BudgetConfig(Config):
    """At least one of the two limits is needed."""

    images: int | None = Field(default=None, ge=1)
    """Training images shown to the discriminator, repeats counted; null: no such limit."""

    max_minutes: float | None = Field(default=None, gt=0)
    """Minutes spent training, over all resumes; null: no such limit."""

    target: QualityTarget | None = None
    """A quality that ends the run once it is reached, e.g. ``{metric: frechet_ratio, value: 20}``; null: none."""

    @model_validator(mode="after")
    def _limited(self) -> "BudgetConfig":
        if self.images is None and self.max_minutes is None:
            raise ValueError("images and max_minutes are both null, one limit is needed")
        return self

    def progress(self, images: int, seconds: float) -> float:
        """Share of the budget used, by the limit that is nearer; 1 or more ends the run."""
        shares = [0.0]
        if self.images is not None:
            shares.append(images / self.images)
        if self.max_minutes is not None:
            shares.append(seconds / (60 * self.max_minutes))
        return max(shares)
