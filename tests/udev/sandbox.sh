#!/bin/sh
# sandbox.sh RULES GROUP COMMAND...: run a command where udev may do as it likes. To be started by `unshare --mount`.
# /dev and /run are private (`udevadm test` makes its links in the real ones), the file RULES is the only one of ours,
# and the group hwtoken has the number GROUP, or does not exist where that is `-`.
set -eu
rules=$1 group=$2
shift 2

mount --make-rprivate /
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/udev/rules.d /run/outside
cp "$rules" /run/udev/rules.d/70-hwtoken.rules
# Whatever this machine has installed would go before it.
for installed in /etc/udev/rules.d /usr/local/lib/udev/rules.d; do
  if [ -d "$installed" ]; then mount -t tmpfs none "$installed"; fi
done

grep -v '^hwtoken:' /etc/group >/run/outside/group
[ "$group" = - ] || echo "hwtoken:x:$group:" >>/run/outside/group
mount --bind /run/outside/group /etc/group

mkdir /run/outside/dev
mount --bind /dev /run/outside/dev
mount -t tmpfs -o mode=755 dev /dev
for node in null zero full random urandom tty; do
  touch "/dev/$node"
  mount --bind "/run/outside/dev/$node" "/dev/$node"
done
mkdir /dev/pts /dev/shm
mount -t devpts -o newinstance,ptmxmode=666 pts /dev/pts
mount -t tmpfs shm /dev/shm
ln -s pts/ptmx /dev/ptmx
ln -s /proc/self/fd /dev/fd

exec "$@"
