# Containers of DDF and IMSM that the target finds by itself: made by md, or what md takes back.

export MDADM_NO_UDEV=1 MDADM_NO_SYSTEMCTL=1 IMSM_NO_PLATFORM=1 IMSM_DEVNAME_AS_SERIAL=1

# md's monitor, which writes a container's records, runs where a test asks for it: it would hold what others are about to stop.
[ ! -e /bin/mdmon ] || mv /bin/mdmon /run/mdmon

# loops COUNT [OF]: /dev/loop0.. with OF, if given, behind each: = has them say which disks they are.
loops() {
	local number=0
	while [ $number -lt $1 ]; do
		echo -n "/dev/loop$number$2"
		[ -z "$2" ] || echo -n "/dev/loop$number"
		echo -n " "
		number=$((number + 1))
	done
}

# container_made FORMAT LEVEL COUNT: on loop0.., its volume not written to by md: without its monitor md does not do that. So the members
# have their content before; length and content are left.
container_made() {
	local format=$1 level=$2 count=$3 number chunk=--chunk=64
	[ $level != 1 ] || chunk=
	# The tables of DDF alone are larger than a RAM disk.
	case $format in ddf) file_mib=48 ;; *) file_mib=16 ;; esac
	over_files $count
	for number in $(seq 0 $((count - 1))); do
		# Copies are alike; parity of what is alike everywhere is not needed where all members are there.
		dd if=/tmp/random of=/dev/loop$number bs=1M seek=1 conv=fsync 2>/dev/null
	done
	mdadm --create /dev/md127 --run --force --metadata=$format --raid-devices=$count $(loops $count) >/tmp/mdadm 2>&1 </dev/null ||
		fail "no container: $(cat /tmp/mdadm)"
	case $level in 0) size= ;; *) size="--size=8192 --assume-clean" ;; esac
	mdadm --create /dev/md0 --run --force --level=$level --raid-devices=$count $chunk $size --readonly \
		/dev/md127 >/tmp/mdadm 2>&1 </dev/null || fail "no volume: $(cat /tmp/mdadm)"
	length=$(blockdev --getsz /dev/md0)
	content=$(fingerprint /dev/md0)
	md_stop
	mdadm --stop /dev/md127 >/dev/null 2>&1
}

# read_by_us DEVICES..: a read-only table has the content.
read_by_us() {
	dmsetup create ours --readonly --table "$(found $*)" || fail "$kind: $*: not found: $(dmesg | tail -3)"
	[ "$content" = "$(fingerprint /dev/mapper/ours)" ] || fail "$kind: $*: we have another content: $(dmsetup status ours)"
	remove ours
}

# refused_for WORDS DEVICES..
refused_for() {
	local why=$1
	shift
	dmesg -c >/dev/null
	dmsetup create ours --readonly --table "$(found $*)" 2>/dev/null && fail "$kind: taken: $*"
	dmesg >/tmp/told
	grep -q "$why" /tmp/told || fail "$kind: no word of '$why': $(tail -3 /tmp/told)"
}

test_a_volume_of_ddf_is_read_by_a_read_only_table() {
	kind="ddf 1"
	container_made ddf 1 2
	read_by_us $(loops 2)
	read_by_us /dev/loop1
	dmsetup create ours --readonly --table "$(found $(loops 2))"
	dd if=/dev/zero of=/dev/mapper/ours bs=4096 count=1 oflag=direct conv=notrunc 2>/dev/null && fail "a write is taken"
	remove ours
	files_go 2
}

test_an_array_of_imsm_is_read_when_its_disks_are_told_or_can_be_no_others() {
	kind="imsm 1"
	container_made imsm 1 2
	# Copies that are both in sync: either may be taken for the other.
	read_by_us $(loops 2)
	read_by_us /dev/loop1=/dev/loop1
	files_go 2
	kind="imsm 5"
	container_made imsm 5 3
	read_by_us /dev/loop2=/dev/loop2 /dev/loop0=/dev/loop0 /dev/loop1=/dev/loop1
	# The last is found by elimination.
	read_by_us /dev/loop2=/dev/loop2 /dev/loop0 /dev/loop1=/dev/loop1
	refused_for "only its serial number tells" $(loops 3)
	refused_for "no disk of its record has that serial number" /dev/loop0=x /dev/loop1 /dev/loop2
	refused_for "more are missing" /dev/loop0=/dev/loop0
	files_go 3
	kind="md"
	md_made 1 2 --metadata=1.2 --bitmap=none
	refused_for "knows its members by no serial number" /dev/ram0=x /dev/ram1
}

