#!/bin/busybox sh
# The guest's first process: puts the host's root file system, read-only, under the lane's own programs and a layer of
# memory, and goes on there. When a step fails the kernel panics, which ends QEMU at once.
set -eu
export PATH=/bin
/bin/busybox --install -s /bin

mkdir -p /proc /sys /dev /host /extra /memory /new
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do
  insmod "$module"
done

p9=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o "ro,cache=loose,$p9" root /host
mount -t 9p -o "ro,cache=loose,$p9" extra /extra
mount -t tmpfs memory /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/extra:/host,upperdir=/memory/upper,workdir=/memory/work overlay /new
mkdir -p /new/lane
mount -t 9p -o "$p9" lane /new/lane

. /new/lane/environment # PROJECT
for place in proc sys dev; do
  mount --move "/$place" "/new/$place"
done
exec switch_root /new /bin/sh "$PROJECT/tests/kernel/session.sh"
