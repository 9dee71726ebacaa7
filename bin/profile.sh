#!/usr/bin/env bash
# Profiles what was collected; writes and activates the contract, app/contracts.py and the alerting rules.
# shellcheck source=bin/_setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"
need_python profile
cd "$ROOT"
exec "$VENV/bin/python" -m app.profile "$@"
