"""A service, a Prometheus and a holder of the store for one test: real processes, each ended by its own pid."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

import assay
from assay.contract.document import Contract
from assay.contract.versions import Active, Versions

ROOT = Path(__file__).parents[2]
NDJSON = "application/x-ndjson"
_ASSAY = Path(sys.executable).with_name("assay")
#: All services of these tests with so many workers: by hand, now and then.
_WORKERS = int(os.environ.get("ASSAY_E2E_WORKERS", "1"))
#: All logs of these tests in streams of this nats-server, `nats://host:port`: by hand, now and then.
_STREAMS = os.environ.get("ASSAY_E2E_STREAMS", "")


def until(is_so: Callable[[], bool], timeout_s: float, *, every_s: float = 0.05) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


def say(text: str) -> None:
    """For who runs a test with -s, or reads why it failed."""
    sys.stdout.write(text + "\n")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def lines(events: Sequence[Mapping[str, Any]]) -> bytes:
    """NDJSON."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Client:
    """One keep-alive connection. For one thread."""

    def __init__(
        self, port: int, *, source: str = "e2e", timeout_s: float = 30, api_key: str = "", host: str = "127.0.0.1"
    ) -> None:
        self._con = http.client.HTTPConnection(host, port, timeout=timeout_s)
        self._headers = {"X-Assay-Source": source} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._con.close()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
        *,
        key: str | None = None,
    ) -> Answer:
        """The answer. Raises OSError or HTTPException when there is none: then nobody knows what became of the body."""
        headers = dict(self._headers)
        if key is not None:
            headers["Idempotency-Key"] = key
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            self._con.request(method, path, body, headers)
            answer = self._con.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        except (OSError, http.client.HTTPException):
            self._con.close()  # the next request opens it again
            raise

    def try_post(
        self, path: str, body: bytes, content_type: str = "application/json", *, key: str | None = None
    ) -> Answer | None:
        """The answer, or None when there was none."""
        try:
            return self.ask("POST", path, body, content_type, key=key)
        except (OSError, http.client.HTTPException):
            return None


