"""The chart through Helm's own code, and the objects that come out of it."""

from pathlib import Path

import helm_python
import yaml

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
DEPLOYMENTS = REPOSITORY / "deployments"
CHART = DEPLOYMENTS / "kubernetes" / "helm" / "inquisitor"
RELEASE = "inquisitor"
NAMESPACE = "inquisitor-system"

helm_python.disable_logging()

# YAML readers that see each key once: a key that is given twice is a mistake, which PyYAML keeps to itself.


class Strict(yaml.SafeLoader):
    """A loader that refuses a mapping with the same key twice."""


def _mapping(loader: Strict, node: yaml.MappingNode) -> dict:
    keys = [loader.construct_object(key) for key, _ in node.value]
    double = {key for key in keys if keys.count(key) > 1}
    if double:
        raise yaml.constructor.ConstructorError(None, None, f"given twice: {sorted(double)}", node.start_mark)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_all(text: str) -> list[dict]:
    """Every object of a YAML stream."""
    return [document for document in yaml.load_all(text, Loader=Strict) if document]


def values(name: str) -> dict:
    """One of the files in values/, or nothing for the chart's defaults."""
    if name == "defaults":
        return {}
    return yaml.safe_load((HERE / "values" / f"{name}.yaml").read_text())


def render(given: dict | None = None, *, name: str = RELEASE, namespace: str = NAMESPACE) -> list[dict]:
    """Every object of the chart, tests included; raises helm_python.HelmError with Helm's message."""
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(given or {}, name=name, namespace=namespace)
    return [
        document
        for path, text in files.items()
        if not path.endswith("NOTES.txt")
        for document in load_all(text)
    ]


def notes(given: dict | None = None) -> str:
    """What Helm prints after an installation."""
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(given or {}, name=RELEASE, namespace=NAMESPACE)
    return next(text for path, text in files.items() if path.endswith("NOTES.txt"))


def refusal(given: dict) -> str:
    """Why Helm refuses these values; fails when it does not."""
    try:
        with helm_python.Chart.load(CHART) as chart:
            chart.validate_schema(given)
            chart.render(given, name=RELEASE, namespace=NAMESPACE)
    except helm_python.HelmError as error:
        return str(error)
    raise AssertionError(f"the chart accepts {given}")


def of_kind(objects: list[dict], kind: str) -> list[dict]:
    """The objects of a kind."""
    return [item for item in objects if item["kind"] == kind]


def named(objects: list[dict], kind: str, name: str) -> dict:
    """The one object of this kind and name."""
    found = [item for item in of_kind(objects, kind) if item["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {len(found)} of them"
    return found[0]


def is_hook(item: dict) -> bool:
    """Whether Helm runs the object as a test instead of installing it."""
    return "helm.sh/hook" in item["metadata"].get("annotations", {})


def environment() -> dict[str, str]:
    """What the host reads: name → why the chart cannot set it, empty where it can."""
    lines = (HERE / "environment.txt").read_text().splitlines()
    words = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return {word[0]: word[1] if len(word) > 1 else "" for word in words}
