import time

import pytest

from tests.conftest import Bench, Service, held, until


def test_it_shows_what_was_refused(shared: Service) -> None:
    answers = [shared.send("/collect/d", {"a": a}).json() for a in (-1, -2, 101)]
    shared.flush()
    page = shared.client.get("/quarantine/d?limit=2").json()
    assert [each["quarantine_id"] for each in page["items"]] == [each["quarantine_id"] for each in answers[:0:-1]]
    assert page["items"][0]["errors"] == answers[2]["errors"]
    rest = shared.client.get(page["next"]).json()
    assert rest["items"][0]["quarantine_id"] == answers[0]["quarantine_id"]
    groups = shared.client.get("/quarantine/d?group=true").json()["items"]
    assert [group["count"] for group in groups] == [2, 1]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/quarantine/No", 404, id="no name of a dataset"),
        pytest.param("/quarantine/d?limit=0", 400, id="a limit too small"),
        pytest.param("/quarantine/d?before=x", 400, id="no id"),
        pytest.param("/quarantine/other", 200, id="a dataset without any"),
    ],
)
def test_what_is_asked_wrongly(shared: Service, path: str, status: int) -> None:
    assert shared.client.get(path).status_code == status


def test_503_after_a_while_when_another_program_holds_the_store(bench: Bench) -> None:
    with bench.service() as service, held(bench.store):
        began = time.monotonic()
        answer = service.client.get("/quarantine/d")
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert 4.5 < time.monotonic() - began < 10


def test_what_expires_is_counted_and_the_series_is_there_before(bench: Bench) -> None:
    bench.enforce("d", {"a": {"type": "integer"}})
    with bench.service(quarantine_max_bytes=1) as service:
        name = 'assay_quarantine_expired_total{dataset="d"}'
        assert service.metrics()[name] == 0
        service.send("/collect/d", {"a": "x"})
        service.flush()
        assert until(lambda: service.metrics()[name] == 1)
        assert service.rows("SELECT count(*) FROM _quarantine") == [0]