# What cannot be had was given back all the same: device-mapper was told to give back nothing, at an address of nothing.
test_a_device_that_is_not_there_is_refused_and_not_given_back() {
	kind="not there"
	length=$MEMBER_SECTORS
	refused_for "a device cannot be had" /dev/ram0 /dev/not_there
	grep "not in table devices list" /tmp/told && fail "a device that was never had is given back"
	:
}

# disks_of COUNT FORMAT: the devices of a line, each with its name if the format needs to be told.
disks_of() {
	case $2 in imsm) loops $1 = ;; *) loops $1 ;; esac
}

# examined DEVICE WORDS: what mdadm says of a disk has these words.
examined() {
	mdadm --examine $1 >/tmp/examined 2>&1
	grep -q "$2" /tmp/examined || fail "$kind: mdadm does not say '$2' of $1: $(grep -iE 'state|dirty|map|failed|active' /tmp/examined | tr '\n' ';')"
}

# How a volume is marked in which nothing is in doubt, and in which something may be.
clean_is() { case $1 in imsm) echo "Dirty State : clean" ;; *) echo "state\[0\] : .*, Consistent" ;; esac; }
dirty_is() { case $1 in imsm) echo "Dirty State : dirty" ;; *) echo "state\[0\] : .*, Not Consistent" ;; esac; }

# linux_reads COUNT WANTED: md assembles it read-only, and has that content.
linux_reads() {
	echo 1 >/sys/module/md_mod/parameters/start_ro
	mdadm --assemble --run /dev/md127 $(loops $1) >/tmp/mdadm 2>&1 || fail "$kind: no container: $(cat /tmp/mdadm)"
	mdadm --incremental --run /dev/md127 >>/tmp/mdadm 2>&1
	local md
	md=$(sed -n 's/^\(md[0-9]*\) : active.*raid.*/\1/p' /proc/mdstat)
	[ -n "$md" ] || fail "$kind: md starts no volume: $(cat /tmp/mdadm /proc/mdstat | tr '\n' ';')"
	[ -b /dev/$md ] || mknod /dev/$md b $(tr : ' ' </sys/block/$md/dev)
	[ "$2" = "$(fingerprint /dev/$md)" ] || fail "$kind: md has another content"
	cat /sys/block/$md/md/degraded >/tmp/degraded
	mdadm --stop /dev/$md >/tmp/mdadm 2>&1 || fail "$kind: md stays: $(cat /tmp/mdadm)"
	mdadm --stop /dev/md127 >/dev/null 2>&1
}

# written_by_us FORMAT LEVEL COUNT
written_by_us() {
	local format=$1 level=$2 count=$3
	kind="$format $level"
	container_made $format $level $count
	create ours "$(found $(disks_of $count $format))"
	wait_idle ours
	[ "$content" = "$(fingerprint /dev/mapper/ours)" ] || fail "$kind: we have another content: $(dmsetup status ours)"
	# It was made without its redundancy, and called clean. What P and Q make of that is another content.
	dmsetup message ours 0 repair || fail "$kind: no repair"
	wait_idle ours
	put /dev/mapper/ours 1000 300 17
	examined /dev/loop0 "$(dirty_is $format)"
	examined /dev/loop$((count - 1)) "$(dirty_is $format)"
	dmsetup suspend ours && dmsetup resume ours || fail "$kind: no suspend"
	put /dev/mapper/ours 9000 77 18
	content=$(fingerprint /dev/mapper/ours)
	remove ours
	examined /dev/loop0 "$(clean_is $format)"
	examined /dev/loop$((count - 1)) "$(clean_is $format)"
	linux_reads $count $content
	[ "$(cat /tmp/degraded)" = 0 ] || fail "$kind: md says it is degraded"
	# Redundancy fits: what the first disk holds is read from the others.
	read_by_us $(disks_of $count $format | cut -d' ' -f2-)
	files_go $count
}

