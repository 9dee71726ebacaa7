#!/usr/bin/env bash
# Starts the collection service on http://localhost:8080. Arguments go to `assay serve`.
# shellcheck source=bin/_setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"
need_python profile
cd "$ROOT"
exec "$VENV/bin/assay" serve "$@"
