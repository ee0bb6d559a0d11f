#!/usr/bin/env bash
# Writes the dashboards out of source/; with --check says instead whether they are what source/ makes, and whether
# source/ keeps to Grafana's types. Python's packages go into the target folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=ops/grafana
tools=${CARGO_TARGET_DIR:-target}/tools/grafana
python=$tools/venv/bin/python

# The second question is for a target folder that is older than the system's Python.
has_packages() {
    cmp -s "$here/requirements.txt" "$tools/requirements.txt" &&
        "$python" -c 'import grafana_foundation_sdk, mypy' 2>/dev/null
}
if ! has_packages; then
    echo "grafana: fetching Grafana's types (15 MB, once) …" >&2
    rm -rf "$tools"
    mkdir -p "$tools"
    python3 -m venv "$tools/venv" >&2
    "$python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" >&2
    cp "$here/requirements.txt" "$tools/"
fi

export PYTHONDONTWRITEBYTECODE=1
if [ "${1:-}" = --check ]; then
    "$python" -m mypy --strict --no-error-summary --cache-dir "$tools/mypy" "$here"/source/*.py
fi
exec "$python" "$here/source" "$here/dashboards" "$@"
