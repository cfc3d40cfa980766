"""The evidence beside a package's graphs: `report.html` for people, `evaluation.json` for programs."""
