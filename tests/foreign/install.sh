#!/bin/sh
# What `make test-foreign` needs beside the project: Debian's oathtool, tshark and usbip, and from PyPI yubikit and
# another usbip in a virtual environment of their own (.lanes/foreign), so that nothing of it can leak into ours. As
# root on a bare Debian 12; at once when all is there.
set -eu
cd "$(dirname "$0")/../.."

YUBIKEY_MANAGER=yubikey-manager==5.9.2
USBIP=usbip==0.7.0  # one author, no tests: it judges us, and is not in the product
VENV=.lanes/foreign

missing=
for program in oathtool tshark usbip; do  # packages of the same names
  PATH=$PATH:/usr/sbin command -v $program >/dev/null || missing="$missing $program"
done
if [ -n "$missing" ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "Missing:$missing. Install as root: apt-get install$missing" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive  # tshark would ask who may capture; nobody does here
  apt-get update -q
  # shellcheck disable=SC2086  # a list
  apt-get install -qy --no-install-recommends $missing
fi

if [ "$(cat $VENV/.installed 2>/dev/null)" != "$YUBIKEY_MANAGER $USBIP" ]; then
  "${PYTHON:-python3}" -m venv --clear $VENV
  $VENV/bin/python -m pip install --quiet --disable-pip-version-check cryptography pyserial $USBIP
  # Without its dependencies: yubikit itself needs only cryptography; the others (PC/SC, keyrings) want a compiler.
  $VENV/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $YUBIKEY_MANAGER
  echo $YUBIKEY_MANAGER $USBIP >$VENV/.installed
fi
