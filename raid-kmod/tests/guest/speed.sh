# How fast our target is beside dm-raid: fio on both, in turns, over the same kind of RAM disks. `cargo xtask kernel --speed` reads it.

insmod /modules/brd.ko rd_nr=16 rd_size=32768
insmod /modules/raid_kmod.ko
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
MEMBER_SECTORS=65536

# rate DEVICE JOB BLOCK: KiB a second, of reads or of writes.
rate() {
	/bin/fio --name=it --filename=$1 --direct=1 --ioengine=libaio --iodepth=16 --rw=$2 --bs=$3 --runtime=2 --time_based --thread --minimal \
		2>/tmp/fio | awk -F';' '{ print ($7 > $48) ? $7 : $48 }' | tail -1
}

# compared TYPE COUNT PARAMETERS [MISSING]
compared() {
	local type=$1 count=$2 parameters="$3 nosync" state=healthy
	shift 3
	[ $# = 0 ] || state=degraded
	create ours "$(table raid-kmod $(length_of $type $count) $type "$parameters" 0 $count $*)"
	create peer "$(table raid $(length_of $type $count) $type "$parameters" 8 $count $*)"
	for job in "read 64k" "write 64k" "randread 4k" "randwrite 4k"; do
		for round in 1 2 3; do
			echo "speed: $type $state $(echo $job | tr ' ' '-') $(rate /dev/mapper/ours $job) $(rate /dev/mapper/peer $job)"
		done
	done
	remove ours
	remove peer
}

for words in "raid1 2 0" "raid5_ls 4 64" "raid6_zr 5 64" "raid10 4 64"; do
	(compared $(echo $words | cut -d' ' -f1,2) "$(echo $words | cut -d' ' -f3-)")
	dmsetup remove_all --force
	case $words in
	# A RAID 10 of dm-raid wants metadata devices, and with new ones all its members.
	raid10*) ;;
	*) (compared $(echo $words | cut -d' ' -f1,2) "$(echo $words | cut -d' ' -f3-)" 1) ;;
	esac
	dmsetup remove_all --force
done
echo "speed: done"
poweroff -f
