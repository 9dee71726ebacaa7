"""Who may come in: programs on this machine, and not web pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from assay.assemble import application
from tests.conftest import NUMBER, Bench, Client, Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that is known by another name too."""
    bench = Bench(tmp_path_factory.mktemp("guard"))
    bench.enforce("d", {"a": NUMBER})
    with bench.service(allowed_hosts="Assay.Example, other.example:8080") as service:
        yield service


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("localhost", 200, id="localhost"),
        pytest.param("LocalHost:8080", 200, id="in capitals, with a port"),
        pytest.param("127.0.0.1", 200, id="IPv4"),
        pytest.param("127.0.0.1:99", 200, id="IPv4 with a port"),
        pytest.param("[::1]", 200, id="IPv6"),
        pytest.param("[::1]:8080", 200, id="IPv6 with a port"),
        pytest.param("assay.example", 200, id="an allowed host"),
        pytest.param("ASSAY.example:443", 200, id="an allowed host in capitals, with a port"),
        pytest.param("other.example", 200, id="an allowed host that was given with a port"),
        pytest.param("", 421, id="empty"),
        pytest.param("evil.example", 421, id="another"),
        pytest.param("localhost.evil.example", 421, id="one that begins like it"),
        pytest.param("evil.example:localhost", 421, id="it in the place of the port"),
        pytest.param("[::1]evil.example", 421, id="more behind the brackets"),
        pytest.param("[::1", 421, id="a bracket that never closes"),
        pytest.param("localhost:80@evil.example", 421, id="it as a user"),
        pytest.param("127.0.0.1.nip.example", 421, id="a name that resolves here"),
        pytest.param("10.0.0.1", 421, id="another address"),
    ],
)
def test_the_host_is_this_machine(service: Service, host: str, status: int) -> None:
    answers = [
        service.client.get("/", Host=host),
        service.client.get("/metrics", Host=host),
        service.send("/collect/d", {"a": 1}, Host=host),
    ]
    assert [answer.status_code for answer in answers] == [status] * 3
    if status == 421:
        assert answers[0].json()["status"] == 421


def test_a_host_is_needed(service: Service) -> None:
    sent: list[int] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message.get("status", 0))

    async def call() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("127.0.0.1", 1)}
        await service.client.app(scope, receive, send)

    service.client.run(call())
    assert sent[0] == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Origin": "http://localhost:8080"}, 200, id="its own page"),
        pytest.param({"Origin": "http://LOCALHOST:8080"}, 200, id="its own page in capitals"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, 200, id="its own page, as the browser says"),
        pytest.param({"Sec-Fetch-Site": "none"}, 200, id="typed by a person"),
        pytest.param({"Origin": "http://evil.example"}, 403, id="another page"),
        pytest.param({"Origin": "http://localhost:3000"}, 403, id="a page of another port"),
        pytest.param({"Origin": "null"}, 403, id="a page without an origin"),
        pytest.param({"Origin": "http://[bad"}, 403, id="no origin at all"),
        pytest.param({"Origin": "http://localhost:8080.evil.example"}, 403, id="one that begins like it"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="another site, as the browser says"),
        pytest.param({"Sec-Fetch-Site": "Cross-Site"}, 403, id="in capitals"),
    ],
)
def test_a_page_of_another_origin_sends_nothing(service: Service, headers: dict[str, str], status: int) -> None:
    before = service.rows("SELECT count(*) FROM _quarantine")
    assert service.send("/collect/d", {"a": 1}, **headers).status_code == status
    assert service.send("/collect/d", b"a=1", "text/plain", **headers).status_code == (415 if status == 200 else 403)
    assert service.client.post("/flush", headers=headers).status_code == status
    assert service.client.get("/", **headers).status_code == 200
    assert service.rows("SELECT count(*) FROM _quarantine") == before


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_no_answer_lets_a_page_read_it(service: Service, method: str) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    for path in ("/", "/metrics", "/collect/d"):
        answer = service.client.request(method, path, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]


def _statuses(client: Client) -> dict[str, int]:
    kind = {"Content-Type": "application/json"}
    posts = ("/collect", "/collect/d", "/validate/d", "/flush", "/collector", "/replay/d")
    gets = ("/", "/readyz", "/metrics", "/contracts", "/contracts/d", "/docs", "/openapi.json", "/nothing")
    found = {path: client.post(path, b'{"a": 1}', kind).status_code for path in posts}
    return found | {path: client.get(path).status_code for path in gets}


REFUSED_INSECURE = dict.fromkeys(
    (
        "/validate/d",
        "/flush",
        "/collector",
        "/replay/d",
        "/contracts",
        "/contracts/d",
        "/docs",
        "/openapi.json",
        "/nothing",
    )
)


@pytest.mark.parametrize(
    ("peer", "host", "insecure", "refused"),
    [
        pytest.param("192.0.2.1", "localhost:8080", False, "all", id="another machine that says localhost"),
        pytest.param("192.0.2.1", "box.example", False, "all", id="another machine"),
        pytest.param("192.0.2.1", "box.example", True, "all but collect", id="another machine, insecure"),
        pytest.param("127.0.0.1", "box.example", True, "all but collect", id="a rebound name here, insecure"),
        pytest.param("127.0.0.1", "localhost", True, "none", id="this machine, insecure"),
        pytest.param("::1", "localhost", False, "none", id="this machine by IPv6"),
        pytest.param("::ffff:127.0.0.1", "localhost", False, "none", id="this machine by IPv4 in IPv6"),
    ],
)
def test_other_machines(bench: Bench, peer: str, host: str, refused: str, *, insecure: bool) -> None:
    bench.enforce("d", {"a": NUMBER})
    service = bench.service(insecure=insecure)
    client = Client(application(service.settings, service.collector), base_url=f"http://{host}", peer=peer)
    client.open()
    try:
        statuses = _statuses(client)
    finally:
        client.close()
    kept_out = {path for path, status in statuses.items() if status in {401, 403, 421}}
    expected = {"all": set(statuses), "all but collect": set(REFUSED_INSECURE), "none": set[str]()}
    assert kept_out == expected[refused]
    if refused == "none":
        assert set(statuses.values()) == {200, 404}
