"""A service with keys: what it asks for, of whom, and what a change of the keys does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, MutableMapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.access.keyring import Keyring
from assay.access.keys import KeyFile
from assay.access.sessions import Sessions
from assay.assemble import application
from assay.service.guard import Door, Guard
from tests.conftest import NUMBER, Bench, Client, Service, until


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.enforce("d", {"a": NUMBER})
    return bench


@pytest.fixture
def key(bench: Bench) -> str:
    return bench.key("collect", name="checkout")


@pytest.fixture
def service(bench: Bench, key: str) -> Iterator[Service]:
    with bench.service() as service:
        yield service


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def status(service: Service, **headers: str) -> int:
    return service.send("/collect/d", {"a": 1}, **headers).status_code


def test_the_key_says_who_sent(service: Service, key: str) -> None:
    sent = [
        service.send("/collect/d", {"a": 1}, x_api_key=key, x_assay_source="somebody else"),
        service.send("/collect/d", {"a": 2}, Authorization=f"bearer   {key}"),
        service.send("/collect/d", b'{"a": 3}\n{"a": -1}', "application/x-ndjson", x_api_key=key),
        service.send("/collect/d", {"a": -1}, x_api_key=key),
    ]
    assert [each.status_code for each in sent] == [200, 200, 200, 422]
    assert until(lambda: service.counted("d", "checkout") == (3, 0, 2))
    service.collector.flush_now(10)
    assert service.bench.rows("SELECT DISTINCT _source FROM d") == ["checkout"]
    assert service.bench.rows("SELECT DISTINCT source FROM _quarantine") == ["checkout"]


def test_an_idempotency_key_is_its_sender_s(bench: Bench, service: Service, key: str) -> None:
    """Another key's holder cannot find out, or take, what was sent under it."""
    other = bench.key("collect", name="other")
    assert until(lambda: status(service, x_api_key=other) == 200)
    first = service.send("/collect/d", {"a": 1}, x_api_key=key, Idempotency_Key="k")
    second = service.send("/collect/d", {"a": 2}, x_api_key=other, Idempotency_Key="k")
    assert [first.status_code, second.status_code] == [200, 200]
    reused = service.send("/collect/d", {"a": 2}, x_api_key=key, Idempotency_Key="k", x_assay_source="other")
    assert reused.status_code == 422


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        pytest.param({}, "a key is needed", id="none"),
        pytest.param({"Authorization": "Basic eDp5"}, "a key is needed", id="another kind of proof"),
        pytest.param({"X-Api-Key": ""}, "no key of this service", id="an empty one"),
        pytest.param({"Authorization": "Bearer"}, "no key of this service", id="Bearer and nothing"),
        pytest.param({"Authorization": "Bearer \xff"}, "no key of this service", id="no ASCII"),
        pytest.param({"X-Api-Key": "assay_aaaaaaaa_" + "x" * 43}, "no key of this service", id="one that looks right"),
    ],
)
def test_without_a_key_that_is_known(service: Service, headers: dict[str, str], says: str) -> None:
    answer = service.client.post(
        "/collect/d",
        b'{"a": 1}',
        [(b"Content-Type", b"application/json"), *((a.encode(), b.encode("latin-1")) for a, b in headers.items())],
    )
    assert answer.status_code == 401
    problem = answer.json()
    assert says in problem["detail"]
    assert problem["title"] == "Unauthorized"
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge == 'Bearer realm="assay"' + (', error="invalid_token"' if says != "a key is needed" else "")


def test_a_key_without_the_scope(service: Service, key: str) -> None:
    answer = service.client.post("/flush", headers=bearer(key))
    assert answer.status_code == 403
    assert answer.json()["detail"] == 'this needs the scope admin, and the key "checkout" has collect'
    assert 'scope="admin"' in answer.headers["WWW-Authenticate"]


def test_where_none_is_needed_a_wrong_one_does_no_harm(service: Service) -> None:
    for path in ("/", "/readyz", "/metrics"):
        assert service.client.get(path, **bearer("old")).status_code == 200


