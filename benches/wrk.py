"""Single events by `wrk`, the load generator."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import UsageError

__all__ = ["Load", "script", "wrk"]

_LUA = """
local bodies = {%s}
local requests, at = {}, 0
function init(args)
  local headers = {["Content-Type"] = "application/json"}
  for i, body in ipairs(bodies) do requests[i] = wrk.format("POST", "/collect", headers, body) end
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('JSON{"requests": %%d, "us": %%d, "p50_us": %%d, "p99_us": %%d, "status": %%d, "failed": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), e.status,
    e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What wrk saw. `refused` counts answers other than 2xx, `failed` requests without one."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    failed: int

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def script(path: Path, events: Sequence[bytes]) -> Path:
    """Write the script that sends `events`, one a request, again and again."""
    path.write_text(_LUA % ", ".join(f"[[{event.decode()}]]" for event in events))
    return path


def wrk(port: int, script: Path, *, clients: int, seconds: float) -> Load:
    """Send for some seconds with so many clients, each waiting for its answer before it sends again.

    Raises:
        UsageError: wrk is not installed.
    """
    program = shutil.which("wrk")
    if program is None:
        raise UsageError("wrk is missing: apt-get install wrk")
    threads = min(clients, 2)
    flags = [f"-t{threads}", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s", str(script)]
    said = subprocess.run(
        [program, *flags, f"http://127.0.0.1:{port}"], capture_output=True, text=True, timeout=seconds + 60, check=True
    ).stdout
    found: dict[str, Any] = json.loads(said.partition("JSON")[2])
    return Load(
        found["requests"],
        found["us"] / 1e6,
        found["p50_us"] / 1e3,
        found["p99_us"] / 1e3,
        found["status"],
        found["failed"],
    )
