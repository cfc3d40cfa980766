"""Counts and times of one served version, as the inference protocol's statistics extension reports them."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """How often something happened, and how long it took in all."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """One more, which took `seconds`."""
        self.count += 1
        self.ns += round(seconds * 1e9)


@dataclass(slots=True)
class LaneStatistics:
    """What the batches of one lane took: waiting (by request), latents, the graph, handing out."""

    rows: int = 0
    queue: Tally = field(default_factory=Tally)
    input: Tally = field(default_factory=Tally)
    run: Tally = field(default_factory=Tally)
    output: Tally = field(default_factory=Tally)

    def record(self, rows: int, input_s: float, run_s: float, output_s: float) -> None:
        """One batch has been computed and handed out."""
        self.rows += rows
        self.input.add(input_s)
        self.run.add(run_s)
        self.output.add(output_s)


@dataclass(slots=True)
class RequestStatistics:
    """Requests of one version, from the check of the request to its images."""

    success: Tally = field(default_factory=Tally)
    fail: Tally = field(default_factory=Tally)
    last_ms: int = 0

    def record(self, seconds: float, *, ok: bool) -> None:
        """One request has ended."""
        (self.success if ok else self.fail).add(seconds)
        self.last_ms = time.time_ns() // 1_000_000
