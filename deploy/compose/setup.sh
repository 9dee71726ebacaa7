#!/bin/sh
# Once, before `docker compose up`: the secrets of compose.yaml, the folders that collectors write, and a workspace. What is there is
# left as it is. Git ignores all of it, but a workspace of yours elsewhere belongs into git: ASSAY_WORKSPACE=/path/to/it ./setup.sh
set -eu
cd "$(dirname "$0")"
umask 077
uid=$(id -u) gid=$(id -g)
if [ "$uid" = 0 ]; then uid=10001 gid=10001; fi # the image's own
workspace=${ASSAY_WORKSPACE:-./workspace}

mkdir -p secrets state/log-1 state/log-2 "$workspace"
make() { # make FILE: of what comes in, unless it is there
  if [ -e "secrets/$1" ]; then cat >/dev/null; else cat >"secrets/$1"; fi
}
fresh() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
fresh | make postgres_password
fresh | make grafana_password
fresh | make s3_key
fresh | make s3_secret
printf 'postgres:5432:lake:lake:%s\n' "$(cat secrets/postgres_password)" | make pgpass
printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' \
  "$(cat secrets/s3_key)" "$(cat secrets/s3_secret)" | make s3_credentials
printf '{"identities": [{"name": "lake", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], "actions": ["Admin"]}]}\n' \
  "$(cat secrets/s3_key)" "$(cat secrets/s3_secret)" | make s3_identities.json

# In a container a secret has the owner and the mode that it has here. PostgreSQL, the object store and Grafana are other users than
# you, so theirs may be read by all who reach them; the folder, which only you may enter, keeps the other people of this machine out.
chmod 0700 secrets
chmod 0644 secrets/postgres_password secrets/grafana_password secrets/s3_identities.json
chmod 0600 secrets/pgpass secrets/s3_credentials secrets/s3_key secrets/s3_secret
chmod 0755 "$workspace" # Prometheus, Alertmanager and Grafana read the rules and dashboards there; keys are in a file of mode 0600
if [ "$(id -u)" = 0 ]; then
  chown "$uid:$gid" secrets/pgpass secrets/s3_credentials state/log-1 state/log-2 "$workspace"
fi
[ -e .env ] || printf 'ASSAY_UID=%s\nASSAY_GID=%s\nASSAY_WORKSPACE=%s\n' "$uid" "$gid" "$workspace" >.env
