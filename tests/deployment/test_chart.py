"""The chart: Helm's lint, what values do, what is refused and why, and what an upgrade keeps."""

import base64
import json
import os
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import helm_python
import pytest
import yaml

import chart
from conftest import MATRIX, rendered


@pytest.mark.parametrize("name", MATRIX)
def test_lint_finds_nothing(name: str) -> None:
    report = helm_python.lint(str(chart.CHART), chart.values(name), strict=True, namespace=chart.NAMESPACE)
    assert report["total_charts_linted"] == 1
    assert report["messages"] == [] and report["errors"] == []


def test_it_packages_and_the_package_renders_the_same(tmp_path) -> None:
    archive = helm_python.package(str(chart.CHART), destination=str(tmp_path))
    given = chart.values("ha")
    with helm_python.Chart.load(archive) as packed, helm_python.Chart.load(chart.CHART) as folder:
        options = {"name": chart.RELEASE, "namespace": chart.NAMESPACE}
        assert packed.render(given, **options) == folder.render(given, **options)
        # Nothing that is no part of a chart.
        assert {item["name"] for item in packed.files} <= {
            ".helmignore",
            "files/alerts.yaml",
            "files/dashboard.json",
            "files/icon.svg",
            "files/test-inquiry.yaml",
        }


def test_every_value_is_in_the_schema_and_has_a_default() -> None:
    with helm_python.Chart.load(chart.CHART) as loaded:
        schema, defaults = loaded.schema, loaded.values

    def compare(properties: dict, given: dict, path: str) -> None:
        assert set(properties) - {"global", "claims"} == set(given), path
        for name, value in given.items():
            below = properties[name].get("properties")
            if below and isinstance(value, dict) and "requests" not in below:
                assert properties[name]["additionalProperties"] is False, f"{path}.{name}"
                compare(below, value, f"{path}.{name}")

    compare(schema["properties"], defaults, "")


