"""The whole loop, told with measured figures: what `bin/demo.sh` runs once all is installed.

Each chapter does what a person would do by hand, with the scripts beside this file, and ends the demo when something does
not hold. The processes are this script's own: they have a temporary workspace and ports that nobody else uses.
"""  # noqa: INP001

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from _stage import ROOT, Failed, Interrupted, Prometheus, Stage, ask, free_port
from _stores import STORES, Store

import assay

LEARN_FROM = 10_000  # events
CLEAN_S = 60
FIRES_WITHIN_S = 60
RECOVERS_WITHIN_S = 100
WIDTH = 13  # of a name, in the columns of the first chapter
SETTINGS = """\
default_dataset = "agrawal"
alert_hold = "0s" # so that recovery shows in a demo
alert_windows = ["1m"]
"""
SALARY_IN_CENTS = json.loads("""
    {"salary": 6500000.0, "commission": 0.0, "age": 40, "elevel": 2, "car": 5, "zipcode": 3, "hvalue": 500000.0,
     "hyears": 12, "loan": 100000.0, "label": 1}
""")


class Collector:
    """One of those that take events, seen from outside."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.url = f"http://localhost:{port}"

    def is_ready(self) -> bool | None:
        return ask(f"{self.url}/readyz")[0] == 200 or None

    def outcomes(self) -> Counter[str]:
        """Its own count of events, by outcome."""
        found: Counter[str] = Counter()
        text = ask(f"{self.url}/metrics")[1].decode()
        for outcome, value in re.findall(r'^assay_events_total\{.*outcome="(\w+)".*\} (\S+)$', text, re.MULTILINE):
            found[outcome] += int(float(value))
        return found

    def enforces(self) -> int | None:
        """The number of the contract that is in force."""
        status, body = ask(f"{self.url}/contracts")
        return json.loads(body)["agrawal"]["active"] if status == 200 else None

    def flush(self) -> None:
        """Until everything that it acknowledged is in its table."""
        status, body = ask(f"{self.url}/flush", {})
        if status != 200:
            raise Failed(f"/flush of {self.name} answered {status}: {body.decode()}")


class Service:
    """The collectors, and the store that they share."""

    def __init__(self, collectors: Sequence[Collector], store: str) -> None:
        self.collectors = collectors
        self.store = store

    @property
    def name(self) -> str:
        return "the service" if len(self.collectors) == 1 else f"each of the {len(self.collectors)} collectors"

    def outcomes(self) -> Counter[str]:
        """All that the collectors counted, by outcome."""
        return sum((each.outcomes() for each in self.collectors), Counter())

    def enforces(self, number: int) -> bool | None:
        """Whether the contract of that number is in force everywhere."""
        return all(each.enforces() == number for each in self.collectors) or None

    def rows(self, query: str) -> list[Any]:
        """What is in the store once everything that was acknowledged is in its table."""
        for each in self.collectors:
            each.flush()
        with assay.connect(self.store) as con:
            return con.execute(query).fetchall()


def named(alert: Mapping[str, Any]) -> str:
    """An alert by its name, and its field where it has one."""
    labels: Mapping[str, str] = alert.get("labels") or alert["metric"]
    return labels["alertname"] + (f" ({labels['field']})" if labels.get("field") else "")


def chapter(stage: Stage, title: str) -> None:
    """A headline, with the seconds since the start."""
    write(f"\n{stage.seconds():4.0f} s  {title}")


def tell(text: str) -> None:
    """Lines beneath a headline."""
    for line in text.splitlines():
        write(f"        {line}".rstrip())


def write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


# ---- the story


def story(stage: Stage, store: str) -> None:
    """All of it, once, on one of `STORES`.

    Raises:
        Failed: something did not hold.
        Interrupted: a signal came.
    """
    service, prometheus = begin(stage, store)
    sent = [generate(stage, service)]
    learn(stage, service, prometheus)
    stay_clean(stage, service, prometheus)
    last_corrupt_at = corrupt(stage, service, prometheus, sent)
    recover(stage, prometheus, last_corrupt_at)
    sent.append(traffic_ended(stage, service, "clean"))
    balance(stage, service, sum(sent))


def begin(stage: Stage, kind: str) -> tuple[Service, Prometheus]:
    """A workspace as the checkout's was on its first day, the service and its monitor."""
    chapter(stage, "1. The service and its monitor: bin/serve.sh, bin/monitor.sh")
    tell(f"a workspace and a store of their own, in {stage.folder}")
    store = STORES[kind](stage)
    tell(f"{'store':{WIDTH}}{store.description}")
    names = ["service"] if store.collectors == 1 else [f"collector {n}" for n in range(1, store.collectors + 1)]
    service = Service([Collector(name, free_port()) for name in names], store.address)
    prometheus = Prometheus(free_port())
    workspace = make_workspace(stage, store, service)
    stage.environment |= {
        "ASSAY_WORKSPACE": str(workspace),
        "PROMCONFIG": str(workspace / "promconfig"),
        "TARGET": ",".join(f"localhost:{each.port}" for each in service.collectors),
        "MONITOR_PORT": str(prometheus.port),
        "MONITOR_HOST": "localhost",
        "MONITOR_DATA": str(stage.folder / "monitor"),
        "ALERTMANAGER_PORT": str(free_port()),
    }
    first, *others = service.collectors
    stage.start(first.name, "serve.sh")  # as assay.toml says; each of the others has a port and a log of its own
    for each in others:
        stage.start(each.name, "serve.sh", ASSAY_PORT=str(each.port), ASSAY_LOG=f"{each.name}.log")
    stage.start("monitor", "monitor.sh")
    for each in service.collectors:
        stage.until(each.is_ready, 30, f"{each.name} is ready")
        tell(f"{each.name:{WIDTH}}{each.url}  ready after {stage.seconds():.1f} s")
    stage.until(prometheus.is_ready, 30, "Prometheus is ready")
    tell(f"{'Prometheus':{WIDTH}}{prometheus.url}  ready after {stage.seconds():.1f} s")
    tell(f"{'contract':{WIDTH}}agrawal@1: the ten fields and their types, no more")
    return service, prometheus


