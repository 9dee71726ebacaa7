"""The pages, as routes below `/ui`. Live figures come from counters in memory; the store is asked with limits, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from shlex import quote
from typing import Any, Final, get_args
from urllib.parse import urlencode

import structlog
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from assay.access.keyring import Keyring
from assay.access.sessions import Sessions
from assay.contract.diff import diff
from assay.contract.document import Contract
from assay.contract.history import own_mode_since
from assay.contract.versions import Active, Mode, is_dataset_name
from assay.contract.words import rule_in_words
from assay.errors import AssayError, ContractError, ServiceError, UnknownDataset, UsageError
from assay.ingest.validate import Judge
from assay.monitor.metrics import LEARNING
from assay.ui import views
from assay.ui.admission import FIELD, AdminNeeded, Admission, way_back
from assay.ui.desk import Desk
from assay.ui.forms import FIELD as TOKEN
from assay.ui.forms import Forged, Tokens, read_form
from assay.ui.history import EVERY_S, History
from assay.ui.jobs import Jobs
from assay.ui.prometheus import Alerts, ask
from assay.ui.quarantine import Quarantine
from assay.ui.render import FOLDER, page, warm
from assay.ui.runbook import runbook

__all__ = ["Pages"]

_log = structlog.get_logger("assay")

#: The bars of a sparkline: a quarter of an hour.
_BARS: Final = 60
_BAR_S: Final = 15.0
_STATIC: Final = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}
_STATUS: Final = ((Forged, 403), (UnknownDataset, 404), (UsageError, 400), (ContractError, 422), (ServiceError, 503))

_Endpoint = Callable[[Request], Awaitable[Response]]


class Pages:
    """The pages of one running collector. `prometheus_url` is where to ask what fires; None: nowhere.

    The guard lets nobody see them without a key that may read, once there are keys. For what changes something they ask for
    one that may do that.
    """

    def __init__(self, desk: Desk, keyring: Keyring, sessions: Sessions, *, prometheus_url: str | None = None) -> None:
        self._desk = desk
        self._admission = Admission(keyring, sessions)
        self._prometheus_url = prometheus_url
        self._history = History()
        self._alerts = Alerts()
        self._jobs = Jobs()
        self._tokens = Tokens()
        self._quarantine = Quarantine(desk)
        self._looking: list[asyncio.Task[None]] = []
        self._is_warm = False

    def start(self) -> None:
        """Begin to look at the counters, and at what fires."""
        self._look()
        self._looking = [asyncio.create_task(self._look_on())]
        if self._prometheus_url is not None:
            self._looking.append(asyncio.create_task(self._ask_on(self._prometheus_url)))

    async def stop(self) -> None:
        """Look no more."""
        looking = list(self._looking)
        for task in looking:
            task.cancel()
        for task in looking:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def routes(self) -> list[Route]:
        """What to add to the application."""
        reads: dict[str, _Endpoint] = {
            "/ui": self.overview,
            "/ui/login": self.login,
            "/ui/runbook": self.runbook,
            "/ui/static/{name}": self.static,
            "/ui/jobs/{number:int}": self.job,
            "/ui/datasets/{dataset}": self.dataset,
            "/ui/datasets/{dataset}/quarantine": self.quarantine,
            "/ui/datasets/{dataset}/contracts": self.contracts,
            "/ui/datasets/{dataset}/contracts/{number:int}": self.contract,
            "/ui/datasets/{dataset}/diff": self.diff,
            "/ui/datasets/{dataset}/activate": self.confirm,
        }
        does: dict[str, _Endpoint] = {
            "/ui/login": self.log_in,
            "/ui/logout": self.log_out,
            "/ui/datasets/{dataset}/activate": self.activate,
            "/ui/datasets/{dataset}/learn": self.learn,
            "/ui/datasets/{dataset}/try": self.try_out,
            "/ui/datasets/{dataset}/suggest": self.suggest,
            "/ui/datasets/{dataset}/replay": self.replay,
        }
        return [
            *(Route(path, self._guarded(do), methods=["GET"], include_in_schema=False) for path, do in reads.items()),
            *(Route(path, self._guarded(do), methods=["POST"], include_in_schema=False) for path, do in does.items()),
            Route("/ui/{rest:path}", self._guarded(self.nowhere), methods=["GET"], include_in_schema=False),
        ]

    # ---- looking

    def _look(self) -> None:
        self._history.look(time.time(), self._desk.figures())

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                self._look()
            except Exception:  # noqa: BLE001  the next look may go well
                _log.exception("the counters could not be looked at")

    async def _ask_on(self, url: str) -> None:
        while True:
            self._alerts = await asyncio.to_thread(ask, url)
            await asyncio.sleep(EVERY_S)

    # ---- pages to read

    async def overview(self, request: Request) -> Response:
        """Every dataset, how it is doing, and what fires."""
        self._look()
        judges, learning = self._desk.judges(), self._desk.learning()
        names = sorted({*judges, *learning, *self._desk.versions.datasets()})
        rows = [self._row(name, judges.get(name)) for name in names]
        order = {"bad": 0, "warn": 1, "good": 2, "idle": 3}
        rows.sort(key=lambda row: order[row.state])
        return self._page(request, "overview.html", rows=rows, learning=learning, slots=_BARS)

    async def dataset(self, request: Request) -> Response:
        """One dataset: its fields, expected against live, and who sends."""
        name = self._known(request)
        self._look()
        judge = self._desk.judges().get(name)
        row = self._row(name, judge)
        if judge is None:
            learning = self._desk.learning().get(name, 0)
            numbers = self._desk.versions.numbers(name)
            job = self._jobs.running("learn", name)
            return self._page(
                request, "learning.html", name=name, row=row, learning=learning, numbers=numbers, job=job, slots=_BARS
            )
        asked = request.query_params.get("field", "")

        def look(judge: Judge = judge) -> list[views.FieldCard]:
            return views.field_cards(judge, self._history, row.alerts, asked, self._since(name))

        cards = await asyncio.to_thread(look)
        return self._page(
            request,
            "dataset.html",
            name=name,
            row=row,
            judge=judge,
            cards=cards,
            live=self._history.live(name),
            sources=self._history.sent(name),
            window_s=self._history.window(),
            slots=_BARS,
            profiled=any(card.rows for card in cards),
        )

    async def quarantine(self, request: Request) -> Response:
        """What was refused, by kind."""
        name = self._known(request)
        judge = self._desk.judges().get(name)
        found = await asyncio.to_thread(self._quarantine.groups, name)
        status = HTTPStatus.OK if found.was_read else HTTPStatus.SERVICE_UNAVAILABLE
        response = self._page(request, "quarantine.html", status, name=name, judge=judge, found=found)
        if found.trouble:
            response.headers["Refresh"] = "3"  # whoever holds the store lets go of it soon
        return response

    async def contracts(self, request: Request) -> Response:
        """The versions of a dataset's contract."""
        name = self._known(request)
        numbers = self._desk.versions.numbers(name)[::-1]

        def load() -> tuple[list[Contract], Mapping[str, str]]:
            return [self._desk.versions.load(name, number) for number in numbers[:50]], self._since(name)

        loaded, since = await asyncio.to_thread(load)
        return self._page(
            request,
            "contracts.html",
            name=name,
            judge=self._desk.judges().get(name),
            versions=loaded,
            hidden=len(numbers) - len(loaded),
            since=since,
        )

    async def contract(self, request: Request) -> Response:
        """One version, in words."""
        name = self._known(request)
        contract = await asyncio.to_thread(self._desk.versions.load, name, request.path_params["number"])
        fields = [(label, field, rule_in_words(field)) for label, field in contract.root.walk()]
        return self._page(
            request, "contract.html", name=name, contract=contract, fields=fields, judge=self._desk.judges().get(name)
        )

    async def diff(self, request: Request) -> Response:
        """Two versions compared: in words, and line by line."""
        name = self._known(request)
        old, new = self._number(request, "from"), self._number(request, "to")

        def compare() -> tuple[Any, list[views.Line]]:
            one, two = self._desk.versions.load(name, old), self._desk.versions.load(name, new)
            return diff(one, two), views.side_by_side(one, two)

        found, lines = await asyncio.to_thread(compare)
        return self._page(request, "diff.html", name=name, old=old, new=new, diff=found, lines=lines)

    async def confirm(self, request: Request) -> Response:
        """What activating a version would change, or another mode of a field; and the button that does it."""
        name = self._known(request)
        judge = self._desk.judges().get(name)
        number, mode, fields = _wanted(request.query_params, name, judge)

        def compare() -> tuple[Contract, Any]:
            contract = self._desk.versions.meant(name, Active(number, mode, fields))
            return contract, None if judge is None else diff(judge.contract, contract)

        contract, found = await asyncio.to_thread(compare)
        rules = {label: rule_in_words(field) for label, field in contract.root.walk() if label in fields}
        return self._page(
            request,
            "activate.html",
            name=name,
            contract=contract,
            mode=mode,
            fields=fields,
            rules=rules,
            judge=judge,
            diff=found,
            flags=_flags(mode, fields),
        )

    async def job(self, request: Request) -> Response:
        """How far some work is, and what it came to."""
        job = self._jobs.get(request.path_params["number"])
        if job is None:
            raise UnknownDataset(
                f"job {request.path_params['number']}", "it was forgotten, or the service started anew since"
            )
        change = None
        if job.kind == "suggest" and job.state == "done" and job.result.written is not None:
            change = await asyncio.to_thread(diff, job.result.base, job.result.written)
        response = self._page(request, "job.html", job=job, change=change, judge=self._desk.judges().get(job.dataset))
        if job.state == "running":
            response.headers["Refresh"] = "2"
        return response

    async def runbook(self, request: Request) -> Response:
        """What each alert means, and what to do."""
        text = await asyncio.to_thread(runbook)
        return self._page(request, "runbook.html", text=text)

    async def static(self, request: Request) -> Response:
        """The style sheet and the script."""
        name = request.path_params["name"]
        if name not in _STATIC:
            return await self.nowhere(request)
        return FileResponse(FOLDER / "static" / name, media_type=_STATIC[name], headers={"Cache-Control": "no-cache"})

    async def nowhere(self, request: Request) -> Response:
        """There is no such page."""
        return self._page(request, "error.html", 404, title="There is no such page", problem=request.url.path)

    # ---- who a person is

    async def login(self, request: Request) -> Response:
        """Where a person shows a key."""
        target = way_back(request.query_params.get("next", ""))
        if not self._admission.is_asked:
            return RedirectResponse(target, HTTPStatus.SEE_OTHER)
        response = self._page(request, "login.html", next=target, problem="")
        if request.headers.get("sec-fetch-site") == "cross-site":
            # A link from elsewhere, an alert's perhaps, comes without the session that there may be. From here it goes with it.
            response.headers["Refresh"] = f"0; url={target}"
        return response

    async def log_in(self, request: Request) -> Response:
        """Take a key, and keep a session in its place."""
        form = await self._form(request)
        target = way_back(form.get("next", ""))
        response = RedirectResponse(target, HTTPStatus.SEE_OTHER)
        problem = self._admission.log_in(request, response, form.get(FIELD, ""))
        if problem:
            return self._page(request, "login.html", HTTPStatus.FORBIDDEN, next=target, problem=problem)
        return response

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        await self._form(request)
        response = RedirectResponse("/ui/login", HTTPStatus.SEE_OTHER)
        self._admission.log_out(request, response)
        return response

    # ---- what a person does

    async def activate(self, request: Request) -> Response:
        """Put a version in force, or a field of the one that is in another mode."""
        name, form = self._known(request), await self._form(request)
        by = self._admission.doer(request, form)
        number, mode, fields = _wanted(form, name, self._desk.judges().get(name))
        await asyncio.to_thread(partial(self._desk.activate, name, number, mode, fields=fields, by=by))
        self._look()
        back = f"?{urlencode({'field': label})}" if (label := next(iter(fields), None)) else f"/contracts?now={number}"
        return RedirectResponse(f"/ui/datasets/{name}{back}", HTTPStatus.SEE_OTHER)

    async def learn(self, request: Request) -> Response:
        """Learn the next version, in the background."""
        name, form = self._known(request), await self._form(request)
        self._admission.doer(request, form)
        job = self._jobs.start("learn", name, partial(self._desk.learn, name))
        return RedirectResponse(f"/ui/jobs/{job.id}", HTTPStatus.SEE_OTHER)

    async def try_out(self, request: Request) -> Response:
        """See what a version would have refused of what was stored, in the background."""
        name, form = self._known(request), await self._form(request)
        number = _whole(form.get("contract", ""), "contract")
        await asyncio.to_thread(self._desk.versions.load, name, number)
        job = self._jobs.start("try", name, partial(self._desk.try_out, name, number))
        return RedirectResponse(f"/ui/jobs/{job.id}", HTTPStatus.SEE_OTHER)

    async def suggest(self, request: Request) -> Response:
        """Have the version made that lets refused events of one kind in, in the background."""
        name, form = self._known(request), await self._form(request)
        self._admission.doer(request, form)
        job = self._jobs.start("suggest", name, partial(self._desk.suggest, name, form.get("fingerprint", "")))
        return RedirectResponse(f"/ui/jobs/{job.id}", HTTPStatus.SEE_OTHER)

    async def replay(self, request: Request) -> Response:
        """Judge the quarantine again, in the background: move what passes, or only say what would."""
        name, form = self._known(request), await self._form(request)
        number = _whole(form["contract"], "contract") if form.get("contract") else None
        dry_run = form.get("dry_run") != "no"
        if not dry_run:
            self._admission.doer(request, form)

        def work(_: Callable[[float], object]) -> Mapping[str, Any]:
            found = self._desk.replay(name, number, dry_run=dry_run)
            self._quarantine.forget(name)
            return found

        job = self._jobs.start("dry run" if dry_run else "replay", name, work)
        return RedirectResponse(f"/ui/jobs/{job.id}", HTTPStatus.SEE_OTHER)

    # ---- the pieces

    def _row(self, name: str, judge: Judge | None) -> views.DatasetRow:
        return views.dataset_row(name, judge, self._history, self._alerts, time.time(), bars=_BARS, every_s=_BAR_S)

    def _known(self, request: Request) -> str:
        """The dataset that a path names.

        Raises:
            UnknownDataset: there is none.
        """
        name: str = request.path_params["dataset"]
        desk = self._desk
        if not is_dataset_name(name) or not (
            name in desk.judges() or name in desk.learning() or desk.versions.numbers(name)
        ):
            raise UnknownDataset(name, "the overview lists those that are")
        return name

    def _since(self, name: str) -> Mapping[str, str]:
        """Since when each field with a mode of its own has it."""
        return {label: at.isoformat() for label, at in own_mode_since(self._desk.versions, name).items()}

    @staticmethod
    def _number(request: Request, name: str) -> int:
        return _whole(request.query_params.get(name, ""), name)

    async def _form(self, request: Request) -> dict[str, str]:
        form = await read_form(request)
        self._tokens.check(request, form)
        return form

    def _page(self, request: Request, template: str, status: int = 200, /, **values: Any) -> Response:
        if not self._is_warm:
            self._is_warm = True
            # What the next page will need; who never looks at one pays nothing.
            task = asyncio.create_task(asyncio.to_thread(warm))
            task.add_done_callback(self._looking.remove)
            self._looking.append(task)
        token, fresh = self._tokens.token(request)
        response = page(
            template,
            status,
            request=request,
            token=token,
            alerts=self._alerts,
            health=self._desk.health(),
            url=self._desk.url,
            learning_label=LEARNING,
            key=self._admission.key(request),
            may_do=self._admission.may_do(request),
            with_key='-H "Authorization: Bearer $KEY" ' if self._admission.is_asked else "",
            **values,
        )
        if fresh is not None:
            self._tokens.set_cookie(response, fresh)
        return response

    def _guarded(self, endpoint: _Endpoint) -> _Endpoint:
        """The endpoint, with an error as a page that says what happened."""

        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except AdminNeeded as asked:
                form = {name: value for name, value in asked.form.items() if name != TOKEN}
                return self._page(
                    request, "admin.html", HTTPStatus.FORBIDDEN, form=form, problem=asked.reason, doing=request.url.path
                )
            except AssayError as error:
                status = next(status for kind, status in _STATUS if isinstance(error, kind))
                title = "There is no such thing here" if status == HTTPStatus.NOT_FOUND else "That did not work"
                return self._page(request, "error.html", status, title=title, problem=str(error))

        return answer


