"""Scrape configuration, alerts with their unit tests, and the dashboard, against the list of metrics."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import chart
from conftest import rendered

PROMTOOL = shutil.which("promtool")
PROMETHEUS = chart.DEPLOYMENTS / "prometheus"
ALERTS = PROMETHEUS / "alerts.yaml"
DASHBOARD = chart.DEPLOYMENTS / "grafana" / "dashboard.json"
CASES = chart.HERE / "alerts.test.yaml"

# Labels that Prometheus or its discovery adds.
TARGET_LABELS = {"job", "instance", "namespace", "le", "__name__"}


def promtool(*arguments: str | Path) -> str:
    """Its output; fails with it when it finds something."""
    assert PROMTOOL, "promtool is not installed; run.sh says how"
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def metrics() -> dict[str, set[str]]:
    """Every series name that may be used → its labels. Histograms have three names."""
    known: dict[str, set[str]] = {}
    for line in (chart.HERE / "metrics.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, *words = line.split()
        labels = set(words) - {"histogram", "external"}
        suffixes = ("_bucket", "_sum", "_count") if "histogram" in words else ("",)
        known |= {name + suffix: labels for suffix in suffixes}
    return known


def rules() -> list[dict]:
    """Every alert."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def check_query(query: str, known: dict[str, set[str]]) -> set[str]:
    """The names of series that a query uses; fails on one that does not exist, or on a label that it does not have."""
    text = query.replace("$__rate_interval", "5m")
    used = set()
    for name, selector in re.findall(r"\b([a-z_]+)\{([^}]*)\}", text):
        assert name in known, f"no metric {name}: {query}"
        used.add(name)
        for label in re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selector):
            assert label in known[name] | TARGET_LABELS, f"{name} has no label {label}: {query}"
    # Every name has a selector (job at least), so that nothing of another system is taken in.
    bare = re.sub(r'"[^"]*"|\{[^}]*\}', "", text)
    assert not {word for word in re.findall(r"[a-z_]+", bare) if word in known} - used
    labels = {label for name in used for label in known[name]} | TARGET_LABELS
    for group in re.findall(r"\bby\s*\(([^)]*)\)", bare):
        for label in filter(None, (word.strip() for word in group.split(","))):
            assert label in labels, f"by ({label}): {query}"
    assert used, query
    return used


def test_the_scrape_configurations_are_valid(tmp_path: Path) -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yaml")
    # Debian's promtool is built without discovery in Kubernetes, so that part is looked at here and left out there.
    text = yaml.safe_load((PROMETHEUS / "prometheus-kubernetes.yaml").read_text())
    (job,) = text["scrape_configs"]
    assert job["job_name"] == "inquisitor"
    assert job.pop("kubernetes_sd_configs") == [{"role": "endpoints"}]
    shutil.copy(ALERTS, tmp_path / "alerts.yaml")
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(text))
    promtool("check", "config", tmp_path / "prometheus.yaml")


def test_the_discovery_finds_the_metrics_service_of_the_chart() -> None:
    """The relabelling, done here, on what Prometheus would discover."""
    service = chart.named(rendered("defaults"), "Service", "inquisitor-metrics")
    discovered = {
        "__address__": "10.0.0.7:8000",
        "__scheme__": "http",
        "__metrics_path__": "/metrics",
        "__meta_kubernetes_namespace": chart.NAMESPACE,
        "__meta_kubernetes_pod_name": "inquisitor-0",
        "__meta_kubernetes_service_label_app": service["metadata"]["labels"]["app"],
    }
    for name, value in service["metadata"]["annotations"].items():
        discovered["__meta_kubernetes_service_annotation_" + re.sub(r"[./-]", "_", name)] = value
    (job,) = yaml.safe_load((PROMETHEUS / "prometheus-kubernetes.yaml").read_text())["scrape_configs"]
    target = relabel(discovered, job["relabel_configs"])
    assert target is not None
    assert target["__address__"] == "10.0.0.7:8000" and target["__metrics_path__"] == "/metrics"
    assert target["instance"] == "inquisitor-0" and target["namespace"] == chart.NAMESPACE
    del discovered["__meta_kubernetes_service_annotation_prometheus_io_scrape"]
    assert relabel(discovered, job["relabel_configs"]) is None


def relabel(labels: dict[str, str], steps: list[dict]) -> dict[str, str] | None:
    """As Prometheus does it; None when the target is dropped."""
    labels = dict(labels)
    for step in steps:
        value = ";".join(labels.get(name, "") for name in step["source_labels"])
        match = re.fullmatch(step.get("regex", "(.*)"), value)
        if step.get("action") == "keep":
            if not match:
                return None
        elif match:
            labels[step["target_label"]] = match.expand(step.get("replacement", "$1").replace("$", "\\"))
    return labels


def test_the_alerts_are_valid() -> None:
    promtool("check", "rules", ALERTS)


