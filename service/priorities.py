"""Which of the server's threads gets a core first, where there are more of them than cores."""

import os
import sys

_STEPS = 2
"""Of niceness: the event loop's wake-ups come first, and a job, which runs 19 steps below, still gets next to nothing
of what serving wants. With five, clients beside a job waited a fifth longer."""


def stand_back() -> None:
    """Have the calling thread, which computes for milliseconds at a time, give way to the event loop, which every
    request needs for a moment. On Linux alone, where niceness is a thread's (sched(7)); elsewhere nothing happens.

    In a container or a service of systemd niceness counts among the threads inside, not against other services.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, 0, min(19, os.getpriority(os.PRIO_PROCESS, 0) + _STEPS))
