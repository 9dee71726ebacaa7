"""How long each page of `/ui` takes over a store of many rows, while events come.

python -m benches.pages [--rows 10000000] [--refused 1000000] [--looks 30]

The store is made first, with so many rows and refused events. Then a service runs over it, a client sends 200 events a
second, some of them refused, and each page is asked for again and again over one connection, in turns.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

import duckdb
from tests.e2e.harness import NDJSON, Load, Service, lines, until

from assay.profile.learn import learn
from assay.profile.summarize import summarize
from assay.store.embedded import DuckDBStore
from benches.report import table

__all__ = ["main"]

_FIELDS: Final = (
    "20000 + random() * 130000 AS salary, CASE WHEN random() < .5 THEN 0 ELSE 10000 + random() * 65000 END AS commission,"
    " 20 + (random() * 60)::INT AS age, (random() * 4)::INT AS elevel, 1 + (random() * 19)::INT AS car,"
    " (random() * 8)::INT AS zipcode, random() * 1.4e6 AS hvalue, 1 + (random() * 29)::INT AS hyears, random() * 5e5 AS loan"
)
_META: Final = (
    "now() - to_seconds(i / 1000) AS _collected_at, 'bench' AS _source, 1 AS _contract, NULL::JSON AS _violations,"
    " NULL::JSON AS _extra"
)
_REFUSED: Final = """
INSERT INTO _quarantine SELECT printf('%08x-%04x-7000-8000-%012x', i >> 16, i & 65535, i)::UUID, 'agrawal',
    now() - to_seconds(($1 - i) / 100), 's' || (i % 20), 1, 'application/json', ('{"salary": ' || i * 7 || ', "age": 30}')::BLOB,
    '[{"loc": ["salary"], "type": "less_than_equal", "msg": "Input should be less than or equal to 150000", "input": 1}]',
    md5((i % 7)::VARCHAR)[:16], NULL FROM range($1) t(i)
"""


def main() -> None:
    """Make the store, run the service, ask for the pages, print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--refused", type=int, default=1_000_000)
    parser.add_argument("--looks", type=int, default=30)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder) / "workspace") as service:
        _fill(service, args.rows, args.refused)
        service.start()
        good = {
            "salary": 50_000.0,
            "commission": 0.0,
            "age": 30,
            "elevel": 1,
            "car": 2,
            "zipcode": 3,
            "hvalue": 1.5,
            "hyears": 4,
            "loan": 2.5,
        }
        body = lines([good] * 49 + [good | {"salary": -1.0}])

        def send(_: int) -> None:
            service.post("/collect/agrawal", body, NDJSON)

        with Load(1, send, per_second=4):
            assert until(lambda: service.get("/ui/datasets/agrawal/quarantine").status == 200, 120)
            print(table(("page", "first", "median", "95 of 100", "worst"), _ask(service, args.looks)))


def _fill(service: Service, rows: int, refused: int) -> None:
    """A store with so many rows and refused events, and the contract that is learned from some of them."""
    with DuckDBStore(service.store).write():
        pass  # its own tables
    with duckdb.connect(service.store) as con:
        con.execute(f"CREATE TABLE agrawal AS SELECT {_FIELDS}, {_META} FROM range({rows}) t(i)")
        con.execute(_REFUSED, [refused])
        profile = summarize(con, "(SELECT * FROM agrawal LIMIT 20000)", dataset="agrawal")
    service.enforce("agrawal", learn(profile, dataset="agrawal").schema)
    service.add("agrawal", learn(profile, dataset="agrawal").schema)


def _ask(service: Service, looks: int) -> list[tuple[str, ...]]:
    dataset = "/ui/datasets/agrawal"
    paths = [
        "/ui",
        dataset,
        f"{dataset}/quarantine",
        f"{dataset}/contracts",
        f"{dataset}/diff?from=1&to=2",
        "/ui/runbook",
    ]
    times: dict[str, list[float]] = {path: [] for path in paths}
    con = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    for _ in range(looks):
        for path in paths:
            began = time.perf_counter()
            con.request("GET", path)
            answer = con.getresponse()
            text = answer.read().decode()
            times[path].append((time.perf_counter() - began) * 1000)
            assert answer.status == 200, f"{path}: {text}"
        time.sleep(0.3)
    con.close()
    return [
        (
            path,
            *(
                f"{ms:.0f} ms"
                for ms in (own[0], statistics.median(own), sorted(own)[int(len(own) * 0.95)], max(own[1:]))
            ),
        )
        for path, own in times.items()
    ]


if __name__ == "__main__":
    main()
