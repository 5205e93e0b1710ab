"""The image's files and the compose file, as far as they can be judged without a container engine."""

import fnmatch
import re
import shlex
import subprocess

import yaml

import chart
from conftest import rendered
from test_objects import members

DOCKER = chart.DEPLOYMENTS / "docker"


def instructions() -> list[tuple[str, str]]:
    """Instruction and argument of each statement of the Dockerfile, in order."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def final_stage() -> list[tuple[str, str]]:
    """The statements of the image that is shipped."""
    steps = instructions()
    last = max(number for number, (word, _) in enumerate(steps) if word == "FROM")
    return steps[last:]


def argument(word: str) -> str:
    """The argument of the one instruction of this name in the final stage."""
    (found,) = [rest for name, rest in final_stage() if name == word]
    return found


def test_the_image_is_what_the_chart_expects() -> None:
    spec = members(rendered("defaults"))
    container = spec["containers"][0]
    assert [*yaml.safe_load(argument("ENTRYPOINT")), *yaml.safe_load(argument("CMD"))] == container["command"]
    user, group = argument("USER").split(":")
    assert (int(user), int(group)) == (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsGroup"])
    assert [int(port) for port in argument("EXPOSE").split()] == [port["containerPort"] for port in container["ports"]]
    config = chart.named(rendered("defaults"), "ConfigMap", "inquisitor-config")["data"]
    env = dict(word.split("=", 1) for word in shlex.split(argument("ENV")))
    assert env and all(config[name] == value for name, value in env.items())
    # Volumes take the owner of the image's folder, so each folder that is written to must exist and belong to the user.
    installed = next(rest for word, rest in final_stage() if word == "RUN")
    for name in ("DATA_DIR", "ARTIFACT_DIR", "INQUISITOR_CACHE_DIR"):
        assert env[name] in installed


def test_plugins_are_where_the_binary_looks() -> None:
    copies = [rest.split()[-1] for word, rest in final_stage() if word == "COPY"]
    assert "/usr/local/bin/inquisitor" in copies
    assert "/usr/local/lib/inquisitor/plugins/" in copies
    source = (chart.REPOSITORY / "host" / "cli" / "src" / "host.rs").read_text()
    assert '"../lib/inquisitor/plugins"' in source


def test_there_is_a_shell_and_the_labels_are_complete() -> None:
    assert re.match(r"debian:\$\{DEBIAN\}-slim$", argument("FROM")), "kubectl exec … /bin/bash"
    labels = argument("LABEL")
    for name in ("title", "description", "source", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in labels


def test_dependencies_are_built_before_the_sources_come() -> None:
    steps = instructions()
    cook = next(number for number, (word, rest) in enumerate(steps) if word == "RUN" and "cargo chef cook" in rest)
    stage = max(number for number, (word, _) in enumerate(steps[:cook]) if word == "FROM")
    assert all(word != "COPY" or "recipe.json" in rest for word, rest in steps[stage:cook])
    for word, rest in steps:
        if word == "RUN" and re.search(r"cargo (build|run|chef cook)", rest):
            assert "--locked" in rest


def test_the_versions_are_those_of_the_repository() -> None:
    manifest = (chart.REPOSITORY / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.+)"', manifest, re.M)[1]
    rust = re.search(r'^rust-version = "(.+)"', manifest, re.M)[1]
    declared = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
    assert declared["appVersion"] == version
    assert ("ARG", f"RUST_VERSION={rust}") in instructions()
    assert ("ARG", f"VERSION={version}") in instructions()
    assert compose()["services"]["inquisitor-0"]["image"].endswith(f":v{version}")


def kept(path: str, patterns: list[str]) -> bool:
    """Whether a path is in the build context: the last pattern that matches it or a folder above it decides."""
    here = True
    for pattern in patterns:
        bare = pattern.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        names = parts if "**/" in pattern else above
        if bare == "*" or any(fnmatch.fnmatch(name, bare) for name in names):
            here = pattern.startswith("!")
    return here


def test_the_context_has_what_a_build_needs_and_no_more() -> None:
    lines = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    listed = subprocess.run(
        ["git", "ls-files"], cwd=chart.REPOSITORY, capture_output=True, text=True, timeout=60, check=True
    ).stdout.splitlines()
    context = {path for path in listed if kept(path, patterns)}
    for path in ("Cargo.toml", "Cargo.lock", "rust-toolchain.toml", ".cargo/config.toml", "LICENSE"):
        assert path in context
    # Everything that a workspace member is made of, and every file that a source takes in.
    for path in listed:
        if path.startswith(("host/", "sdk/", "plugins/", "wit/", "xtask/")) and path.endswith((".rs", ".toml", ".wit")):
            assert path in context, path
        if path.endswith(".template"):
            assert path in context, path
    for path in ("README.md", "target/debug/inquisitor", "tests/deployment/run.sh", ".git/config", "deployments/README.md"):
        assert not kept(path, patterns), path


def compose() -> dict:
    """The compose file with its anchors and merges resolved."""
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def test_compose_runs_three_members_that_know_each_other() -> None:
    services = compose()["services"]
    hosts = {name: service for name, service in services.items() if name.startswith("inquisitor-")}
    assert sorted(hosts) == ["inquisitor-0", "inquisitor-1", "inquisitor-2"]
    volumes = []
    for name, service in hosts.items():
        env = service["environment"]
        assert set(env) <= set(chart.environment())
        assert env["RAFT_NODE_ID"] == name == service["hostname"]
        assert env["RAFT_PEERS"] == ",".join(f"{peer}:4321" for peer in sorted(hosts))
        assert all("?" in env[secret] for secret in ("API_KEY", "CLUSTER_SECRET")), "no secret stands in the file"
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        grace = int(service["stop_grace_period"].removesuffix("s"))
        assert grace > int(env["SHUTDOWN_TIMEOUT"].removesuffix("s"))
        volumes += [volume.split(":")[0] for volume in service["volumes"] if not volume.startswith(".")]
    assert len(volumes) == len(set(volumes)), "no two members share a volume"
    assert set(volumes) <= set(compose()["volumes"])


def test_compose_mounts_what_there_is() -> None:
    for name, service in compose()["services"].items():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).exists(), f"{name}: {source}"
            else:
                assert source in compose()["volumes"], f"{name}: {source}"
    build = compose()["services"]["inquisitor-0"]["build"]
    assert (DOCKER / build["context"]).resolve() == chart.REPOSITORY.resolve()
    assert (chart.REPOSITORY / build["dockerfile"]).is_file()


def test_prometheus_scrapes_the_members_of_compose() -> None:
    text = yaml.safe_load((chart.DEPLOYMENTS / "prometheus" / "prometheus.yaml").read_text())
    (job,) = text["scrape_configs"]
    hosts = sorted(name for name in compose()["services"] if name.startswith("inquisitor-"))
    assert job["static_configs"] == [{"targets": [f"{host}:8000" for host in hosts]}]
    mounts = dict(volume.split(":")[:2] for volume in compose()["services"]["prometheus"]["volumes"])
    folder = "/etc/prometheus/"
    inside = {target.removeprefix(folder) for target in mounts.values() if target.startswith(folder)}
    assert inside == {"prometheus.yaml", *text["rule_files"]}
