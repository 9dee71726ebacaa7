#!/usr/bin/env bash
# Installs what the tests need and runs them all. Arguments go to pytest. Exits with the first failure's code.
# shellcheck source=bin/_setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"
need_python dev
need_prometheus
find_alertmanager
# Debian's Alertmanager wants a template in /usr/share, so it cannot be unpacked elsewhere. Where it, strace, wrk or nats-server is
# missing, the tests that need it are skipped.
{ [ -n "$ALERTMANAGER" ] && command -v strace && command -v wrk; } >/dev/null || install_in_ci prometheus-alertmanager strace wrk || true
{ command -v nats-server || command -v /usr/sbin/nats-server; } >/dev/null || install_in_ci nats-server || true
# The pages are tested in a browser, which no package of Python's brings.
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
  install_in_ci chromium || say "no Chromium: the tests of the pages in a browser are skipped"
# Spark is half a gigabyte and needs Java: CI has it, elsewhere its tests are skipped unless both are there.
if [ "${CI:-}" = true ]; then
  { command -v java >/dev/null || install_in_ci openjdk-17-jre-headless; } && (need_python spark) ||
    say "no Java or no PySpark: the tests of Spark are skipped"
fi
cd "$ROOT"
case $PROMTOOL in */*) PATH=$(dirname "$PROMTOOL"):$PATH ;; esac # where the tests look
status=0
scripts/check || status=$?
# What DuckDB's binding says at the very end, of what it believes was never given back, is kept from pytest's closing line.
"$VENV/bin/python" -m pytest --cov --cov-report=term "$@" 2> >(sed '/^nanobind: /,$d' >&2) || { code=$? && [ $status -ne 0 ] || status=$code; }
# The same tests of the store on a lake, and those of lakes alone. Without a PostgreSQL those that need one are skipped.
command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || install_in_ci postgresql ||
  say "no PostgreSQL: the tests of lakes with a catalogue there are skipped"
if [ $# -eq 0 ]; then
  lake_python dev
  s3_server || say "no server that speaks S3: the test of a lake there is skipped"
  "$LAKE/bin/python" -m pytest -m lake || { code=$? && [ $status -ne 0 ] || status=$code; }
fi
exit $status
