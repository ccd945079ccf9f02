# Members that fail, and what brings them back.

# over NUMBER [DEVICE]: a device-mapper device on a RAM disk, or on that, to be given another table later.
over() {
	local device=${2:-/dev/ram$1}
	dmsetup create under$1 --table "0 $(blockdev --getsz $device) linear $device 0" || fail "no under$1"
}

# under NUMBER TABLE: gives it that table, at once.
under() {
	dmsetup suspend --noflush under$1 && dmsetup load under$1 --table "$2" && dmsetup resume under$1 || fail "under$1: $2"
}

# line TYPE PARAMETERS COUNT [MISSING..]: a line for under0..
line() {
	local type=$1 parameters=$2 count=$3 devices= number=0
	shift 3
	while [ $number -lt $count ]; do
		case " $* " in
		*" $number "*) devices="$devices - -" ;;
		*) devices="$devices - /dev/mapper/under$number" ;;
		esac
		number=$((number + 1))
	done
	echo "0 $(length_of $type $count) raid-kmod $type $(echo $parameters | wc -w) $parameters $count$devices"
}

# bad NUMBER BLOCK..: these sectors of that member cannot be read until they are written.
bad() {
	local number=$1 block
	shift
	under $number "0 $MEMBER_SECTORS dust /dev/ram$number 0 512"
	for block in $*; do
		dmsetup message under$number 0 addbadblock $block >/dev/null 2>&1 || fail "no bad block"
	done
	dmsetup message under$number 0 enable || fail "dust stays off"
	dd if=/dev/mapper/under$number of=/dev/null bs=512 skip=$1 count=1 iflag=direct 2>/dev/null && fail "the bad block reads well"
	echo 3 >/proc/sys/vm/drop_caches
}

# bad_blocks NUMBER: how many are left.
bad_blocks() {
	dmsetup message under$1 0 countbadblocks | sed 's/.*: \([0-9]*\) .*/\1/'
}

test_a_read_error_is_repaired_from_the_others() {
	for words in "raid1 2 0" "raid5_ls 3 64" "raid6_zr 4 64" "raid10 4 64 raid10_format near"; do
		set -- $(echo "$words" | cut -d' ' -f1,2) "$(echo "$words" | cut -d' ' -f3-)"
		number=0
		while [ $number -lt $2 ]; do
			over $number
			number=$((number + 1))
		done
		create ours "$(line $1 "$3" $2)"
		fill /dev/mapper/ours $(length_of $1 $2)
		before=$(fingerprint /dev/mapper/ours)
		bad 0 0 7 100 101 5000 32767
		[ "$(bad_blocks 0)" = 6 ] || fail "there are $(bad_blocks 0) bad blocks"
		[ "$before" = "$(fingerprint /dev/mapper/ours)" ] || fail "$1: the content changed"
		case $(field ours 3) in *D*) fail "$1: a member was thrown out: $(dmsetup status ours)" ;; esac
		# Parity, and copies that nobody asked for, are met by a repair; a check writes nothing. Who wrote over a bad block has repaired it.
		dmsetup message ours 0 repair
		wait_idle ours
		[ "$(field ours 3) $(bad_blocks 0)" = "$(letters $2 A) 0" ] || fail "$1: $(bad_blocks 0) bad blocks are left: $(dmsetup status ours)"
		[ "$before" = "$(fingerprint /dev/mapper/ours)" ] || fail "$1: the content changed"
		remove ours
		dmsetup remove_all --force
	done
}

# unreadable: counts in `errors` the blocks of our first 6 MiB that cannot be read; all others must be as in /tmp/before.
unreadable() {
	local others
	dd if=/dev/mapper/ours of=/tmp/after bs=4096 count=1536 iflag=direct conv=noerror,sync 2>/tmp/dd
	errors=$(grep -c 'Input/output error' /tmp/dd)
	others=$(cmp -l /tmp/before /tmp/after | awk '{ print int(($1 - 1) / 4096) }' | uniq | wc -l)
	[ $others -le $errors ] || fail "$type: $errors blocks cannot be read, and $others are others"
}

# lost TYPE COUNT PARAMETERS BAD MISSING..: of an array without those members, a bad block is an error there and nowhere else, costs no
# member, and is gone when it is written over. Before that, a member that is filled gets no wrong bytes for it.
lost() {
	local type=$1 count=$2 parameters=$3 bad=$4 number missing empty
	shift 4
	missing=$* empty=$1
	over_all $count
	create ours "$(line $type "$parameters" $count)"
	fill /dev/mapper/ours $(length_of $type $count)
	dd if=/dev/mapper/ours of=/tmp/before bs=1M count=6 iflag=direct 2>/dev/null
	remove ours
	create ours "$(line $type "$parameters" $count $missing)"
	bad $bad 4000
	unreadable
	case $errors in 1 | 2) ;; *) fail "$type: $errors blocks cannot be read: $(tail -3 /tmp/dd | tr '\n' ' ')" ;; esac
	[ "$(field ours 3 | tr -d A | wc -c)" -le $(($(echo $missing | wc -w) + 1)) ] || fail "$type: it cost a member: $(dmsetup status ours)"
	remove ours
	dd if=/dev/urandom of=/dev/ram$empty bs=1M count=16 conv=fsync 2>/dev/null
	create ours "$(line $type "$parameters rebuild $empty" $count ${missing#$empty})"
	sleep 1
	echo "$type: $(dmsetup status ours)"
	unreadable
	[ $errors -ge 1 ] || fail "$type: what is lost is read: $(dmsetup status ours)"
	put /dev/mapper/ours 0 6144 77
	put /dev/mapper/ours 6144 6144 78
	[ "$(bad_blocks $bad)" = 0 ] || fail "$type: $(bad_blocks $bad) bad blocks were written over and are left"
	dd if=/dev/mapper/ours of=/tmp/after bs=1M count=6 iflag=direct 2>/dev/null || fail "$type: what was written anew cannot be read"
	for number in 77 78; do dd if=/tmp/random bs=3M count=1 iflag=skip_bytes skip=$number 2>/dev/null; done >/tmp/before
	cmp /tmp/before /tmp/after >/tmp/cmp 2>&1 || fail "$type: what was written anew: $(cat /tmp/cmp)"
	remove ours
	dmsetup remove_all --force
}