# striped_by_us FORMAT: without redundancy there is nothing to be marked.
striped_by_us() {
	kind="$1 0"
	container_made $1 0 3
	create ours "$(found $(disks_of 3 $1))"
	[ "$content" = "$(fingerprint /dev/mapper/ours)" ] || fail "$kind: we have another content: $(dmsetup status ours)"
	put /dev/mapper/ours 1000 300 17
	examined /dev/loop0 "$(clean_is $1)"
	content=$(fingerprint /dev/mapper/ours)
	remove ours
	linux_reads 3 $content
	files_go 3
}

test_a_volume_of_ddf_is_written_to_and_linux_reads_it() {
	written_by_us ddf 1 2
	written_by_us ddf 5 3
	[ -z "$HURRY" ] || return 0
	written_by_us ddf 6 4
	written_by_us ddf 10 4
	striped_by_us ddf
}

test_a_volume_of_imsm_is_written_to_and_linux_reads_it() {
	written_by_us imsm 1 2
	written_by_us imsm 5 3
	[ -z "$HURRY" ] || return 0
	written_by_us imsm 10 4
	striped_by_us imsm
}

# told_over COUNT FORMAT
told_over() {
	case $2 in imsm) disks_of $1 $2 | sed 's:/dev/loop\([0-9]\)=:/dev/mapper/under\1=:g' ;; *) disks_of $1 $2 | sed 's:/dev/loop:/dev/mapper/under:g' ;; esac
}

# runs_over_loops FORMAT LEVEL COUNT: a container that is made, run by us over disks that can break.
runs_over_loops() {
	container_made $1 $2 $3
	over_all $3 /dev/loop
	create ours "$(found $(told_over $3 $1))"
	wait_idle ours
}

# break_loops NUMBER..: all at once.
break_loops() {
	local number
	for number in $*; do dmsetup suspend --noflush under$number || fail "under$number stays"; done
	for number in $*; do dmsetup load under$number --table "0 $(blockdev --getsz /dev/loop$number) error" || fail "no error"; done
	for number in $*; do dmsetup resume under$number || fail "under$number does not come back"; done
}

# fails_under_us FORMAT LEVEL COUNT: the second disk.
fails_under_us() {
	local format=$1 level=$2 count=$3
	kind="$format $level, a failure"
	runs_over_loops $format $level $count
	put /dev/mapper/ours 0 512 4
	break_loops 1
	put /dev/mapper/ours 0 512 5
	case $(field ours 3) in AD* | DA*) ;; *) fail "$kind: nobody is out: $(dmsetup status ours)" ;; esac
	# The others said so before that write was acknowledged.
	examined /dev/loop0 "$(case $format in imsm) echo "Map State : degraded" ;; *) echo "state\[0\] : Degraded" ;; esac)"
	content=$(fingerprint /dev/mapper/ours)
	remove ours
	not_over $count
	examined /dev/loop0 "$(clean_is $format)"
	linux_reads $count $content
	[ "$(cat /tmp/degraded)" = 1 ] || fail "$kind: md does not know: $(cat /tmp/degraded)"
	# Who failed stays out.
	create ours "$(found $(disks_of $count $format))"
	case $(field ours 3) in A-* | -A*) ;; *) fail "$kind: who failed counts: $(dmsetup status ours)" ;; esac
	[ "$content" = "$(fingerprint /dev/mapper/ours)" ] || fail "$kind: we have another content"
	put /dev/mapper/ours 3000 99 6
	content=$(fingerprint /dev/mapper/ours)
	remove ours
	linux_reads $count $content
	files_go $count
}

test_a_disk_of_a_container_that_fails_is_out_for_linux_too() {
	fails_under_us ddf 5 3
	fails_under_us imsm 1 2
	[ -z "$HURRY" ] || return 0
	fails_under_us ddf 1 2
	fails_under_us imsm 5 3
}

