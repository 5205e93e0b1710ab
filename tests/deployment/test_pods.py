"""The description of pods, which other tests start processes from, against what a kubelet does."""

import pytest

import chart
import pods
from conftest import rendered
from test_objects import companions


def test_a_member_is_described_completely() -> None:
    described = pods.describe(rendered("five") + companions())
    names = [pod["name"] for pod in described["pods"]]
    assert names == [f"inquisitor-{number}" for number in range(5)] + ["inquisitor-test"]
    member = described["pods"][3]
    (container,) = member["containers"]
    assert member["hostname"] == "inquisitor-3" and member["subdomain"] == "inquisitor-headless"
    assert member["grace_seconds"] == 60 and member["user"] == 10001 and member["group"] == 10001
    assert container["command"] == ["/usr/local/bin/inquisitor", "serve"] and container["args"] == []
    assert container["read_only_root"] is True
    assert container["env"]["API_KEY"] == "correct-horse-battery-staple"
    assert container["env"]["ALLOW_SECRETS"] == "DATABASE_PASSWORD"
    sources = {mount["path"]: mount["source"] for mount in container["mounts"]}
    assert sources["/app/data"] == {"claim": "data-inquisitor-3", "size": "10Gi"}
    assert sources["/app/manifests"] == {"claim": "manifests-of-the-team"}
    # The secret that is allowed and no other: the administrator's key lies in the same Secret.
    assert sources["/app/secrets"] == {"files": {"DATABASE_PASSWORD": "pässword\n"}}
    assert sources["/tmp"]["empty"] is True
    assert container["probes"]["readiness"] == {
        "scheme": "http",
        "port": 8000,
        "path": "/ready",
        "period_seconds": 5,
        "timeout_seconds": 3,
        "failures": 2,
    }


def test_the_test_submits_to_the_service() -> None:
    described = pods.describe(rendered("defaults"))
    (container,) = next(pod for pod in described["pods"] if pod["name"] == "inquisitor-test")["containers"]
    services = {service["name"]: service for service in described["services"]}
    assert container["env"]["INQUISITOR_SERVER"] == "http://inquisitor:80"
    assert services["inquisitor"]["ports"] == [{"name": "http", "port": 80, "target": 8000}]
    member = described["pods"][0]["containers"][0]
    assert container["env"]["INQUISITOR_KEY"] == member["env"]["API_KEY"]
    assert container["command"][1:] == ["submit", "--watch", "/inquiry/inquiry.yaml", "--output", "json"]
    files = container["mounts"][0]["source"]["files"]
    assert files == {"inquiry.yaml": (chart.CHART / "files" / "test-inquiry.yaml").read_text()}


def test_what_is_missing_is_named() -> None:
    with pytest.raises(pods.Missing, match="Secret inquisitor-system/inquisitor-secrets"):
        pods.describe(rendered("ha"))
    without = [item for item in companions() if item["metadata"]["name"] != "inquisitor-secrets"]
    secret = {"name": "inquisitor-secrets", "namespace": chart.NAMESPACE}
    wrong = {"kind": "Secret", "metadata": secret, "stringData": {"apikey": "x"}}
    with pytest.raises(pods.Missing, match="has no entry api-key"):
        pods.describe(rendered("ha") + without + [wrong])


def test_variables_are_replaced_as_kubernetes_does() -> None:
    env = {"NAME": "inquisitor-0"}
    assert pods.expand("$(NAME).svc", env) == "inquisitor-0.svc"
    assert pods.expand("$(OTHER) $NAME $$(NAME)", env) == "$(OTHER) $NAME $(NAME)"
