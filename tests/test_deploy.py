"""The files of deploy/ name what there is: settings, ports, paths; and nobody but the gateway reaches the model."""

import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import ROOT

from gateway.settings import Settings, load_settings

DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
VALUES = {
    "PORT": "8000",
    "WORKERS": "2",
    "MODEL_NAME": "base",
    "UNRECALL_API_KEYS": '["a-key"]',
    "UNRECALL_ADMIN_KEY": "b-key",
    "UNRECALL_UPSTREAM_KEY": "c-key",
    "MODEL_FOLDER": "/somewhere/model",
    "PACKS_FOLDER": "/somewhere/packs",
}
Json = dict[str, Any]


def dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def copied_from_here() -> set[str]:
    """What the image takes of the repository."""
    lines = re.findall(r"^COPY (?!--)(.*) \S+$", dockerfile(), re.MULTILINE)
    return {path for line in lines for path in line.split()}


def image_variables() -> dict[str, str]:
    """ENV of the Dockerfile's last stage."""
    last = dockerfile().rpartition("\nFROM ")[2]
    block = re.findall(r"^ENV ((?:.*\\\n)*.*)$", last, re.MULTILINE)
    return dict(re.findall(r"(\w+)=(\S+)", " ".join(block)))


def compose() -> Json:
    """With its variables filled in, which happens after the YAML is read."""
    described: Json = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return dict(filled(described))


def filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner) for inner in value]
    if not isinstance(value, str):
        return value
    return re.sub(r"\$\{(\w+)[^}]*\}", lambda found: VALUES[found[1]], value)


def manifests() -> Iterator[Json]:
    for file in MANIFESTS:
        yield from yaml.safe_load_all(file.read_text(encoding="utf-8"))


