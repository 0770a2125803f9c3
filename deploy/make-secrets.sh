#!/bin/sh
# Makes every secret that compose.yaml mounts, once: what is there stays. Needs openssl.
#
# The directory is for its owner only; the files in it can be read by all, because compose mounts them one by one into
# containers whose users are not known here.
set -eu
cd "$(dirname "$0")"
umask 022
mkdir -p secrets
chmod 700 secrets
cd secrets

keep() { # keep NAME TEXT
    [ -s "$1" ] || printf '%s' "$2" > "$1"
}
password() { # password NAME
    [ -s "$1" ] || openssl rand -hex 24 | tr -d '\n' > "$1"
}

password database_owner_password
keep owner_database_url "postgresql://careloop:$(cat database_owner_password)@database:5432/careloop"
for service in ingest predictor scheduler api; do
    password "${service}_database_password"
    keep "${service}_database_url" \
        "postgresql://careloop_${service}_login:$(cat "${service}_database_password")@database:5432/careloop"
done

password platform_broker_password
keep platform_broker_url "mqtt://platform:$(cat platform_broker_password)@broker:1883"
[ -s broker_accounts ] || echo "platform:$(cat platform_broker_password)" > broker_accounts

# Signs the certificates of devices; they all hang on it. Its key is for the API alone.
[ -s device_ca_key ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 7300 \
    -subj "/CN=careloop devices" -addext "keyUsage=critical,keyCertSign,cRLSign" \
    -keyout device_ca_key -out device_ca_certificate 2>/dev/null
# What EMQX, where it takes Mosquitto's place, shows the API.
password broker_hook_secret

# Filled by `docker compose run --rm -T api-key …`; compose wants the files to be there before.
touch predictor_api_key scheduler_api_key

# For a first try; in production put the certificate of a known authority here.
[ -s broker_tls_key ] || openssl req -x509 -newkey rsa:2048 -nodes -days 825 -subj "/CN=${1:-localhost}" \
    -addext "subjectAltName=DNS:${1:-localhost}" -keyout broker_tls_key -out broker_tls_certificate 2>/dev/null
chmod 644 ./*