def test_with_a_key_it_does_not_matter_where_from(bench: Bench, key: str) -> None:
    service = bench.service()
    client = Client(application(service.settings, service.collector), base_url="http://box.example", peer="192.0.2.1")
    client.open()
    try:
        kind = {"Content-Type": "application/json"}
        foreign = {"Origin": "http://other.example", "Sec-Fetch-Site": "cross-site"}
        assert client.post("/collect/d", b'{"a": 1}', kind).status_code == 401
        assert client.post("/collect/d", b'{"a": 1}', kind | bearer(key)).status_code == 200
        # No page of another origin can send this header without leave, which it is never given.
        assert client.post("/collect/d", b'{"a": 1}', kind | foreign | bearer(key)).status_code == 200
        assert client.post("/collect/d", b'{"a": 1}', kind | foreign).status_code == 403
        preflight = client.request("OPTIONS", "/collect/d", headers=foreign | {"Access-Control-Request-Method": "POST"})
        assert preflight.status_code == 401
        assert not [name for name in preflight.headers if name.startswith("access-control")]
        assert client.get("/readyz").status_code == 200
    finally:
        client.close()


def test_the_first_key_shuts_the_door_and_a_revoked_one_opens_it_no_more(bench: Bench) -> None:
    with bench.service() as service:
        assert status(service) == 200
        key = bench.key("collect", name="a")
        assert until(lambda: status(service) == 401, 2)
        assert status(service, x_api_key=key) == 200
        bench.keys.revoke("a")
        assert until(lambda: status(service, x_api_key=key) == 401, 2)
        assert status(service) == 401


def test_a_key_is_revoked_whatever_else_goes_on(bench: Bench, key: str, service: Service) -> None:
    """All threads that others share are busy, with jobs of the pages perhaps."""
    done = threading.Event()

    async def fill() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(64):
            loop.run_in_executor(None, done.wait)

    try:
        service.client.run(fill())
        bench.keys.revoke("checkout")
        assert until(lambda: status(service, x_api_key=key) == 401, 2)
    finally:
        done.set()


@pytest.mark.parametrize("damage", ["{", None], ids=["damaged", "gone"])
def test_a_file_that_says_nothing_opens_nothing(bench: Bench, key: str, service: Service, damage: str | None) -> None:
    good = bench.keys.path.read_bytes()
    if damage is None:
        bench.keys.path.unlink()
    else:
        bench.keys.path.write_text(damage)
    assert until(lambda: status(service, x_api_key=key) == 503, 2)
    answer = service.send("/collect/d", {"a": 1}, x_api_key=key)
    assert str(bench.keys.path) in answer.json()["detail"]
    assert answer.headers["Retry-After"] == "1"
    assert status(service) == 503
    ready = service.client.get("/readyz")
    assert ready.status_code == 503
    assert str(bench.keys.path) in ready.json()["reason"]
    assert service.client.get("/").status_code == 200
    bench.keys.path.touch(0o600)
    bench.keys.path.write_bytes(good)
    assert until(lambda: status(service, x_api_key=key) == 200, 2)
    assert service.client.get("/readyz").status_code == 200


HEADERS = ["authorization", "x-api-key", "cookie", "referer", "origin", "host", "sec-fetch-site"]
VALUES = st.binary(max_size=40) | st.sampled_from(
    [b"Bearer ", b"bearer assay_", b"assay_session=x; a", b"//[", b"http://h/ui/", b"null", b"cross-site", b"[::1"]
)


