# Power cuts: what one boot does, as raid_cut= says. Members are files of the host's, /dev/ubdb or /dev/vda and so on; the last one takes
# what is read.
# `xtask/src/kernel/cuts.rs` kills the guest, and knows what it wrote.

export MDADM_NO_UDEV=1

members=$(word members)
level=$(word level)
length=$(word length)

insmod /modules/raid_kmod.ko
devices=
copy=
for letter in $(echo a b c d e f g | tr ' ' '\n' | sed -n "/$(word letter)/,\$p" | head -$((members + 1))); do
	devices="$devices $copy"
	copy=/dev/$(word disk)$letter
done

run() {
	dmsetup create ours --table "0 $length raid-kmod auto$devices" || {
		echo "cut: refused: $(dmesg | tail -2 | tr '\n' ' ')"
		poweroff -f
	}
}

# Each member writes later than the one before, so that the cut is between members. Disks are files, and would all be done with in no time.
apart() {
	local number=0 device slow=
	for device in $devices; do
		dmsetup create slow$number --table "0 $(blockdev --getsz $device) delay $device 0 0 $device 0 $((number * 5))" || echo "cut: no delay"
		slow="$slow /dev/mapper/slow$number"
		number=$((number + 1))
	done
	devices=$slow
}

# A place is one writer's only, and rows are not: so rows are changed from many sides at once.
WRITERS=4
PLACE=400

# The last third is for those that nobody asks what they wrote. They make no processes, so that something is always half done.
quiet=$((length * 2 / 3))

# noise NUMBER
noise() {
	while :; do
		dd if=/tests/pattern of=/dev/mapper/ours bs=4096 count=250 skip=$1 oflag=seek_bytes,direct \
			seek=$((quiet * 512 + $1 * 65536)) conv=notrunc 2>/dev/null || echo "cut: no noise"
	done
}

# fio writes too, at random and many at once, and reads what it wrote while it goes on: in the second half of that third.
load() {
	local from=$(((quiet + length) / 16 * 4096))
	/bin/fio --name=load --filename=/dev/mapper/ours --offset=$from --size=$((length * 512 - from)) --direct=1 --ioengine=libaio --iodepth=8 \
		--rw=randwrite --bs=4k --verify=crc32c --verify_backlog=32 --time_based --runtime=600 --thread --minimal >/tmp/fio 2>&1 ||
		echo "cut: fio: $(tail -3 /tmp/fio | tr '\n' ' ')"
}

# write_for_ever WRITER: the same numbers give the same writes; who is told that one is flushed can count on it.
write_for_ever() {
	local number=$(word first) state=$((($(word seed) + $1 * 1000003) % 2147483648)) groups=$((quiet / (PLACE * WRITERS))) at count flush
	while :; do
		state=$(((state * 1103515245 + 12345) % 2147483648))
		at=$(((state / 65536 % groups * WRITERS + $1) * PLACE + state / 64 % 100))
		count=$((1 + state / 4096 % 300))
		flush=
		[ $((number % 4)) != 3 ] || flush=,fsync
		dd if=/tests/pattern of=/dev/mapper/ours bs=$((count * 512)) count=1 iflag=skip_bytes skip=$((number % 1700 * 512)) \
			oflag=seek_bytes,direct seek=$((at * 512)) conv=notrunc$flush 2>/tmp/dd$1 || echo "cut: no write: $(cat /tmp/dd$1)"
		[ -z "$flush" ] || echo "cut: flushed $1 $number"
		number=$((number + 1))
	done
}

# read_out DEVICE MISMATCHES
read_out() {
	echo "cut: mismatches $2"
	dd if=$1 of=$copy bs=1M iflag=direct conv=fsync 2>/tmp/dd || echo "cut: not read: $(cat /tmp/dd)"
}

case $(word cut) in
make)
	chunk=--chunk=64
	[ $level != 1 ] || chunk=
	mdadm --create /dev/md0 --run --force --level=$level --raid-devices=$members --bitmap=internal --bitmap-chunk=64K --assume-clean \
		$chunk $devices >/tmp/mdadm 2>&1 </dev/null || echo "cut: no array: $(cat /tmp/mdadm)"
	echo "cut: length $(blockdev --getsz /dev/md0)"
	mdadm --stop /dev/md0 >/dev/null 2>&1
	;;
write)
	apart
	run
	echo "cut: begun"
	[ ! -x /bin/fio ] || load &
	for writer in $(seq 0 $((WRITERS - 1))); do
		write_for_ever $writer &
		noise $writer &
	done
	wait
	;;
ours)
	run
	echo "cut: begun"
	[ "$(field ours 5)" = idle ] || echo "cut: mends"
	wait_idle ours
	dmsetup message ours 0 check
	wait_idle ours
	read_out /dev/mapper/ours "$(field ours 6)"
	dmsetup remove ours
	echo "cut: read"
	;;
md)
	mdadm --assemble /dev/md0 $devices >/tmp/mdadm 2>&1 || echo "cut: not assembled by md: $(cat /tmp/mdadm)"
	echo "cut: begun"
	case $(cat /sys/block/md0/md/array_state /sys/block/md0/md/sync_action | tr '\n' ' ') in *resync*) echo "cut: mends" ;; esac
	mdadm --wait /dev/md0 >/dev/null 2>&1
	[ "$(cat /sys/block/md0/md/degraded)" = 0 ] || echo "cut: degraded"
	echo check >/sys/block/md0/md/sync_action
	mdadm --wait /dev/md0 >/dev/null 2>&1
	read_out /dev/md0 "$(cat /sys/block/md0/md/mismatch_cnt)"
	mdadm --stop /dev/md0 >/tmp/mdadm 2>&1 || echo "cut: not stopped: $(cat /tmp/mdadm)"
	echo "cut: read"
	;;
esac
poweroff -f
