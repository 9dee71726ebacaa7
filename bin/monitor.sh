#!/usr/bin/env bash
# Prometheus on http://localhost:9000 with promconfig/, and Alertmanager on :9093 where it is installed. Ctrl-C stops both.
#
# Prometheus reads a checked copy of prometheus.yml and of the rules files (promconfig/*rules.yml), never the files
# themselves: so a broken file cannot reach it, neither by a restart nor by a reload that somebody else asks for. A change
# is checked with promtool, copied and loaded within 5 s; when the check fails, the old rules stay. A rules file that goes
# away keeps its rules until the next start. With a broken file there is no start: there are no old rules to keep.
#
# From the environment: MONITOR_PORT, MONITOR_HOST (0.0.0.0 to be seen from elsewhere), ALERTMANAGER_PORT, TARGET (what is
# scraped in place of localhost:8080; several with commas between), PROMCONFIG (in place of promconfig/), MONITOR_DATA (in place
# of .tools/monitor-PORT).
# shellcheck source=bin/_setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"

port=${MONITOR_PORT:-9000}
host=${MONITOR_HOST:-localhost}
alertmanager_port=${ALERTMANAGER_PORT:-9093}
targets=${TARGET:-localhost:8080}
target=${targets%%,*} # where a link leads
listed=$(sed 's/,/", "/g' <<<"$targets") # as in prometheus.yml
source=$(cd "${PROMCONFIG:-$ROOT/promconfig}" && pwd) || die "no folder ${PROMCONFIG:-$ROOT/promconfig}"
data=${MONITOR_DATA:-$TOOLS/monitor-$port}
url=http://localhost:$port
log=$data/prometheus.log

fingerprint() { cksum "$source"/prometheus.yml "$source"/*rules.yml 2>/dev/null || true; }

check_and_copy() { # into $data/config, each file whole; or say why not and leave what is there
  local file complaint
  rm -rf "$data/new"
  mkdir -p "$data/new"
  for file in "$source"/prometheus.yml "$source"/*rules.yml; do
    if [ -e "$file" ]; then
      sed -e "s/\"localhost:8080\"/\"$listed\"/g" -e "s/localhost:8080/$target/g" \
        -e "s/localhost:9093/localhost:$alertmanager_port/g" "$file" >"$data/new/${file##*/}"
    fi
  done
  for file in "$data"/new/*; do
    case $file in
      *rules.yml) complaint=$("$PROMTOOL" check rules "$file" 2>&1) ;;
      *) complaint=$("$PROMTOOL" check config --syntax-only "$file" 2>&1) ;;
    esac && continue
    echo "${complaint//$data\/new/$source}" >&2
    say "$source/${file##*/} is broken"
    return 1
  done
  mv "$data"/new/* "$data/config/"
}

need_prometheus
find_alertmanager
if is_port_taken "$port"; then die "port $port is taken: is another monitor.sh running? MONITOR_PORT names another port"; fi
[ -e "$source/prometheus.yml" ] || die "no $source/prometheus.yml"
mkdir -p "$data"
rm -rf "$data/config"
mkdir "$data/config"
seen=$(fingerprint)
check_and_copy || die "nothing was started"
case $seen in *rules.yml*) ;; *) say "no rules in $source yet: nothing alerts until bin/profile.sh has written them" ;; esac

if [ -n "$ALERTMANAGER" ] && is_port_taken "$alertmanager_port"; then
  say "port $alertmanager_port is taken: alerts go to whoever listens there"
elif [ -n "$ALERTMANAGER" ] && [ -e "$source/alertmanager.yml" ]; then
  : >"$data/alertmanager.log"
  start "$data/alertmanager.log" "$ALERTMANAGER" --config.file="$source/alertmanager.yml" --storage.path="$data/alertmanager" \
    --web.listen-address="$host:$alertmanager_port" --cluster.listen-address=
  alertmanager=$!
fi

: >"$log"
start "$log" "$PROMETHEUS" --config.file="$data/config/prometheus.yml" --storage.tsdb.path="$data/tsdb" \
  --storage.tsdb.retention.time=2d --web.listen-address="$host:$port" --web.enable-lifecycle \
  ${PROMETHEUS_FLAGS[@]+"${PROMETHEUS_FLAGS[@]}"}
prometheus=$!

is_up() { # false while it starts; ends the script when it ended
  if ! is_running "$prometheus"; then
    tail -n 10 "$log" >&2
    die "Prometheus ended; all it said is in $log"
  fi
  [ -n "${ready:-}" ] || { http GET "$url/-/ready" >/dev/null 2>&1 && ready=yes; }
}

due= # a checked change that Prometheus has not loaded yet
said=
while sleep 1; do
  is_up || continue
  if [ -n "${alertmanager:-}" ] && ! is_running "$alertmanager"; then
    tail -n 10 "$data/alertmanager.log" >&2
    say "Alertmanager ended; Prometheus goes on without it"
    forget "$alertmanager"
    alertmanager=
  fi
  now=$(fingerprint)
  if [ "$now" != "$seen" ]; then
    seen=$now
    if check_and_copy; then due=yes; else say "the old rules stay"; fi
  fi
  [ -n "$due" ] || continue
  if complaint=$(http POST "$url/-/reload" 2>&1); then
    due=
    said=
  elif [ "$complaint" != "$said" ]; then # tried again every second, said once
    say "Prometheus did not load the change: $complaint"
    said=$complaint
  fi
done
