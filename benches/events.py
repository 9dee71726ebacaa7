"""What is sent: River's Agrawal events, and a contract learned from exactly these."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from assay.contract.document import Contract
from assay.contract.versions import Active, Versions
from assay.profile.learn import learn
from assay.profile.relation import profile

__all__ = ["DATASET", "LINES", "agrawal", "arrow_bodies", "bodies", "encoded", "learned", "with_text", "with_unknown"]

DATASET: Final = "agrawal"
#: Lines of an NDJSON body.
LINES: Final = 10_000

Event = dict[str, Any]


def agrawal(count: int, seed: int = 1) -> list[Event]:
    """River's nine features and its label, as the load generator sends them."""
    from river.datasets.synth import Agrawal

    amounts = {"salary", "commission", "hvalue", "loan"}

    def events() -> Iterator[Event]:
        for features, label in Agrawal(seed=seed):
            event: Event = {name: float(value) if name in amounts else int(value) for name, value in features.items()}
            yield event | {"label": int(label)}

    return list(itertools.islice(events(), count))


def learned(events: Sequence[Event], contracts: Path) -> Contract:
    """A contract with bounds and bins, learned from `events` and active in the folder `contracts`.

    It is learned from what is sent, so that every event is good and none is sent to Pydantic by a bound.
    """
    import pyarrow as pa

    schema = json.loads(learn(profile(pa.Table.from_pylist(list(events)))).to_json())
    versions = Versions(contracts)
    contract = versions.add(Contract.parse(schema, dataset=DATASET))
    assert contract.version is not None
    versions.activate(DATASET, Active(contract.version))
    return contract


def encoded(event: Mapping[str, Any]) -> bytes:
    """An event as producers send it."""
    return json.dumps(event).encode()


def bodies(events: Sequence[Event], lines: int = LINES) -> list[bytes]:
    """NDJSON bodies."""
    raws = list(map(encoded, events))
    return [b"\n".join(raws[start : start + lines]) + b"\n" for start in range(0, len(raws), lines)]


def arrow_bodies(events: Sequence[Event], rows: int = LINES) -> list[bytes]:
    """Arrow streams of one batch each, as pyarrow writes them by default: not packed."""
    import pyarrow as pa

    whole = pa.Table.from_pylist(list(events))
    streams = []
    for start in range(0, whole.num_rows, rows):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, whole.schema) as writer:
            writer.write_table(whole.slice(start, rows))
        streams.append(sink.getvalue().to_pybytes())
    return streams


def with_text(event: Event) -> Event:
    """A bad event: a number that became a string on its way."""
    return event | {"salary": str(event["salary"])}


def with_unknown(event: Event) -> Event:
    """A good event with one field that the contract does not name."""
    return event | {"campaign": "autumn"}
