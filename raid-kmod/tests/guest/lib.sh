# What the tests stand on. The guest has busybox, dmsetup and mdadm; members are RAM disks of 16 MiB, made anew for each test.
# Arrays: ours is /dev/mapper/ours on ram0.., the peer's is /dev/mapper/peer on ram8.. (dm-raid of the same kernel).

MEMBER_SECTORS=32768

# word NAME: what the kernel's command line has for us behind that.
word() {
	sed -n "s/.*raid_$1=\([^ ]*\).*/\1/p" /proc/cmdline
}

# Not empty if slow tests are left out.
HURRY=$(word hurry)
# How many times longer this kernel may take than others.
TIMES=$(word times)
TIMES=${TIMES:-1}
# Seconds that no test takes.
HANGS_AFTER=$((300 * TIMES))

# Says why a test fails, and ends it.
fail() {
	echo "why: $*"
	exit 1
}

# Ends a test that cannot run here.
skip() {
	echo "skip: $*"
	exit 2
}

run_test() {
	local name=${1#????_}
	insmod /modules/brd.ko rd_nr=16 rd_size=$((MEMBER_SECTORS / 2)) 2>/dev/null
	insmod /modules/raid_kmod.ko 2>/tmp/insmod || echo "guest: no module: $(cat /tmp/insmod) $(dmesg | tail -5 | tr "\n" " ")"
	dmesg -c >/dev/null
	# What hangs in the kernel can be ended by nobody: then who waits for what is told, and that was it.
	(
		sleep $HANGS_AFTER
		echo "test: FAILED $name: it hangs: $(tail -1 /tmp/said)"
		echo w >/proc/sysrq-trigger
		dmesg | tail -400 | sed 's/^/  kernel: /'
		poweroff -f
	) &
	watch=$!
	( "$1" ) >/tmp/said 2>&1 </dev/null
	result=$?
	umount /tmp/fs 2>/dev/null
	dmsetup remove_all --force >/dev/null 2>&1
	left=
	rmmod raid_kmod 2>/tmp/rmmod || left="the module stays: $(cat /tmp/rmmod)"
	! ps | grep 'kworker/R-raid\(_meta\)\?\]' >/tmp/stays || left="$left a worker stays: $(cat /tmp/stays)"
	rmmod brd 2>/dev/null
	kill $watch
	dmesg | grep -E 'BUG|WARNING|Oops|panic|possible|inconsistent|general protection|unable to handle' >/tmp/complaints
	if [ -s /tmp/complaints ]; then
		left="$left the kernel complains: $(head -3 /tmp/complaints | tr '\n' ' ')"
	fi
	why=$(sed -n 's/^why: //p' /tmp/said | tail -1)
	case $result in
	2) echo "test: skipped $name: $(sed -n 's/^skip: //p' /tmp/said | tail -1)"; return ;;
	0) [ -n "$left" ] || { echo "test: ok $name"; return; } ;;
	esac
	echo "test: FAILED $name: ${why:-$(tail -1 /tmp/said)} $left"
	sed 's/^/  said: /' /tmp/said | tail -20
	dmesg | tail -30 | sed 's/^/  kernel: /'
}

# table TARGET LENGTH TYPE PARAMETERS FIRST COUNT [MISSING..]: a line for COUNT RAM disks from number FIRST on.
table() {
	local target=$1 length=$2 type=$3 parameters=$4 first=$5 count=$6 line number meta=-
	shift 6
	# Without metadata, dm-raid forgets a RAID 10's layout.
	case $target/$type/$parameters in
	*nosync*) ;;
	raid/raid10/*) parameters="$parameters nosync" ;;
	esac
	line="0 $length $target $type $(echo $parameters | wc -w) $parameters $count"
	number=0
	while [ $number -lt $count ]; do
		case " $* " in
		*" $number "*) line="$line - -" ;;
		*)
			[ "$target/$type" != raid/raid10 ] || meta=/dev/mapper/meta$number
			line="$line $meta /dev/ram$((first + number))"
			;;
		esac
		number=$((number + 1))
	done
	echo "$line"
}

# create NAME LINE
create() {
	case $2/$keep_metadata in *mapper/meta*/) fresh_metadata ;; esac
	dmsetup create "$1" --table "$2" || fail "no $1: $2; $(dmesg | tail -2 | tr '\n' ' ')"
	[ -b "/dev/mapper/$1" ] || fail "/dev/mapper/$1 is no block device"
}

