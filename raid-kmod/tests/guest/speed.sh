# How fast our target is beside dm-raid and md: fio on each, in turns, over RAM disks of one kind. `cargo xtask kernel --speed` reads it.
# Or, with raid_speed=count, how many instructions each takes: then the clock of the machine counts them, and nothing else.

insmod /modules/brd.ko rd_nr=24 rd_size=32768
insmod /modules/raid_kmod.ko
export MDADM_NO_UDEV=1
MEMBER_SECTORS=65536

# rate DEVICE JOB BLOCK: KiB a second, of reads or of writes; - if there is no such device.
rate() {
	[ -b $1 ] || { echo -; return; }
	/bin/fio --name=it --filename=$1 --direct=1 --ioengine=libaio --iodepth=16 --rw=$2 --bs=$3 --runtime=1 --time_based --thread --minimal \
		--size=${size}k 2>/tmp/fio | awk -F';' '{ print ($7 > $48) ? $7 : $48 }' | tail -1
}

# idle: what the processor had nothing to do for, in hundredths of a second.
idle() {
	sed -n 's/^cpu  *[0-9]* [0-9]* [0-9]* \([0-9]*\) \([0-9]*\) .*/\1 \2/p' /proc/stat | tr ' ' '+' | { read sum; echo $((sum)); }
}

# instructions DEVICE JOB BLOCK: of one request, those of fio and of the system too.
instructions() {
	local count=10000 before
	[ -b $1 ] || { echo -; return; }
	[ $3 != 64k ] || count=4000
	before=$(idle)
	/bin/fio --name=it --filename=$1 --direct=1 --ioengine=libaio --iodepth=16 --rw=$2 --bs=$3 --thread --minimal --size=${size}k \
		--io_size=$((count * ${3%k}))k 2>/tmp/fio | tail -1 | awk -F';' -v count=$count '{ printf "%d", ($9 + $50) * 1000000 / count }'
	# Time that passed without instructions would count as such. fio sleeps for an eighth of a second, but before and after.
	[ $(($(idle) - before)) -le 16 ] || printf "(idle:$(($(idle) - before)))"
	echo
}

# md_peer TYPE COUNT [MISSING]: md's array of the same shape over ram16 and so on.
md_peer() {
	local level chunk=--chunk=32 count=$2 number=0 devices=
	case $1 in raid10*) level=10 ;; raid1*) level=1 chunk= ;; raid5*) level=5 ;; raid6*) level=6 ;; esac
	while [ $number -lt $count ]; do
		case $number in "$3") devices="$devices missing" ;; *) devices="$devices /dev/ram$((16 + number))" ;; esac
		number=$((number + 1))
	done
	mdadm --create /dev/md0 --run --force --level=$level --raid-devices=$count --bitmap=none --assume-clean $chunk $devices >/tmp/mdadm 2>&1 </dev/null ||
		fail "no array of md: $(cat /tmp/mdadm)"
}

# compared TYPE COUNT PARAMETERS [MISSING]
compared() {
	local type=$1 count=$2 parameters=$3 state=healthy
	shift 3
	[ $# = 0 ] || state=degraded
	# The same area of each: md's superblocks take a bit at the ends.
	size=$(($(length_of $type $count) / 2 - 8192))
	create ours "$(table raid-kmod $(length_of $type $count) $type "$parameters" 0 $count $*)"
	# A RAID 10 of dm-raid wants metadata devices, and with new ones all its members.
	case $type/$state in
	raid10/degraded) ;;
	*) create peer "$(table raid $(length_of $type $count) $type "$parameters" 8 $count $*)" ;;
	esac
	md_peer $type $count $*
	for job in "read 64k" "write 64k" "randread 4k" "randwrite 4k"; do
		if [ $how = count ]; then
			echo "speed: $type $state $(echo $job | tr ' ' '-') $(instructions /dev/mapper/ours $job) $(instructions /dev/mapper/peer $job)" \
				"$(instructions /dev/md0 $job) $(instructions /dev/ram23 $job)"
			continue
		fi
		for round in 1 2 3 4 5; do
			echo "speed: $type $state $(echo $job | tr ' ' '-') $(rate /dev/mapper/ours $job) $(rate /dev/mapper/peer $job) $(rate /dev/md0 $job)"
		done
	done
}

how=$(word speed)
only=$(word only)
for words in "raid1 2 0" "raid5_ls 4 64" "raid6_zr 5 64" "raid10 4 64"; do
	case $words in *"$only"*) ;; *) continue ;; esac
	for missing in "" 1; do
		(compared $(echo $words | cut -d' ' -f1,2) "$(echo $words | cut -d' ' -f3-)" $missing) | sed 's/^why: /speed: why: /'
		dmsetup remove_all --force
		mdadm --stop /dev/md0 >/dev/null 2>&1
	done
done
echo "speed: done"
poweroff -f
