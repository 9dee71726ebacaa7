#!/usr/bin/env bash
# Installs what the tests need and runs them all. Arguments go to pytest. Exits with the first failure's code.
# shellcheck source=bin/_setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"
need_python dev
need_prometheus
find_alertmanager
# Debian's Alertmanager wants a template in /usr/share, so it cannot be unpacked elsewhere. Where it, strace or wrk is missing,
# the tests that need it are skipped.
{ [ -n "$ALERTMANAGER" ] && command -v strace && command -v wrk; } >/dev/null || install_in_ci prometheus-alertmanager strace wrk || true
cd "$ROOT"
case $PROMTOOL in */*) PATH=$(dirname "$PROMTOOL"):$PATH ;; esac # where the tests look
status=0
scripts/check || status=$?
# What DuckDB's binding says at the very end, of what it believes was never given back, is kept from pytest's closing line.
"$VENV/bin/python" -m pytest --cov --cov-report=term "$@" 2> >(sed '/^nanobind: /,$d' >&2) || { code=$? && [ $status -ne 0 ] || status=$code; }
exit $status
