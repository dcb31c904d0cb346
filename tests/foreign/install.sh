#!/bin/sh
# What `make test-foreign` needs beside the project: Debian's oathtool, and yubikit in a virtual environment of its own
# (.lanes/foreign), so that nothing of it can leak into ours. As root on a bare Debian 12; at once when all is there.
set -eu
cd "$(dirname "$0")/../.."

YUBIKEY_MANAGER=yubikey-manager==5.9.2
VENV=.lanes/foreign

if ! command -v oathtool >/dev/null; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "oathtool is missing. Install it as root: apt-get install oathtool" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get install -qy --no-install-recommends oathtool
fi

if [ "$(cat $VENV/.installed 2>/dev/null)" != "$YUBIKEY_MANAGER" ]; then
  "${PYTHON:-python3}" -m venv --clear $VENV
  $VENV/bin/python -m pip install --quiet --disable-pip-version-check cryptography pyserial
  # Without its dependencies: yubikit itself needs only cryptography; the others (PC/SC, keyrings) want a compiler.
  $VENV/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $YUBIKEY_MANAGER
  echo $YUBIKEY_MANAGER >$VENV/.installed
fi
