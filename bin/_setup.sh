# shellcheck shell=bash
# shellcheck disable=SC2034 # what it finds is for those who source it
# Sourced by the scripts beside it: what they share. Keeps all it installs in .venv/ and .tools/; needs only Python 3.11+.
# For bash 3.2 and newer, as macOS has no newer one.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
[ "${NO_SETUP:-}" != 1 ] || VENV=${SETUP_VENV:-$VENV} # somebody else's, in which nothing is installed
TOOLS=$ROOT/.tools
CONSTRAINTS=$ROOT/constraints.txt
LOG=$TOOLS/setup.$$.log # what quiet commands said; shown when one of them fails

PROMETHEUS_RELEASE=3.5.0 # where no package has one
PROMETHEUS_RELEASES=${PROMETHEUS_RELEASES:-https://github.com/prometheus/prometheus/releases/download}

# ---- saying, starting, stopping

say() { echo "assay: $*" >&2; }

die() {
  say "$*"
  exit 1
}

die_showing_log() { # the log's end, then the message
  [ ! -s "$LOG" ] || tail -n 25 "$LOG" >&2
  die "$*"
}

children=() # process groups that this script started and that may still run

start() { # start LOGFILE COMMAND...: in the background and in a process group of its own; its id is then in $!
  local log=$1
  shift
  set -m
  "$@" >>"$log" 2>&1 </dev/null &
  set +m
  children+=("$!")
}

is_running() { kill -0 "$1" 2>/dev/null; }

stop() { # stop PID...: of what start() started. Asks, waits up to 10 s, then insists
  local pid patience
  for pid in "$@"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
  for pid in "$@"; do
    patience=100
    while is_running "$pid" && [ $patience -gt 0 ]; do
      sleep 0.1
      patience=$((patience - 1))
    done
    kill -KILL -- "-$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    forget "$pid"
  done
}

forget() { # a process that has ended: its number may be somebody else's soon
  local pid kept=()
  for pid in ${children[@]+"${children[@]}"}; do [ "$pid" = "$1" ] || kept+=("$pid"); done
  children=(${kept[@]+"${kept[@]}"})
}

on_exit() {
  stop ${children[@]+"${children[@]}"}
  rm -f "$LOG"
}
trap on_exit EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

quietly() { # its output goes to $LOG; it can be interrupted, with all that it started
  local status=0 pid
  mkdir -p "$TOOLS"
  start "$LOG" "$@"
  pid=$!
  wait "$pid" 2>/dev/null || status=$?
  forget "$pid"
  return $status
}

# ---- Python

find_python() { # PY: a Python 3.11 or newer that can make environments
  local candidate
  [ -z "${PY:-}" ] || return 0
  if [ -n "${PYTHON:-}" ]; then
    is_fit "$PYTHON" || die "PYTHON=$PYTHON is no Python 3.11 or newer"
    PY=$PYTHON
    return
  fi
  while read -r candidate; do # every one on PATH, as an activated .venv comes first
    case $candidate in "$VENV"/*) continue ;; esac
    if is_fit "$candidate"; then
      PY=$candidate
      return
    fi
  done < <(type -ap python3.11 python3.12 python3.13 python3)
  die "no Python 3.11 or newer on PATH; install one, or name it: PYTHON=/path/to/python3 $0"
}

is_fit() { "$1" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

lock() { # one script at a time installs. Ends with unlock, or with the script and all that it started
  find_python
  mkdir -p "$TOOLS"
  exec 9>"$TOOLS/lock"
  try_lock && return
  say "waiting for another script that is installing"
  until try_lock; do sleep 0.5; done
}

try_lock() { "$PY" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null; } # macOS has no flock(1)

unlock() { exec 9>&-; }

lake_python() { # lake_python EXTRAS: LAKE, an environment beside .venv with assay[EXTRAS,lake]: a lake takes a DuckDB that the extra pins
  LAKE=$TOOLS/lake
  mkdir -p "$TOOLS"
  grep -v '^duckdb==' "$ROOT/constraints.txt" >"$TOOLS/constraints-lake.txt"
  VENV=$LAKE CONSTRAINTS=$TOOLS/constraints-lake.txt need_python "$1,lake"
}

s3_server() { # moto's, in an environment of its own: what it stands on is older than what ours does
  [ ! -x "$TOOLS/moto/bin/moto_server" ] || return 0
  VENV=$TOOLS/moto make_venv
  quietly "$TOOLS/moto/bin/python" -m pip install --quiet --disable-pip-version-check --no-input moto==5.1.22 flask==3.1.3 flask-cors==6.0.5
}

need_python() { # need_python EXTRA: .venv with assay[EXTRA] (profile, datagen or dev) at the pinned versions
  local extra=$1 wanted
  [ "${NO_SETUP:-}" != 1 ] || return 0 # the environment is somebody else's care
  wanted=$(cat "$ROOT/pyproject.toml" "$CONSTRAINTS" | cksum)
  is_installed "$extra" "$wanted" && return
  lock
  if ! is_installed "$extra" "$wanted"; then
    say "installing into ${VENV#"$ROOT/"} (the first time about a minute)"
    make_venv
    rm -f "$VENV/.assay-$extra"
    quietly "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
      -c "$CONSTRAINTS" -e "${ROOT}[$extra]" || die_showing_log "could not install assay[$extra] into ${VENV#"$ROOT/"}"
    echo "$ROOT" >"$VENV/.assay-root"
    echo "$wanted" >"$VENV/.assay-$extra"
    case $extra in
      dev) tee "$VENV/.assay-profile" >"$VENV/.assay-datagen" <<<"$wanted" ;;
      dev,lake) echo "$wanted" >"$VENV/.assay-profile,datagen,lake" ;;
    esac
  fi
  unlock
}

is_installed() { [ -x "$VENV/bin/python" ] && is_here && [ "$(cat "$VENV/.assay-$1" 2>/dev/null)" = "$2" ]; }

is_here() { # programs in an environment name its path: a checkout that was moved or copied needs a new one
  [ ! -e "$VENV/.assay-root" ] || [ "$(cat "$VENV/.assay-root")" = "$ROOT" ]
}

make_venv() { # .venv with pip
  if ! [ -x "$VENV/bin/python" ] || ! is_here; then
    find_python
    rm -rf "$VENV"
    if ! "$PY" -c 'import ensurepip' 2>/dev/null || ! quietly "$PY" -m venv "$VENV"; then
      quietly "$PY" -m venv --clear --without-pip "$VENV" || die_showing_log "could not make .venv with $PY"
    fi
  fi
  has_pip || pip_by_wheel || pip_by_another || { pip_from_debian && pip_by_wheel; } ||
    die_showing_log "$PY brings no pip (no ensurepip); install it (Debian, Ubuntu: apt-get install python3-venv) and try again"
}

has_pip() { "$VENV/bin/python" -m pip --version >/dev/null 2>&1; }

pip_by_wheel() { # a wheel can install without being installed: it fetches the pip that we pin, by hash
  local wheel
  for wheel in "$TOOLS"/pip/usr/share/python-wheels/pip-*.whl /usr/share/python-wheels/pip-*.whl; do
    [ -e "$wheel" ] || continue
    quietly "$VENV/bin/python" "$wheel/pip" install --quiet --disable-pip-version-check --no-input \
      --require-hashes -r "$ROOT/bin/pip.txt" && return
  done
  return 1
}

pip_by_another() { # pip 22.3 and newer can work for another interpreter
  local pip
  for pip in pip3 pip; do
    command -v "$pip" >/dev/null || continue
    quietly "$pip" --python "$VENV/bin/python" install --quiet --disable-pip-version-check --no-input \
      --require-hashes -r "$ROOT/bin/pip.txt" && return
  done
  return 1
}

pip_from_debian() { debian_unpack "$TOOLS/pip" python3-pip-whl; }

# ---- Debian's and Ubuntu's packages, without root

apt() { # apt COMMAND...: with lists and caches of our own; the system's may be missing, stale or root's
  local own=$TOOLS/apt
  "$@" -qq -o "Dir::State=$own" -o "Dir::State::lists=$own/lists" -o Dir::State::status=/var/lib/dpkg/status \
    -o "Dir::Cache=$own/cache" -o APT::Sandbox::User=root
}

debian_lists() { # fresh ones, once a script
  [ -z "${DEBIAN_LISTS:-}" ] || return 0
  command -v apt-get >/dev/null && command -v apt-cache >/dev/null && command -v dpkg >/dev/null || return 1
  mkdir -p "$TOOLS/apt/lists/partial" "$TOOLS/apt/cache/archives/partial"
  apt quietly apt-get update || true # one source may fail without being the one that is needed
  DEBIAN_LISTS=fresh
}

debian_unpack() { # debian_unpack FOLDER PACKAGE...: whole or not at all; their dependencies are the caller's to name
  local into=$1 debs deb
  shift
  debian_lists || return 1
  debs=$into.debs
  rm -rf "$debs" "$into.new"
  mkdir -p "$debs" "$into.new"
  apt quietly env -C "$debs" apt-get download "$@" || return 1
  for deb in "$debs"/*.deb; do quietly dpkg -x "$deb" "$into.new" || return 1; done
  rm -rf "$into" "$debs"
  mv "$into.new" "$into"
}

install_in_ci() { # install_in_ci PACKAGE...: into the system itself, which only CI gives away; true when that was done
  [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  quietly apt-get -qq update || true
  # A package may bring a service: it is not to be started.
  quietly env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$@"
}

# ---- Prometheus, promtool, Alertmanager

need_prometheus() { # PROMETHEUS and PROMTOOL, and PROMETHEUS_FLAGS that this build needs
  local tools=$TOOLS/prometheus/usr/bin/
  PROMETHEUS_FLAGS=()
  take_prometheus "" && return
  if ! take_prometheus "$tools"; then
    lock
    if ! take_prometheus "$tools"; then
      say "fetching Prometheus into .tools (once)"
      { prometheus_from_debian && take_prometheus "$tools"; } ||
        { prometheus_from_release && take_prometheus "$tools"; } ||
        { prometheus_from_docker && take_prometheus "$tools"; } ||
        die_showing_log "no Prometheus 2.42 or newer; put prometheus and promtool on PATH (prometheus.io/download, or your package manager)"
    fi
    unlock
  fi
  # Debian's build reads its pages from a folder.
  local pages=$TOOLS/prometheus/usr/share/prometheus/web/
  [ ! -d "$pages" ] || PROMETHEUS_FLAGS=("--web.local-assets=$pages")
}

take_prometheus() { # take_prometheus PREFIX: when both programs run there and know keep_firing_for (2.42)
  local version
  version=$("${1}prometheus" --version 2>&1 | sed -n 's/^prometheus, version v\{0,1\}\([0-9]*\)\.\([0-9]*\).*/\1 \2/p') || return 1
  # shellcheck disable=SC2086 # two words are meant
  set -- "$1" $version
  [ $# = 3 ] && { [ "$2" -gt 2 ] || { [ "$2" = 2 ] && [ "$3" -ge 42 ]; }; } || return 1
  "${1}promtool" --version >/dev/null 2>&1 || return 1
  PROMETHEUS=${1}prometheus
  PROMTOOL=${1}promtool
}

prometheus_from_debian() {
  local pages
  debian_lists || return 1
  # The libraries of its pages; the program itself needs libc alone.
  pages=$(apt apt-cache depends --recurse --no-pre-depends --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances prometheus 2>>"$LOG" | grep -E '^(libjs|fonts)-' | sort -u) || pages=
  # shellcheck disable=SC2086 # many words are meant
  debian_unpack "$TOOLS/prometheus" prometheus $pages || debian_unpack "$TOOLS/prometheus" prometheus
}

prometheus_from_release() {
  local system machine name new=$TOOLS/prometheus.new
  system=$(uname -s | tr '[:upper:]' '[:lower:]')
  case $(uname -m) in
    x86_64 | amd64) machine=amd64 ;;
    aarch64 | arm64) machine=arm64 ;;
    armv7*) machine=armv7 ;;
    *) return 1 ;;
  esac
  name=prometheus-$PROMETHEUS_RELEASE.$system-$machine
  rm -rf "$new"
  mkdir -p "$new/usr/bin"
  fetch "$PROMETHEUS_RELEASES/v$PROMETHEUS_RELEASE/sha256sums.txt" "$new/sums" &&
    fetch "$PROMETHEUS_RELEASES/v$PROMETHEUS_RELEASE/$name.tar.gz" "$new/$name.tar.gz" || return 1
  if [ "$(sha256 "$new/$name.tar.gz")" != "$(sed -n "s/  *$name\.tar\.gz\$//p" "$new/sums")" ]; then
    echo "$name.tar.gz: its checksum is not the published one" >>"$LOG"
    return 1
  fi
  quietly tar -xzf "$new/$name.tar.gz" -C "$new" || return 1
  mv "$new/$name/prometheus" "$new/$name/promtool" "$new/usr/bin/"
  rm -rf "$TOOLS/prometheus" "${new:?}/$name" "$new/$name.tar.gz" "$new/sums"
  mv "$new" "$TOOLS/prometheus"
}