# Six empty metadata devices.
fresh_metadata() {
	local number=0
	while [ $number -lt 6 ]; do
		[ -b /dev/mapper/meta$number ] ||
			dmsetup create meta$number --table "0 4096 linear /dev/ram15 $((number * 4096))" || fail "no meta$number"
		dd if=/dev/zero of=/dev/mapper/meta$number bs=4096 count=512 oflag=direct 2>/dev/null
		number=$((number + 1))
	done
}

remove() {
	dmsetup remove "$1" || fail "$1 stays"
}

# length_of TYPE COUNT: sectors of an array that uses the whole of its members.
length_of() {
	case $1 in
	raid0) echo $((MEMBER_SECTORS * $2)) ;;
	raid1) echo $MEMBER_SECTORS ;;
	raid10*) echo $((MEMBER_SECTORS * $2 / 2)) ;;
	raid6*) echo $((MEMBER_SECTORS * ($2 - 2))) ;;
	*) echo $((MEMBER_SECTORS * ($2 - 1))) ;;
	esac
}

# What is written: no two places have the same bytes.
[ -e /tmp/random ] || dd if=/dev/urandom of=/tmp/random bs=1M count=4 2>/dev/null

# put DEVICE SECTOR COUNT SEED: writes COUNT sectors past the cache, the same for the same seed.
put() {
	dd if=/tmp/random of="$1" bs=$(($3 * 512)) count=1 skip=$4 seek=$(($2 * 512)) iflag=skip_bytes oflag=seek_bytes,direct \
		conv=notrunc,fsync 2>/tmp/dd || fail "cannot write $3 sectors at $2 of $1: $(cat /tmp/dd)"
}

# fill DEVICE LENGTH: a sequential stream, then writes of many sizes at many places, the same for the same length.
fill() {
	local at count state
	at=0
	while [ $at -lt $2 ]; do
		count=2048
		[ $((at + count)) -le $2 ] || count=$(($2 - at))
		put "$1" $at $count $((at % 3001))
		at=$((at + count))
	done
	state=12345
	for count in 1 8 3 8 16 128 5 8 64 200 8 256 1 8 24 512 8 7 72 9; do
		state=$(((state * 1103515245 + 12345) % 2147483648))
		put "$1" $((state % ($2 - 512))) $count $((state % 100003))
	done
}

# fingerprint DEVICE
fingerprint() {
	dd if="$1" bs=1M iflag=direct 2>/tmp/dd | sha256sum | cut -d' ' -f1
	grep -qi 'error' /tmp/dd && fail "cannot read $1: $(cat /tmp/dd)"
}

# same_members COUNT [BUT..]: our members equal the peer's, byte by byte.
same_members() {
	local count=$1 number
	shift
	number=0
	while [ $number -lt $count ]; do
		case " $* " in
		*" $number "*) ;;
		*)
			blockdev --flushbufs /dev/ram$number /dev/ram$((8 + number)) 2>/dev/null
			cmp /dev/ram$number /dev/ram$((8 + number)) >/tmp/cmp 2>&1 || fail "member $number: $(cat /tmp/cmp)"
			;;
		esac
		number=$((number + 1))
	done
}

# served_without CONTENT COUNT LINE..: dm-raid serves it without each member in turn, of RAID 6 without two, so redundancy is right. Its own
# check of parity can leave it hanging (docs/testing.md). LINE, with the missing members behind it, says the table.
served_without() {
	local content=$1 count=$2 number missing
	shift 2
	for number in $(seq 0 $((count - 1))); do
		missing=$number
		case "$*" in *raid6*) missing="$number $(((number + 1) % count))" ;; esac
		create peer "$("$@" $missing)"
		[ "$content" = "$(fingerprint /dev/mapper/peer)" ] || fail "without $missing dm-raid has another content: $*"
		remove peer
	done
}

# field NAME NUMBER: one word of the status line.
field() {
	dmsetup status "$1" | cut -d' ' -f$(($2 + 3))
}

# wait_idle NAME: until recovery has nothing left to do.
wait_idle() {
	local patience
	patience=$HANGS_AFTER
	while [ "$(field "$1" 5)" != idle ]; do
		patience=$((patience - 1))
		[ $patience -gt 0 ] || fail "$1 never comes to rest: $(dmsetup status "$1")"
		sleep 0.1
	done
}