def _wanted(asked: Mapping[str, str], name: str, judge: Judge | None) -> tuple[int, Mode, dict[str, Mode]]:
    """The version and the mode that are asked for; or those in force, and the field that is to be observed or enforced.

    Raises:
        UsageError: neither; or the field is of a version that is not in force any more.
    """
    number = _whole(asked.get("contract", ""), "contract")
    fields: dict[str, Mode] = {asked[mode]: mode for mode in get_args(Mode) if mode in asked}
    if len({*asked} & {*get_args(Mode)}) > 1:
        raise UsageError("one field is observed or enforced at a time")
    if not fields:
        return number, _mode(asked.get("mode", "enforce")), fields
    if judge is None or judge.contract.version != number:
        raise UsageError(f"{name}@{number} is not in force any more: open the page of {name} again")
    return number, judge.active.mode, fields


def _flags(mode: Mode, fields: Mapping[str, Mode]) -> str:
    """The options of `assay activate` that say the same."""
    return "".join(
        [" --mode observe" if mode == "observe" else "", *(f" --{own} {quote(label)}" for label, own in fields.items())]
    )


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(f"{name}: the number of a version is expected")
    return int(text)


def _mode(text: str) -> Mode:
    if text == "observe":
        return "observe"
    if text == "enforce":
        return "enforce"
    raise UsageError("mode: enforce or observe is expected")
