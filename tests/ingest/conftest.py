"""What tests of the log share: a log that is a file, and one that is a stream. The promises are the same."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from assay.ingest.log import Log
from assay.ingest.stream_address import StreamAddress
from tests.streams import Servers, missing

#: Opens a log, with its file or its copy at a path.
MakeLog: TypeAlias = Callable[..., Log]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """One nats-server, for tests that leave it as it is."""
    if missing():
        pytest.skip(missing())
    with Servers(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
def stream(servers: Servers, tmp_path: Path) -> StreamAddress:
    """A stream that nobody else has."""
    return StreamAddress.parse(servers.url(f"t{uuid.uuid4().hex}"), root=tmp_path)


@pytest.fixture(params=["file", "stream"])
def make_log(request: pytest.FixtureRequest) -> MakeLog:
    """Opens the log of one test, of either kind."""
    if request.param == "file":
        return Log
    address = request.getfixturevalue("stream")
    from assay.ingest.stream_log import StreamLog

    return lambda path, **given: StreamLog(path, address, **given)
