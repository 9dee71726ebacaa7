"""Every row of the table of outcomes, as a client sees it, and what is left of each in the store."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import zstandard

from assay.ingest.decode import MAX_DEPTH
from tests.conftest import NUMBER, Bench, Service, until

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
NDJSON = "application/x-ndjson"
JSON = "application/json"


def quarantined(service: Service, quarantine_id: str) -> dict[str, Any]:
    """What the quarantine has under an id."""
    names = ("dataset", "source", "contract", "content_type", "body", "violations", "fingerprint", "replayed_at")
    (row,) = service.rows(f"SELECT {', '.join(names)} FROM _quarantine WHERE id = '{quarantine_id}'")
    return dict(zip(names, row, strict=True))


# ---- accepted


@pytest.mark.parametrize(
    ("kind", "body", "accepted"),
    [
        pytest.param(JSON, b'{"a": 1}', 1, id="an object"),
        pytest.param(JSON, b' \n{"a": 1.5, "s": "\xc3\xa9"}\t', 1, id="with space around"),
        pytest.param(JSON, b'[{"a": 1}, {"a": 2}]', 2, id="an array"),
        pytest.param(JSON, b"[]", 0, id="an empty array"),
        pytest.param(NDJSON, b'{"a": 1}\n{"a": 2}\n', 2, id="lines"),
        pytest.param(NDJSON, b'{"a": 1}\r\n\r\n  \n{"a": 2}', 2, id="lines of Windows, empty ones among them"),
        pytest.param(NDJSON, b"", 0, id="no line at all"),
        pytest.param("application/json; charset=utf-8", b'{"a": 1}', 1, id="with its charset"),
        pytest.param('Application/JSON;charset="UTF-8"', b'{"a": 1}', 1, id="in capitals and quoted"),
        pytest.param(JSON, b'{"a": 1, "new": {"x": [null]}}', 1, id="with an unknown field"),
        pytest.param(JSON, b'{"a": 200, "a": 2}', 1, id="of repeated keys the last counts"),
    ],
)
def test_accepted(shared: Service, kind: str, body: bytes, accepted: int) -> None:
    answer = shared.send("/collect/d", body, kind)
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "accepted": accepted})
    assert answer.headers["content-type"] == JSON
    before = shared.rows("SELECT count(*) FROM d")[0]
    assert shared.send("/validate/d", body, kind).json() == {"ok": True, "accepted": accepted}
    assert shared.rows("SELECT count(*) FROM d")[0] == before


def test_an_accepted_event_is_in_its_table_whole(shared: Service) -> None:
    event = {"a": 3, "s": "whole", "new": {"x": [1, None, "é"]}}
    shared.send("/collect/d", event, X_Assay_Source=" shop 7 ")
    ((a, s, source, contract, violations, extra),) = shared.rows(
        "SELECT a, s, _source, _contract, _violations, _extra FROM d WHERE s = 'whole'"
    )
    assert (a, s, source, contract, violations) == (3.0, "whole", "shop 7", 1, None)
    assert json.loads(extra) == {"new": {"x": [1, None, "é"]}}


# ---- rejected


def test_one_rejected_event_is_a_problem_with_these_members(shared: Service) -> None:
    body = b'{"a": 101 , "s": "x"}'
    answer = shared.send("/collect/d", body, X_Assay_Source="till")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert UUID.fullmatch(problem["quarantine_id"])
    assert problem == {
        "type": "urn:assay:problem:rejected",
        "title": problem["title"],
        "status": 422,
        "detail": "the event breaks the contract of d",
        "dataset": "d",
        "contract": 1,
        "quarantine_id": problem["quarantine_id"],
        "errors": [
            {
                "loc": ["a"],
                "type": "less_than_equal",
                "msg": "Input should be less than or equal to 100",
                "input": 101,
            }
        ],
    }
    kept = quarantined(shared, problem["quarantine_id"])
    assert json.loads(kept.pop("violations")) == problem["errors"]
    assert re.fullmatch(r"[0-9a-f]{16}", kept.pop("fingerprint"))
    assert kept == {
        "dataset": "d",
        "source": "till",
        "contract": 1,
        "content_type": JSON,
        "body": body,
        "replayed_at": None,
    }


@pytest.mark.parametrize(
    ("body", "loc", "kind"),
    [
        pytest.param(b"{}", ["a"], "missing", id="missing"),
        pytest.param(b'{"a": null}', ["a"], "float_type", id="null"),
        pytest.param(b'{"a": "12"}', ["a"], "float_type", id="a string is no number"),
        pytest.param(b'{"a": true}', ["a"], "float_type", id="true is no number"),
        pytest.param(b'{"a": 1, "s": 5}', ["s"], "string_type", id="a number is no string"),
        pytest.param(b'{"a": 1e999}', ["a"], "finite_number", id="beyond a double"),
        pytest.param(
            b'{"a": 1, "new": -1e999}',
            ["new"],
            "finite_number",
            id="beyond a double, in an unknown field",
        ),
        pytest.param(b"5", [], "model_type", id="a number"),
        pytest.param(b'"x"', [], "model_type", id="a string"),
        pytest.param(b"null", [], "model_type", id="null is no event"),
        pytest.param(b"true", [], "model_type", id="true"),
    ],
)
@pytest.mark.parametrize("path", ["/collect/d", "/validate/d"])
def test_rejected(shared: Service, path: str, body: bytes, loc: list[str], kind: str) -> None:
    answer = shared.send(path, body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["loc"], error["type"]) == (loc, kind)
    assert ("quarantine_id" in answer.json()) is (path == "/collect/d")


def test_a_batch_tells_which_of_its_events_were_rejected(shared: Service) -> None:
    body = b'[{"a": 1, "s": "batch"}, {"a":  -1}, 5, {"a": 101, "s": 5}]'
    answer = shared.send("/collect/d", body)
    assert answer.status_code == 200
    document = answer.json()
    assert {**document, "errors": 0} == {"ok": False, "accepted": 1, "rejected": 3, "errors": 0}
    errors = document["errors"]
    assert [(each["index"], each["loc"], each["type"]) for each in errors] == [
        (1, ["a"], "greater_than_equal"),
        (2, [], "model_type"),
        (3, ["a"], "less_than_equal"),
        (3, ["s"], "string_type"),
    ]
    assert all(each["msg"] for each in errors)
    assert errors[2]["quarantine_id"] == errors[3]["quarantine_id"]
    bodies = [quarantined(shared, each["quarantine_id"])["body"] for each in errors[:3]]
    assert bodies == [b'{"a":  -1}', b"5", b'{"a": 101, "s": 5}']
    assert shared.rows("SELECT count(*) FROM d WHERE s = 'batch'") == [1]


def test_a_broken_line_rejects_itself_alone(shared: Service) -> None:
    answer = shared.lines("/collect/d", {"a": 1, "s": "lines"}, b"", b'{"a": \xff}', {"a": 2, "s": "lines"})
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 2
    (error,) = answer.json()["errors"]
    assert (error["index"], error["type"]) == (1, "json_invalid")
    assert "line 3" in error["msg"]
    assert quarantined(shared, error["quarantine_id"])["body"] == b'{"a": \xff}'
    assert shared.rows("SELECT a FROM d WHERE s = 'lines' ORDER BY a") == [1, 2]


def test_only_the_first_100_errors_are_told(shared: Service) -> None:
    before = shared.rows("SELECT count(*) FROM _quarantine")[0]
    answer = shared.lines("/collect/d", *({"a": -1, "s": 5} for _ in range(80)))
    document = answer.json()
    assert (document["rejected"], len(document["errors"])) == (80, 100)
    assert shared.rows("SELECT count(*) FROM _quarantine")[0] == before + 80


@pytest.mark.parametrize("value", ["true", "1"])
def test_an_atomic_batch_is_stored_whole_or_not_at_all(shared: Service, value: str) -> None:
    answer = shared.send(f"/collect/d?atomic={value}", [{"a": 1, "s": "atomic"}, {"a": -1}, {"a": 2, "s": "atomic"}])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["accepted"], problem["rejected"], problem["dataset"], problem["contract"]) == (0, 1, "d", 1)
    assert [each["index"] for each in problem["errors"]] == [1]
    assert quarantined(shared, problem["errors"][0]["quarantine_id"])["body"] == b'{"a": -1}'
    assert shared.rows("SELECT count(*) FROM d WHERE s = 'atomic'") == [0]


def test_an_atomic_batch_without_fault_is_accepted(shared: Service) -> None:
    answer = shared.send("/collect/d?atomic=true", [{"a": 1}, {"a": 2}])
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "accepted": 2})


def test_atomic_is_true_or_false(shared: Service) -> None:
    answer = shared.send("/collect/d?atomic=perhaps", {"a": 1})
    assert answer.status_code == 400
    assert "atomic" in answer.json()["detail"]


# ---- bodies that are not what they say


@pytest.mark.parametrize(
    ("body", "byte"),
    [
        pytest.param(b"", 0, id="empty"),
        pytest.param(b"   ", 3, id="blank"),
        pytest.param(b'{"a": 1', 7, id="cut short"),
        pytest.param(b'{"a": 1} x', 9, id="more behind it"),
        pytest.param(b'{"a": 1}{"a": 2}', 8, id="two of them"),
        pytest.param(b'{"a": NaN}', 6, id="NaN"),
        pytest.param(b'{"a": Infinity}', 6, id="Infinity"),
        pytest.param(b'{"a": "\xff"}', 7, id="not UTF-8"),
        pytest.param(rb'{"a": "\ud800"}', 7, id="half a surrogate pair"),
        pytest.param(b'[{"a": 1}, {"a": }]', 17, id="inside an array"),
        pytest.param(b"\xef\xbb\xbf{}", 0, id="a byte order mark"),
        pytest.param(b"\0", 0, id="a NUL"),
    ],
)
def test_a_broken_body_is_400_with_the_byte_and_is_kept(shared: Service, body: bytes, byte: int) -> None:
    answer = shared.send("/collect/d", body, X_Assay_Source="broken")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["dataset"], problem["byte"]) == (400, "d", byte)
    kept = quarantined(shared, problem["quarantine_id"])
    assert (kept["body"], kept["source"]) == (body, "broken")
    assert json.loads(kept["violations"])[0]["type"] == "json_invalid"
    checked = shared.send("/validate/d", body)
    assert (checked.status_code, checked.json()["byte"]) == (400, byte)
    assert "quarantine_id" not in checked.json()


GOOD = json.dumps({"a": 1, "s": "x" * 2_000}).encode()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        pytest.param("gzip", gzip.compress(GOOD)[:-3], id="gzip, cut short"),
        pytest.param("gzip", gzip.compress(GOOD) + b"rest", id="gzip, more behind it"),
        pytest.param("X-GZip ", GOOD, id="no gzip, but a good event"),
        pytest.param("zstd", zstandard.compress(GOOD)[:-3], id="zstd, cut short"),
        pytest.param("zstd", b"garbage" * 1_000, id="no zstd"),
        pytest.param("gzip", b"", id="nothing"),
    ],
)
@pytest.mark.parametrize("kind", [JSON, "application/x-ndjson", "application/cloudevents+json"])
def test_what_cannot_be_unpacked_is_kept_as_it_was_sent(shared: Service, encoding: str, body: bytes, kind: str) -> None:
    """However it arrives; and replay does not take it for an event."""
    headers = {"Content-Type": kind, "Content-Encoding": encoding, "X-Assay-Source": "packed"}
    answer = shared.client.post("/collect/d", (body[i : i + 999] for i in range(0, len(body), 999)), headers)
    problem = answer.json()
    assert (answer.status_code, problem["dataset"], "byte" in problem) == (400, "d", True)
    kept = quarantined(shared, problem["quarantine_id"])
    media_type = "application/zstd" if encoding == "zstd" else "application/gzip"
    assert (kept["body"], kept["content_type"], kept["source"]) == (body, media_type, "packed")
    assert json.loads(kept["violations"])[0]["type"] == "json_invalid"
    checked = shared.client.post("/validate/d", body, headers)
    assert (checked.status_code, "quarantine_id" in checked.json()) == (400, False)
    assert shared.client.post("/replay/d?dry_run=true").json()["accepted"] == 0


def test_a_key_knows_what_was_not_packed_from_what_was(shared: Service) -> None:
    """Who said gzip by mistake sends the same bytes again, and does not get the first answer."""
    headers = {"Content-Type": JSON, "Idempotency-Key": "no-gzip"}
    wrong = [shared.client.post("/collect/d", GOOD, headers | {"Content-Encoding": "gzip"}) for _ in range(2)]
    assert [each.status_code for each in wrong] == [400, 400]
    assert wrong[0].json() == wrong[1].json()
    assert shared.client.post("/collect/d", GOOD, headers).status_code == 200


def test_packed_garbage_is_bounded(bench: Bench) -> None:
    with bench.service(max_body_bytes=10_000) as service:
        for size, status in ((9_000, 400), (11_000, 413)):
            chunks = (b"x" * 1_000 for _ in range(size // 1_000))
            headers = {"Content-Type": JSON, "Content-Encoding": "gzip"}
            assert service.client.post("/collect/d", chunks, headers).status_code == status
        assert service.rows("SELECT octet_length(body) FROM _quarantine") == [9_000]
        assert service.collector.pending.bytes == 0


@pytest.mark.parametrize("form", ['{{"a": 1, "x": {}}}', '[{{"a": 1, "x": {}}}]'])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 10, 100_000])
def test_nesting_is_bounded(shared: Service, form: str, depth: int) -> None:
    answer = shared.send("/collect/d", form.format("[" * depth + "]" * depth))
    assert answer.status_code == 400
    assert f"{MAX_DEPTH} levels" in answer.json()["detail"]
    fits = form.format("[" * (MAX_DEPTH - 5) + "]" * (MAX_DEPTH - 5))
    assert shared.send("/collect/d", fits).status_code == 200


# ---- what is not taken


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        pytest.param({}, "missing", id="no type"),
        pytest.param({"Content-Type": "text/plain"}, "text/plain", id="text"),
        pytest.param({"Content-Type": "application/x-www-form-urlencoded"}, "form", id="a form"),
        pytest.param({"Content-Type": "multipart/form-data; boundary=x"}, "multipart", id="a form in parts"),
        pytest.param({"Content-Type": "application/json2"}, "json2", id="nearly JSON"),
        pytest.param({"Content-Type": JSON, "Content-Encoding": "br"}, "br", id="an encoding"),
        pytest.param({"Content-Type": JSON, "Content-Encoding": "identity, br"}, "br", id="encodings"),
        pytest.param({"Content-Type": "application/json; charset=latin-1"}, "latin-1", id="a charset"),
    ],
)
def test_unsupported_types_are_415(shared: Service, headers: dict[str, str], says: str) -> None:
    for path in ("/collect/d", "/validate/d"):
        answer = shared.client.post(path, content=b'{"a": 1}', headers=headers)
        assert answer.status_code == 415
        assert says in answer.json()["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["/collect", "/collect/d", "/validate/d"])
def test_only_post_collects(shared: Service, method: str, path: str) -> None:
    answer = shared.client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    if method != "HEAD":
        assert answer.json()["status"] == 405


@pytest.mark.parametrize("path", ["/", "/readyz", "/metrics", "/contracts/d", "/nowhere"])
def test_what_can_be_got_has_a_head(shared: Service, path: str) -> None:
    got, head = shared.client.get(path), shared.client.request("HEAD", path)
    assert head.status_code == got.status_code
    assert head.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize("name", ["D", "1d", "d-e", "_d", "d%20e", "d%00", "d'; DROP TABLE d", "x" * 64, "é", "d%0A"])
def test_what_is_no_datasets_name_is_404(shared: Service, name: str) -> None:
    for path in ("/collect", "/validate"):
        answer = shared.send(f"{path}/{name}", {"a": 1})
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_an_unknown_dataset_is_404_where_none_may_be_opened(bench: Bench) -> None:
    with bench.service(open_datasets=False) as service:
        for path in ("/collect/new", "/validate/new"):
            answer = service.send(path, {"a": 1})
            assert (answer.status_code, answer.json()["title"]) == (404, "Not Found")
        assert service.send("/collect", {"a": 1}).status_code == 404
        service.flush()
        assert bench.rows("SELECT count(*) FROM _learning") == [0]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that takes bodies of 100 bytes."""
    bench = Bench(tmp_path_factory.mktemp("small"))
    bench.enforce("d", {"a": NUMBER})
    with bench.service(max_body_bytes=100) as service:
        yield service