@given(
    st.sampled_from(["GET", "POST", "HEAD", "OPTIONS"]),
    st.sampled_from(["/collect/d", "/ui", "/ui/datasets/d/learn", "/flush", "/contracts", "/docs"]),
    st.lists(st.tuples(st.sampled_from(HEADERS), VALUES), max_size=5),
)
def test_whatever_is_in_the_headers_only_a_key_opens(
    tmp_path_factory: pytest.TempPathFactory, method: str, path: str, headers: list[tuple[str, bytes]]
) -> None:
    file = KeyFile(tmp_path_factory.getbasetemp() / "fuzzed.keys")
    if file.read() is None:
        file.create("a", ["admin"])
    keyring = Keyring(file)
    keyring.look()
    sent: list[int] = []

    async def app(*_: object) -> None:
        pytest.fail("it was let in")

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    async def send(message: MutableMapping[str, object]) -> None:
        if message["type"] == "http.response.start":
            assert isinstance(message["status"], int)
            sent.append(message["status"])

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"a=\xff",
        "headers": [(name.encode(), value) for name, value in headers],
        "client": ("127.0.0.1", 1),
    }
    asyncio.run(Guard(app, Door(keyring, Sessions(keyring)))(scope, receive, send))
    assert sent[0] in {303, 401, 403}


def test_insecure_opens_collect_alone(bench: Bench, key: str) -> None:
    with bench.service(insecure=True) as service:
        assert status(service) == 200
        assert status(service, x_api_key=key) == 200
        assert status(service, x_api_key="wrong") == 401  # it would count as somebody else's
        assert service.send("/validate/d", {"a": 1}).status_code == 401
        assert service.client.post("/flush").status_code == 401
        assert service.client.get("/contracts").status_code == 401
        assert until(lambda: [service.counted("d", source)[0] for source in ("unknown", "checkout")] == [1, 1])


def test_metrics_with_a_key(bench: Bench, key: str) -> None:
    reader = bench.key("read")
    with bench.service(metrics_key=True) as service:
        assert service.client.get("/metrics").status_code == 401
        assert service.client.get("/metrics", **bearer(key)).status_code == 403
        assert service.client.get("/metrics", **bearer(reader)).status_code == 200


def test_metrics_key_without_keys_keeps_other_machines_out(bench: Bench) -> None:
    service = bench.service(metrics_key=True, insecure=True)
    client = Client(application(service.settings, service.collector), base_url="http://box.example", peer="192.0.2.1")
    client.open()
    try:
        assert client.get("/metrics").status_code == 421
        assert client.get("/metrics", Host="localhost").status_code == 401
        assert client.get("/readyz").status_code == 200
    finally:
        client.close()


def test_the_history_names_the_key(bench: Bench) -> None:
    from assay.contract.history import history

    admin = bench.key("admin", name="ada")
    with bench.service() as service:
        number = bench.contract("d", {"a": NUMBER, "b": NUMBER})
        answer = service.send(
            "/contracts/d/activate", {"contract": number}, Authorization=f"Bearer {admin}", x_assay_source="eve"
        )
        assert answer.status_code == 200, answer.text
    assert history(bench.versions, "d")[-1].by == "ada"


@pytest.mark.parametrize("is_keyed", [True, False], ids=["keys", "no keys"])
def test_openapi_says_which_key(bench: Bench, *, is_keyed: bool) -> None:
    headers = bearer(bench.key("read")) if is_keyed else {}
    with bench.service(metrics_key=True) as service:
        document = [service.client.get("/openapi.json", **headers).json() for _ in range(2)][-1]
    assert document["components"]["securitySchemes"]["api_key"]["name"] == "X-Api-Key"
    none: list[object] = [] if is_keyed else [{}]
    needs = {
        "post /collect/{dataset}": [*none, {"bearer": ["collect"]}, {"api_key": ["collect"]}],
        "post /flush": [*none, {"bearer": ["admin"]}, {"api_key": ["admin"]}],
        "get /metrics": [*none, {"bearer": ["read"]}, {"api_key": ["read"]}],
        "get /readyz": [],
    }
    for call, expected in needs.items():
        method, path = call.split()
        assert document["paths"][path][method]["security"] == expected, call
    assert "401" in document["paths"]["/flush"]["post"]["responses"]
    assert "401" not in document["paths"]["/readyz"]["get"]["responses"]
