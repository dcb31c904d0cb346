#!/bin/sh
# What `make test-pcsc` needs: pcscd with vsmartcard's reader, what pyscard is built from, and two foreign judges:
# Debian's ykman, and the one of PyPI in a virtual environment of its own (.lanes/pcsc). As root on a bare Debian 12; at
# once when all is there.
set -eu
cd "$(dirname "$0")/../.."

YUBIKEY_MANAGER=yubikey-manager==5.9.2
VENV=.lanes/pcsc
PACKAGES="pcscd vsmartcard-vpcd libpcsclite-dev swig gcc python3-dev yubikey-manager oathtool util-linux mount iproute2"

# shellcheck disable=SC2086  # one word for each package
missing=$(for package in $PACKAGES; do
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf ' %s' "$package"
done)
if [ -n "$missing" ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "The pcsc lane needs$missing. Install as root: apt-get install --no-install-recommends$missing" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  # shellcheck disable=SC2086  # one word for each package
  apt-get install -qy --no-install-recommends -o DPkg::Lock::Timeout=120 $missing
fi

if [ "$(cat $VENV/.installed 2>/dev/null)" != "$YUBIKEY_MANAGER" ]; then
  "${PYTHON:-python3}" -m venv --clear $VENV
  $VENV/bin/python -m pip install --quiet --disable-pip-version-check $YUBIKEY_MANAGER
  echo $YUBIKEY_MANAGER >$VENV/.installed
fi