def manifest(kind: str, name: str) -> Json:
    (found,) = (one for one in manifests() if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def container(deployment: str) -> Json:
    (found,) = manifest("Deployment", deployment)["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """That of the image, and no variable of this machine."""
    for variable in [name for name in os.environ if name.startswith("UNRECALL_")]:
        monkeypatch.delenv(variable)
    for name, value in image_variables().items():
        if name.startswith("UNRECALL_"):
            monkeypatch.setenv(name, value)
    return monkeypatch


def serves(settings: Settings) -> None:
    """What must be so in a container, wherever it runs."""
    assert settings.backend == "vllm"
    assert (settings.host, settings.port) == ("0.0.0.0", 8000)  # noqa: S104
    assert (str(settings.packs), str(settings.adapters_folder)) == ("/var/packs", "/var/adapters")
    assert settings.api_keys
    assert settings.admin_key
    assert settings.upstream_key


class TestImage:
    def test_bases_are_pinned_and_the_user_is_not_root(self) -> None:
        bases = re.findall(r"^FROM (\S+)", dockerfile(), re.MULTILINE)
        assert len(bases) == 2
        assert all(re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base) for base in bases)
        (user,) = re.findall(r"^USER (\d+)", dockerfile(), re.MULTILINE)
        assert int(user) > 0

    def test_every_file_that_it_copies_is_there(self) -> None:
        assert copied_from_here()
        assert all((ROOT / path).exists() for path in copied_from_here())

    def test_it_copies_every_package(self) -> None:
        described = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        packages = {name.rstrip("*") for name in described["tool"]["setuptools"]["packages"]["find"]["include"]}
        assert packages <= copied_from_here()

    def test_docker_is_sent_all_that_it_copies(self) -> None:
        assert copied_from_here().isdisjoint((ROOT / ".dockerignore").read_text(encoding="utf-8").split())

    def test_it_looks_where_it_listens(self) -> None:
        port = image_variables()["UNRECALL_PORT"]
        assert f"\nEXPOSE {port}\n" in dockerfile()
        assert f"http://127.0.0.1:{port}/healthz" in dockerfile()


class TestCompose:
    def test_the_gateway_gets_settings_that_there_are(self, environment: pytest.MonkeyPatch) -> None:
        gateway = compose()["services"]["gateway"]
        for name, value in gateway["environment"].items():
            environment.setenv(name, value)
        settings = load_settings(None, {})
        serves(settings)
        assert settings.upstream == ("http://vllm:8000",)
        assert settings.workers == 2
        assert [port.rpartition(":")[2] for port in gateway["ports"]] == [str(settings.port)]

    def test_the_example_names_every_variable_and_holds_no_key(self) -> None:
        lines = (DEPLOY / "example.env").read_text(encoding="utf-8").splitlines()
        given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        assert set(given) == set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))
        assert all("change-me" in value for name, value in given.items() if "KEY" in name)
        assert "deploy/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()

    def test_nobody_but_the_gateway_reaches_the_model(self) -> None:
        described = compose()
        vllm = described["services"]["vllm"]
        assert "ports" not in vllm
        assert vllm["networks"] == ["models"]
        assert described["networks"]["models"] == {"internal": True}
        assert vllm["environment"]["VLLM_API_KEY"] == VALUES["UNRECALL_UPSTREAM_KEY"]

    def test_both_see_the_model_and_the_adapters_under_one_path(self) -> None:
        services = compose()["services"]
        places = [{mount.split(":")[0]: mount.split(":")[1] for mount in one["volumes"]} for one in services.values()]
        for source in ("adapters", VALUES["MODEL_FOLDER"]):
            assert len({place[source] for place in places}) == 1
        assert services["gateway"]["environment"]["UNRECALL_MODEL"] == places[0][VALUES["MODEL_FOLDER"]]

    def test_probes_ask_paths_that_there_are(self) -> None:
        asked = re.findall(r"http://127\.0\.0\.1:8000(/\w+)", json.dumps(compose()["services"]))
        assert asked == ["/readyz", "/health"]  # the second is vLLM's


class TestKubernetes:
    @pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
    def test_the_schemas_accept_it(self, file: Path) -> None:
        checker = pytest.importorskip("kubernetes_validate")
        for one in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            checker.validate(one, "1.35", strict=True)

    def test_the_schema_checker_refuses_what_is_wrong(self) -> None:
        checker = pytest.importorskip("kubernetes_validate")
        wrong = manifest("Deployment", "unrecall")
        wrong["spec"]["replica"] = 2
        with pytest.raises(checker.ValidationError, match="replica"):
            checker.validate(wrong, "1.35", strict=True)

    def test_the_gateway_gets_settings_that_there_are(self, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
        file = tmp_path / "gateway.yaml"
        file.write_text(manifest("ConfigMap", "unrecall")["data"]["gateway.yaml"], encoding="utf-8")
        for variable in container("unrecall")["env"]:
            environment.setenv(variable["name"], VALUES[variable["name"]])
        settings = load_settings(file, {})
        serves(settings)
        assert container("unrecall")["args"][0] == "--config"
        service = manifest("Service", "unrecall-vllm")
        assert settings.upstream == (f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}",)

    def test_ports_and_probes_agree(self) -> None:
        for deployment, paths in (("unrecall", {"/healthz", "/readyz"}), ("unrecall-vllm", {"/health"})):
            served = container(deployment)
            assert served["ports"] == [{"name": "http", "containerPort": 8000}]
            probes = [served[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
            assert {probe["path"] for probe in probes} == paths
            assert {probe["port"] for probe in probes} == {"http"}
            assert manifest("Service", deployment)["spec"]["ports"][0]["targetPort"] == "http"
        routes = (ROOT / "gateway/server/routes.py").read_text(encoding="utf-8")
        assert '"/healthz"' in routes
        assert '"/readyz"' in routes

    def test_what_a_service_or_a_budget_selects_is_what_a_deployment_makes(self) -> None:
        for name in ("unrecall", "unrecall-vllm"):
            made = manifest("Deployment", name)["spec"]["template"]["metadata"]["labels"]
            assert manifest("Service", name)["spec"]["selector"] == made
        budget = manifest("PodDisruptionBudget", "unrecall")["spec"]
        assert budget["selector"]["matchLabels"] == {"app.kubernetes.io/name": "unrecall"}
        assert budget["minAvailable"] < manifest("Deployment", "unrecall")["spec"]["replicas"]

    def test_nobody_but_the_gateway_reaches_the_model(self) -> None:
        policy = manifest("NetworkPolicy", "unrecall-vllm")["spec"]
        labels = manifest("Deployment", "unrecall-vllm")["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"] == labels
        gateways = manifest("Deployment", "unrecall")["spec"]["template"]["metadata"]["labels"]
        (rule,) = policy["ingress"]
        assert rule["from"] == [{"podSelector": {"matchLabels": gateways}}]
        assert manifest("Service", "unrecall-vllm")["spec"]["type"] == "ClusterIP"
        assert {one["kind"] for one in manifests()}.isdisjoint({"Ingress", "Gateway", "HTTPRoute"})

    def test_both_see_the_model_and_the_adapters_under_one_path(self) -> None:
        mounts = [
            {mount["name"]: mount["mountPath"] for mount in container(name)["volumeMounts"]}
            for name in ("unrecall", "unrecall-vllm")
        ]
        assert all(mounts[0][volume] == mounts[1][volume] for volume in ("model", "adapters"))

    def test_no_secret_stands_in_a_file(self) -> None:
        assert all(one["kind"] != "Secret" for one in manifests())
        for name in ("unrecall", "unrecall-vllm"):
            keys = [one for one in container(name)["env"] if "KEY" in one["name"]]
            assert keys
            assert all("secretKeyRef" in one["valueFrom"] for one in keys)

    def test_a_pod_has_time_to_drain(self) -> None:
        from gateway.server.process import DRAIN_S

        spec = manifest("Deployment", "unrecall")["spec"]["template"]["spec"]
        wait_s = int(spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
        assert spec["terminationGracePeriodSeconds"] > wait_s + DRAIN_S + 3


def test_the_figures_of_the_page_are_those_that_were_measured() -> None:
    found = json.loads((ROOT / "benchmarks/results/replicas.json").read_text(encoding="utf-8"))
    lost = found["lost"]
    assert found["unguarded"] == found["wrong"] == 0
    assert lost["otherwise"] == {}
    on_gateway, on_upstream = (
        sum(lost[f"under_way_on_the_killed_{what}"].values()) for what in ("gateway", "upstream")
    )
    told = f"({on_gateway} on the gateway, {on_upstream} on the upstream, of {found['requests']})"
    assert told in " ".join((ROOT / "docs/deploy.md").read_text(encoding="utf-8").split())
