#!/bin/sh
# What `make test-udev` needs: the real udev (its udevadm, never its daemon), umockdev, libusb. As root on a bare Debian
# 12; at once when all is there.
set -eu

missing=
for command in udevadm:udev umockdev-run:umockdev unshare:util-linux mount:mount; do
  PATH=$PATH:/usr/sbin:/sbin command -v "${command%%:*}" >/dev/null || missing="$missing ${command##*:}"
done
[ -e /lib/udev/rules.d/73-seat-late.rules ] || missing="$missing systemd"  # nothing of it runs: our tag is for its rules
/sbin/ldconfig -p | grep -q 'libusb-1\.0\.so' || missing="$missing libusb-1.0-0"
if [ -n "$missing" ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "The udev lane needs$missing. Install as root: apt-get install --no-install-recommends$missing" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  # shellcheck disable=SC2086  # one word for each package
  apt-get install -qy --no-install-recommends -o DPkg::Lock::Timeout=120 $missing
fi
