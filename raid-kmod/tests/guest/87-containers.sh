# Containers of DDF and IMSM that the target finds by itself: made by md, or what md takes back.

export MDADM_NO_UDEV=1 MDADM_NO_SYSTEMCTL=1 IMSM_NO_PLATFORM=1 IMSM_DEVNAME_AS_SERIAL=1

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
	over_files $count
	for number in $(seq 0 $((count - 1))); do
		# Copies are alike; parity of what is alike everywhere is not needed where all members are there.
		dd if=/tmp/random of=/dev/loop$number bs=1M seek=1 conv=fsync 2>/dev/null
	done
	mdadm --create /dev/md127 --run --force --metadata=$format --raid-devices=$count $(loops $count) >/tmp/mdadm 2>&1 </dev/null ||
		fail "no container: $(cat /tmp/mdadm)"
	mdadm --create /dev/md0 --run --force --level=$level --raid-devices=$count $chunk --size=8192 --assume-clean --readonly \
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