def make_workspace(stage: Stage, store: Store, service: Service) -> Path:
    """The folder that all collectors share."""
    workspace = stage.folder / "workspace"
    contracts = workspace / "contracts" / "agrawal"
    contracts.mkdir(parents=True)
    shutil.copy(ROOT / "contracts/agrawal/1.schema.json", contracts)
    (contracts / "active.json").write_text('{"contract": 1, "mode": "enforce"}\n')
    given = {**store.settings, "port": service.collectors[0].port}
    (workspace / "assay.toml").write_text(
        "".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items()) + SETTINGS
    )
    learned = shutil.ignore_patterns("__pycache__", "contracts.py", "data_quality_rules*")
    for name in ("app", "promconfig"):
        shutil.copytree(ROOT / name, workspace / name, ignore=learned)
    return workspace


def generate(stage: Stage, service: Service) -> int:
    """Enough clean events to learn from; how many were sent."""
    chapter(stage, f"2. Clean events to learn from: bin/datagen.sh (Locust), until there are {LEARN_FROM:,}")
    send(stage, service, "first events", rate=150)
    stage.until(lambda: service.outcomes().total() >= LEARN_FROM or None, 90, f"{LEARN_FROM:,} events have come")
    sent = traffic_ended(stage, service, "first events")
    outcomes = service.outcomes()
    ((rows,),) = service.rows("SELECT count(*) FROM agrawal")
    accepted, refused = outcomes["accepted"], outcomes["rejected"]
    tell(f"sent {sent:,}, accepted {accepted:,}, refused {refused:,}; {rows:,} rows in the store")
    tell_each(service)
    return sent


def send(stage: Stage, service: Service, name: str, *arguments: str, rate: float, **environment: str) -> None:
    """Start a Locust at each collector. Together each of their ten users sends `rate` events a second."""
    for each in service.collectors:
        share = f"{rate / len(service.collectors):g}"
        stage.start(f"{name}, {each.name}", "datagen.sh", "--host", each.url, *arguments, RATE=share, **environment)


