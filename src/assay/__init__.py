"""assay: collects events, learns what good data looks like, holds every event to it, and alerts within seconds.

The names below load what they need when they are first used: `import assay` itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay import profile
    from assay.contract.diff import diff
    from assay.contract.document import Contract
    from assay.errors import AssayError
    from assay.exchange.export import export
    from assay.exchange.importing import import_contract
    from assay.frames.check import check
    from assay.profile.document import Profile
    from assay.profile.learn import learn
    from assay.store.opening import connect

__all__ = [
    "AssayError",
    "Contract",
    "Profile",
    "__version__",
    "check",
    "connect",
    "diff",
    "export",
    "import_contract",
    "learn",
    "profile",
]

__version__ = "0.1.0"

_HOMES = {
    "AssayError": "assay.errors",
    "Contract": "assay.contract.document",
    "Profile": "assay.profile.document",
    "check": "assay.frames.check",
    "connect": "assay.store.opening",
    "diff": "assay.contract.diff",
    "export": "assay.exchange.export",
    "import_contract": "assay.exchange.importing",
    "learn": "assay.profile.learn",
}


def __getattr__(name: str) -> Any:
    if name == "profile":  # a package that can be called
        return import_module("assay.profile")
    if name not in _HOMES:
        raise AttributeError(f"module 'assay' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
