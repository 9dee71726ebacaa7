#!/usr/bin/env bash
# The whole loop in one go, unattended, in under 3 minutes: serve, monitor, generate, profile, activate, clean traffic (no
# alert), corrupt traffic (the alert that fires, and after how many seconds), recovery.
# It has a workspace, a store and ports of its own, and takes them away at the end (--keep: leaves the files). The exit code
# is 0 only when all of it held.
# shellcheck source=bin/_setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"
need_python profile
need_python datagen
need_prometheus
cd "$ROOT"
PROMTOOL_AT=$(dirname "$(command -v "$PROMTOOL")")
export PROMTOOL_AT # where bin/profile.sh finds it
exec "$VENV/bin/python" bin/_demo.py "$@"
