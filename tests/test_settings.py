"""Settings from a file, the environment and flags: the later one wins, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.errors import UsageError
from assay.settings import Settings, load


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_WORKSPACE", str(tmp_path))
    return tmp_path


def test_flags_beat_the_environment_which_beats_the_file(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workspace / "assay.toml").write_text("port = 1111\nextra = 'ignore'\nhost = 'a'\n")
    monkeypatch.setenv("ASSAY_PORT", "2222")
    monkeypatch.setenv("ASSAY_HOST", "b")
    settings = load(host="c")
    assert (settings.extra, settings.port, settings.host) == ("ignore", 2222, "c")


@pytest.mark.parametrize(
    ("text", "windows"),
    [("1m", ("1m",)), ("1m,5m", ("1m", "5m")), ("1m, 5m", ("1m", "5m"))],
    ids=["one", "two", "with a space"],
)
def test_a_list_in_the_environment_is_written_with_commas(
    text: str, windows: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_ALERT_WINDOWS", text)
    monkeypatch.setenv("ASSAY_ALLOWED_HOSTS", "a.example")
    assert load().alert_windows == windows
    assert load().allowed_hosts == ("a.example",)


def test_a_list_in_the_file_is_one(workspace: Path) -> None:
    (workspace / "assay.toml").write_text('alert_windows = ["1m", "5m"]\n')
    assert load().alert_windows == ("1m", "5m")


def test_a_wrong_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_ALERT_WINDOWS", "1m,soon")
    with pytest.raises(UsageError, match=r"alert_windows.*ASSAY_ALERT_WINDOWS\)"):
        load()


@pytest.mark.parametrize(
    "text", ["stroe = 'x'", "store = ", "port = 'x'", "port = 0", "extra = 'maybe'", "[store]\nx = 1"]
)
def test_what_is_wrong_in_the_file_is_said(workspace: Path, text: str) -> None:
    (workspace / "assay.toml").write_text(text)
    with pytest.raises(UsageError, match=r"assay\.toml"):
        load()


def test_a_file_that_is_not_utf_8_is_said(workspace: Path) -> None:
    (workspace / "assay.toml").write_bytes(b"store = '\xff'")
    with pytest.raises(UsageError, match=r"assay\.toml"):
        load()


def test_paths_are_the_workspaces(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(workspace / "home"))
    (workspace / "assay.toml").write_text("store = 'data/s.duckdb'")
    assert load().store == workspace / "data" / "s.duckdb"
    assert load().log_path == workspace / "data" / "s.duckdb.log"
    assert load(log="other.log").log_path == workspace / "other.log"
    assert load(store="/elsewhere/s.duckdb").store == Path("/elsewhere/s.duckdb")
    assert load(store="~/s.duckdb").store == workspace / "home" / "s.duckdb"
    with pytest.raises(UsageError, match="no_such_person"):
        load(store="~no_such_person/s.duckdb")


def test_a_workspace_is_found_from_a_folder_below(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSAY_WORKSPACE")
    (workspace / "assay.toml").write_text("store = 'up.duckdb'")
    below = workspace / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert load().store == workspace / "up.duckdb"


@pytest.mark.parametrize(
    ("host", "loopback", "url"),
    [
        ("127.0.0.1", True, "http://127.0.0.1:8080"),
        ("127.8.0.1", True, "http://127.8.0.1:8080"),
        ("localhost", True, "http://localhost:8080"),
        ("::1", True, "http://[::1]:8080"),
        ("0.0.0.0", False, "http://127.0.0.1:8080"),
        ("::", False, "http://127.0.0.1:8080"),
        ("192.0.2.1", False, "http://192.0.2.1:8080"),
        ("box.example", False, "http://box.example:8080"),
        ("", False, "http://:8080"),
    ],
)
def test_an_unknown_dataset_is_opened_on_loopback_alone(host: str, url: str, *, loopback: bool) -> None:
    settings = load(host=host)
    assert (settings.opens_datasets, settings.url) == (loopback, url)
    assert load(host=host, open_datasets=not loopback).opens_datasets is not loopback


ENTRY = """[[alert_exceptions]]
alert = "FieldDrift"
dataset = "d"
reason = "a new tariff"
until = 2026-12-31
"""


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        pytest.param(ENTRY, "entry 1: say either|entry 1:.*mute = true, or widen", id="neither muted nor widened"),
        pytest.param(ENTRY + "mute = true\nwiden = 2", "entry 1:.*mute = true, or widen", id="both"),
        pytest.param(
            ENTRY.replace("reason", "because") + "mute = true", "entry 1: (reason is missing|because)", id="no reason"
        ),
        pytest.param(ENTRY.replace("until", "from") + "mute = true", "entry 1: (until is missing|from)", id="no end"),
        pytest.param(ENTRY.replace("2026-12-31", "'soon'") + "mute = true", "entry 1: until", id="no date"),
        pytest.param(
            ENTRY + "mute = true\n" + ENTRY.replace('"d"', '"D!"'), "entry 2: dataset", id="no dataset's name"
        ),
    ],
)
def test_an_exception_from_an_alert_says_why_and_until_when(workspace: Path, entry: str, says: str) -> None:
    (workspace / "assay.toml").write_text(entry)
    with pytest.raises(UsageError, match=says):
        load()


def test_a_lake_is_a_store(workspace: Path) -> None:
    settings = load(store="ducklake:sqlite:l.sqlite")
    assert settings.store == f"ducklake:sqlite:{workspace / 'l.sqlite'}"
    assert settings.lake is not None
    assert settings.lake.data == f"{workspace / 'l.sqlite.files'}/"
    assert settings.log_path == workspace / "lake.log"
    again = Settings(root=workspace, **settings.model_dump(mode="json", exclude_none=True))
    assert (again.where, again.log_path) == (settings.where, settings.log_path)


def test_a_registry_in_the_lake_needs_a_lake(workspace: Path) -> None:
    assert load().registry == "folder"
    assert load(store="ducklake:sqlite:l.sqlite", registry="lake").registry == "lake"
    with pytest.raises(UsageError, match=r'registry = "lake" needs a lake as the store'):
        load(registry="lake")
    with pytest.raises(UsageError, match=r"setting registry .*'folder' or 'lake'"):
        load(registry="git")


def test_a_lake_in_postgresql_keeps_its_url_and_its_files(workspace: Path) -> None:
    (workspace / "assay.toml").write_text(
        'store = "ducklake:postgres:postgresql://u@h/db"\nlake_data = "s3://b/p"\nlake_s3_endpoint = "http://h:9000"\n'
        'log = "a.log"\n'
    )
    lake = load().lake
    assert lake is not None
    assert (lake.catalogue, lake.data) == ("postgres:postgresql://u@h/db", "s3://b/p")
    assert lake.s3_endpoint == "http://h:9000"
    assert load().log_path == workspace / "a.log"


def test_what_is_no_lake_is_said() -> None:
    with pytest.raises(UsageError, match="ducklake:sqlite:FILE"):
        load(store="ducklake:somewhere")


def test_a_stream_is_a_log_and_its_copy_stands_beside_the_store(workspace: Path) -> None:
    settings = load(store="s.duckdb", log="nats://ann:secret@a:4222,b/orders?replicas=1")
    stream = settings.log_stream
    assert stream is not None
    assert (stream.stream, stream.replicas, stream.password) == ("orders", 1, "secret")
    assert settings.log_path == workspace / "s.duckdb.orders.log"
    handed_on = settings.model_dump(mode="json", exclude_none=True)
    assert handed_on["log"] == "nats://a:4222,b/orders"
    assert "secret" not in repr(settings) + str(handed_on)
    assert Settings(root=workspace, **handed_on).log_path == settings.log_path
    assert load(log="x.log").log_stream is None


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("nats://ann:secret@a:4222", "the stream's name"),
        ("nats://ann:secret@a/orders?replicas=2", "replicas is 1, 3 or 5"),
    ],
)
def test_what_is_no_stream_is_said_without_its_secret(log: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        load(log=log)
    assert "secret" not in str(refused.value)


def test_a_stream_has_one_writer() -> None:
    with pytest.raises(UsageError, match=r"workers = 2.*a stream has one writer"):
        load(log="nats://a/orders", workers=2)
