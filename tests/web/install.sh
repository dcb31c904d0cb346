#!/bin/sh
# What `make test-web` needs: Debian's Chromium, a font; Playwright, which drives it, in a virtual environment of its own with the
# project (.lanes/web); axe-core, which judges the pages, from npm. As root on a bare Debian 12; at once when all is there.
set -eu
cd "$(dirname "$0")/../.."

PLAYWRIGHT=playwright==1.65.2
AXE=axe-core@4.14.1
VENV=.lanes/web

missing=
for command in chromium npm; do  # packages of the same names
  command -v $command >/dev/null || missing="$missing $command"
done
[ -n "$(fc-list 2>/dev/null)" ] || missing="$missing fontconfig fonts-dejavu-core"
if [ -n "$missing" ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "The web lane needs$missing. Install as root: apt-get install --no-install-recommends$missing" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  # shellcheck disable=SC2086  # one word for each package
  apt-get install -qy --no-install-recommends -o DPkg::Lock::Timeout=120 $missing
fi

wanted="$PLAYWRIGHT $AXE $(cksum <pyproject.toml)"
if [ "$(cat $VENV/.installed 2>/dev/null)" != "$wanted" ]; then
  "${PYTHON:-python3}" -m venv --clear $VENV
  $VENV/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[server]' hypothesis pytest $PLAYWRIGHT
  (cd $VENV && tar -xzf "$(npm pack --silent $AXE)" package/axe.min.js)
  echo "$wanted" >$VENV/.installed
fi
