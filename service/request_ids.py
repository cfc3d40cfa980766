"""The id that a request carries through answers and logs, on every transport."""

import random
import re

_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id(given: object) -> str:
    """`given`, the client's own id, where it is safe to repeat in headers and logs; else a new one."""
    return given if isinstance(given, str) and _GIVEN.fullmatch(given) else f"{random.getrandbits(128):032x}"
