#!/usr/bin/env bash
# The whole loop in one go, unattended, in under 3 minutes: serve, monitor, generate, profile, activate, clean traffic (no
# alert), corrupt traffic (the alert that fires, and after how many seconds), recovery.
# It has a workspace, a store and ports of its own, and takes them away at the end. The exit code is 0 only when all of it held.
# shellcheck source=bin/_setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"

usage() {
  cat <<'USAGE'
usage: bin/demo.sh [--store duckdb|ducklake] [--keep]

The whole loop in one go, unattended, in a few minutes.

  --store duckdb    one collector, with a DuckDB file (the default)
  --store ducklake  two collectors with one lake; its catalogue is in a PostgreSQL that runs for this alone, or in an
                    SQLite file where PostgreSQL is not installed
  --keep            leave the workspace, the store and the logs for a look
USAGE
}

wrong() {
  say "$*"
  usage >&2
  exit 2
}

store=duckdb
keep=()
while [ $# -gt 0 ]; do
  case $1 in
    --store)
      [ $# -gt 1 ] || wrong "--store needs duckdb or ducklake"
      store=$2
      shift
      ;;
    --store=*) store=${1#*=} ;;
    --keep) keep=(--keep) ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) wrong "demo.sh knows no $1" ;;
  esac
  shift
done

case $store in
  duckdb)
    need_python profile
    need_python datagen
    ;;
  ducklake)
    if [ "${NO_SETUP:-}" != 1 ]; then
      lake_python profile,datagen
      VENV=$LAKE
    fi
    ;;
  *) wrong "there is no store $store: --store takes duckdb or ducklake" ;;
esac
need_prometheus
cd "$ROOT"
PROMTOOL_AT=$(dirname "$(command -v "$PROMTOOL")")
export PROMTOOL_AT # where bin/profile.sh finds it
export SETUP_VENV=$VENV NO_SETUP=1 # of the scripts that it starts
exec "$VENV/bin/python" bin/_demo.py --store "$store" ${keep[@]+"${keep[@]}"}
