#!/usr/bin/env bash
# Sends the events of River's Agrawal generator to the service for two minutes, 200 a second. Arguments go to Locust:
#   bin/datagen.sh -t 30s --host http://localhost:8081
# From the environment: ANOMALY=<kind> (ANOMALY=list names them), RATE (events a second for each of 10 users), SEED.
# shellcheck source=bin/_setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/_setup.sh"
need_python datagen
cd "$ROOT"
if [ "${ANOMALY:-}" = list ]; then
  ANOMALY="" LOCUST_SKIP_MONKEY_PATCH=1 exec "$VENV/bin/python" locustfile.py
fi
# locustfile.py prints the closing line and sets the exit code. --stop-timeout: an event on its way is still counted.
exec "$VENV/bin/locust" -f locustfile.py --headless --only-summary --skip-log-setup --stop-timeout 5 -u 10 -r 10 -t 2m "$@"
