"""Writes the generated files of `deploy/`: Grafana dashboards from panels, a PrometheusRule from the rule files."""
