#!/usr/bin/env bash
# Every check of deployments/: the chart, the plain manifests, the image's files, alerts, dashboard and the guide's commands.
# Needs Python 3.11 with venv, and promtool (installed from Debian's package where it is missing and this is root).
set -euo pipefail
cd "$(dirname "$0")"
target="${CARGO_TARGET_DIR:-../../target}"
mkdir -p "$target"
# The place and the note are those of `cargo xtask test`, which makes it for the tests that run the chart.
venv="$(cd "$target" && pwd)/python/deployment"

if ! cmp --silent requirements.txt "$venv/installed.txt"; then
    rm -rf "$venv"
    mkdir -p "$(dirname "$venv")"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement requirements.txt
    cp requirements.txt "$venv/installed.txt"
fi
if ! command -v promtool >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update --quiet=2
        # The service is not wanted, only the tool.
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install --quiet=2 --yes --no-install-recommends prometheus
    else
        echo "promtool is missing: install Prometheus (Debian: apt-get install prometheus)" >&2
        exit 1
    fi
fi
# Nothing is written beside the sources.
export PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" -m pytest --quiet -p no:cacheprovider "$@"
