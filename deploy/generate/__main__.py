"""Write every generated file of `deploy/`: python -m deploy.generate"""

import json
from pathlib import Path

from deploy.generate.host_dashboard import host_dashboard
from deploy.generate.jobs_dashboard import jobs_dashboard
from deploy.generate.prometheus_rule import prometheus_rule
from deploy.generate.service_dashboard import service_dashboard

_DEPLOY = Path(__file__).resolve().parents[1]


def generated_files() -> dict[Path, str]:
    """The content of every generated file."""
    files = {
        _DEPLOY / "grafana" / "dashboards" / f"{board['uid']}.json": json.dumps(board, indent=2) + "\n"
        for board in (service_dashboard(), jobs_dashboard(), host_dashboard())
    }
    rules = sorted((_DEPLOY / "prometheus" / "rules").glob("*.yml"))
    files[_DEPLOY / "kubernetes" / "monitoring" / "prometheusrule.yaml"] = prometheus_rule(rules)
    return files


def main() -> None:
    """Write them and name them."""
    for path, content in generated_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        print(path.relative_to(_DEPLOY.parent))


if __name__ == "__main__":
    main()
