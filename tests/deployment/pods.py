"""Rendered objects as plain descriptions of what would run.

`describe(objects)` resolves what the control plane and the kubelet would: replicas to pods, environment from ConfigMaps,
Secrets and fields, volumes to folders with their files, services and network policies to the pods they select. Tests start
the pods from it as processes. As a command it prints the description of the chart as JSON:

    pods.py [VALUES.yaml [OBJECTS.yaml]]

OBJECTS.yaml holds what else is in the cluster. An object there stands for the rendered one of its kind and name, as the
keys that an upgrade finds stand for newly generated ones. The rendered Kubernetes objects come with it as `objects`.
"""

import base64
import hashlib
import json
import re
import sys
from copy import deepcopy


class Missing(Exception):
    """An object that a pod refers to and that was not given."""


def describe(objects: list[dict]) -> dict:
    """`pods`, `sets`, `services` and `policies` of the objects. Raises Missing when a pod needs an object that is not there."""
    pods = [_pod(objects, *pod) for item in objects for pod in _instances(item)]
    namespaces = _namespaces(objects, pods)
    return {
        "pods": pods,
        "sets": [_set(item, pods) for item in objects if item["kind"] == "StatefulSet"],
        "services": [_service(item, pods) for item in objects if item["kind"] == "Service"],
        "policies": [_policy(item, pods, namespaces) for item in objects if item["kind"] == "NetworkPolicy"],
    }


def selects(selector: dict, labels: dict) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    for name, value in selector.get("matchLabels", {}).items():
        if labels.get(name) != value:
            return False
    for rule in selector.get("matchExpressions", []):
        value = labels.get(rule["key"])
        matches = {
            "In": value in rule.get("values", []),
            "NotIn": value not in rule.get("values", []),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[rule["operator"]]
        if not matches:
            return False
    return True


def together(rendered: list[dict], others: list[dict]) -> list[dict]:
    """What is in a cluster: the rendered objects, less those that are there already, and the others."""

    def identity(item: dict) -> tuple[str, str, str]:
        return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]

    there = {identity(item) for item in others}
    return [item for item in rendered if identity(item) not in there] + others


def _namespaces(objects: list[dict], pods: list[dict]) -> dict[str, dict]:
    """Labels of each namespace. Kubernetes sets one by itself."""
    names = {pod["namespace"] for pod in pods}
    labels = {name: {"kubernetes.io/metadata.name": name} for name in names}
    for item in objects:
        if item["kind"] == "Namespace":
            name = item["metadata"]["name"]
            labels[name] = item["metadata"].get("labels", {}) | {"kubernetes.io/metadata.name": name}
    return labels


def _set(item: dict, pods: list[dict]) -> dict:
    """How the controller of a StatefulSet starts and replaces its pods."""
    spec = item["spec"]
    template = json.dumps(spec["template"], sort_keys=True)
    return {
        "name": item["metadata"]["name"],
        "pods": [f"{item['metadata']['name']}-{number}" for number in range(spec.get("replicas", 1))],
        "parallel": spec.get("podManagementPolicy", "OrderedReady") == "Parallel",
        "rolling": spec.get("updateStrategy", {}).get("type", "RollingUpdate") == "RollingUpdate",
        "min_ready_seconds": spec.get("minReadySeconds", 0),
        # Pods of another revision are replaced.
        "revision": hashlib.sha256(template.encode()).hexdigest()[:10],
    }


def _instances(item: dict) -> list[tuple[dict, dict, dict]]:
    """Metadata, spec and claims of each pod that the object stands for."""
    if item["kind"] == "Pod":
        return [(item["metadata"], item["spec"], {})]
    if item["kind"] not in ("StatefulSet", "Deployment"):
        return []
    template = item["spec"]["template"]
    pods = []
    for number in range(item["spec"].get("replicas", 1)):
        metadata = deepcopy(template["metadata"])
        metadata["name"] = f"{item['metadata']['name']}-{number}"
        metadata["namespace"] = item["metadata"]["namespace"]
        spec = deepcopy(template["spec"])
        claims = {}
        if item["kind"] == "StatefulSet":
            # As the StatefulSet controller labels and names it.
            metadata["labels"]["statefulset.kubernetes.io/pod-name"] = metadata["name"]
            metadata["labels"]["apps.kubernetes.io/pod-index"] = str(number)
            spec.update(hostname=metadata["name"], subdomain=item["spec"]["serviceName"])
            for claim in item["spec"].get("volumeClaimTemplates", []):
                claims[claim["metadata"]["name"]] = {
                    "claim": f"{claim['metadata']['name']}-{metadata['name']}",
                    "size": claim["spec"]["resources"]["requests"]["storage"],
                }
        pods.append((metadata, spec, claims))
    return pods


