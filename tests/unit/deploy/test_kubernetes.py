"""The manifests of each overlay: valid for two versions of Kubernetes, and of one piece with the server."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings, load_settings
from tests.kit.deployed_queries import DEPLOY, RULES

VERSIONS = ("1.32", "1.36")
OVERLAYS = ("cpu", "gpu")
OPERATOR = "monitoring.coreos.com/"  # kinds of the Prometheus Operator, of which Kubernetes itself has no schema
SELECTED = {"app.kubernetes.io/name": "latentd", "app.kubernetes.io/component": "server"}

Manifest = dict[str, Any]


@pytest.fixture(scope="module", params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """Everything that `kubectl apply -k` would send."""
    if shutil.which("kustomize"):
        command = ["kustomize", "build"]
    elif shutil.which("kubectl"):
        command = ["kubectl", "kustomize"]
    else:
        pytest.skip("needs kubectl or kustomize")
    folder = DEPLOY / "kubernetes" / "overlays" / request.param
    run = subprocess.run([*command, folder], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return list(yaml.safe_load_all(run.stdout))


def one(manifests: list[Manifest], kind: str, name: str = "latentd") -> Manifest:
    found = [item for item in manifests if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def pod(manifests: list[Manifest]) -> Manifest:
    found: Manifest = one(manifests, "Deployment")["spec"]["template"]["spec"]
    return found


def container(manifests: list[Manifest]) -> Manifest:
    found: Manifest = pod(manifests)["containers"][0]
    return found


def environment(manifests: list[Manifest]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container(manifests)["env"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_strictly_valid(manifests: list[Manifest], version: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    checked = [item for item in manifests if not item["apiVersion"].startswith(OPERATOR)]
    assert len(checked) >= 10
    for item in checked:
        kubernetes_validate.validate(item, version, strict=True)


def test_the_validation_finds_a_field_that_does_not_exist(manifests: list[Manifest]) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    wrong = {**one(manifests, "Service"), "spec": {**one(manifests, "Service")["spec"], "prots": []}}
    with pytest.raises(kubernetes_validate.ValidationError, match="prots"):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_everything_lies_in_one_namespace(manifests: list[Manifest]) -> None:
    named = [item for item in manifests if item["kind"] != "Namespace"]
    assert {item["metadata"].get("namespace") for item in named} == {"latentd"}


def test_there_is_time_to_drain(manifests: list[Manifest]) -> None:
    """The hook, then the server's own notice and drain, then some: after that comes SIGKILL."""
    settings = load_settings({}, environment(manifests))
    hook = container(manifests)["lifecycle"]["preStop"]["exec"]["command"]
    assert hook[0] == "sleep"
    needed = int(hook[1]) + settings.drain_notice_seconds + settings.drain_seconds
    assert needed + 5 <= pod(manifests)["terminationGracePeriodSeconds"]


def test_kubernetes_puts_no_setting_of_its_own_into_the_environment(manifests: list[Manifest]) -> None:
    """A service called latentd would set LATENTD_PORT and others, at which the server refuses to start."""
    assert pod(manifests)["enableServiceLinks"] is False


def test_the_command_and_its_environment_are_settings_of_the_server(manifests: list[Manifest]) -> None:
    command, *flags = container(manifests)["args"]
    assert command == "serve"
    names = {flag.removeprefix("--").replace("-", "_") for flag in flags[::2]}
    assert names <= set(Settings.model_fields)
    assert load_settings({}, environment(manifests)).log_format == "json"


def test_ports_and_probes_are_the_servers(manifests: list[Manifest]) -> None:
    ports = {port["name"]: port["containerPort"] for port in container(manifests)["ports"]}
    assert ports == {"http": Settings().http_port, "grpc": Settings().grpc_port}
    probes = {name: container(manifests)[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {probe["port"] for probe in probes.values()} == {"http"}
    paths = {name: probe["path"] for name, probe in probes.items()}
    assert paths == {"startup": "/livez", "readiness": "/readyz", "liveness": "/livez"}


def test_the_pod_may_do_nothing_that_it_need_not(manifests: list[Manifest]) -> None:
    security = container(manifests)["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert pod(manifests)["securityContext"]["runAsNonRoot"] is True
    assert pod(manifests)["securityContext"]["runAsUser"] == 10001
    assert pod(manifests)["automountServiceAccountToken"] is False
    assert one(manifests, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_whatever_selects_pods_selects_these(manifests: list[Manifest]) -> None:
    deployment = one(manifests, "Deployment")["spec"]
    assert deployment["template"]["metadata"]["labels"] == SELECTED
    selectors = [
        deployment["selector"]["matchLabels"],
        one(manifests, "Service")["spec"]["selector"],
        one(manifests, "Service", "latentd-headless")["spec"]["selector"],
        one(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert selectors == [SELECTED] * len(selectors)


def test_the_autoscaler_owns_the_number_of_servers_and_knows_the_metric(manifests: list[Manifest]) -> None:
    assert "replicas" not in one(manifests, "Deployment")["spec"]
    autoscaler = one(manifests, "HorizontalPodAutoscaler")["spec"]
    assert autoscaler["minReplicas"] >= 2
    assert autoscaler["metrics"][0]["pods"]["metric"]["name"] == "latentd_queue_rows"
    if any(metric["type"] == "Resource" for metric in autoscaler["metrics"]):
        assert "cpu" in container(manifests)["resources"]["requests"]


def test_the_server_sends_nothing_out(manifests: list[Manifest]) -> None:
    policy = one(manifests, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy


def test_the_operator_scrapes_a_port_that_exists_with_a_key_and_the_same_rules(manifests: list[Manifest]) -> None:
    monitor = one(manifests, "ServiceMonitor")["spec"]
    endpoint = monitor["endpoints"][0]
    service = one(manifests, "Service")
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["authorization"]["credentials"] == {"name": "latentd-scrape-key", "key": "key"}
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "latentd", 'the rules select job="latentd"'
    groups = [group for file in RULES for group in yaml.safe_load(Path(file).read_text())["groups"]]
    assert one(manifests, "PrometheusRule")["spec"]["groups"] == groups


def test_gpu_servers_ask_for_a_gpu_and_cpu_servers_do_not(manifests: list[Manifest]) -> None:
    gpu = container(manifests)["image"].startswith("latentd-gpu:")
    assert ("nvidia.com/gpu" in container(manifests)["resources"]["limits"]) is gpu
