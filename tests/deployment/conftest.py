"""What several files of checks share."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import chart

KUBECTL = Path(sys.executable).parent / "kubectl"

# Every file of values/ and the chart's defaults.
MATRIX = ["defaults", *sorted(path.stem for path in (chart.HERE / "values").glob("*.yaml"))]


@cache
def rendered(name: str) -> list[dict]:
    """The chart with one set of values; do not change what it returns."""
    return chart.render(chart.values(name))


@cache
def kustomized(overlay: str) -> list[dict]:
    """An overlay of the plain manifests, built by kubectl."""
    folder = chart.DEPLOYMENTS / "kubernetes" / "manifests" / "overlays" / overlay
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return chart.load_all(done.stdout)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `objects` runs on every rendering; one that takes `releases`, on those of the chart."""
    if "objects" in metafunc.fixturenames:
        sources = [("chart", name) for name in MATRIX] + [("overlay", name) for name in ("single", "ha")]
        metafunc.parametrize("objects", sources, ids=[" ".join(source) for source in sources], indirect=True)
    if "releases" in metafunc.fixturenames:
        metafunc.parametrize("releases", MATRIX, indirect=True)


@pytest.fixture
def objects(request: pytest.FixtureRequest) -> list[dict]:
    """All objects of one rendering of the chart or of an overlay."""
    kind, name = request.param
    return rendered(name) if kind == "chart" else kustomized(name)


@pytest.fixture
def releases(request: pytest.FixtureRequest) -> list[dict]:
    """All objects of one rendering of the chart."""
    return rendered(request.param)
