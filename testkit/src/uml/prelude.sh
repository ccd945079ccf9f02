#!/bin/sh
# The guest's first process. The root is the host's, read-only; everything that must be written to is a tmpfs.
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmp /run; mount -t tmpfs tmp /tmp
mount -t devtmpfs dev /dev 2>/dev/null
# A host without a kernel of its own, such as a container, has no /lib/modules to mount on: modprobe looks below another root.
mkdir -p /tmp/modules/lib/modules
ln -s /usr/lib/uml/modules/$(uname -r) /tmp/modules/lib/modules/$(uname -r)
mkdir -p /run/lock /run/mdadm
# The guest kernel does not keep the registers that AVX-512 added: a page fault in the middle of a string function of the C library would
# lose them, and "%" is not found in a format. Seen as "Magic : %08x" in what mdadm prints. So the C library must do without.
export GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512CD,-AVX512DQ
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
modprobe -d /tmp/modules -a raid0 raid1 raid456 raid10 linear 2>&1
settle() { i=0; while [ $i -lt 100 ] && grep -qE 'resync|recovery|reshape|check' /proc/mdstat; do sleep 0.2; i=$((i+1)); done; }
