#!/bin/sh
# Usage: hash-accounts.sh ACCOUNTS PASSWORDS
# Turns lines NAME:PASSWORD into Mosquitto's hashed password file; the file appears whole or not at all.
set -eu
umask 077
cp "$1" "$2.draft"
mosquitto_passwd -U "$2.draft"
# Mosquitto runs as its own user and reads the file again on SIGHUP.
chown mosquitto "$2.draft" 2>/dev/null || true
mv "$2.draft" "$2"
