#!/bin/sh
# What `make test-kernel` needs: QEMU, and the guest's kernel and programs in .lanes/kernel. The host gets QEMU, kmod and
# cpio; the guest's Debian packages are unpacked beside it and never installed. As root on a bare Debian 12; at once when
# all is there.
set -eu
cd "$(dirname "$0")/../.."

missing=
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
PATH=$PATH:/usr/sbin:/sbin exec "${PYTHON:-python3}" tests/kernel/build.py .lanes/kernel