def test_the_alerts_do_what_their_cases_say(tmp_path: Path) -> None:
    names = [rule["alert"] for rule in rules()]
    text = yaml.safe_load(ALERTS.read_text())
    for group in text["groups"]:
        for rule in group["rules"]:
            del rule["annotations"]
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(text))
    cases = yaml.safe_load(CASES.read_text())
    for case in cases["tests"]:
        if moment := case.pop("silent", None):
            case["alert_rule_test"] = [
                {"eval_time": moment, "alertname": name, "exp_alerts": []} for name in names
            ]
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(cases))
    promtool("test", "rules", tmp_path / "cases.yaml")


def test_every_alert_has_a_case_for_firing_and_one_for_silence() -> None:
    fires, silent = set(), set()
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for moment in case.get("alert_rule_test", []):
            (fires if moment["exp_alerts"] else silent).add(moment["alertname"])
    names = {rule["alert"] for rule in rules()}
    assert fires == names
    assert silent == names


def test_alerts_use_metrics_that_exist() -> None:
    known = metrics()
    for rule in rules():
        if rule["alert"] == "InquisitorNoMembers":
            assert rule["expr"] == 'absent(up{job="inquisitor"})'
        check_query(rule["expr"], known)


def test_every_alert_says_what_to_do() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).strip().replace(" ", "-")
        for line in (chart.DEPLOYMENTS / "README.md").read_text().splitlines()
        if line.startswith("#")
    }
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        page, anchor = rule["annotations"]["runbook_url"].split("#")
        assert page.endswith("/deployments/README.md")
        assert anchor == rule["alert"].lower() and anchor in headings, rule["alert"]


def test_the_objects_of_the_prometheus_operator() -> None:
    objects = rendered("everything-on")
    (rule,) = chart.of_kind(objects, "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text())
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    (monitor,) = chart.of_kind(objects, "ServiceMonitor")
    spec = monitor["spec"]
    chosen = [
        item
        for item in chart.of_kind(objects, "Service")
        if spec["selector"]["matchLabels"].items() <= item["metadata"]["labels"].items()
    ]
    assert [item["metadata"]["name"] for item in chosen] == ["iq-metrics"]
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in [port["name"] for port in chosen[0]["spec"]["ports"]]
    assert endpoint["scheme"] == "https" and endpoint["path"] == "/metrics"
    # As with discovery by annotations: alerts and dashboard show a member by its name.
    assert endpoint["relabelings"] == [{"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"}]
    # The job's name, which alerts and dashboard know the members by.
    assert chosen[0]["metadata"]["labels"][spec["jobLabel"]] == "inquisitor"
    dashboard = chart.named(objects, "ConfigMap", "iq-dashboard")
    assert json.loads(dashboard["data"]["inquisitor.json"]) == json.loads(DASHBOARD.read_text())
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"


def panels() -> list[dict]:
    """Every panel of the dashboard that shows data."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def test_the_dashboard_uses_metrics_that_exist_and_leaves_none_out() -> None:
    known = metrics()
    used = set()
    for panel in panels():
        for target in panel["targets"]:
            used |= check_query(target["expr"], known)
    own = {re.sub("_(bucket|sum|count)$", "", name) for name in known if name.startswith(("inquisitor_", "process_"))}
    assert own == {re.sub("_(bucket|sum|count)$", "", name) for name in used} - {"up"}


def test_the_list_of_metrics_knows_all_that_the_host_counts() -> None:
    sources = (chart.REPOSITORY / "host" / "server" / "src" / "metrics").glob("*.rs")
    names = {name for path in sources for name in re.findall(r'"(inquisitor_[a-z_]+)"', path.read_text())}
    listed = {re.sub("_(bucket|sum|count)$", "", name) for name in metrics()}
    assert names and names <= listed | {"inquisitor_server"}


def test_the_queries_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    """As recording rules, so that promtool parses them."""
    text = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    queries += [item["expr"] for item in text["annotations"]["list"]]
    recorded = []
    for number, query in enumerate(queries):
        for variable in ("__rate_interval", "namespace", "instance"):
            query = query.replace(f"${variable}", "5m" if variable == "__rate_interval" else "x")
        assert "$" not in query
        recorded.append({"record": f"query:{number}", "expr": query})
    rules_file = tmp_path / "queries.yaml"
    rules_file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    promtool("check", "rules", rules_file)


def test_the_dashboard_is_laid_out() -> None:
    text = json.loads(DASHBOARD.read_text())
    assert text["uid"] == "inquisitor" and text["schemaVersion"] >= 38
    identifiers = [panel["id"] for panel in text["panels"]]
    assert len(identifiers) == len(set(identifiers))
    taken: set[tuple[int, int]] = set()
    for panel in text["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    variables = {item["name"] for item in text["templating"]["list"]}
    assert set(re.findall(r"\$\{?([a-z]+)\}?", json.dumps(text))) <= variables
    for panel in panels():
        assert panel["title"] and panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@pytest.mark.parametrize("path", sorted((chart.DEPLOYMENTS / "grafana").rglob("*.yaml")), ids=lambda path: path.stem)
def test_the_provisioning_of_grafana_is_read(path: Path) -> None:
    (text,) = chart.load_all(path.read_text())
    assert text["apiVersion"] == 1 and ("datasources" in text) != ("providers" in text)
