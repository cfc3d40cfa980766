"""Write the golden files anew: `make golden`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from runtime.atomic import write_atomic
from tests.contract.breaking import BREAKING
from tests.contract.current import CURRENT

GOLDEN = Path(__file__).parent / "golden"


def read(name: str) -> dict[str, Any]:
    """What a golden file holds."""
    content: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return content


def refresh(folder: Path = GOLDEN, *, breaking: bool = False) -> list[str]:
    """Write every file that differs, unless clients would break; returns what would break them."""
    problems = []
    for name, current in CURRENT.items():
        path, content = folder / f"{name}.json", current()
        if path.exists():
            problems += BREAKING[name](json.loads(path.read_text()), content)
    if problems and not breaking:
        return problems
    for name, current in CURRENT.items():
        content = current()
        write_atomic(folder / f"{name}.json", json.dumps(content, indent=1, sort_keys=True).encode() + b"\n")
    return []


def main() -> int:
    """The command; 1 where something would break."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--breaking", action="store_true", help="accept changes that break clients")
    problems = refresh(breaking=parser.parse_args().breaking)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("This breaks clients: mend it, or accept it with BREAKING=1 and a changelog line.", file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