@pytest.mark.parametrize(
    ("size", "status"), [pytest.param(100, 200, id="at the bound"), pytest.param(101, 413, id="one byte too many")]
)
@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_too_large(small: Service, size: int, status: int, *, chunked: bool) -> None:
    body = b'{"a": 1}'.ljust(size)
    pieces = iter([body[:7], b"", body[7:]])
    answer = small.client.post("/collect/d", content=pieces if chunked else body, headers={"Content-Type": JSON})
    assert answer.status_code == status
    if status == 413:
        assert answer.json()["status"] == 413
        assert "max_body_bytes = 100" in answer.json()["detail"]


def test_what_is_turned_away_whole_is_counted(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    with bench.service(max_body_bytes=100, open_datasets=False) as service:

        def counted() -> dict[str, float]:
            found = service.metrics()
            return {
                status: found[f'assay_requests_refused_total{{status="{status}"}}']
                for status in ("401", "403", "404", "413", "415", "421", "503")
            }

        assert set(counted().values()) == {0}
        for status, path, body, kind, headers in (
            (404, "/collect/unknown", b"{}", JSON, {}),
            (413, "/collect/d", b" " * 101, JSON, {}),
            (415, "/collect/d", b"{}", "text/plain", {}),
            (403, "/collect/d", b"{}", JSON, {"Origin": "http://elsewhere"}),
            (421, "/collect/d", b"{}", JSON, {"Host": "elsewhere"}),
            (422, "/collect/d", b'{"a": "x"}', JSON, {}),
            (400, "/collect/d", b"{", JSON, {}),
            (415, "/validate/d", b"{}", "text/plain", {}),
            (421, "/validate/d", b"{}", JSON, {"Host": "elsewhere"}),
        ):
            assert service.send(path, body, kind, **headers).status_code == status
        assert counted() == {"401": 0, "403": 1, "404": 1, "413": 1, "415": 1, "421": 1, "503": 0}
        bench.key("collect")
        assert until(lambda: service.send("/collect/d", {"a": 1}).status_code == 401, 5)
        assert counted()["401"] == 1


# ---- the default dataset


def test_collect_means_the_only_dataset_or_the_configured_one(bench: Bench) -> None:
    bench.enforce("one", {"a": NUMBER})
    with bench.service() as service:
        assert service.send("/collect", {"a": 1}).json() == {"ok": True, "accepted": 1}
        assert service.send("/validate", {"a": 101}).json()["dataset"] == "one"
        bench.enforce("two", {"a": NUMBER})
        service.collector.look_at_contracts()
        answer = service.send("/collect", {"a": 1})
        assert answer.status_code == 404
        assert "default_dataset" in answer.json()["detail"]
        assert service.rows("SELECT count(*) FROM one") == [1]
    with bench.service(default_dataset="two") as service:
        service.send("/collect", {"a": 1})
        assert service.rows("SELECT count(*) FROM two") == [1]


def test_without_any_dataset_collect_is_404(bench: Bench) -> None:
    with bench.service() as service:
        assert service.send("/collect", {"a": 1}).status_code == 404


# ---- the source


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param(b"", "unknown", id="empty"),
        pytest.param(b"  ", "unknown", id="blank"),
        pytest.param("käse".encode(), "käse", id="UTF-8"),
        pytest.param(b"\xff", "\ufffd", id="not UTF-8"),
        pytest.param(b"x" * 5_000, "x" * 200, id="very long"),
        pytest.param(b"a\0b", "a\0b", id="with a NUL"),
        pytest.param(b'"\\', '"\\', id="quotes"),
    ],
)
def test_the_source_is_the_header(shared: Service, given: bytes, kept: str) -> None:
    shared.client.post(
        "/collect/d",
        content=b'{"a": 1, "s": "source"}',
        headers=[(b"content-type", b"application/json"), (b"x-assay-source", given)],
    )
    sources = shared.rows("SELECT _source FROM d WHERE s = 'source'")
    assert kept in sources


