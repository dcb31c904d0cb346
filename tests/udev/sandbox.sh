#!/bin/sh
# sandbox.sh RULES GROUP COMMAND...: run a command where udev may do as it likes. To be started by `unshare --mount`.
# /dev, /run and /etc are private (`udevadm test` makes its links in the real /dev). udev reads the file RULES, and
# nothing that this machine may have of that name; the group hwtoken has the number GROUP. `-` stands for none.
set -eu
rules=$1 group=$2
shift 2

mount --make-rprivate /
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/udev/rules.d /run/outside
[ "$rules" = - ] || cp "$rules" /run/udev/rules.d/70-hwtoken.rules

cp -a /etc /run/outside/etc
mount --bind /run/outside/etc /etc
rm -rf /etc/udev/rules.d
if [ -d /usr/local/lib/udev/rules.d ]; then mount -t tmpfs none /usr/local/lib/udev/rules.d; fi
sed -i '/^hwtoken:/d' /etc/group
[ "$group" = - ] || echo "hwtoken:x:$group:" >>/etc/group

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