def test_the_values_of_the_guide_have_their_effect() -> None:
    objects = rendered("guide")
    member = chart.named(objects, "StatefulSet", "inquisitor")
    container = member["spec"]["template"]["spec"]["containers"][0]
    assert member["spec"]["replicas"] == 3
    assert container["image"] == "ghcr.io/wadelabs/apparatus-system-harness:v0.1.0"
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["resources"]["limits"] == {"cpu": "1000m", "memory": "2Gi"}
    assert container["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    for claim in member["spec"]["volumeClaimTemplates"]:
        assert claim["spec"]["storageClassName"] == "standard"
        assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"
    assert {"name": "LOG_LEVEL", "value": "INFO"} in container["env"]
    assert "LOG_LEVEL" not in chart.named(objects, "ConfigMap", "inquisitor-config")["data"]


def test_each_piece_can_be_left_out() -> None:
    kinds = {item["kind"] for item in rendered("everything-off") if not chart.is_hook(item)}
    assert kinds == {"ConfigMap", "Secret", "Service", "StatefulSet"}
    member = chart.named(rendered("everything-off"), "StatefulSet", "inquisitor")["spec"]
    assert "volumeClaimTemplates" not in member
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(member["template"]["spec"]["securityContext"])


def test_everything_is_there_when_it_is_asked_for() -> None:
    kinds = {item["kind"] for item in rendered("everything-on")}
    assert kinds == {
        "ConfigMap",
        "Ingress",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "PrometheusRule",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
        "StatefulSet",
    }, "with Secrets of one's own the chart makes none"
    manifests = chart.named(rendered("everything-on"), "ConfigMap", "iq-manifests")["data"]
    assert yaml.safe_load(manifests["hello.yaml"]) == {"manifest": {"id": "hello"}}
    assert yaml.safe_load(manifests["other.json"]) == {"manifest": {"id": "other"}}


def test_folders_that_env_moves_take_their_mounts_with_them() -> None:
    spec = chart.named(rendered("everything-on"), "StatefulSet", "iq")["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts["data"] == "/data" and mounts["artifacts"] == "/app/artifacts"


REFUSED = [
    ({"replicaCount": 2}, ["replicaCount is 2", "majority", "write 1 or 3"]),
    ({"replicaCount": 4}, ["replicaCount is 4", "tolerate no more failures than 3", "write 3 or 5"]),
    ({"replicaCount": 0}, ["replicaCount"]),
    ({"replicaCount": 9}, ["replicaCount"]),
    ({"replicaCount": "3"}, ["replicaCount"]),
    ({"replicas": 3}, ["replicas"]),
    ({"persistence": {"storageclass": "fast"}}, ["persistence", "storageclass"]),
    ({"image": {"tagg": "v1"}}, ["image", "tagg"]),
    ({"image": {"digest": "latest"}}, ["digest"]),
    ({"resources": {"limits": {"memory": "2 Gb"}}}, ["memory"]),
    ({"resources": None}, ["resources"]),
    ({"logging": {"format": "xml"}}, ["format"]),
    ({"env": [{"name": "LOG_LEVEL", "value": 5}]}, ["env"]),
    ({"env": [{"name": "LOG LEVEL", "value": "x"}]}, ["env"]),
    ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, ["env names A twice"]),
    ({"env": [{"name": "HTTP_LISTEN", "value": "0.0.0.0:9000"}]}, ["HTTP_LISTEN must end in :8000", "service.port"]),
    ({"env": [{"name": "RAFT_LISTEN", "value": "0.0.0.0:1"}]}, ["RAFT_LISTEN must end in :4321"]),
    ({"env": [{"name": "DATA_DIR", "value": "data"}]}, ["DATA_DIR", "absolute"]),
    ({"env": [{"name": "DATA_DIR", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}, ["DATA_DIR"]),
    ({"env": [{"name": "SHUTDOWN_TIMEOUT", "value": "1h"}]}, ["shutdown.timeoutSeconds"]),
    ({"env": [{"name": "HTTP_TLS_CERT", "value": "/x"}]}, ["http.tls.existingSecret"]),
    ({"podDisruptionBudget": {"maxUnavailable": 2}}, ["maxUnavailable is 2", "at most 1 away"]),
    ({"plugins": {"image": "a", "existingClaim": "b"}}, ["plugins.image and plugins.existingClaim", "one of them"]),
    ({"manifests": {"files": {"a.yaml": ""}, "existingClaim": "b"}}, ["manifests.files and manifests.existingClaim"]),
    ({"manifests": {"files": {"a.txt": ""}}}, ["a.txt"]),
    ({"secrets": {"allow": {"PASSWORD": "password"}}}, ["secrets.allow", "password", "does not hold"]),
    ({"secrets": {"existingSecret": "s", "allow": {"KEY": "api-key"}}}, ["api-key", "administrator"]),
    ({"secrets": {"existingSecret": "s", "apiKey": "0123456789abcdef"}}, ["go nowhere"]),
    ({"secrets": {"apiKey": "short"}}, ["apiKey"]),
    ({"raft": {"clusterSecret": "short"}}, ["clusterSecret"]),
    ({"raft": {"existingSecret": "s", "tls": {"existingSecret": "t"}}}, ["one way"]),
    ({"ingress": {"enabled": True}}, ["ingress.hosts"]),
]


@pytest.mark.parametrize("given, words", REFUSED, ids=[json.dumps(given) for given, _ in REFUSED])
def test_a_mistake_is_refused_by_name(given: dict, words: list[str]) -> None:
    message = chart.refusal(given)
    for word in words:
        assert word in message, message


def test_all_mistakes_are_told_at_once() -> None:
    message = chart.refusal({"replicaCount": 2, "ingress": {"enabled": True}})
    assert "replicaCount is 2" in message and "ingress.hosts" in message


def test_a_refusal_never_repeats_a_secret() -> None:
    message = chart.refusal({"secrets": {"existingSecret": "s", "apiKey": "do-not-print-this-key"}})
    assert "do-not-print" not in message


def test_notes_name_objects_that_exist() -> None:
    text = chart.notes()
    for command in (
        "kubectl rollout status statefulset/inquisitor -n inquisitor-system",
        "helm test inquisitor -n inquisitor-system",
        "kubectl port-forward svc/inquisitor 8000:80 -n inquisitor-system",
    ):
        assert command in text
    chart.named(rendered("defaults"), "Secret", "inquisitor-secrets")
    assert "WARNING" not in text
    assert "persistence is disabled" in chart.notes({"persistence": {"enabled": False}})
    assert "plain HTTP" in chart.notes({"service": {"type": "LoadBalancer"}})


def test_the_inquiry_of_helm_test_is_verified(tmp_path) -> None:
    """By the host itself, where it is built: the command's exit code is 0 for that verdict alone."""
    target = chart.REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target")
    binary, plugins = target / "debug" / "inquisitor", target / "plugins"
    if not binary.is_file() or not plugins.is_dir():
        pytest.skip(f"{binary} or {plugins} is not built")
    inquiry = chart.CHART / "files" / "test-inquiry.yaml"
    folders = ["--plugin-dir", plugins, "--cache-dir", tmp_path]
    done = subprocess.run(
        [binary, "run", inquiry, "--output", "json", *folders], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_kubernetes_never_changes_does_not_change_with_the_chart(tmp_path) -> None:
    """An upgrade that would change these fields of a StatefulSet is refused by the API server."""
    archive = helm_python.package(str(chart.CHART), destination=str(tmp_path), version="7.7.7", app_version="7.7.7")
    with helm_python.Chart.load(archive) as newer:
        files = newer.render({}, name=chart.RELEASE, namespace=chart.NAMESPACE)
    after = chart.named([it for text in files.values() for it in _objects(text)], "StatefulSet", "inquisitor")["spec"]
    before = chart.named(rendered("defaults"), "StatefulSet", "inquisitor")["spec"]
    assert after["template"]["spec"]["containers"][0]["image"].endswith(":v7.7.7"), "the newer chart was rendered"
    for field in ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"):
        assert after[field] == before[field]


def test_a_change_of_settings_restarts_members_and_nothing_else_does() -> None:
    def stamps(given: dict) -> dict:
        member = chart.named(chart.render(given), "StatefulSet", "inquisitor")
        return member["spec"]["template"]["metadata"]["annotations"]

    first = stamps({})
    assert stamps({}) == first, "secrets that are drawn anew in each rendering must not restart anything"
    assert stamps({"service": {"port": 8080}}) == first
    assert stamps({"logging": {"level": "debug"}})["checksum/settings"] != first["checksum/settings"]
    assert stamps({"secrets": {"apiKey": "another-key-of-mine"}})["checksum/keys"] != first["checksum/keys"]


def test_an_upgrade_keeps_generated_secrets_and_takes_given_ones() -> None:
    there = {"inquisitor-secrets": {"api-key": "kept-api-key"}, "inquisitor-cluster": {"cluster-secret": "kept-secret"}}
    with _api_server(there) as config, helm_python.Chart.load(chart.CHART) as loaded:
        kept = _secrets(config.render(loaded, {}, name=chart.RELEASE, namespace=chart.NAMESPACE, is_upgrade=True))
        assert kept == there
        given = {"secrets": {"apiKey": "a-key-of-my-own-now"}}
        changed = _secrets(config.render(loaded, given, name=chart.RELEASE, namespace=chart.NAMESPACE, is_upgrade=True))
        assert changed["inquisitor-secrets"]["api-key"] == "a-key-of-my-own-now"
        assert changed["inquisitor-cluster"]["cluster-secret"] == "kept-secret"
    with _api_server({}) as config, helm_python.Chart.load(chart.CHART) as loaded:
        drawn = [_secrets(config.render(loaded, {}, name=chart.RELEASE, namespace=chart.NAMESPACE)) for _ in range(2)]
    for secrets in drawn:
        assert len(secrets["inquisitor-secrets"]["api-key"]) == 48
        assert len(secrets["inquisitor-cluster"]["cluster-secret"]) == 64
    assert drawn[0] != drawn[1]


def _objects(text: str) -> list[dict]:
    try:
        return [item for item in chart.load_all(text) if isinstance(item, dict) and "kind" in item]
    except yaml.YAMLError:
        return []  # NOTES.txt


def _secrets(files: dict[str, str]) -> dict[str, dict[str, str]]:
    return {
        item["metadata"]["name"]: {key: base64.b64decode(value).decode() for key, value in item["data"].items()}
        for text in files.values()
        for item in _objects(text)
        if item["kind"] == "Secret"
    }


@contextmanager
def _api_server(secrets: dict[str, dict[str, str]]):
    """As much of an API server as Helm's `lookup` asks for, and a connection of Helm to it."""

    def resource(plural: str, kind: str) -> dict:
        return {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": ["get", "list"]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            answers = {
                "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
                "/api": {"kind": "APIVersions", "versions": ["v1"]},
                "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
                "/api/v1": {
                    "kind": "APIResourceList",
                    "groupVersion": "v1",
                    "resources": [resource("secrets", "Secret")],
                },
            }
            prefix = f"/api/v1/namespaces/{chart.NAMESPACE}/secrets/"
            answer, status = answers.get(path), 200
            if path.startswith(prefix) and path.removeprefix(prefix) in secrets:
                name = path.removeprefix(prefix)
                data = {key: base64.b64encode(value.encode()).decode() for key, value in secrets[name].items()}
                answer = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name}, "data": data}
            if answer is None:
                answer = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
                status = 404
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    connection = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": chart.NAMESPACE}}],
        "current-context": "x",
    }
    try:
        with helm_python.Config(kubeconfig_content=yaml.safe_dump(connection), namespace=chart.NAMESPACE) as config:
            yield config
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