# ---- adversaries


def test_ten_thousand_violations_in_one_event(bench: Bench) -> None:
    bench.enforce("d", {"n": {"type": "array", "items": {"type": "integer"}}})
    with bench.service() as service:
        answer = service.send("/collect/d", {"n": ["x"] * 10_000})
        assert answer.status_code == 422
        assert len(answer.json()["errors"]) <= 100
        assert len(service.send("/collect/d", [{"n": ["x"] * 10_000}] * 3).json()["errors"]) == 100
        assert until(lambda: service.counted("d")[2] == 4)
        assert service.rows("SELECT max(json_array_length(violations)) FROM _quarantine") == [100]


def test_field_names_go_through_the_whole_loop(bench: Bench) -> None:
    names = [
        'a"b',
        "a'b",
        "a b",
        "a.b",
        "select",
        "É",
        "a\nb",
        "_a",
        "A",
        "a",
        "\\",
        "[]",
        "a[]",
        "x" * 300,
        "%s",
        "{}",
    ]
    bench.enforce("d", {name: {"type": "integer"} for name in names}, required=names)
    event = {name: number for number, name in enumerate(names)} | {'new"': 1, "": 2, "\0": 3}
    with bench.service() as service:
        assert service.send("/collect/d", event).json() == {"ok": True, "accepted": 1}
        rejected = service.send("/collect/d", dict.fromkeys(names, "x"))
        assert {each["loc"][0] for each in rejected.json()["errors"]} == set(names)
        (extra,) = service.rows("SELECT _extra FROM d")
        columns = [name for name in names if name not in {"_a", "a"}]
        quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
        assert bench.rows(f"SELECT {quoted} FROM d") == [tuple(event[name] for name in columns)]
        assert json.loads(extra) == {name: event[name] for name in ("_a", "a", 'new"', "", "\0")}
        assert len([line for line in service.client.get("/metrics").text.splitlines() if "\0" in line]) == 0


def test_a_client_that_leaves_with_half_a_body_leaves_nothing(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    answers: list[Any] = []
    messages = [
        {"type": "http.request", "body": b'{"a": 1', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        await asyncio.sleep(0)
        return messages.pop(0)

    async def send(message: Any) -> None:
        await asyncio.sleep(0)
        answers.append(message)

    with bench.service() as service:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/collect/d",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
        }

        async def call() -> None:
            await service.client.app(scope, receive, send)

        service.client.run(call())
        assert (answers, messages) == ([], [])
        assert service.counted("d") == (0, 0, 0)
        assert service.rows("SELECT count(*) FROM _quarantine") == [0]
