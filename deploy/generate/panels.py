"""Grafana panels and dashboards as JSON, in the form that Grafana 10 and later import.

Nothing names a data source, a job or an instance: all are variables, so that a dashboard works wherever it is put.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]

SCOPE = 'job=~"$job",instance=~"$instance"'
"""What every query of a dashboard selects: the servers chosen at its top."""

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH = 24  # columns of Grafana's grid


@dataclass(frozen=True)
class Query:
    """A PromQL expression and how its series are called; `legend` takes labels as ``{{label}}``."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel: what it shows (`content`) and its size in the grid."""

    content: Json
    width: int
    height: int


def timeseries(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str,
    stacked: bool = False,
    maximum: float | None = None,
    width: int = 8,
) -> Panel:
    """Lines over time; `stacked` areas where the parts make up a whole."""
    custom: Json = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if stacked else 8, "showPoints": "never"}
    if stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    defaults: Json = {"unit": unit, "min": 0, "custom": custom}
    if maximum is not None:
        defaults["max"] = maximum
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel("timeseries", title, description, queries, size=(width, 8), defaults=defaults, options=options)


def stat(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str,
    red_above: float | None = None,
    red_below: float | None = None,
    width: int = 4,
) -> Panel:
    """One number, red on the wrong side of a limit."""
    steps: list[Json] = [{"color": "green", "value": None}]
    if red_above is not None:
        steps.append({"color": "red", "value": red_above})
    if red_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": red_below}]
    defaults = {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}}
    options = {
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return _panel("stat", title, description, [query], size=(width, 4), defaults=defaults, options=options)


def heatmap(title: str, description: str, bucket_metric: str, *, unit: str, width: int = 8) -> Panel:
    """How often each range of a histogram was met, over time.

    Args:
        bucket_metric: the histogram's ``…_bucket`` series with its selector.
    """
    query = Query(f"sum by (le) (increase({bucket_metric}[$__rate_interval]))", "{{le}}")
    options = {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "steps": 64},
        "cellGap": 1,
        "yAxis": {"unit": unit, "axisPlacement": "left"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "legend": {"show": True},
    }
    return _panel("heatmap", title, description, [query], size=(width, 8), options=options, form="heatmap")


def table(title: str, description: str, query: Query, columns: Sequence[str], *, width: int = 12) -> Panel:
    """The labels of the series that exist now, one row for each."""
    options = {"showHeader": True}
    panel = _panel("table", title, description, [query], size=(width, 8), options=options, form="table")
    panel.content["targets"][0]["instant"] = True
    panel.content["transformations"] = [
        {"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}},
        {"id": "organize", "options": {"indexByName": {name: index for index, name in enumerate(columns)}}},
    ]
    return panel


def _panel(
    kind: str,
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    size: tuple[int, int],
    options: Json,
    defaults: Json | None = None,
    form: Literal["time_series", "heatmap", "table"] = "time_series",
) -> Panel:
    content = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": _SOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "format": form,
            }
            for index, query in enumerate(queries)
        ],
        "fieldConfig": {"defaults": defaults or {}, "overrides": []},
        "options": options,
    }
    return Panel(content, *size)


def dashboard(uid: str, title: str, description: str, rows: Sequence[tuple[str, Sequence[Panel]]]) -> Json:
    """A dashboard of titled rows; panels fill each row from the left and wrap.

    Firing alerts are drawn into every graph.
    """
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["latentd", "generated"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
                _variable("job", "Job", "label_values(latentd_build_info, job)"),
                _variable("instance", "Server", 'label_values(latentd_build_info{job=~"$job"}, instance)'),
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Alerts",
                    "enable": True,
                    "iconColor": "red",
                    "datasource": _SOURCE,
                    "expr": 'ALERTS{alertname=~"Latentd.*",alertstate="firing"}',
                    "titleFormat": "{{alertname}}",
                }
            ]
        },
        "panels": _laid_out(rows),
    }


def _variable(name: str, label: str, query: str) -> Json:
    """A choice of label values; all of them, by a pattern that holds for servers yet to come, unless chosen."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _laid_out(rows: Sequence[tuple[str, Sequence[Panel]]]) -> list[Json]:
    placed: list[Json] = []
    top = 0
    for title, panels in rows:
        placed.append(
            {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": _at(0, top, _WIDTH, 1)}
        )
        top, left, tallest = top + 1, 0, 0
        for panel in panels:
            if left + panel.width > _WIDTH:
                top, left, tallest = top + tallest, 0, 0
            placed.append({**panel.content, "gridPos": _at(left, top, panel.width, panel.height)})
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return [{"id": index, **panel} for index, panel in enumerate(placed, 1)]


def _at(left: int, top: int, width: int, height: int) -> Json:
    return {"x": left, "y": top, "w": width, "h": height}
