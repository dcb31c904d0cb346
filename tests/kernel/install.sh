#!/bin/sh
# What `make test-kernel` needs: QEMU, pyscard, and the guest's kernel and programs in .lanes/kernel. The host gets QEMU,
# kmod, cpio and what pyscard is built with; the guest's Debian packages are unpacked beside it and never installed. As
# root on a bare Debian 12; at once when all is there.
set -eu
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
missing=
"$python" -c 'import smartcard' 2>/dev/null || for package in libpcsclite-dev swig gcc python3-dev; do
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' $package 2>/dev/null)" = installed ] || missing="$missing $package"
done
for command in qemu-system-x86_64:qemu-system-x86 depmod:kmod cpio:cpio; do
  PATH=$PATH:/usr/sbin:/sbin command -v "${command%%:*}" >/dev/null || missing="$missing ${command##*:}"
done
# A package list that is older than the archive names packages that are no longer there.
if [ -n "$missing" ] || ! [ -e .lanes/kernel/image/built ]; then
  if [ "$(id -u)" -eq 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    # shellcheck disable=SC2086  # one word for each package
    [ -z "$missing" ] || apt-get install -qy --no-install-recommends -o DPkg::Lock::Timeout=120 $missing
  elif [ -n "$missing" ]; then
    echo "The kernel lane needs$missing. Install as root: apt-get install --no-install-recommends$missing" >&2
    exit 1
  fi
fi
"$python" -c 'import smartcard' 2>/dev/null ||
  "$python" -m pip install --quiet --disable-pip-version-check --editable '.[pcsc]'
PATH=$PATH:/usr/sbin:/sbin exec "$python" tests/kernel/build.py .lanes/kernel