def _pod(objects: list[dict], metadata: dict, spec: dict, claims: dict) -> dict:
    volumes = {volume["name"]: _volume(objects, metadata["namespace"], volume) for volume in spec.get("volumes", [])}
    volumes |= claims
    return {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "labels": metadata.get("labels", {}),
        "annotations": metadata.get("annotations", {}),
        "hostname": spec.get("hostname", metadata["name"]),
        "subdomain": spec.get("subdomain"),
        "grace_seconds": spec.get("terminationGracePeriodSeconds", 30),
        "user": spec.get("securityContext", {}).get("runAsUser"),
        "run_as_group": spec.get("securityContext", {}).get("runAsGroup"),
        "group": spec.get("securityContext", {}).get("fsGroup"),
        "restarts": spec.get("restartPolicy", "Always") == "Always",
        "deadline_seconds": spec.get("activeDeadlineSeconds"),
        "containers": [_container(objects, metadata, spec, volumes, it) for it in spec["containers"]],
        "init_containers": [_container(objects, metadata, spec, volumes, it) for it in spec.get("initContainers", [])],
    }


def _container(objects: list[dict], metadata: dict, spec: dict, volumes: dict, container: dict) -> dict:
    env = _environment(objects, metadata, spec, container)
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", []) if "name" in port}
    probes = {}
    for kind in ("startup", "liveness", "readiness"):
        probe = container.get(f"{kind}Probe")
        if probe:
            probes[kind] = _probe(probe, ports)
    return {
        "name": container["name"],
        "image": container["image"],
        # None: the image's own entry point.
        "command": [expand(word, env) for word in container["command"]] if "command" in container else None,
        "args": [expand(word, env) for word in container.get("args", [])],
        "env": env,
        "ports": ports,
        "probes": probes,
        "lifecycle": container.get("lifecycle", {}),
        "resources": container.get("resources", {}),
        "read_only_root": container.get("securityContext", {}).get("readOnlyRootFilesystem", False),
        "may_gain_privileges": container.get("securityContext", {}).get("allowPrivilegeEscalation", True),
        "drops_all_capabilities": "ALL" in container.get("securityContext", {}).get("capabilities", {}).get("drop", []),
        "mounts": [
            {"path": mount["mountPath"], "read_only": mount.get("readOnly", False), "volume": mount["name"]}
            | {"source": volumes[mount["name"]]}
            for mount in container.get("volumeMounts", [])
        ],
    }


def _probe(probe: dict, ports: dict) -> dict:
    http = probe["httpGet"]
    return {
        "scheme": http.get("scheme", "HTTP").lower(),
        "port": ports.get(http["port"], http["port"]),
        "path": http["path"],
        "delay_seconds": probe.get("initialDelaySeconds", 0),
        "period_seconds": probe.get("periodSeconds", 10),
        "timeout_seconds": probe.get("timeoutSeconds", 1),
        "failures": probe.get("failureThreshold", 3),
    }


def _environment(objects: list[dict], metadata: dict, spec: dict, container: dict) -> dict[str, str]:
    """As the kubelet makes it: whole ConfigMaps and Secrets first, then the entries, each of which may use those before."""
    env: dict[str, str] = {}
    namespace = metadata["namespace"]
    for source in container.get("envFrom", []):
        for kind, reference in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if reference in source:
                found = _data(objects, kind, namespace, source[reference]["name"], source[reference].get("optional"))
                env |= {source.get("prefix", "") + name: value for name, value in found.items()}
    for entry in container.get("env", []):
        name, source = entry["name"], entry.get("valueFrom", {})
        if "fieldRef" in source:
            env[name] = _field(metadata, spec, source["fieldRef"]["fieldPath"])
        elif "configMapKeyRef" in source or "secretKeyRef" in source:
            kind = "ConfigMap" if "configMapKeyRef" in source else "Secret"
            reference = source.get("configMapKeyRef") or source["secretKeyRef"]
            data = _data(objects, kind, namespace, reference["name"], reference.get("optional"))
            if reference["key"] in data:
                env[name] = data[reference["key"]]
            elif not reference.get("optional"):
                raise Missing(f"{kind} {reference['name']} has no entry {reference['key']}")
        elif source:
            raise Missing(f"{name}: valueFrom {sorted(source)} is not resolved here")
        else:
            env[name] = expand(entry.get("value", ""), env)
    return env


def expand(text: str, env: dict[str, str]) -> str:
    """$(NAME) as Kubernetes replaces it: names that are not set stay, $$ is $."""
    return re.sub(
        r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_]*)\)",
        lambda match: "$" if match[0] == "$$" else env.get(match[1], match[0]),
        text,
    )


def _field(metadata: dict, spec: dict, path: str) -> str:
    fields = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
    }
    if path not in fields:
        raise Missing(f"the field {path} is not resolved here")
    return fields[path]


def _data(objects: list[dict], kind: str, namespace: str, name: str, optional: bool | None = False) -> dict[str, str]:
    for item in objects:
        metadata = item["metadata"]
        if (item["kind"], metadata["name"], metadata.get("namespace")) != (kind, name, namespace):
            continue
        data = dict(item.get("data") or {})
        if kind == "Secret":
            data = {key: base64.b64decode(value).decode() for key, value in data.items()}
        return data | item.get("stringData", {})
    if optional:
        return {}
    raise Missing(f"{kind} {namespace}/{name}")