# cut_under_us FORMAT LEVEL COUNT: all disks are gone at once, in the middle of its work.
cut_under_us() {
	local format=$1 level=$2 count=$3
	kind="$format $level, a cut"
	runs_over_loops $format $level $count
	put /dev/mapper/ours 4000 512 4
	break_loops $(seq 0 $((count - 1)))
	remove ours
	not_over $count
	dmesg -c >/dev/null
	examined /dev/loop0 "$(dirty_is $format)"
	if [ $level = 5 ]; then
		dmsetup create ours --table "$(found $(disks_of $((count - 1)) $format))" 2>/dev/null && fail "$kind: parity in doubt is believed"
		dmesg | grep -q "parity is in doubt" || fail "$kind: no reason: $(dmesg | tail -3)"
	fi
	create ours "$(found $(disks_of $count $format))"
	wait_idle ours
	case $(field ours 3) in *[!A]*) fail "$kind: somebody is out: $(dmsetup status ours)" ;; esac
	content=$(fingerprint /dev/mapper/ours)
	remove ours
	examined /dev/loop0 "$(clean_is $format)"
	linux_reads $count $content
	read_by_us $(disks_of $count $format | cut -d' ' -f2-)
	files_go $count
}

test_a_container_that_was_cut_is_dirty_and_is_mended() {
	cut_under_us ddf 5 3
	[ -z "$HURRY" ] || return 0
	cut_under_us ddf 1 2
	cut_under_us imsm 5 3
}

test_a_container_that_cannot_be_written_to_right_is_refused() {
	kind="either copy"
	container_made imsm 1 2
	dmesg -c >/dev/null
	dmsetup create ours --table "$(found $(loops 2))" 2>/dev/null && fail "$kind: taken"
	dmesg | grep -q "nothing tells which copy of the mirror it is" || fail "$kind: no reason: $(dmesg | tail -3)"
	files_go 2
}

# stopped DEVICE: as soon as the monitor lets go of it.
stopped() {
	local patience=50
	until mdadm --stop $1 >/tmp/mdadm 2>&1; do
		patience=$((patience - 1))
		[ $patience -gt 0 ] || fail "$kind: $1 stays: $(cat /tmp/mdadm)"
		sleep 0.2
	done
}

# fills_of_linux FORMAT: md with its monitor makes a RAID 5, writes to it, loses a disk, and stops while it fills another.
fills_of_linux() {
	kind="$1, half filled"
	[ -x /run/mdmon ] || skip "no mdmon"
	ln -s /run/mdmon /sbin/mdmon
	case $1 in ddf) file_mib=48 ;; *) file_mib=16 ;; esac
	over_files 4
	mdadm --create /dev/md127 --run --force --metadata=$1 --raid-devices=4 $(loops 4) >/tmp/mdadm 2>&1 </dev/null || fail "$kind: $(cat /tmp/mdadm)"
	mdadm --create /dev/md0 --run --force --level=5 --raid-devices=3 --chunk=64 --size=8192 $(loops 3) >/tmp/mdadm 2>&1 </dev/null ||
		fail "$kind: no volume: $(cat /tmp/mdadm)"
	mdadm --wait /dev/md0 >/dev/null 2>&1
	length=$(blockdev --getsz /dev/md0)
	fill /dev/md0 $length
	content=$(fingerprint /dev/md0)
	echo 500 >/sys/block/md0/md/sync_speed_max
	echo 500 >/sys/block/md0/md/sync_speed_min
	mdadm /dev/md0 --fail /dev/loop1 >/tmp/mdadm 2>&1 || fail "$kind: no failure: $(cat /tmp/mdadm)"
	sleep 4
	stopped /dev/md0
	stopped /dev/md127
	rm /sbin/mdmon
	examined /dev/loop0 "$(case $1 in imsm) echo "Migrate State : rebuild" ;; *) echo Rebuilding ;; esac)"
	# Who failed is in no volume any more.
	create ours "$(found $(disks_of 4 $1 | cut -d' ' -f1,3,4))"
	wait_idle ours
	[ "$(field ours 3)" = AAA ] || fail "$kind: $(dmsetup status ours)"
	[ "$content" = "$(fingerprint /dev/mapper/ours)" ] || fail "$kind: the content changed"
	remove ours
	linux_reads 4 $content
	[ "$(cat /tmp/degraded)" = 0 ] || fail "$kind: md says it is degraded"
	files_go 4
}

slow_what_linux_fills_in_a_container_is_filled_by_us() {
	fills_of_linux imsm
	fills_of_linux ddf
}
