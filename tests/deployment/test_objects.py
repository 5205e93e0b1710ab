"""What must hold for every object, whatever the values: schemas of Kubernetes, security, ports, selectors, environment."""

import copy
import os
import re
import subprocess

import helm_python
import kubernetes_validate
import pytest

import chart
import pods
from conftest import kustomized, rendered

# The oldest whose schemas there are, the first with image volumes, and the newest.
VERSIONS = ["1.25.0", "1.31.0", "1.37.0"]
# Of the Prometheus operator; their specs are checked by hand in test_monitoring.py.
FOREIGN = {"ServiceMonitor", "PrometheusRule"}


def workloads(objects: list[dict]) -> list[tuple[dict, dict]]:
    """Each pod template or pod: its metadata and its spec."""
    return [
        (item["metadata"], item["spec"]) if item["kind"] == "Pod" else
        (item["spec"]["template"]["metadata"], item["spec"]["template"]["spec"])
        for item in objects
        if item["kind"] in ("Pod", "StatefulSet", "Deployment", "Job")
    ]


def members(objects: list[dict]) -> dict:
    """The pod spec of the members."""
    return next(item for item in objects if item["kind"] == "StatefulSet")["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(objects: list[dict], version: str) -> None:
    for item in objects:
        if item["kind"] in FOREIGN:
            continue
        if version == "1.25.0" and any("image" in volume for _, spec in workloads([item]) for volume in spec["volumes"]):
            continue  # The chart refuses image volumes where the cluster is that old; see below.
        kubernetes_validate.validate(copy.deepcopy(item), version, strict=True)


def test_the_schemas_find_a_misspelt_field() -> None:
    broken = copy.deepcopy(chart.named(rendered("defaults"), "StatefulSet", "inquisitor"))
    broken["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


def test_objects_are_in_their_namespace_named_once_and_labelled(objects: list[dict]) -> None:
    names = [(item["kind"], item["metadata"]["name"]) for item in objects]
    assert len(names) == len(set(names))
    for item in objects:
        if item["kind"] == "Namespace":
            continue
        metadata = item["metadata"]
        assert metadata["namespace"] == chart.NAMESPACE
        assert metadata["labels"]["app"] == "inquisitor", "the selectors of the reference guide"
        for label in ("name", "instance", "version", "part-of"):
            assert f"app.kubernetes.io/{label}" in metadata["labels"], metadata["name"]


def test_the_restricted_pod_security_standard_holds(objects: list[dict]) -> None:
    for _, spec in workloads(objects):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["securityContext"].get("runAsUser", 1) != 0
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "image", "persistentVolumeClaim", "secret"}
        for container in spec["containers"] + spec.get("initContainers", []):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["runAsNonRoot"] is True
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert not any("hostPort" in port for port in container.get("ports", []))


def test_pods_have_no_access_to_the_kubernetes_api(objects: list[dict]) -> None:
    assert not {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"} & {item["kind"] for item in objects}
    for account in chart.of_kind(objects, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    for _, spec in workloads(objects):
        assert spec["automountServiceAccountToken"] is False


def test_containers_have_limits_and_members_have_probes(objects: list[dict]) -> None:
    for _, spec in workloads(objects):
        for container in spec["containers"]:
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
    container = members(objects)["containers"][0]
    paths = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: get["path"] for kind, get in paths.items()} == {
        "startup": "/health",
        "liveness": "/health",
        "readiness": "/ready",
    }
    tls = any(volume["name"] == "http-tls" for volume in members(objects)["volumes"])
    assert {get["scheme"] for get in paths.values()} == {"HTTPS" if tls else "HTTP"}


def test_volumes_and_mounts_belong_together(objects: list[dict]) -> None:
    for item in objects:
        for _, spec in workloads([item]):
            claims = item["spec"].get("volumeClaimTemplates", [])
            volumes = [volume["name"] for volume in spec["volumes"]] + [claim["metadata"]["name"] for claim in claims]
            for container in spec["containers"]:
                mounts = container["volumeMounts"]
                assert sorted(volumes) == sorted(mount["name"] for mount in mounts)
                paths = [mount["mountPath"] for mount in mounts]
                assert len(paths) == len(set(paths))


def test_no_two_members_share_a_volume_that_one_node_can_mount(objects: list[dict]) -> None:
    """Claims that a pod names are read-only; what is written has a claim for each member."""
    for volume in members(objects)["volumes"]:
        if "persistentVolumeClaim" in volume:
            assert volume["persistentVolumeClaim"]["readOnly"] is True
    for stateful in chart.of_kind(objects, "StatefulSet"):
        for claim in stateful["spec"].get("volumeClaimTemplates", []):
            assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_ports_are_those_that_the_binary_listens_on(objects: list[dict]) -> None:
    container = members(objects)["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8000, "raft": 4321}
    env = environment(objects)
    for name, port in (("HTTP_LISTEN", 8000), ("RAFT_LISTEN", 4321)):
        assert env[name].endswith(f":{port}")
    for kind in ("startup", "liveness", "readiness"):
        assert container[f"{kind}Probe"]["httpGet"]["port"] == "http"
    for service in chart.of_kind(objects, "Service"):
        for port in service["spec"]["ports"]:
            assert port["targetPort"] == ("raft" if port["name"] == "raft" else "http")


def test_selectors_choose_all_members_and_nothing_else(objects: list[dict]) -> None:
    described = pods.describe(objects + companions())
    everybody = [pod["name"] for pod in described["pods"] if pod["labels"]["app.kubernetes.io/component"] == "member"]
    replicas = next(item for item in objects if item["kind"] == "StatefulSet")["spec"]["replicas"]
    assert len(everybody) == replicas
    for service in described["services"]:
        assert service["pods"] == everybody, service["name"]
    for policy in described["policies"]:
        assert policy["pods"] == everybody
    stateful = next(item for item in objects if item["kind"] == "StatefulSet")["spec"]
    spread = stateful["template"]["spec"]["topologySpreadConstraints"]
    budgets = [item["spec"]["selector"] for item in chart.of_kind(objects, "PodDisruptionBudget")]
    for selector in [stateful["selector"], *[it["labelSelector"] for it in spread], *budgets]:
        assert [pod["name"] for pod in described["pods"] if pods.selects(selector, pod["labels"])] == everybody
    for pod in described["pods"]:
        if pod["name"] in everybody:
            assert pod["labels"]["app"] == "inquisitor", "the guide's own selectors still find the members"


def test_unready_members_are_found_by_each_other_and_by_prometheus(objects: list[dict]) -> None:
    services = {item["metadata"]["name"]: item["spec"] for item in chart.of_kind(objects, "Service")}
    for name, spec in services.items():
        special = name.endswith(("-headless", "-metrics"))
        assert spec.get("publishNotReadyAddresses", False) is special, name
    headless = next(name for name in services if name.endswith("-headless"))
    assert services[headless]["clusterIP"] == "None"
    assert next(item for item in objects if item["kind"] == "StatefulSet")["spec"]["serviceName"] == headless


def test_peers_are_all_members_by_the_names_that_dns_gives_them(objects: list[dict]) -> None:
    described = pods.describe(objects + companions())
    for pod in described["pods"]:
        if pod["labels"]["app.kubernetes.io/component"] != "member":
            continue
        env = pod["containers"][0]["env"]
        peers = env["RAFT_PEERS"].split(",")
        assert peers == [
            f"{other['hostname']}.{other['subdomain']}:4321"
            for other in described["pods"]
            if other["labels"]["app.kubernetes.io/component"] == "member"
        ]
        assert env["RAFT_NODE_ID"] == env["POD_NAME"] == pod["name"]
        assert env["POD_NAMESPACE"] == chart.NAMESPACE
        # One way of proof, never both and never none.
        assert ("CLUSTER_SECRET" in env) != ("RAFT_TLS_CERT" in env)


def test_folders_of_the_environment_are_mounted(objects: list[dict]) -> None:
    env = environment(objects)
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in members(objects)["containers"][0]["volumeMounts"]}
    for name, read_only in (
        ("DATA_DIR", False),
        ("ARTIFACT_DIR", False),
        ("INQUISITOR_CACHE_DIR", False),
        ("MANIFEST_DIR", True),
        ("SUBSTRATE_DIR", True),
        ("INQUISITOR_SECRET_DIR", True),
    ):
        if name in env:
            assert mounts.get(env[name]) is read_only, name
    assert mounts["/tmp"] is False
    for name in ("RAFT_TLS_CA", "RAFT_TLS_CERT", "RAFT_TLS_KEY", "HTTP_TLS_CERT", "HTTP_TLS_KEY"):
        if name in env:
            assert mounts.get(env[name].rpartition("/")[0]) is True, name


def test_no_variable_is_set_twice(objects: list[dict]) -> None:
    for _, spec in workloads(objects):
        for container in spec["containers"]:
            names = [entry["name"] for entry in container.get("env", [])]
            for source in container.get("envFrom", []):
                names += chart.named(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
            assert len(names) == len(set(names)), sorted(names)


def test_every_variable_is_one_that_the_host_reads(objects: list[dict]) -> None:
    known = chart.environment()
    given = {"RUST_BACKTRACE"}  # Of values/everything-on.yaml: entries of a user's own are passed on.
    assert set(environment(objects)) - given <= set(known)


def test_every_variable_that_the_host_reads_can_be_set() -> None:
    """Or environment.txt says why the chart leaves it to `env`."""
    set_somewhere = {name for values in ("defaults", "everything-on") for name in environment(rendered(values))}
    known = chart.environment()
    assert {name for name in known if not known[name]} == set_somewhere & set(known)
    for name, reason in known.items():
        assert not reason or len(reason.split()) > 3, f"{name}: a reason is a sentence"


def test_the_list_of_variables_is_that_of_the_binary() -> None:
    target = chart.REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target")
    binary = target / "debug" / "inquisitor"
    if not binary.is_file():
        pytest.skip(f"{binary} is not built")
    done = subprocess.run([binary, "serve", "--help"], capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip("this build has no `serve`")
    read = set(re.findall(r"\[env: ([A-Z_]+)=?", done.stdout))
    assert read <= set(chart.environment()), "environment.txt lacks some"
    if "RAFT_PEERS" not in read:
        pytest.skip("this build has no cluster")
    assert read == set(chart.environment())


def test_leadership_is_handed_over_and_there_is_time_to_stop(objects: list[dict]) -> None:
    spec = members(objects)
    stop = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    replicas = next(item for item in objects if item["kind"] == "StatefulSet")["spec"]["replicas"]
    assert stop[:2] == ["/bin/sh", "-c"]
    hand_over = re.search(r"raft transfer-leader --wait (\d+)s \|\| true", stop[2])
    assert (hand_over is not None) == (replicas > 1)
    pause = int(re.search(r"sleep (\d+)", stop[2])[1])
    wait = int(hand_over[1]) if hand_over else 0
    shutdown = int(environment(objects)["SHUTDOWN_TIMEOUT"].removesuffix("s"))
    assert spec["terminationGracePeriodSeconds"] >= wait + pause + shutdown + 5


def test_a_disruption_leaves_a_majority(objects: list[dict]) -> None:
    replicas = next(item for item in objects if item["kind"] == "StatefulSet")["spec"]["replicas"]
    assert replicas % 2 == 1
    for budget in chart.of_kind(objects, "PodDisruptionBudget"):
        assert replicas - budget["spec"]["maxUnavailable"] > replicas // 2
    if replicas == 1:
        assert not chart.of_kind(objects, "PodDisruptionBudget"), "it could only forbid every drain"
    stateful = next(item for item in objects if item["kind"] == "StatefulSet")["spec"]
    assert stateful["podManagementPolicy"] == "Parallel", "members that wait for each other are never ready"


@pytest.mark.parametrize("overlay, values", [("single", "single"), ("ha", "ha")])
def test_the_plain_manifests_are_what_the_chart_renders(overlay: str, values: str) -> None:
    plain = {key(item): item for item in kustomized(overlay) if item["kind"] != "Namespace"}
    release = {key(item): without_helm(item) for item in rendered(values) if not chart.is_hook(item)}
    assert set(plain) == set(release)
    for name, item in plain.items():
        assert item == release[name], name


def key(item: dict) -> tuple[str, str]:
    """What tells objects apart within a namespace."""
    return item["kind"], item["metadata"]["name"]


def without_helm(item: dict) -> dict:
    """The object without what only Helm sets."""
    item = copy.deepcopy(item)
    for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
        item["metadata"]["labels"].pop(label)
    if item["kind"] == "StatefulSet":
        annotations = item["spec"]["template"]["metadata"].pop("annotations")
        assert set(annotations) == {"checksum/settings", "checksum/keys"}
    return item


def test_image_volumes_are_refused_where_there_are_none(capfd: pytest.CaptureFixture[str]) -> None:
    given = {"plugins": {"image": "example.org/p:1"}}
    for version, refused in (("v1.25.0", True), ("v1.34.0", False)):
        # A lint goes on after a refusal of the templates and only logs it; it alone takes a version of Kubernetes.
        helm_python.lint(str(chart.CHART), given, strict=True, kube_version=version)
        assert (f"image volumes, which Kubernetes {version} does not have" in capfd.readouterr().err) is refused


def environment(objects: list[dict]) -> dict[str, str]:
    """The variables of the first member."""
    described = pods.describe(objects + companions())
    member = next(it for it in described["pods"] if it["labels"]["app.kubernetes.io/component"] == "member")
    return member["containers"][0]["env"]


def companions() -> list[dict]:
    """The Secrets and ConfigMaps of a user's own that values and overlays refer to."""
    certificate = {"ca.crt": "ca", "tls.crt": "certificate", "tls.key": "key"}
    entries = {
        "inquisitor-secrets": {"api-key": "0123456789abcdef", "database-password": "x"},
        "inquisitor-cluster": {"cluster-secret": "s" * 32},
        "iq-secrets": {"api-key": "0123456789abcdef", "database-password": "x"},
        "elsewhere": {"key": "0123456789abcdef"},
        "iq-members": certificate,
        "iq-http": certificate,
    }
    plugins = {"kind": "ConfigMap", "metadata": {"name": "small-plugins", "namespace": chart.NAMESPACE}, "data": {}}
    return [plugins] + [
        {"kind": "Secret", "metadata": {"name": name, "namespace": chart.NAMESPACE}, "stringData": data}
        for name, data in entries.items()
    ]
