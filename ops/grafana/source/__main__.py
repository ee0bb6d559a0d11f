"""Writes all dashboards as JSON into a folder, or with --check compares them with what is there."""

import json
import sys
from pathlib import Path

import overview
import retries
import servers
from grafana_foundation_sdk.cog.encoder import JSONEncoder

import ingest
import processor

DASHBOARDS = [
    overview.dashboard(),
    ingest.dashboard(),
    processor.dashboard(),
    retries.dashboard(),
    servers.dashboard(),
]


def main(folder: Path, check: bool) -> int:
    wanted = {}
    for dashboard in DASHBOARDS:
        model = dashboard.build()
        for number, panel in enumerate(model.panels or [], start=1):
            panel.id_val = number
        wanted[f"{model.uid}.json"] = json.dumps(model, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
    found = {path.name: path.read_text() for path in folder.glob("*.json")}
    if check:
        different = [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
        for name in different:
            print(f"{name} is not what source/ makes; run ops/grafana/generate.sh", file=sys.stderr)
        return 1 if different else 0
    for name in found.keys() - wanted.keys():
        (folder / name).unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), "--check" in sys.argv[2:]))