def traffic_ended(stage: Stage, service: Service, name: str) -> int:
    """Stop what `send` started: how many events were sent, by the closing lines."""
    names = [f"{name}, {each.name}" for each in service.collectors]
    sent = 0
    for each, code in zip(names, stage.stop(*names), strict=True):
        said = stage.log(each).read_text()
        closing = re.search(r"^([\d,]+) events sent: ([\d,]+) refused, ([\d,]+) failed$", said, re.MULTILINE)
        if code != 0 or closing is None:
            raise Failed(f"Locust ended with {code}:\n{said}")
        sent += int(closing[1].replace(",", ""))
    return sent


def tell_each(service: Service) -> None:
    """What each collector counted, where there are several."""
    if len(service.collectors) > 1:
        for each in service.collectors:
            outcomes = each.outcomes()
            tell(f"{each.name}: accepted {outcomes['accepted']:,}, refused {outcomes['rejected']:,}")


def learn(stage: Stage, service: Service, prometheus: Prometheus) -> None:
    """A contract and alerting rules from those events, in force."""
    chapter(stage, "3. Profile, learn, activate: bin/profile.sh")
    tell("alert_hold = 0s, alert_windows = 1m, so that recovery shows in this demo (by default: 5m and 1m, 5m, 1h)")
    stage.start("profile", "profile.sh", PATH=f"{os.environ['PROMTOOL_AT']}:{os.environ['PATH']}")
    tell("\n" + stage.finish("profile", 60))
    learned_at = time.monotonic()
    send(stage, service, "clean", "-t", "5m", rate=15)
    stage.until(lambda: service.enforces(2), 10, f"{service.name} enforces agrawal@2")
    rules = stage.until(prometheus.alerting_rules, 20, "Prometheus has loaded the rules")
    took = time.monotonic() - learned_at
    tell(f"\n{took:.1f} s later {service.name} enforces agrawal@2, and Prometheus evaluates {rules} alerting rules")


def stay_clean(stage: Stage, service: Service, prometheus: Prometheus) -> None:
    """A minute in which nothing may fire."""
    before = service.outcomes()
    stage.until(lambda: service.outcomes().total() > before.total() or None, 20, "clean events are coming")
    chapter(stage, f"4. {CLEAN_S} s of clean traffic, 150 events a second: no alert may fire")
    over = time.monotonic() + CLEAN_S
    stage.until(lambda: time.monotonic() > over or None, CLEAN_S + 1, "the time is over")
    came = service.outcomes() - before
    scrapes = prometheus.query(f'sum_over_time(up{{job="assay"}}[{CLEAN_S}s])')
    fired = prometheus.query(f'count_over_time(ALERTS{{alertstate="firing"}}[{CLEAN_S}s])')
    seen = [int(each["value"][1]) for each in scrapes]  # of each collector
    times = " and ".join(map(str, seen)) or "0"
    tell(f"{came.total():,} events, {came['rejected']:,} of them refused; Prometheus scraped {times} times")
    tell(f"alerts that fired in those {CLEAN_S} s, asked of Prometheus: {len(fired)}")
    if fired:
        raise Failed("clean traffic raised " + ", ".join(map(named, fired)))
    if len(seen) != len(service.collectors) or min(seen) < CLEAN_S / 10:
        raise Failed("Prometheus did not look often enough to know")


def corrupt(stage: Stage, service: Service, prometheus: Prometheus, sent: list[int]) -> float:
    """A sender whose salaries are in cents, until the alert that names the field fires; when its last event came."""
    chapter(stage, "5. A second sender, with salaries in cents: ANOMALY=scale bin/datagen.sh")
    began = time.time()
    send(stage, service, "corrupt", "-t", "5m", rate=15, ANOMALY="scale")

    def names_the_field() -> dict[str, Any] | None:
        found = [each for each in prometheus.firing() or [] if each["labels"].get("field") == "salary"]
        return max(found, key=named, default=None)  # of several at once FieldViolations, which says most

    alert = stage.until(names_the_field, FIRES_WITHIN_S, "an alert on salary fires")
    fired_at = time.time()
    status, body = ask(f"{service.collectors[-1].url}/collect", SALARY_IN_CENTS)
    if status != 422:
        raise Failed(f"a salary in cents was answered with {status}: {body.decode()}")
    sent += [traffic_ended(stage, service, "corrupt"), 1]
    others = [each for each in prometheus.firing() or [] if each["labels"] != alert["labels"]]
    since = f"received_at >= to_timestamp({began})"
    ((kept, first, last),) = service.rows(
        f"SELECT count(*), epoch(min(received_at)), epoch(max(received_at)) FROM _quarantine WHERE {since}"
    )
    tell(f"{named(alert)} fires {fired_at - first:.1f} s after the first of them was sent:")
    tell(f"  {alert['annotations']['summary']}")
    tell(f"beside it: {', '.join(sorted(map(named, others))) or 'none'}")
    answer = json.loads(body)
    tell("\none of them by hand: POST /collect answers 422 with\n" + f"  errors: {json.dumps(answer['errors'])}")
    identity = answer["quarantine_id"]
    rows = service.rows(f"SELECT dataset, contract, source, body FROM _quarantine WHERE id = '{identity}'")
    if not rows:
        raise Failed(f"quarantine has no event {identity}")
    dataset, contract, source, event = rows[0]
    tell(f"its row in quarantine, one of {kept:,}, byte for byte:")
    tell(f"  {identity}  {dataset}@{contract}  source {source}\n  {event.decode()}")
    return float(last)


