"""The dashboards are what their code generates, complete and laid out without overlap."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from deploy.generate.__main__ import generated_files
from tests.kit.deployed_queries import DASHBOARDS

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.param.read_text())
    return found


def test_the_committed_files_are_those_that_the_code_generates() -> None:
    stale = [path.name for path, content in generated_files().items() if path.read_text() != content]
    assert stale == [], "run `make deploy-files`"
    assert set(DASHBOARDS) == {path for path in generated_files() if path.suffix == ".json"}


def test_every_panel_says_what_it_shows_and_in_which_unit(board: dict[str, Any]) -> None:
    for panel in board["panels"]:
        if panel["type"] != "row":
            assert len(panel["description"]) > 15, panel["title"]
            if panel["type"] not in ("table", "heatmap"):
                assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_titles_and_ids_are_unique(board: dict[str, Any]) -> None:
    for key in ("id", "title"):
        values = [panel[key] for panel in board["panels"] if panel["type"] != "row"]
        assert len(values) == len(set(values))


def test_panels_lie_in_the_grid_and_on_no_other(board: dict[str, Any]) -> None:
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)


def test_no_data_source_is_named(board: dict[str, Any]) -> None:
    """A dashboard that names its author's data source shows "No data" everywhere else."""
    text = json.dumps(board)
    assert text.count('"uid": "${datasource}"') == text.count('"type": "prometheus"')
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "job", "instance"]


def test_all_servers_are_chosen_by_a_pattern_that_holds_for_new_ones(board: dict[str, Any]) -> None:
    for variable in board["templating"]["list"][1:]:
        assert (variable["includeAll"], variable["allValue"]) == (True, ".*")


def test_grafana_is_told_where_they_lie() -> None:
    compose = (CHECKOUT / "docker-compose.yml").read_text()
    provider = (CHECKOUT / "deploy/grafana/provisioning/dashboards/latentd.yml").read_text()
    assert "./deploy/grafana/dashboards:/etc/grafana/dashboards:ro" in compose
    assert "path: /etc/grafana/dashboards\n" in provider
    kustomization = (CHECKOUT / "deploy/grafana/kustomization.yaml").read_text()
    assert [path.name for path in DASHBOARDS if f"dashboards/{path.name}" not in kustomization] == []
