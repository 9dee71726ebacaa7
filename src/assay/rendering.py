"""What is written from contracts, for people and for other programs: models, alerting rules and their tests, dashboards."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from assay.contract.document import Contract
from assay.contract.versions import Versions
from assay.errors import EditedByHand
from assay.files import write_atomic
from assay.generated import is_edited, sealed
from assay.settings import Settings

if TYPE_CHECKING:
    from assay.monitor.rules import RuleSettings

__all__ = ["Rendering"]


class Rendering:
    """The generated files of a workspace, and what a person has made of them."""

    def __init__(self, settings: Settings, versions: Versions) -> None:
        self.settings = settings
        self.versions = versions

    def files(
        self, contracts: Sequence[Contract], *, force: bool, thoroughly: bool = False
    ) -> tuple[dict[Path, bytes], bool]:
        """What follows from contracts, by path; and whether promtool has looked at the rules; `thoroughly`, it runs their tests too.

        Raises:
            EditedByHand: a person has edited `app/contracts.py`, and `force` is not given.
            ContractError: promtool refuses the rules.
        """
        from assay.contract.source import source
        from assay.monitor.dashboards import FOLDER, render_dashboards
        from assay.monitor.rule_tests import render_rule_tests
        from assay.monitor.rules import render_rules

        if not force:
            self.refuse_edited()
        ordered = sorted(contracts, key=lambda contract: contract.dataset)
        settings = self.rule_settings()
        rules, tests = render_rules(ordered, settings), render_rule_tests(ordered, settings)
        promtool = self._promtool()
        if promtool is not None:
            _check(rules, tests, promtool, thoroughly=thoroughly)
        folder = self.settings.root / "promconfig"
        files = {
            self.models: sealed(source(ordered)),
            folder / "data_quality_rules.test.yml": tests,
            folder / "data_quality_rules.yml": rules,
        }
        dashboards = render_dashboards(
            ordered, settings, **({"prometheus_url": url} if (url := self.settings.prometheus_url) else {})
        )
        files |= {folder / FOLDER / name: data for name, data in dashboards.items()}
        return files, promtool is not None

    def write(self, files: Mapping[Path, bytes]) -> list[Path]:
        """Write what has changed; which those are."""
        changed = [path for path, data in files.items() if not path.exists() or path.read_bytes() != data]
        for path in changed:
            write_atomic(path, files[path])
        return [path.relative_to(self.settings.root) for path in changed]

    def resource(self, kind: str, contracts: Sequence[Contract]) -> tuple[bytes, bool]:
        """The rules of contracts, or what scrapes them, as a resource for Kubernetes.

        And whether promtool has looked at the rules, and run their tests.

        Raises:
            ContractError: promtool refuses the rules.
        """
        from assay.monitor.operator import render_resource
        from assay.monitor.rule_tests import render_rule_tests
        from assay.monitor.rules import render_rules

        settings, promtool = self.rule_settings(), self._promtool()
        if promtool is not None:
            rules, tests = render_rules(contracts, settings), render_rule_tests(contracts, settings)
            _check(rules, tests, promtool, thoroughly=True)
        return render_resource(kind, contracts, settings), promtool is not None

    def remarks(self) -> list[str]:
        """What is to be said of the exceptions from the alerts: those that have ended, and those that mean nothing."""
        from assay.monitor.exceptions import exception_remarks

        return exception_remarks(
            self.rule_settings().exceptions,
            [contract for contract, _ in self.versions.active_contracts()],
            today=datetime.now(UTC).date(),
        )

    @property
    def models(self) -> Path:
        """Where the models are."""
        return self.settings.root / "app" / "contracts.py"

    def edited(self) -> bool:
        """Whether a person has edited `app/contracts.py`."""
        return self.models.exists() and is_edited(self.models.read_bytes())

    def refuse_edited(self) -> None:
        """Raise EditedByHand, with what was changed, where a person has edited `app/contracts.py`."""
        if not self.edited():
            return
        from assay.contract.source import bring_in, source

        fresh = sealed(source([contract for contract, _ in self.versions.active_contracts()]))
        diff = difflib.unified_diff(
            fresh.decode().splitlines(keepends=True),
            self.models.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True),
            "generated",
            str(self.models),
        )
        how = bring_in([contract.dataset for contract, _ in self.versions.active_contracts()])
        raise EditedByHand(self.models, "".join(diff), f"{how}; --force overwrites it")

    def _promtool(self) -> Path | None:
        from assay.monitor.promtool import find_promtool

        return find_promtool([self.settings.root / ".tools/prometheus/usr/bin"])

    def rule_settings(self) -> RuleSettings:
        """What the rules are made by: the settings, and the intervals of the workspace's own Prometheus."""
        from assay.monitor.exceptions import AlertException
        from assay.monitor.rules import RuleSettings, read_intervals

        scrape_s, evaluation_s = 5.0, 5.0
        config = self.settings.root / "promconfig" / "prometheus.yml"
        if config.exists():
            scrape_s, evaluation_s = read_intervals(config.read_bytes())
        return RuleSettings(
            scrape_interval_s=scrape_s,
            evaluation_interval_s=evaluation_s,
            alert_hold=self.settings.alert_hold,
            alert_windows=self.settings.alert_windows,
            base_url=self.settings.public_url or self.settings.url,
            exceptions=tuple(
                AlertException(**each.model_dump(exclude={"mute"})) for each in self.settings.alert_exceptions
            ),
        )


def _check(rules: bytes, tests: bytes, promtool: Path, *, thoroughly: bool) -> None:
    """Have promtool look at rules, and run their tests, before they are put in place."""
    from assay.monitor.promtool import check_rules, run_rule_tests

    with tempfile.TemporaryDirectory() as folder:
        rules_path = Path(folder) / "data_quality_rules.yml"
        tests_path = Path(folder) / "data_quality_rules.test.yml"
        rules_path.write_bytes(rules)
        tests_path.write_bytes(tests)
        check_rules(rules_path, promtool)
        if thoroughly:
            run_rule_tests(tests_path, promtool)