def recover(stage: Stage, prometheus: Prometheus, last_corrupt_at: float) -> None:
    """Clean events alone, until nothing fires."""
    chapter(stage, "6. Recovery: the second sender is gone, clean traffic goes on")
    stage.until(lambda: prometheus.firing() == [] or None, RECOVERS_WITHIN_S, "nothing fires")
    tell(f"Prometheus says that nothing fires, {time.time() - last_corrupt_at:.1f} s after the last corrupt event")


def balance(stage: Stage, service: Service, sent: int) -> None:
    """Every event is accounted for, once."""
    chapter(stage, "7. Every event is accounted for")
    outcomes = service.outcomes()
    accepted, refused = outcomes["accepted"], outcomes["rejected"]
    ((rows, kept),) = service.rows("SELECT (SELECT count(*) FROM agrawal), (SELECT count(*) FROM _quarantine)")
    # No two events are the same: their salaries and the like have 15 digits.
    ((different,),) = service.rows(
        "SELECT (SELECT count(*) FROM (SELECT DISTINCT COLUMNS('^[^_]') FROM agrawal))"
        " + (SELECT count(DISTINCT body) FROM _quarantine)"
    )
    figures = {
        "sent": sent,
        "accepted": accepted,
        "refused": refused,
        "in their table": rows,
        "in quarantine": kept,
        "different": different,
    }
    for name, figure in figures.items():
        tell(f"{name:15}{figure:8,}")
    tell_each(service)
    if not (sent == accepted + refused == rows + kept and (accepted, refused) == (rows, kept)):
        raise Failed("they do not add up")
    if different != rows + kept:
        raise Failed("some are there more than once")
    tell("sent = accepted + refused = in their table + in quarantine, and no event is there twice")


# ---- the frame


def main() -> int:
    """Tell the story, and leave nothing running; the exit code."""
    parser = argparse.ArgumentParser(description="What bin/demo.sh runs; its --help says what these are.")
    parser.add_argument("--store", choices=STORES, required=True)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    store: str = given.store
    keep: bool = given.keep
    stage = Stage(Path(tempfile.mkdtemp(prefix="assay-demo-")))
    kept = True
    try:
        story(stage, store)
        kept = keep
    except Interrupted:
        kept = keep
        assert stage.signal is not None
        return 128 + stage.signal
    except BrokenPipeError:  # nobody reads on
        kept = keep
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Failed, assay.AssayError) as reason:
        sys.stderr.write(f"\nassay: after {stage.seconds():.0f} s: {reason}\n")
        return 1
    finally:
        stage.stop_all()
        if kept:
            sys.stderr.write(f"assay: the workspace, the store and the logs are in {stage.folder}\n")
        else:
            shutil.rmtree(stage.folder, ignore_errors=True)
    write(f"\nAll of it held; {stage.seconds():.0f} s in total.")
    write("By hand: bin/serve.sh; in other terminals bin/monitor.sh, bin/datagen.sh, bin/profile.sh; then")
    write("ANOMALY=shift bin/datagen.sh, whose salaries are all within bounds (ANOMALY=list names the other kinds).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
