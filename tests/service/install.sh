#!/bin/sh
# What `make test-service` needs: Schemathesis, in a virtual environment of its own, since it brings a pytest plugin.
set -eu
cd "$(dirname "$0")/../.."

SCHEMATHESIS=schemathesis==4.32.5
VENV=.lanes/schemathesis

if [ "$(cat $VENV/.installed 2>/dev/null)" != "$SCHEMATHESIS" ]; then
  "${PYTHON:-python3}" -m venv --clear $VENV
  $VENV/bin/python -m pip install --quiet --disable-pip-version-check $SCHEMATHESIS
  echo "$SCHEMATHESIS" >$VENV/.installed
fi