class Metrics:
    """One look at /metrics."""

    def __init__(self, text: str) -> None:
        self._samples = [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def sum(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels."""
        return sum(value for each, has, value in self._samples if each == name and labels.items() <= has.items())


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def has_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open; always False where there is no /proc."""
    with contextlib.suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if file.readlink() == path:
                    return True
    return False


class Service:
    """`assay serve` in a workspace of its own."""

    def __init__(self, root: Path, *, environment: Mapping[str, str] | None = None, **settings: str | int) -> None:
        self.root = root
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.store = root / "store.duckdb"
        self.versions = Versions(root / "contracts")
        self.starts: list[float] = []  # seconds from the start of the process until it was ready
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")},
            **(environment or {}),
        }
        root.mkdir(parents=True, exist_ok=True)
        stream = f"e2e-{uuid.uuid4().hex}" if _STREAMS else ""
        log = {"log": f"{_STREAMS}/{stream}?replicas=1"} if stream else {}
        #: The log's file, or the copy of a stream that is the log.
        self.log = root / (f"store.duckdb.{stream}.log" if stream else "store.duckdb.log")
        chosen = {"store": "store.duckdb", "port": self.port, "workers": _WORKERS, **log, **settings}
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in chosen.items())
        (root / "assay.toml").write_text(text)
        (root / "contracts").mkdir(exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    # ---- its life

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def said(self) -> str:
        """All that it wrote to stderr, in each of its lives."""
        path = self.root / "serve.log"
        return path.read_text() if path.exists() else ""

    def begin(self, *, under: Sequence[str] = ()) -> None:
        """Start the process, and do not wait; `under` another program that starts it."""
        assert self._process is None, "it runs already"
        with (self.root / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*under, _ASSAY, "serve"], cwd=self.root, env=self._environment, stdout=log, stderr=log
            )

    def start(self) -> Self:
        """Start it and wait until it is ready."""
        began = time.monotonic()
        self.begin()
        assert until(self._is_ready_or_ended, 60), f"not ready within 60 s:\n{self.said[-3000:]}"
        assert self._process is not None
        assert self._process.poll() is None, f"it ended at once:\n{self.said[-3000:]}"
        self.starts.append(time.monotonic() - began)
        return self

    def kill(self, *, all_of_it: bool = True) -> bool:
        """`kill -9`; nothing when it does not run. Whether it had the store open at that moment.

        With `all_of_it` the process that applies the log dies too; else it is left to notice that it is alone.
        """
        held = False
        if self._process is not None:
            family = [self.pid, *self.children()]
            for pid in family:
                _signal(pid, signal.SIGSTOP)  # they hold still while we look
            held = self.holds_store()
            self._process.kill()
            for pid in family[1:]:
                _signal(pid, signal.SIGKILL if all_of_it else signal.SIGCONT)
            self._process.wait(10)
            self._process = None
        return held

    def children(self) -> list[int]:
        """The processes that it started; none where there is no /proc."""
        found: list[int] = []
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{self.pid}/task").iterdir():
                found += map(int, (task / "children").read_text(encoding="utf-8").split())
        return found

    def holds_store(self) -> bool:
        """Whether one of its processes has the store open; always False where there is no /proc."""
        return any(has_open(pid, self.store) for pid in (self.pid, *self.children()))

    def terminate(self, timeout_s: float = 30, *, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(timeout_s)
        self._process = None
        return code

    def is_ready(self) -> bool:
        try:
            with Client(self.port, timeout_s=5) as client:
                return client.ask("GET", "/readyz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def _is_ready_or_ended(self) -> bool:
        assert self._process is not None
        return self.is_ready() or self._process.poll() is not None

    # ---- what is asked of it

    def client(self, source: str = "e2e", *, timeout_s: float = 30) -> Client:
        return Client(self.port, source=source, timeout_s=timeout_s)

    def get(self, path: str) -> Answer:
        with self.client() as client:
            return client.ask("GET", path)

    def post(self, path: str, body: bytes = b"", content_type: str = "application/json") -> Answer:
        with self.client(timeout_s=120) as client:
            return client.ask("POST", path, body, content_type)

    def flush(self, timeout_s: float = 60) -> None:
        """Until everything is in its table."""
        assert until(lambda: self.post("/flush").status == 200, timeout_s), (
            f"{self.post('/flush').body!r}, {self.get('/readyz').body!r}; it said:\n{self.said[-3000:]}"
        )

    def metrics(self) -> Metrics:
        return Metrics(self.get("/metrics").body.decode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the store has, by a reader from outside."""
        con = assay.connect(self.store)
        try:
            rows: list[tuple[Any, ...]] = con.execute(query).fetchall()
            return rows
        finally:
            con.close()

    def tables(self) -> set[str]:
        return {name for (name,) in self.rows("SELECT table_name FROM duckdb_tables()")}

    # ---- its workspace

    def run(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """`assay …` in the workspace."""
        return subprocess.run(
            [_ASSAY, *arguments],
            cwd=self.root,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def begin_command(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`assay …` in the workspace, and do not wait."""
        return subprocess.Popen(
            [_ASSAY, *arguments],
            cwd=self.root,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def add(self, dataset: str, schema: Mapping[str, Any]) -> int:
        """Write the next version of a dataset's contract; its number."""
        number = self.versions.add(Contract.parse(dict(schema), dataset=dataset)).version
        assert number is not None
        return number

    def enforce(self, dataset: str, schema: Mapping[str, Any]) -> int:
        """Write a version and make it the active one, as an editor of these files would."""
        number = self.add(dataset, schema)
        self.versions.activate(dataset, Active(number))
        return number

    def enforced(self, dataset: str) -> int | None:
        """The version that the running service enforces."""
        found = self.get("/contracts").document.get(dataset)
        return None if found is None else found["active"]


def key(service: Service, name: str, scope: str) -> str:
    """A key, as a person makes one."""
    made = service.run("keys", "create", name, "--scope", scope)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def own_address() -> str:
    """An address of this machine that others could use; the one of loopback where there is no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only finds the way
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address


@contextlib.contextmanager
def holding(store: Path) -> Iterator[int]:
    """Another program that has the store open for writing; its pid."""
    program = (
        "import sys, time, duckdb\n"
        "for _ in range(500):\n"
        "    try:\n"
        "        con = duckdb.connect(sys.argv[1])\n"
        "        break\n"
        "    except duckdb.IOException:\n"
        "        time.sleep(0.02)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process.pid
        finally:
            process.kill()


class Load:
    """Threads that do one thing again and again until they are told to stop."""

    def __init__(self, threads: int, step: Callable[[int], None], *, per_second: float | None = None) -> None:
        """`step` gets its thread's number; `per_second` of all threads together, None: as fast as they can."""
        self._step = step
        self._pause_s = 0.0 if per_second is None else threads / per_second
        self._stopping = threading.Event()
        self.errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop, and hand on what went wrong in a thread."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
        if self.errors:
            raise self.errors[0]

    def _run(self, number: int) -> None:
        due = time.monotonic()
        try:
            while not self._stopping.is_set():
                self._step(number)
                due += self._pause_s
                self._stopping.wait(max(0.0, due - time.monotonic()))
        except BaseException as error:  # noqa: BLE001 - the test's own thread raises it again
            self.errors.append(error)


# ---- Prometheus


@dataclass(frozen=True)
class Firing:
    """An alert that fires. `field` is empty where it is about no field; `summary` is as of when it was first seen."""

    name: str
    dataset: str
    field: str
    summary: str = attribute(compare=False)


def find_prometheus() -> Path | None:
    """The program on PATH, or the one that bin/test.sh put into .tools."""
    found = shutil.which("prometheus") or shutil.which(ROOT / ".tools/prometheus/usr/bin/prometheus")
    return None if found is None else Path(found)


PROMETHEUS_YML = """
global:
  scrape_interval: {interval}
  evaluation_interval: {interval}
rule_files: [data_quality_rules.yml]
scrape_configs:
  - job_name: assay
    static_configs:
      - targets: {targets}
"""

ALERTING = """
alerting:
  alertmanagers:
    - static_configs:
        - targets: ["127.0.0.1:{port}"]
"""


class Prometheus:
    """One that scrapes services, with the rules of the first one's workspace."""

    def __init__(
        self,
        program: Path,
        service: Service,
        *others: Service,
        interval: str = "1s",
        alertmanager: int | None = None,
        credentials: Path | None = None,
    ) -> None:
        """`alertmanager` is the port of who is told of alerts, `credentials` the file with the key to scrape with."""
        self._program = program
        self._service = service
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = service.root / "promconfig"
        self._folder.mkdir(exist_ok=True)
        # The rules are made for these intervals: they are read from here.
        targets = json.dumps([f"127.0.0.1:{each.port}" for each in (service, *others)])
        (self._folder / "prometheus.yml").write_text(PROMETHEUS_YML.format(interval=interval, targets=targets))
        if credentials is not None:  # the last lines are those of the one job
            with (self._folder / "prometheus.yml").open("a") as config:
                config.write(f"    authorization: {{credentials_file: {credentials}}}\n")
        if alertmanager is not None:
            with (self._folder / "prometheus.yml").open("a") as config:
                config.write(ALERTING.format(port=alertmanager))

    def start(self) -> Self:
        log = self._service.root / "prometheus.log"
        pages = self._program.parents[1] / "share/prometheus/web"
        flags = [f"--web.local-assets={pages}"] if pages.is_dir() else []
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    self._program,
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._service.root / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                    *flags,
                ],
                stdout=output,
                stderr=output,
            )
        assert until(self._is_ready, 30), log.read_text()[-3000:]
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
            self._process = None

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    def firing(self) -> set[Firing]:
        """What fires now."""
        return {
            Firing(
                alert["labels"]["alertname"],
                alert["labels"].get("dataset", ""),
                alert["labels"].get("field", ""),
                alert["annotations"]["summary"],
            )
            for alert in self.get("/api/v1/alerts")["alerts"]
            if alert["state"] == "firing"
        }

    def broken_rules(self) -> list[str]:
        """Rules whose evaluation failed, each with the error."""
        groups = self.get("/api/v1/rules")["groups"]
        return [
            f"{rule['name']}: {rule['lastError']}"
            for group in groups
            for rule in group["rules"]
            if rule.get("lastError")
        ]

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5):
                return True
        except OSError:
            return False
