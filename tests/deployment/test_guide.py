"""The deployment guide, deployments/README.md: its commands run or name what exists, its values are valid, its links lead somewhere."""

import copy
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

import chart
from conftest import rendered
from test_objects import FOREIGN

GUIDE = chart.DEPLOYMENTS / "README.md"
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)
KINDS = {"sh runs", "sh cluster", "sh docker", "yaml values", "yaml foreign"}


def blocks(kind: str) -> list[str]:
    """The text of every code block of a kind."""
    return [text for word, text in BLOCK.findall(GUIDE.read_text()) if word == kind]


def commands(kind: str) -> list[str]:
    """Every line of the blocks of a kind."""
    return [line for text in blocks(kind) for line in text.splitlines() if line.strip()]


def objects() -> list[dict]:
    """What the guide's commands work on: the default release."""
    return rendered("defaults")


def test_every_block_says_how_it_is_checked() -> None:
    assert {word for word, _ in BLOCK.findall(GUIDE.read_text())} == KINDS


@pytest.mark.parametrize("command", commands("sh runs"))
def test_a_command_that_needs_no_cluster_runs(command: str, tmp_path: Path) -> None:
    (tmp_path / "deployments").symlink_to(chart.DEPLOYMENTS)
    (tmp_path / "values.yaml").write_text(blocks("yaml values")[0])
    tools = os.pathsep.join([str(chart.HERE), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=tmp_path,
        env={"PATH": tools, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("command", commands("sh cluster") + commands("sh docker"))
def test_a_command_that_needs_more_names_what_exists(command: str) -> None:
    words = shlex.split(command)
    pods = {f"inquisitor-{number}" for number in range(3)}
    for kind, name in re.findall(r"\b(statefulset|svc|pod|secret|configmap)[/ ]([a-z][a-z0-9-]*)", command):
        if kind == "pod":
            assert name in pods
        elif (kind, name) != ("secret", "generic"):
            chart.named(objects(), {"statefulset": "StatefulSet", "svc": "Service", "secret": "Secret"}[kind], name)
    for secret, key in re.findall(r"create secret generic (\S+).*--from-literal=([a-z-]+)=", command):
        assert key in chart.named(objects(), "Secret", secret)["data"]
    for service, port in re.findall(r"port-forward svc/(\S+) \d+:(\d+)", command):
        ports = chart.named(objects(), "Service", service)["spec"]["ports"]
        assert int(port) in [item["port"] for item in ports]
    for container in re.findall(r"set image statefulset/inquisitor (\w+)=", command):
        spec = chart.named(objects(), "StatefulSet", "inquisitor")["spec"]["template"]["spec"]
        assert container == spec["containers"][0]["name"]
    if words[0] == "kubectl" and words[1] not in ("apply", "create") or "helm" in words[:1] and words[1] != "package":
        assert chart.NAMESPACE in words, "a command without its namespace acts on another"
    for selector in re.findall(r" -l (\S+)", command):
        spec = chart.named(objects(), "StatefulSet", "inquisitor")["spec"]["template"]["metadata"]["labels"]
        assert dict(pair.split("=") for pair in selector.split(",")).items() <= spec.items()
    for entry in re.findall(r"jsonpath='\{\.data\.([a-z-]+)\}'", command):
        assert entry in chart.named(objects(), "Secret", "inquisitor-secrets")["data"]
    for word in words:
        if word.startswith(("deployments/", "examples/")):
            assert (chart.REPOSITORY / word).exists(), word
    services = yaml.safe_load((chart.DEPLOYMENTS / "docker" / "compose.yaml").read_text())["services"]
    for service in re.findall(r"\bcompose\b.* stop (\S+)", command):
        assert service in services
    # A shell takes it.
    checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, timeout=10)
    assert checked.returncode == 0, checked.stderr


def test_the_values_are_valid_and_have_valid_objects() -> None:
    for text in blocks("yaml values"):
        for item in chart.render(yaml.safe_load(text)):
            if item["kind"] not in FOREIGN:
                kubernetes_validate.validate(copy.deepcopy(item), "1.37.0", strict=True)


def test_the_certificate_names_the_members() -> None:
    (certificate,) = [yaml.safe_load(text) for text in blocks("yaml foreign")]
    members = {f"inquisitor-{number}" for number in range(3)}
    assert set(certificate["spec"]["dnsNames"]) == members
    named = {yaml.safe_load(text).get("raft", {}).get("tls", {}).get("existingSecret") for text in blocks("yaml values")}
    assert certificate["spec"]["secretName"] in named


def test_links_lead_somewhere() -> None:
    text = GUIDE.read_text()
    anchors = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).strip().replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        else:
            assert (GUIDE.parent / target).exists(), target


def test_values_that_the_text_names_exist() -> None:
    import helm_python

    with helm_python.Chart.load(chart.CHART) as loaded:
        schema = loaded.schema
    for path in set(re.findall(r"`([a-z][A-Za-z]+(?:\.[a-z][A-Za-z]+)+)[:`]", GUIDE.read_text())):
        node = schema
        if path.endswith((".yaml", ".yml", ".json", ".crt", ".key")) or path.split(".")[0] not in schema["properties"]:
            continue
        for part in path.split("."):
            assert part in node.get("properties", {}), f"no value {path}"
            node = node["properties"][part]


def test_variables_and_metrics_that_the_text_names_exist() -> None:
    from test_monitoring import metrics

    text = GUIDE.read_text()
    known = set(chart.environment()) | {"DATABASE_PASSWORD", "INQUISITOR_PORT"}
    assert set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)[`=]", text)) <= known
    names = {re.sub("_(bucket|sum|count)$", "", name) for name in metrics()}
    assert set(re.findall(r"`(inquisitor_[a-z_]+)", text)) <= names | {"inquisitor_runtime"}
