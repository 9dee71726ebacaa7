"""Has the folder of contracts follow the lake while a service runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import structlog

from assay.errors import ServiceError

if TYPE_CHECKING:
    from assay.store.mirror import Mirror

__all__ = ["Following"]

_log = structlog.get_logger("assay")

_EVERY_S: Final = 1.0
_STOP_S: Final = 5.0


class Following:
    """A thread that looks whether the lake has other contracts than the folder, once a second."""

    def __init__(self, mirror: Mirror, *, every_s: float = _EVERY_S) -> None:
        self._mirror = mirror
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="assay-registry", daemon=True)
        self._trouble: ServiceError | None = None

    @property
    def trouble(self) -> ServiceError | None:
        """What keeps contracts from being known here; None when nothing does."""
        return self._trouble

    def start(self) -> None:
        """Begin: what the lake has is in the folder when this returns, unless the lake is out of reach."""
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """Let go of the lake."""
        self._stopped.set()
        self._thread.join(_STOP_S)
        if not self._thread.is_alive():  # else it waits for a lake that does not answer, and ends with the process
            self._mirror.close()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            self._look()

    def _look(self) -> None:
        try:
            self._mirror.look()
        except ServiceError as trouble:
            self._tell(trouble)
        except OSError as error:
            self._tell(ServiceError(f"the folder of contracts cannot follow the lake: {error}"))
        except Exception as fault:  # noqa: BLE001  the next look may go well
            _log.exception("the folder of contracts could not follow the lake")
            self._trouble = ServiceError(f"the folder of contracts cannot follow the lake: {fault}")
        else:
            self._tell(None)

    def _tell(self, trouble: ServiceError | None) -> None:
        """Say it where it is news."""
        before, self._trouble = self._trouble, trouble
        if trouble is not None and before is None:
            _log.warning("the contracts in force stay", reason=str(trouble))
        elif trouble is None and before is not None:
            _log.info("contracts come from the lake again")
