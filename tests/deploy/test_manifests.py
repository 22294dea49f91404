"""The manifests of deploy/ are valid, hardened, and probe paths that exist; no cluster needed."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from mlops_lib.settings import ClusterSettings
from serving.app import create_app
from tests.conftest import BIN

DEPLOY = Path(__file__).parents[2] / "deploy"
VERSION = "1.31.0"
#: KServe's client, generated from KServe's schema. Read, not installed: it needs another protobuf.
KSERVE = "kserve==0.21.0"
#: KServe's names of plain types.
PLAIN = {"int": int, "str": str, "bool": bool, "float": float}


def documents(file):
    return [item for item in yaml.safe_load_all(file.read_text()) if item]


def kustomize(folder):
    """The objects that kubectl would apply."""
    command = [str(BIN / "kubectl"), "kustomize", "--load-restrictor", "LoadRestrictionsNone", str(folder)]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [item for item in yaml.safe_load_all(rendered) if item]


def kserve():
    return documents(DEPLOY / "kserve/inference-service.yaml")[0]


@pytest.mark.parametrize("folder", ["kubernetes/base", "kubernetes/overlays/production"])
def test_manifests_are_valid_by_the_schemas_of_kubernetes(folder):
    """Every object that kustomize renders fits its schema, without unknown fields."""
    rendered = kustomize(DEPLOY / folder)
    kinds = {
        "ConfigMap",
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "NetworkPolicy",
    }
    assert {item["kind"] for item in rendered} == kinds
    for item in rendered:
        kubernetes_validate.validate(item, VERSION, strict=True)
    rendered[0]["kindd"] = "typo"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(rendered[0], VERSION, strict=True)


def test_the_config_map_is_the_config_file():
    """The cluster reads the very config.yaml of the repository, and no secret is in any manifest."""
    rendered = kustomize(DEPLOY / "kubernetes/base")
    config_map = next(item for item in rendered if item["kind"] == "ConfigMap")
    assert config_map["data"]["config.yaml"] == (DEPLOY.parent / "config.yaml").read_text()
    deployment = next(item for item in rendered if item["kind"] == "Deployment")
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    assert volumes[0]["configMap"]["name"] == config_map["metadata"]["name"]
    assert not [item for item in rendered if item["kind"] == "Secret"]


@pytest.fixture(scope="module")
def kserve_fields(tmp_path_factory):
    """Field -> type of KServe's predictor, pod fields included."""
    folder = tmp_path_factory.mktemp("kserve")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), KSERVE]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        tree = ast.parse(wheel.read("kserve/models/v1beta1_predictor_spec.py"))
    spec = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    found = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in spec.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return {name: found["openapi_types"][field] for field, name in found["attribute_map"].items()}


def test_the_kserve_service_is_what_kserves_schema_says(kserve_fields):
    """The predictor's fields are KServe's, with its types; its pod fields make a valid pod."""
    service = kserve()
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    predictor = service["spec"]["predictor"]
    assert predictor.keys() <= kserve_fields.keys() and "minReplica" not in kserve_fields
    plain = {name for name in predictor if kserve_fields[name] in PLAIN}
    assert plain >= {"minReplicas", "maxReplicas", "scaleTarget", "scaleMetric"}
    assert all(isinstance(predictor[name], PLAIN[kserve_fields[name]]) for name in plain)
    pod = {name: value for name, value in predictor.items() if not name.startswith(("min", "max", "scale"))}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod}
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_every_pod_is_hardened_and_its_probes_exist(project):
    """No root, read-only, no capability, limits, keys by reference; the probed paths are the service's."""
    deployment = next(i for i in kustomize(DEPLOY / "kubernetes/base") if i["kind"] == "Deployment")
    assert "replicas" not in deployment["spec"]  # each apply would undo what the autoscaler did
    paths = set(create_app(project.settings()).openapi()["paths"])
    for pod in (deployment["spec"]["template"]["spec"], kserve()["spec"]["predictor"]):
        assert pod["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["containers"]
        hardened = container["securityContext"]
        assert hardened["readOnlyRootFilesystem"] and not hardened["allowPrivilegeEscalation"]
        assert hardened["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
        assert container["envFrom"] == [{"secretRef": {"name": "mlops-secrets", "optional": True}}]
        assert not any("KEY" in entry["name"] for entry in container["env"])
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
        assert {"/livez", "/readyz"} <= paths


def test_compose_services_are_hardened():
    """The three services of the Compose file are read-only, without capabilities, on the loopback address."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert sorted(services) == ["jupyter", "mlflow", "service"]
    for service in services.values():
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["mem_limit"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_cluster_defaults_need_no_cluster():
    """The defaults of the `cluster` section need nothing that a plain cluster lacks."""
    chosen = ClusterSettings()
    assert (chosen.gpus, chosen.secret, chosen.volume_claim, chosen.node_selector) == (0, "", "", {})
