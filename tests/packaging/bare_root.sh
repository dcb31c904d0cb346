#!/bin/sh
# bare_root.sh FOLDER WHEELS SOURCE: run the script on standard input as root of a bare machine. To be started by
# `unshare --mount --pid --fork`. The machine is a slim container without a container: Debian's /usr, an /etc with next to
# nothing in it, no Python packages. WHEELS is all that pip finds; a copy of SOURCE becomes /work, where the script begins.
set -eu
root=$1 wheels=$2 source=$3

mount --make-rprivate /
mount -t tmpfs -o mode=755 root "$root"
cd "$root"
mkdir usr etc home root proc dev tmp run var wheels work
chmod 1777 tmp
mount --rbind -o ro /usr usr
mount -o remount,bind,ro usr
mount -t tmpfs local usr/local
for name in bin sbin lib lib32 lib64; do [ ! -L "/$name" ] || ln -s "usr/$name" "$name"; done
mount --bind "$wheels" wheels
mount -o remount,bind,ro wheels
cp -a "$source/." work

for name in ld.so.cache ld.so.conf ld.so.conf.d alternatives nsswitch.conf pam.d security login.defs localtime; do
  [ ! -e "/etc/$name" ] || cp -a "/etc/$name" etc
done
echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
echo 'root:x:0:' >etc/group
echo 'root:*:19000:0:99999:7:::' >etc/shadow
echo '127.0.0.1 localhost' >etc/hosts

mount -t proc proc proc
for node in null zero full random urandom tty; do
  touch "dev/$node"
  mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 pts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd

exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels \
  PIP_DISABLE_PIP_VERSION_CHECK=1 sh -eux -c 'cd /work; . /dev/fd/3' 3<&0 </dev/null
