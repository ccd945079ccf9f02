# Real SCSI disks from files, by the kernel's own target: dmraid looks at nothing else.
modprobe -d /tmp/modules -a configfs scsi_mod sd_mod sg target_core_mod target_core_file tcm_loop 2>&1
modprobe -d /tmp/modules -a dm-mod dm-mirror dm-raid 2>&1
mount -t configfs none /sys/kernel/config
target=/sys/kernel/config/target
port=$target/loopback/naa.5000000000000001/tpgt_1
mkdir -p $port
echo naa.5000000000000002 > $port/nexus
export DM_DISABLE_UDEV=1
plug() {
  core=$target/core/fileio_$1/disk; mkdir -p $core
  echo "fd_dev_name=$2,fd_dev_size=$(stat -c %s $2)" > $core/control
  echo "SERIAL$1" > $core/wwn/vpd_unit_serial
  echo 1 > $core/enable
  mkdir -p $port/lun/lun_$1 && ln -s $core $port/lun/lun_$1/disk
}
unplug() {
  rm $port/lun/lun_$1/disk
  rmdir $port/lun/lun_$1 $target/core/fileio_$1/disk $target/core/fileio_$1
  rm $2
}
# serve CASE FORMAT FIRST DISKS SKIP SECTORS: the array on so many of the packed disks, as dmraid has it served; the hash of its content.
serve() {
  i=0
  while [ $i -lt $4 ]; do
    dd if=/dev/ubdb of=/tmp/disk$i bs=2097152 skip=$(($3 + i)) count=1 2>/dev/null
    plug $i /tmp/disk$i
    i=$((i + 1))
  done
  waited=0
  while [ $(ls /dev/sd? 2>/dev/null | wc -l) -lt $4 ] && [ $waited -lt 50 ]; do sleep 0.05; waited=$((waited + 1)); done
  # The last set that it activates stands on the others.
  set=$(dmraid -f $2 -ay -p 2>&1 | sed -n 's/^RAID set "\(.*\)" was activated$/\1/p' | tail -n 1)
  echo "CASE $1 $(dd if=/dev/mapper/$set bs=512 skip=$5 count=$6 2>/dev/null | sha256sum | cut -d' ' -f1)"
  dmsetup remove_all --force 2>&1
  i=0
  while [ $i -lt $4 ]; do unplug $i /tmp/disk$i; i=$((i + 1)); done
}
