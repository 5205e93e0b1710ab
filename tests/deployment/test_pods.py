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
    assert member["restarts"] and member["deadline_seconds"] is None
    assert container["drops_all_capabilities"] and not container["may_gain_privileges"]
    assert container["command"] == ["/usr/local/bin/inquisitor", "serve"] and container["args"] == []
    assert container["read_only_root"] is True
    assert container["env"]["API_KEY"] == "correct-horse-battery-staple"
    assert container["env"]["ALLOW_SECRETS"] == "DATABASE_PASSWORD"
    sources = {mount["path"]: mount["source"] for mount in container["mounts"]}
    assert sources["/app/data"] == {"claim": "data-inquisitor-3", "size": "10Gi"}
    assert sources["/app/manifests"] == {"claim": "manifests-of-the-team"}
    # The secret that is allowed and no other: the administrator's key lies in the same Secret.
    # Whoever is in the volume's group may read it, and nobody else.
    assert sources["/app/secrets"] == {"files": {"DATABASE_PASSWORD": "pässword\n"}, "mode": 0o440}
    assert sources["/tmp"]["empty"] is True
    assert container["probes"]["readiness"] == {
        "scheme": "http",
        "port": 8000,
        "path": "/ready",
        "delay_seconds": 0,
        "period_seconds": 5,
        "timeout_seconds": 3,
        "failures": 2,
    }


def test_the_test_submits_to_the_service() -> None:
    described = pods.describe(rendered("defaults"))
    (container,) = next(pod for pod in described["pods"] if pod["name"] == "inquisitor-test")["containers"]
    services = {service["name"]: service for service in described["services"]}
    assert container["env"]["INQUISITOR_SERVER"] == "http://inquisitor:80"
    assert services["inquisitor"]["ports"] == [{"name": "http", "protocol": "TCP", "port": 80, "target": 8000}]
    member = described["pods"][0]["containers"][0]
    assert container["env"]["INQUISITOR_KEY"] == member["env"]["API_KEY"]
    assert container["command"][1:] == ["submit", "--watch", "/inquiry/inquiry.yaml", "--output", "json"]
    files = container["mounts"][0]["source"]["files"]
    assert files == {"inquiry.yaml": (chart.CHART / "files" / "test-inquiry.yaml").read_text()}
    test = next(pod for pod in described["pods"] if pod["name"] == "inquisitor-test")
    assert not test["restarts"] and test["deadline_seconds"] == 120


def test_the_controller_of_the_members_is_described() -> None:
    (members,) = pods.describe(rendered("defaults"))["sets"]
    assert members["pods"] == ["inquisitor-0", "inquisitor-1", "inquisitor-2"]
    assert members["parallel"] and members["rolling"] and members["min_ready_seconds"] == 10
    (changed,) = pods.describe(chart.render({"logging": {"level": "debug"}}))["sets"]
    assert changed["revision"] != members["revision"], "a member reads its settings at its start"


def test_what_is_in_the_cluster_stays_as_it_is() -> None:
    kept = {"kind": "Secret", "metadata": {"name": "inquisitor-secrets", "namespace": chart.NAMESPACE}}
    kept["stringData"] = {"api-key": "kept-by-the-upgrade"}
    described = pods.describe(pods.together(rendered("defaults"), [kept]))
    assert described["pods"][0]["containers"][0]["env"]["API_KEY"] == "kept-by-the-upgrade"


def test_peers_of_other_namespaces_are_resolved() -> None:
    name_server = {"kind": "Pod", "metadata": {"name": "dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}}
    stranger = {"kind": "Pod", "metadata": {"name": "stranger", "namespace": "elsewhere", "labels": {}}}
    for item in (name_server, stranger):
        item["spec"] = {"containers": [{"name": "one", "image": "one"}]}
    described = pods.describe(rendered("defaults") + [name_server, stranger])
    (policy,) = described["policies"]
    dns = next(rule for rule in policy["egress"] if {"protocol": "UDP", "port": 53} in rule["ports"])
    assert dns["pods_anywhere"] == ["kube-system/dns"]
    api = policy["ingress"][0]
    assert f"{chart.NAMESPACE}/inquisitor-test" in api["pods_anywhere"]
    assert "elsewhere/stranger" not in api["pods_anywhere"]


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
