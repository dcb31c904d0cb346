#!/bin/sh
# What `make test-packaging` needs: Debian's own Python and git, and what makes a bare root and its users. As root on a bare
# Debian 12; at once when all is there.
set -eu

PACKAGES="git python3 python3-venv util-linux mount passwd"

# shellcheck disable=SC2086  # one word for each package
missing=$(for package in $PACKAGES; do
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf ' %s' "$package"
done)
if [ -n "$missing" ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "The packaging lane needs$missing. Install as root: apt-get install --no-install-recommends$missing" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  # shellcheck disable=SC2086  # one word for each package
  apt-get install -qy --no-install-recommends -o DPkg::Lock::Timeout=120 $missing
fi