test_a_bad_block_of_a_degraded_array_is_an_error_there_and_nowhere_else() {
	lost raid1 2 0 0 1
	lost raid5_ls 3 64 0 1
	lost raid6_zr 4 64 0 1 2
	lost raid10 4 "64 raid10_format near" 0 1
}

test_a_member_that_fails_a_write_is_out_and_the_data_stay() {
	for words in "raid1 2 0" "raid5_ls 3 64" "raid6_zr 4 64" "raid10 4 64 raid10_format near"; do
		set -- $(echo "$words" | cut -d' ' -f1,2) "$(echo "$words" | cut -d' ' -f3-)"
		number=0
		while [ $number -lt $2 ]; do
			over $number
			number=$((number + 1))
		done
		create ours "$(line $1 "$3" $2)"
		create peer "$(table raid $(length_of $1 $2) $1 "$3" 8 $2)"
		fill /dev/mapper/peer $(length_of $1 $2)
		put /dev/mapper/ours 0 128 0
		under 1 "0 $MEMBER_SECTORS error"
		fill /dev/mapper/ours $(length_of $1 $2)
		case $(field ours 3) in ?D*) ;; *) fail "$1: member 1 is not out: $(dmsetup status ours)" ;; esac
		[ "$(fingerprint /dev/mapper/ours)" = "$(fingerprint /dev/mapper/peer)" ] || fail "$1: contents differ"
		remove ours
		remove peer
		dmsetup remove_all --force
		number=0
		same_members $2 1
	done
}

test_more_failures_than_the_level_survives_are_errors_and_no_wrong_data() {
	for number in 0 1 2; do over $number; done
	create ours "$(line raid5_ls 64 3)"
	fill /dev/mapper/ours $(length_of raid5_ls 3)
	under 0 "0 $MEMBER_SECTORS error"
	under 1 "0 $MEMBER_SECTORS error"
	dd if=/tmp/random of=/dev/mapper/ours bs=4096 count=1 oflag=direct 2>/dev/null && fail "a write went well"
	dd if=/dev/mapper/ours of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null && fail "a read went well"
	return 0
}

# rebuild TYPE PARAMETERS COUNT SLOT..: slots are filled with rubbish and rebuilt; then they are as the peer's.
rebuild() {
	local type=$1 parameters=$2 count=$3 length slot sector
	shift 3
	length=$(length_of $type $count)
	create ours "$(table raid-kmod $length $type "$parameters" 0 $count)"
	create peer "$(table raid $length $type "$parameters" 8 $count)"
	fill /dev/mapper/ours $length
	fill /dev/mapper/peer $length
	remove ours
	for slot in $*; do
		dd if=/dev/urandom of=/dev/ram$slot bs=1M count=16 2>/dev/null
		parameters="$parameters rebuild $slot"
	done
	create ours "$(table raid-kmod $length $type "$parameters" 0 $count)"
	# Writes go on while members are filled.
	for sector in 0 1000 5000 12345 20000; do
		put /dev/mapper/ours $sector 64 $sector
		put /dev/mapper/peer $sector 64 $sector
	done
	wait_idle ours
	case $(field ours 3) in *[!A]*) fail "$type $*: $(dmsetup status ours)" ;; esac
	remove ours
	remove peer
	same_members $count
	zero_members
}

test_members_are_rebuilt_under_load() {
	rebuild raid1 0 2 1
	rebuild raid5_ls 64 3 0
	rebuild raid6_zr 64 5 1 3
	rebuild raid10 "64 raid10_format near" 4 2
	rebuild raid10 "64 raid10_format far" 4 0
}

test_redundancy_in_doubt_is_made() {
	for words in "raid1 2 0" "raid5_ls 3 64" "raid6_nc 4 64" "raid10 4 64 raid10_format near"; do
		set -- $(echo "$words" | cut -d' ' -f1,2) "$(echo "$words" | cut -d' ' -f3-)"
		length=$(length_of $1 $2)
		number=0
		while [ $number -lt $2 ]; do
			dd if=/dev/urandom of=/dev/ram$number bs=1M count=16 2>/dev/null
			number=$((number + 1))
		done
		create ours "$(table raid-kmod $length $1 "$3 sync" 0 $2)"
		wait_idle ours
		content=$(fingerprint /dev/mapper/ours)
		remove ours
		case $1 in
		raid[56]*) served_without $content $2 table raid $length $1 "$3" 0 $2 ;;
		*)
			create peer "$(table raid $length $1 "$3" 0 $2)"
			dmsetup message peer 0 check || fail "$1: the peer does not check"
			wait_idle peer
			[ "$(field peer 6)" = 0 ] || fail "$1: dm-raid finds mismatches: $(dmsetup status peer)"
			remove peer
			;;
		esac
	done
}
