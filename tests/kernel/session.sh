#!/bin/sh
# The guest's process 1 once its root file system stands: what the tests need, the tests, the end. /lane is shared with the
# host: `environment` and `tests` come from there, logs and `exit-code` go there.
set -eu
. /lane/environment # PROJECT, PYTHON
export HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PYTHONUNBUFFERED=1 PYTHONPATH="$PROJECT"

mount -t tmpfs run /run
mkdir -p /run/tmp /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
export TMPDIR=/run/tmp # not /tmp: the project may live below it

# Other users run the project's Python too: on the way to it nothing is closed to them here.
for path in "$PROJECT" "$PYTHON" "$(readlink -f "$PYTHON")"; do
  while [ "$path" != / ]; do
    path=$(dirname "$path")
    chmod go+rx "$path"
  done
done

busybox hostname guest
busybox ip link set lo up
stty -F /dev/ttyS1 raw # the tests' reports, on their way to the host
modprobe -a vhci-hcd usbmon
/lib/systemd/systemd-udevd --daemon

status=0
cd "$PROJECT"
HWTOKEN_GUEST=/dev/ttyS1 "$PYTHON" -m pytest -p no:cacheprovider -m kernel @/lane/tests >/lane/pytest.log 2>&1 || status=$?
dmesg >/lane/dmesg.log
echo "$status" >/lane/exit-code
sync
echo b >/proc/sysrq-trigger # at once; a power-off waits for the devices
