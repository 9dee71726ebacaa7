"""What a person does with a workspace: learn, activate, render. The service need not run; where it does, it is asked."""

from __future__ import annotations

import getpass
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from assay.contract.document import Contract
from assay.contract.versions import Active, Mode, Versions, is_dataset_name, switched
from assay.errors import LogFailed, ServiceError, StoreFailed, StoreLocked, UnknownDataset, UsageError
from assay.rendering import Rendering
from assay.settings import Settings
from assay.sql import sql_text

if TYPE_CHECKING:
    import duckdb

    from assay.exchange.carried import Exported, Imported
    from assay.frames.audit import Audited
    from assay.frames.report import Report
    from assay.profile.batch import Progress
    from assay.profile.document import Profile
    from assay.store.mirror import Mirror

__all__ = ["Rendered", "Workspace", "check_name", "patiently"]

_ASK_S: Final = 10.0
_KNOW_S: Final = 3.0
_FLUSH_S: Final = 600.0  # the service itself gives up soon when nothing moves

#: The paths that `render` wrote, relative to the workspace, and whether promtool has looked at the rules.
Rendered: TypeAlias = tuple[list[Path], bool]

_T = TypeVar("_T")

#: The service is on this machine or named in the settings: no proxy stands between.
_open: Final = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Workspace:
    """A folder with an `assay.toml`, contracts, and a store somewhere."""

    def __init__(
        self, settings: Settings, *, is_flushed: bool = False, tell: Callable[[str], object] = lambda _: None
    ) -> None:
        """`is_flushed`: whoever made it has brought everything into the store, or need not.

        `tell` is told what else a person should know: of contracts that gave way to the lake's.
        """
        self.settings = settings
        self._tell = tell
        self._is_flushed = is_flushed
        self.versions = Versions(settings.contracts)
        self.rendering = Rendering(settings, self.versions)

    # ---- the service, and the store behind it

    def ask(self, method: str, path: str, timeout_s: float = _ASK_S) -> Mapping[str, Any] | None:
        """Ask the running service; None when none runs, or another workspace's alone.

        Raises:
            ServiceError: it runs, and cannot do it.
        """
        if self.is_strangers():
            return None
        data = b"" if method == "POST" else None
        # The scheme is http: the address comes from settings.
        request = urllib.request.Request(self.settings.url + path, method=method, data=data)  # noqa: S310
        if self.settings.api_key is not None:
            request.add_header("Authorization", f"Bearer {self.settings.api_key.get_secret_value()}")
        try:
            with _open(request, timeout=timeout_s) as answer:
                document = json.load(answer)
                return document if isinstance(document, dict) else None
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode("utf-8", "replace")
            try:
                problem = json.loads(text)
                reason = str(problem.get("detail") or problem["reason"])
            except (ValueError, AttributeError, KeyError):
                reason = text[:200]
            hint = "; commands send the key that ASSAY_API_KEY holds" if error.code in {401, 403} else ""
            raise ServiceError(f"the service at {self.settings.url} answered {error.code}: {reason}{hint}") from error
        except TimeoutError as error:
            raise ServiceError(f"the service at {self.settings.url} gave no answer within {timeout_s:g} s") from error
        except (urllib.error.URLError, ConnectionError, ValueError, http.client.HTTPException):
            return None

    def is_strangers(self) -> bool:
        """Whether the service that runs there has another log than this workspace: it would do there what is asked here.

        Where there is no log here, or it is a stream, nobody can tell: it may run on another machine.
        """
        from assay.ingest.logs import LOG_HEADER, id_of

        log = self.settings.log_path
        if self.settings.log_stream is not None or not log.exists():
            return False
        try:
            with _open(self.settings.url, timeout=_KNOW_S) as answer:
                theirs = answer.headers.get(LOG_HEADER)
            return theirs is not None and theirs != id_of(log)
        except (OSError, ValueError, http.client.HTTPException, LogFailed):
            return False

    def flush(self) -> None:
        """Bring everything acknowledged into its table: by the running service, else here.

        Raises:
            ServiceError: something is in the way; nothing is lost.
        """
        if self._is_flushed or self.ask("POST", "/flush", _FLUSH_S) is not None:
            return
        from assay.ingest.logs import logs_beside, open_log

        beside = logs_beside(self.settings.log_path)
        stream = self.settings.log_stream
        if not (beside or stream is not None or self.settings.log_path.exists()):
            return
        from assay.ingest.apply import Applier
        from assay.ingest.enforced import Enforced
        from assay.ingest.former import Former
        from assay.ingest.log_reader import Reader
        from assay.store.opening import open_store

        enforced = Enforced(self.versions)
        enforced.adopt(enforced.refresh())
        with open_log(self.settings.log_path, stream, keys_max_bytes=self.settings.keys_max_bytes) as log:
            reader = Reader(self.settings.log_path)
            store = open_store(self.settings.where, log=reader.id, memory_limit=self.settings.memory_limit)

            def apply(reader: Reader) -> Applier:
                return Applier(store, reader, keep_unknown=self.settings.extra != "ignore")

            applier = apply(reader)
            try:
                while True:
                    applied = patiently(lambda: applier.round(enforced.get))
                    log.free(applied.through)
                    if not applied.more and applied.through >= log.last_seq():
                        break
                while not log.is_clean:
                    log.sweep()
            finally:
                reader.close()
            # While the first log is ours, no service runs: what its workers left is brought in, too.
            for path in beside:
                former = Former(path, apply, keys_max_bytes=self.settings.keys_max_bytes)
                try:
                    while not former.is_done:
                        patiently(partial(former.round, enforced.get))
                finally:
                    former.close()

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection to the store, tried again while the service writes.

        Raises:
            UnknownDataset: there is no store yet.
            StoreLocked, StoreFailed: it cannot be opened.
        """
        from assay.store.opening import connect

        where = self.settings.where
        file = where if isinstance(where, Path) else where.file
        if file is not None and not file.exists():
            raise UnknownDataset(
                "", f"there is no store at {self.settings.store} yet: start the service and send events"
            )
        import duckdb

        con = connect(where)
        try:
            yield con
        except duckdb.Error as error:
            raise StoreFailed(str(self.settings.store), str(error).splitlines()[0]) from error
        finally:
            con.close()

    def quarantine(self, dataset: str, *, limit: int, group: bool) -> dict[str, Any]:
        """Refused events of a dataset, the newest first; or by fingerprint.

        Raises:
            UnknownDataset: there is no store yet, or that is no name of a dataset.
            ServiceError: the store cannot be read.
        """
        from assay.store.quarantine import groups, rejects

        check_name(dataset)
        self.flush()
        with self.connection() as con:
            return groups(con, dataset, limit=limit) if group else rejects(con, dataset, limit=limit)

    # ---- the lake's contracts, where it decides which there are

    def follow(self, *, meant: tuple[str, int] | None = None) -> None:
        """Bring the folder of contracts in step with the lake, with `registry = "lake"`.

        Raises:
            UsageError: the version that is meant is another contract there.
            StoreFailed: the lake is out of reach.
        """
        with self._mirror() as mirror:
            if mirror is not None:
                mirror.bring(meant)

    def catch_up(self) -> None:
        """The same, as far as it can be had: a lake out of reach is told of, and one that is not there yet is not made."""
        lake = self.settings.lake
        if lake is not None and lake.file is not None and not lake.file.exists():
            return
        try:
            self.follow()
        except StoreFailed as error:
            self._tell(f"{error}; contracts are as they were known here last")

    def add(self, contract: Contract, profile: bytes | None = None) -> Contract:
        """Write a contract as the next version of its dataset, with its evidence; the contract with its number.

        Raises:
            StoreFailed: the lake decides which there are, and is out of reach.
        """
        with self._mirror() as mirror:
            return (self.versions if mirror is None else mirror).add(contract, profile)

    def _put(self, dataset: str, active: Active, *, by: str | None, how: str) -> None:
        """Put a version in force, and write down who did."""
        from assay.contract import history

        with self._mirror() as mirror:
            if mirror is None:
                history.activate(self.versions, dataset, active, by=by, how=how)
            else:
                mirror.activate(dataset, active, by=by, how=how)

    @contextmanager
    def _mirror(self) -> Iterator[Mirror | None]:
        lake = self.settings.lake if self.settings.registry == "lake" else None
        if lake is None:
            yield None
            return
        from assay.store.mirror import Mirror

        mirror = Mirror(lake, self.versions, memory_limit=self.settings.memory_limit, tell=self._tell)
        try:
            yield mirror
        finally:
            mirror.close()

    # ---- contracts by name

    def contract(self, reference: str) -> Contract:
        """The contract that a person names: `DATASET@N`, or the path of a document.

        Raises:
            UsageError, UnknownDataset: there is none there.
            NotASchema: it is no contract.
        """
        dataset, at, number = reference.rpartition("@")
        if at and is_dataset_name(dataset) and number.isascii() and number.isdigit() and not Path(reference).exists():
            return self.versions.load(dataset, int(number))
        if is_dataset_name(reference) and not Path(reference).exists():
            raise UsageError(f"{reference} is no file; name a version of a dataset as {reference}@N")
        return Contract.load(reference)

    def candidate(self, dataset: str, reference: str | None) -> Contract:
        """A contract to hold a dataset's events to: a version's number, as `contract`, or by default the active one.

        Raises:
            UsageError, UnknownDataset, NotASchema: as `contract`; or there is none that is active.
        """
        check_name(dataset)
        if reference is None:
            active = self.versions.active(dataset)
            if active is None:
                raise UsageError(f"{dataset} has no active contract: name one with --contract")
            return self.versions.load(dataset, active.contract)
        if reference.isascii() and reference.isdigit():
            return self.versions.load(dataset, int(reference))
        return self.contract(reference)

    def check(
        self, dataset: str, contract: Contract, *, since: datetime | None = None, progress: Progress | None = None
    ) -> Report:
        """Hold what is stored of a dataset to a contract: what it would have refused of that.

        Raises:
            UnknownDataset: nothing of it is stored.
        """
        from assay.frames.table import check_stored

        check_name(dataset)
        self.flush()
        with self.connection() as con:
            return check_stored(con, contract.named(dataset), since=since, progress=progress)

    def audit(
        self, *, days: float, contract: Contract | None = None, progress: Progress | None = None
    ) -> list[Audited]:
        """What the rules would have said of what was stored in the last so many days: of all active contracts, or of one.

        Raises:
            UsageError: no contract is active.
            UnknownDataset: there is no store yet.
        """
        from assay.frames.audit import audit_stored

        asked: list[tuple[Contract, Active | None]] = list(self.versions.active_contracts())
        if contract is not None:
            # As its dataset is enforced now, where it is.
            own = next((how for each, how in asked if each.dataset == contract.dataset), None)
            asked = [(contract, own)]
        if not asked:
            raise UsageError(
                "no contract is active, so there are no rules to audit; name one with --contract DATASET@N"
            )
        settings = self.rendering.rule_settings()
        self.flush()
        end_s = time.time()
        found = []
        with self.connection() as con:
            for i, (each, how) in enumerate(asked):
                tell = None if progress is None else partial(_tell_part, progress, i, len(asked))
                span = {"begin_s": end_s - days * 86_400, "end_s": end_s}
                found.append(audit_stored(con, each, how, settings, **span, progress=tell))
        return found

    # ---- profile, learn, activate

    def profile(
        self,
        dataset: str,
        *,
        since: str | None = None,
        exclude_alerts: bool = False,
        tell: Callable[[str], object] = lambda _: None,
        progress: Progress | None = None,
    ) -> Profile:
        """Measure what is stored of a dataset: its table, or what waits in `_learning`.

        With `since` (`7d`) what was collected so long ago at most, in whole hours, of which the measured ones are kept. With
        `exclude_alerts` without the hours in which an alert of the dataset was firing; `tell` is told how many those are,
        `progress` the share done.

        Raises:
            UnknownDataset: nothing of that name is stored.
            UsageError: nothing is left; or it is not known which Prometheus to ask.
            ServiceError: that Prometheus gives no answer.
        """
        from assay.profile.summarize import summarize, summarize_events

        check_name(dataset)
        begun, without = self._chosen(dataset, since, exclude_alerts=exclude_alerts)
        self.flush()
        with self.connection() as con:
            tables = {
                row[0] for row in con.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
            }
            if dataset in tables and _has_rows(con, f'"{dataset}"'):
                if begun is None:
                    return summarize(con, f'"{dataset}"', dataset=dataset, progress=progress)
                from assay.profile.hours import profile_since

                folder = self.settings.beside(".profiles") / dataset
                profile, left_out = profile_since(con, dataset, folder, since=begun, without=without)
                if exclude_alerts:
                    tell(f"{left_out} hours are left out: an alert was firing")
                return profile
            if "_learning" in tables:
                since_s = 0.0 if begun is None else begun.timestamp()
                waiting = (
                    f"(SELECT body, received_at FROM _learning WHERE dataset = {sql_text(dataset)}"
                    f" AND received_at >= to_timestamp({since_s}))"
                )
                if _has_rows(con, waiting):
                    return summarize_events(con, waiting, dataset=dataset, progress=progress)
        raise UnknownDataset(dataset, f"nothing of it is stored in {self.settings.store}")

    def _chosen(
        self, dataset: str, since: str | None, *, exclude_alerts: bool
    ) -> tuple[datetime | None, list[tuple[datetime, datetime]]]:
        """From when on to measure, and which spans not to."""
        if since is None:
            if exclude_alerts:
                raise UsageError("--exclude-alerts leaves out hours of a span: say --since, too")
            return None, []
        from assay.monitor.firing import firing
        from assay.monitor.rule_settings import seconds

        now = datetime.now(UTC)
        try:
            begun = now - timedelta(seconds=seconds(since))
        except OverflowError as error:
            raise UsageError(f"--since {since} is longer ago than there are years") from error
        if not exclude_alerts:
            return begun, []
        if self.settings.prometheus_url is None:
            raise UsageError("--exclude-alerts asks Prometheus: set prometheus_url, to http://localhost:9000 perhaps")
        return begun, firing(self.settings.prometheus_url, dataset, begun, now)

    def learned_from(self, dataset: str, number: int) -> Profile:
        """The profile that a version was learned from.

        Raises:
            UnknownDataset, UsageError: there is no such version, or it was not learned.
        """
        from assay.profile.document import Profile

        path = self.versions.profile_path(dataset, number)
        if not path.exists():
            self.versions.load(dataset, number)
            raise UsageError(f"{dataset}@{number} has no profile: it was not learned")
        return Profile.load(path)

    def learn(
        self,
        dataset: str,
        *,
        budget: float | None = None,
        since: str | None = None,
        exclude_alerts: bool = False,
        tell: Callable[[str], object] = lambda _: None,
        progress: Progress | None = None,
        profile: Profile | None = None,
    ) -> Contract:
        """Profile a dataset and write the next version of its contract, with its evidence. It is not active yet.

        `since`, `exclude_alerts`, `tell` and `progress` are those of `profile`; with one that was measured elsewhere nothing
        is asked of the store.

        Raises:
            UnknownDataset, NotEnoughData: there is nothing, or too little, to learn from.
            UsageError, ServiceError: as `profile`.
        """
        from assay.profile.learn import learn

        if profile is None:
            profile = self.profile(dataset, since=since, exclude_alerts=exclude_alerts, tell=tell, progress=progress)
        check_name(dataset)
        contract = learn(
            profile,
            dataset=dataset,
            budget=self.settings.budget if budget is None else budget,
            extra="forbid" if self.settings.extra == "forbid" else "allow",
        )
        return self.add(contract, profile.to_json().encode())

    def activate(
        self,
        dataset: str,
        number: int,
        *,
        mode: Mode = "enforce",
        fields: Mapping[str, Mode] | None = None,
        force: bool = False,
        by: str | None = None,
        how: str = "assay activate",
    ) -> Rendered:
        """Make a version the enforced one, and render what follows from it. A running service takes it up in 2 s.

        `fields` gives single fields, by label, a mode of their own. Those that had one before keep it, where the version
        has them. A change of modes alone is made first, whatever rendering meets: it may be what stops the damage. `by`,
        else the user, and `how` it was done go into the history.

        Raises:
            UsageError, NotASchema: there is no such version or field, or it is no contract. Nothing is changed then.
            EditedByHand, ContractError: as `render`; nothing is changed then either, but for a mode.
            StoreFailed: the lake decides what is in force, and is out of reach; nothing is changed.
        """
        check_name(dataset)
        self.follow(meant=(dataset, number))
        contract = self.versions.meant(dataset, Active(number, mode, fields or {}))
        former = self.versions.active(dataset)
        active = switched(contract, number, mode, former, fields or {})
        put = partial(self._put, dataset, active, by=by or _user(), how=how)
        only_mode = former is not None and former.contract == number
        if only_mode:
            put()
        others = [each for each, _ in self.versions.active_contracts() if each.dataset != dataset]
        files, checked = self.rendering.files([*others, contract], force=force or only_mode)
        if not only_mode:
            put()
        elif not force and self.rendering.edited():
            del files[self.rendering.models]  # it says nothing of modes: what a person has changed there stays
        return self.rendering.write(files), checked

    # ---- to and from other formats

    def export(self, reference: str, format: str) -> Exported:  # noqa: A002 - the command's own word
        """A dataset's active contract, or the one that `contract` takes, in another format.

        Raises:
            UsageError, UnknownDataset, NotASchema: there is none; or there is no such format.
        """
        from assay.exchange.export import export

        if is_dataset_name(reference) and not Path(reference).exists():
            if self.versions.active(reference) is None:
                raise UsageError(f"{reference} has no active contract: name a version of it, such as {reference}@1")
            return export(self.candidate(reference, None), format)
        return export(self.contract(reference), format)

    def import_(self, source: str, dataset: str) -> Imported:
        """Write the contract that a document or a class says as the next version of a dataset. It is not active yet.

        What was measured of the dataset is kept from the version before, as far as it still holds.

        Raises:
            UsageError: it cannot be read.
            NotASchema: it says of an event what a contract cannot; nothing is written.
        """
        from assay.exchange.evidence import with_evidence
        from assay.exchange.importing import import_contract

        check_name(dataset)
        found = import_contract(source, dataset)
        self.follow()
        former = self.former(dataset)
        contract = found.contract if former is None else with_evidence(found.contract, former)
        return replace(found, contract=self.add(contract))

    def former(self, dataset: str) -> Contract | None:
        """The version that the next one follows: the active one, else the newest."""
        active = self.versions.active(dataset)
        numbers = self.versions.numbers(dataset)
        if active is None and not numbers:
            return None
        return self.versions.load(dataset, numbers[-1] if active is None else active.contract)

    # ---- render

    def render(self, *, force: bool = False, thoroughly: bool = False) -> Rendered:
        """Write `app/contracts.py`, the alerting rules, their tests and dashboards from the active contracts. All or nothing.

        promtool reads the rules first, where it is installed; `thoroughly`, it runs their tests too.

        Raises:
            EditedByHand: a person has edited `app/contracts.py`, and `force` is not given.
            ContractError: promtool refuses the rules; nothing is written.
        """
        self.catch_up()
        files, checked = self.rendering.files(self._in_force(), force=force, thoroughly=thoroughly)
        return self.rendering.write(files), checked

    def resource(self, kind: str) -> tuple[bytes, bool]:
        """The rules of the active contracts, or what scrapes them, as a resource for Kubernetes; writes nothing.

        And whether promtool has looked at the rules, and run their tests.

        Raises:
            ContractError: promtool refuses the rules.
        """
        self.catch_up()
        return self.rendering.resource(kind, self._in_force())

    def _in_force(self) -> list[Contract]:
        return [contract for contract, _ in self.versions.active_contracts()]


def check_name(dataset: str) -> None:
    """Raise UnknownDataset where that is no name of a dataset."""
    if not is_dataset_name(dataset):
        raise UnknownDataset(dataset, "a name is a-z, then a-z, 0-9 and _, at most 63")


def _tell_part(progress: Progress, part: int, parts: int, share: float) -> None:
    """Tell how much of the whole is done by a share of one of its parts."""
    progress((part + share) / parts)


def _has_rows(con: duckdb.DuckDBPyConnection, relation: str) -> bool:
    return con.execute(f"SELECT 1 FROM {relation} LIMIT 1").fetchall() != []


def _user() -> str:
    """Who is at the terminal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may know no names
        return f"user {os.getuid()}"


def patiently(attempt: Callable[[], _T]) -> _T:
    """Try again for a while when another program holds the store."""
    deadline = time.monotonic() + _ASK_S
    while True:
        try:
            return attempt()
        except StoreLocked:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
