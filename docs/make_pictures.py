"""Makes the pictures of the README from a real service, so that they stay true.

python docs/make_pictures.py

Agrawal data is learned and enforced; a source begins to send salaries in cents; Prometheus raises the alert; a headless
Chromium takes the pictures. Takes two minutes. Needs what bin/test.sh installs.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.browser import browsing  # noqa: E402  the path comes first
from tests.e2e.harness import NDJSON, Load, Prometheus, Service, find_prometheus, lines, until  # noqa: E402

PICTURES: Final = ROOT / "docs/pictures"

# Locust changes the process that imports it, so the events are made in one of their own.
MAKE: Final = """
import itertools, json, random
from locustfile import agrawal, corrupt
clean = list(itertools.islice(agrawal(1), 40_000))
bad = [corrupt("scale", event, random.Random(1)) for event in itertools.islice(agrawal(2), 5_000)]
print(json.dumps([clean, bad]))
"""


def main() -> None:
    """Run the service, let the data go wrong, and take the pictures."""
    program = find_prometheus()
    assert program is not None, "no Prometheus; bin/test.sh brings one"
    clean, bad = _events()
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder) / "workspace", alert_hold="0s") as service:
        prometheus = Prometheus(program, service)
        with (service.root / "assay.toml").open("a") as file:
            file.write(f'prometheus_url = "{prometheus.url}"\n')
        service.start()
        service.post("/collect/agrawal", lines(clean[:20_000]), NDJSON)
        assert service.run("learn", "agrawal", "--activate").returncode == 0
        assert until(lambda: service.enforced("agrawal") == 1, 10)
        rng, is_wrong = random.Random(3), [False]

        def send(_: int) -> None:
            for source, events in (("web", clean), ("branch", bad if is_wrong[0] else clean)):
                with service.client(source) as client:
                    client.ask("POST", "/collect/agrawal", lines(rng.sample(events, 40)), NDJSON)

        with prometheus, Load(1, send, per_second=3):
            until(lambda: False, 60)
            is_wrong[0] = True
            assert until(lambda: any(each.name == "FieldDrift" for each in prometheus.firing()), 90)
            until(lambda: False, 45)
            _take(service)


def _events() -> list[list[dict[str, Any]]]:
    environment = {name: value for name, value in os.environ.items() if name != "ANOMALY"}
    done = subprocess.run(
        [sys.executable, "-c", MAKE],
        cwd=ROOT,
        env=environment | {"LOCUST_SKIP_MONKEY_PATCH": "1"},
        capture_output=True,
        check=True,
    )
    made: list[list[dict[str, Any]]] = json.loads(done.stdout)
    return made


def _take(service: Service) -> None:
    dataset = f"{service.url}/ui/datasets/agrawal"
    pages = {
        "overview": f"{service.url}/ui",
        "dataset": f"{dataset}?field=salary",
        "quarantine": f"{dataset}/quarantine",
    }
    PICTURES.mkdir(exist_ok=True)
    with browsing() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        for name, url in pages.items():
            page.set_viewport_size({"width": 1280, "height": 1_320 if name == "dataset" else 800})
            page.goto(url)
            page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