prometheus_from_docker() { # two small programs that run it in a container, on this machine's network and files
  local image=prom/prometheus:v$PROMETHEUS_RELEASE bin=$TOOLS/prometheus/usr/bin program
  command -v docker >/dev/null && quietly docker pull --quiet "$image" || return 1
  rm -rf "$TOOLS/prometheus"
  mkdir -p "$bin"
  for program in prometheus promtool; do
    cat >"$bin/$program" <<WRAPPER
#!/bin/sh
exec docker run --rm --network host --user "\$(id -u):\$(id -g)" -v "$ROOT:$ROOT" -v "\$PWD:\$PWD" -w "\$PWD" \\
  \${MONITOR_DATA:+-v "\$MONITOR_DATA:\$MONITOR_DATA"} --entrypoint /bin/$program $image "\$@"
WRAPPER
    chmod +x "$bin/$program"
  done
}

find_alertmanager() { # ALERTMANAGER: where it is installed, else empty
  local candidate
  ALERTMANAGER=
  for candidate in alertmanager prometheus-alertmanager; do # Debian's name is the longer one
    if "$candidate" --version >/dev/null 2>&1; then ALERTMANAGER=$candidate; fi
  done
}

# ---- small things that not every machine has a program for

fetch() { # fetch URL FILE
  if command -v curl >/dev/null; then
    quietly curl --fail --silent --show-error --location --output "$2" "$1"
  else
    find_python
    quietly "$PY" -c 'import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])' "$1" "$2"
  fi
}

sha256() {
  find_python
  "$PY" -c 'import hashlib, sys; print(hashlib.file_digest(open(sys.argv[1], "rb"), "sha256").hexdigest())' "$1"
}

http() { # http METHOD URL: prints the answer's body; fails unless it is a success. Never through a proxy
  find_python
  "$PY" - "$@" <<'PYTHON'
import sys, urllib.error, urllib.request
method, url = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    with opener.open(urllib.request.Request(url, method=method), timeout=10) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as error:
    sys.exit(f"{error.code}: {error.read().decode()}")
except OSError as error:
    sys.exit(str(error))
PYTHON
}

is_port_taken() { # is_port_taken PORT, on this machine
  find_python
  "$PY" -c 'import socket, sys; socket.create_connection(("localhost", sys.argv[1]), 1)' "$1" 2>/dev/null
}
