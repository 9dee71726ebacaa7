"""From data to its statistics, and from those to a contract.

The package is callable, as `assay.profile(frame)` is the public name of what its modules do.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.profile.document import Profile


class _Callable(ModuleType):
    def __call__(self, source: Any, *, dataset: str = "") -> Profile:
        """Measure anything that DuckDB scans: see `assay.profile.relation.profile`."""
        from assay.profile.relation import profile

        return profile(source, dataset=dataset)


sys.modules[__name__].__class__ = _Callable
