"""What the network policy lets through, judged as Kubernetes would, on the rendered objects."""

import ipaddress

import pytest

import chart
import pods
from conftest import rendered
from test_objects import companions

HERE = {"kubernetes.io/metadata.name": chart.NAMESPACE}
MEMBER = {
    "app.kubernetes.io/name": "inquisitor",
    "app.kubernetes.io/instance": "inquisitor",
    "app.kubernetes.io/component": "member",
}
TEST = MEMBER | {"app.kubernetes.io/component": "test"}
STRANGER = {"app": "something-else"}
DNS = {"kubernetes.io/metadata.name": "kube-system"}


def allowed(objects: list[dict], direction: str, port: int, peer: dict, protocol: str = "TCP") -> bool:
    """Whether members may be reached from (`ingress`) or reach (`egress`) a peer: `labels` and `namespace`, or `ip`."""
    policies = chart.of_kind(objects, "NetworkPolicy")
    if not policies:
        return True
    side = "from" if direction == "ingress" else "to"
    return any(
        _port(rule, port, protocol) and (side not in rule or any(_peer(it, peer) for it in rule[side]))
        for policy in policies
        for rule in policy["spec"].get(direction, [])
    )


def _port(rule: dict, port: int, protocol: str) -> bool:
    return "ports" not in rule or {"protocol": protocol, "port": port} in rule["ports"]


def _peer(selector: dict, peer: dict) -> bool:
    if "ipBlock" in selector:
        return "ip" in peer and ipaddress.ip_address(peer["ip"]) in ipaddress.ip_network(selector["ipBlock"]["cidr"])
    if "ip" in peer:
        return False
    if "namespaceSelector" in selector:
        if not pods.selects(selector["namespaceSelector"], peer["namespace"]):
            return False
    elif peer["namespace"] != HERE:
        return False
    return pods.selects(selector.get("podSelector", {}), peer["labels"])


def pod(labels: dict, namespace: dict = HERE) -> dict:
    """A pod as a peer."""
    return {"labels": labels, "namespace": namespace}


def test_members_reach_each_other_in_both_directions() -> None:
    objects = rendered("defaults")
    assert allowed(objects, "egress", 4321, pod(MEMBER)), "a policy without this rule stops consensus"
    assert allowed(objects, "ingress", 4321, pod(MEMBER))


@pytest.mark.parametrize("peer", [pod(STRANGER), pod(TEST), pod(MEMBER, DNS), {"ip": "192.0.2.1"}], ids=str)
def test_nobody_else_reaches_the_raft_port(peer: dict) -> None:
    for values in ("defaults", "five", "ha", "guide"):
        assert not allowed(rendered(values), "ingress", 4321, peer)


def test_names_are_resolved_and_nothing_else_is_reached() -> None:
    objects = rendered("defaults")
    for protocol in ("UDP", "TCP"):
        assert allowed(objects, "egress", 53, pod({"k8s-app": "kube-dns"}, DNS), protocol)
        assert allowed(objects, "egress", 53, {"ip": "169.254.20.10"}, protocol), "NodeLocal DNSCache"
    assert not allowed(objects, "egress", 53, {"ip": "8.8.8.8"}, "UDP")
    for port in (80, 443, 5432, 6443, 8000):
        assert not allowed(objects, "egress", port, {"ip": "192.0.2.1"})
        assert not allowed(objects, "egress", port, pod(STRANGER))
    assert not allowed(objects, "egress", 80, {"ip": "169.254.169.254"}), "the metadata of the cloud"


def test_what_is_granted_is_reached() -> None:
    objects = rendered("everything-on")
    assert allowed(objects, "egress", 443, {"ip": "192.0.2.7"})
    assert not allowed(objects, "egress", 443, {"ip": "192.0.2.8"})


def test_who_may_call_the_api_follows_from_how_it_is_offered() -> None:
    monitoring = pod(STRANGER, {"kubernetes.io/metadata.name": "monitoring"})
    ingress = pod(STRANGER, {"kubernetes.io/metadata.name": "ingress-nginx"})
    within = rendered("defaults")
    assert allowed(within, "ingress", 8000, pod(STRANGER)) and allowed(within, "ingress", 8000, pod(TEST))
    assert not allowed(within, "ingress", 8000, ingress) and not allowed(within, "ingress", 8000, {"ip": "192.0.2.1"})
    balanced = rendered("five")
    assert allowed(balanced, "ingress", 8000, {"ip": "192.0.2.1"}), "a load balancer that nobody reaches is none"
    behind = chart.render({"ingress": {"enabled": True, "hosts": [{"host": "example.org"}]}})
    assert allowed(behind, "ingress", 8000, ingress) and not allowed(behind, "ingress", 8000, {"ip": "192.0.2.1"})
    chosen = rendered("everything-on")
    assert allowed(chosen, "ingress", 8000, ingress) and allowed(chosen, "ingress", 8000, monitoring)
    test = TEST | {"app.kubernetes.io/instance": "inquisitor"}
    assert allowed(chosen, "ingress", 8000, pod(test)), "`helm test` works with every choice"
    assert not allowed(chosen, "ingress", 8000, pod(STRANGER))


def test_nothing_comes_in_on_a_port_that_nobody_listens_on(objects: list[dict]) -> None:
    for policy in chart.of_kind(objects, "NetworkPolicy"):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        ports = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        assert ports == {8000, 4321}


def test_the_description_for_packet_filters_says_the_same() -> None:
    described = pods.describe(rendered("ha") + companions())
    (policy,) = described["policies"]
    members = ["inquisitor-0", "inquisitor-1", "inquisitor-2"]
    assert policy["pods"] == members
    raft = [rule for rule in policy["egress"] if rule["ports"] == [{"protocol": "TCP", "port": 4321}]]
    assert [rule["pods"] for rule in raft] == [members] and not raft[0]["anybody"]
    api = policy["ingress"][0]
    assert set(members) < set(api["pods"]) and "inquisitor-test" in api["pods"]
