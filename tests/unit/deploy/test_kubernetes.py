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
OVERLAYS = ("cpu", "gpu", "ray")
OPERATORS = ("monitoring.coreos.com/", "ray.io/")  # kinds of operators, of which Kubernetes itself has no schema
SELECTED = {"app.kubernetes.io/name": "latentd", "app.kubernetes.io/component": "server"}

Manifest = dict[str, Any]


def built(overlay: str) -> list[Manifest]:
    """Everything that `kubectl apply -k` would send."""
    if shutil.which("kustomize"):
        command = ["kustomize", "build"]
    elif shutil.which("kubectl"):
        command = ["kubectl", "kustomize"]
    else:
        pytest.skip("needs kubectl or kustomize")
    run = subprocess.run(
        [*command, DEPLOY / "kubernetes" / "overlays" / overlay], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return list(yaml.safe_load_all(run.stdout))


@pytest.fixture(scope="module", params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return built(request.param)


@pytest.fixture(scope="module")
def with_jobs() -> list[Manifest]:
    return built("ray")


def one(manifests: list[Manifest], kind: str, name: str = "latentd") -> Manifest:
    found = [item for item in manifests if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def has_jobs(manifests: list[Manifest]) -> bool:
    return any(item["kind"] == "RayCluster" for item in manifests)


def ray_templates(manifests: list[Manifest]) -> list[Manifest]:
    """Of the pods that KubeRay starts."""
    specs = [item["spec"] for item in manifests if item["kind"] == "RayCluster"]
    return [group["template"] for spec in specs for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


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
    checked = [item for item in manifests if not item["apiVersion"].startswith(OPERATORS)]
    checked += [
        {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": "ray"}}
        for template in ray_templates(manifests)
    ]
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
    deployed = [item["spec"]["template"] for item in manifests if item["kind"] == "Deployment"]
    for template in deployed + ray_templates(manifests):
        [only] = template["spec"]["containers"]
        assert only["securityContext"]["readOnlyRootFilesystem"] is True
        assert only["securityContext"]["allowPrivilegeEscalation"] is False
        assert only["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        assert template["spec"]["securityContext"]["runAsUser"] == 10001
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


def test_the_server_sends_nothing_out_but_to_its_database_and_object_store(manifests: list[Manifest]) -> None:
    policy = one(manifests, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    ports = {port["port"] for rule in policy.get("egress", []) for port in rule["ports"]}
    assert ports == ({53, 443, 5432} if has_jobs(manifests) else set())


def test_jobs_are_the_workers_which_runs_them_on_the_cluster_that_there_is(with_jobs: list[Manifest]) -> None:
    assert load_settings({}, environment(with_jobs)).job_slots == 0
    ray = one(with_jobs, "RayCluster", "latentd-ray")
    worker = one(with_jobs, "Deployment", "latentd-worker")["spec"]["template"]["spec"]
    values = {entry["name"]: entry.get("value", "of a secret") for entry in worker["containers"][0]["env"]}
    settings = load_settings({}, values)
    assert settings.job_runner == "ray"
    assert settings.ray_address == f"http://{ray['metadata']['name']}-head-svc:8265"
    assert ray["spec"]["authOptions"] == {"mode": "token"}
    [token] = [entry for entry in worker["containers"][0]["env"] if entry["name"] == "LATENTD_RAY_TOKEN"]
    assert token["valueFrom"]["secretKeyRef"] == {"name": ray["metadata"]["name"], "key": "auth_token"}


def test_all_who_have_a_part_in_a_job_see_the_same_models_and_state(with_jobs: list[Manifest]) -> None:
    worker = one(with_jobs, "Deployment", "latentd-worker")["spec"]["template"]["spec"]
    node = one(with_jobs, "RayCluster", "latentd-ray")["spec"]["workerGroupSpecs"][0]["template"]["spec"]
    for spec in (pod(with_jobs), worker, node):
        claims = {
            volume["name"]: volume["persistentVolumeClaim"]["claimName"]
            for volume in spec["volumes"]
            if "persistentVolumeClaim" in volume
        }
        assert claims == {"models": "latentd-models", "state": "latentd-state"}
        paths = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
        assert (paths["models"], paths["state"]) == ("/data/models", "/data/state")
    assert container(with_jobs)["envFrom"] == worker["containers"][0]["envFrom"]


def test_rays_version_is_that_of_its_image(with_jobs: list[Manifest]) -> None:
    version = one(with_jobs, "RayCluster", "latentd-ray")["spec"]["rayVersion"]
    assert f"\nARG RAY={version}\n" in (DEPLOY.parent / "Dockerfile").read_text()


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