def _volume(objects: list[dict], namespace: str, volume: dict) -> dict:
    """What lies in a volume: `files` (name → text), `empty`, `claim` or `image`."""
    if "emptyDir" in volume:
        return {"empty": True, "size": (volume["emptyDir"] or {}).get("sizeLimit")}
    if "persistentVolumeClaim" in volume:
        return {"claim": volume["persistentVolumeClaim"]["claimName"]}
    if "image" in volume:
        return {"image": volume["image"]["reference"]}
    for kind, source, name in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
        if source in volume:
            reference = volume[source]
            data = _data(objects, kind, namespace, reference[name], reference.get("optional"))
            if "items" in reference:
                absent = [item["key"] for item in reference["items"] if item["key"] not in data]
                if absent:
                    raise Missing(f"{kind} {reference[name]} has no entry {', '.join(absent)}")
                data = {item["path"]: data[item["key"]] for item in reference["items"]}
            return {"files": data, "mode": volume[source].get("defaultMode", 0o644)}
    raise Missing(f"the volume {volume['name']} is of a kind that is not resolved here")


def _service(item: dict, pods: list[dict]) -> dict:
    spec, namespace = item["spec"], item["metadata"].get("namespace")
    chosen = [
        pod for pod in pods if pod["namespace"] == namespace and selects({"matchLabels": spec["selector"]}, pod["labels"])
    ]
    ports = []
    for port in spec["ports"]:
        target = port.get("targetPort", port["port"])
        named = {container["ports"].get(target) for pod in chosen for container in pod["containers"]} - {None}
        ports.append(
            {"name": port["name"], "protocol": port.get("protocol", "TCP"), "port": port["port"]}
            | {"target": named.pop() if named else target}
        )
    return {
        "name": item["metadata"]["name"],
        "namespace": namespace,
        "labels": item["metadata"].get("labels", {}),
        "annotations": item["metadata"].get("annotations", {}),
        "headless": spec.get("clusterIP") == "None",
        "unready_too": spec.get("publishNotReadyAddresses", False),
        "ports": ports,
        "pods": [pod["name"] for pod in chosen],
    }


def _policy(item: dict, pods: list[dict], namespaces: dict[str, dict]) -> dict:
    spec, namespace = item["spec"], item["metadata"].get("namespace")
    chosen = [pod for pod in pods if pod["namespace"] == namespace and selects(spec["podSelector"], pod["labels"])]
    kinds = spec.get("policyTypes") or ["Ingress"] + (["Egress"] if "egress" in spec else [])
    return {
        "name": item["metadata"]["name"],
        "namespace": namespace,
        "pods": [pod["name"] for pod in chosen],
        "restricts": kinds,
        "ingress": [_rule(rule, "from", namespace, pods, namespaces) for rule in spec.get("ingress", [])],
        "egress": [_rule(rule, "to", namespace, pods, namespaces) for rule in spec.get("egress", [])],
    }


def _rule(rule: dict, side: str, namespace: str, pods: list[dict], namespaces: dict[str, dict]) -> dict:
    """Ports of a rule (none: every port), and its peers: anybody, pods by name and by namespace and name, CIDRs."""
    peers = rule.get(side, [])
    here = [peer["podSelector"] for peer in peers if "podSelector" in peer and "namespaceSelector" not in peer]
    local = [pod for pod in pods if pod["namespace"] == namespace]
    return {
        "ports": [{"protocol": port.get("protocol", "TCP"), "port": port["port"]} for port in rule.get("ports", [])],
        "anybody": not peers,
        "pods": [pod["name"] for pod in local if any(selects(selector, pod["labels"]) for selector in here)],
        "pods_anywhere": [
            f"{pod['namespace']}/{pod['name']}"
            for pod in pods
            if any(_is_peer(peer, namespace, pod, namespaces) for peer in peers)
        ],
        "pod_selectors": here,
        "cidrs": [peer["ipBlock"] for peer in peers if "ipBlock" in peer],
        "namespaces": [peer for peer in peers if "namespaceSelector" in peer],
    }


def _is_peer(peer: dict, namespace: str, pod: dict, namespaces: dict[str, dict]) -> bool:
    """Whether a pod is one that a peer of a rule means. Without a selector of namespaces it is one of the policy's own."""
    if "ipBlock" in peer:
        return False
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], namespaces[pod["namespace"]]):
            return False
    elif pod["namespace"] != namespace:
        return False
    return selects(peer.get("podSelector", {}), pod["labels"])


if __name__ == "__main__":
    import yaml

    from chart import load_all, render

    given = yaml.safe_load(open(sys.argv[1])) if len(sys.argv) > 1 else {}
    others = load_all(open(sys.argv[2]).read()) if len(sys.argv) > 2 else []
    there = together(render(given), others)
    json.dump(describe(there) | {"objects": there}, sys.stdout, indent=2)
    sys.stdout.write("\n")
