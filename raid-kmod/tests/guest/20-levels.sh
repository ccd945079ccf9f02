# Every level and layout: what is written through our target equals, byte by byte on the members, what dm-raid writes.

LEVELS="raid0:2:64 raid0:3:8 raid1:2:0 raid1:3:0 raid4:3:64 raid5_n:4:64 raid5_ls:3:64 raid5_rs:4:8 raid5_la:5:128 raid5_ra:3:16
	raid6_zr:4:64 raid6_nr:5:16 raid6_nc:6:64 raid6_n_6:4:8 raid6_ls_6:5:64 raid6_rs_6:4:64 raid6_la_6:5:16 raid6_ra_6:4:64"

# level TYPE COUNT PARAMETERS: both write the same, have the same on the members, and read each other's.
level() {
	local type=$1 count=$2 parameters=$3 length ours
	length=$(length_of $type $count)
	length=$((length - length % (128 * count)))
	create ours "$(table raid-kmod $length $type "$parameters" 0 $count)"
	create peer "$(table raid $length $type "$parameters" 8 $count)"
	fill /dev/mapper/ours $length
	fill /dev/mapper/peer $length
	ours=$(fingerprint /dev/mapper/ours)
	[ "$ours" = "$(fingerprint /dev/mapper/peer)" ] || fail "$type $count $parameters: contents differ"
	remove ours
	remove peer
	same_members $count
	create ours "$(table raid-kmod $length $type "$parameters" 8 $count)"
	[ "$ours" = "$(fingerprint /dev/mapper/ours)" ] || fail "$type $count $parameters: we misread dm-raid's"
	remove ours
	create peer "$(table raid $length $type "$parameters" 0 $count)"
	[ "$ours" = "$(fingerprint /dev/mapper/peer)" ] || fail "$type $count $parameters: dm-raid misreads ours"
	remove peer
	zero_members
}

zero_members() {
	local number
	for number in 0 1 2 3 4 5 8 9 10 11 12 13; do
		blkdiscard /dev/ram$number 2>/dev/null || dd if=/dev/zero of=/dev/ram$number bs=1M count=16 2>/dev/null
	done
}

levels() {
	local words
	for words in $LEVELS; do
		case $words in
		$1*) level $(echo $words | tr ':' ' ') ;;
		esac
	done
}

test_raid0_is_that_of_dm_raid() { levels raid0; }
test_raid1_is_that_of_dm_raid() { levels raid1; }
test_raid4_is_that_of_dm_raid() { levels raid4; }
test_raid5_is_that_of_dm_raid() { levels raid5; }
test_raid6_is_that_of_dm_raid() { levels raid6; }

test_raid10_is_that_of_dm_raid() {
	level raid10 4 "64 raid10_format near"
	level raid10 4 "8 raid10_format far"
	level raid10 4 "64 raid10_format offset"
	level raid10 5 "64 raid10_format near"
	level raid10 6 "16 raid10_format offset"
}

# degraded TYPE COUNT PARAMETERS MISSING..: written whole, then members leave; what is written then is the same on those that stay.
degraded() {
	local type=$1 count=$2 parameters=$3 length whole state size
	shift 3
	length=$(length_of $type $count)
	create ours "$(table raid-kmod $length $type "$parameters" 0 $count)"
	create peer "$(table raid $length $type "$parameters" 8 $count)"
	fill /dev/mapper/ours $length
	fill /dev/mapper/peer $length
	whole=$(fingerprint /dev/mapper/ours)
	remove ours
	remove peer
	create ours "$(table raid-kmod $length $type "$parameters" 0 $count $*)"
	# A peer with metadata finds those of the whole array, and is told of the members that left.
	keep_metadata=yes
	create peer "$(table raid $length $type "$parameters" 8 $count $*)"
	keep_metadata=
	[ "$whole" = "$(fingerprint /dev/mapper/ours)" ] || fail "$type without $*: content differs from the whole array's"
	state=777
	for size in 1 8 3 64 128 5 8 300; do
		state=$(((state * 1103515245 + 12345) % 2147483648))
		put /dev/mapper/ours $((state % (length - 512))) $size $state
		put /dev/mapper/peer $((state % (length - 512))) $size $state
	done
	[ "$(fingerprint /dev/mapper/ours)" = "$(fingerprint /dev/mapper/peer)" ] || fail "$type without $*: contents differ"
	remove ours
	remove peer
	same_members $count $*
	zero_members
}

test_degraded_raid1_is_that_of_dm_raid() { degraded raid1 3 0 0; }

test_degraded_raid5_is_that_of_dm_raid() {
	degraded raid5_ls 4 64 0
	degraded raid5_ra 3 16 2
	degraded raid4 3 64 0
	degraded raid5_n 4 8 1
}

test_degraded_raid6_is_that_of_dm_raid() {
	degraded raid6_zr 5 64 1
	degraded raid6_nc 5 16 0 3
	degraded raid6_ls_6 6 64 2 5
}

test_degraded_raid10_is_that_of_dm_raid() {
	degraded raid10 4 "64 raid10_format near" 1
	degraded raid10 4 "64 raid10_format near" 0 3
	degraded raid10 4 "64 raid10_format offset" 2
}

# under_writes COUNT: bios that COUNT members of over_all were written by.
under_writes() {
	local number=0 sum=0 stat
	while [ $number -lt $1 ]; do
		stat=$(cat /sys/block/dm-$(dmsetup info -c --noheadings -o minor under$number)/stat)
		sum=$((sum + $(echo $stat | cut -d' ' -f5)))
		number=$((number + 1))
	done
	echo $sum
}

# The engine knows rows of 4 KiB; a member hears of those that follow each other at once. 32 requests lie in two chunks with two copies each.
test_long_writes_go_to_copies_in_few_bios() {
	over_all 4
	create ours "$(line raid10 "64 raid10_format near" 4)"
	before=$(under_writes 4)
	dd if=/tmp/random of=/dev/mapper/ours bs=64k count=32 oflag=direct conv=notrunc 2>/dev/null || fail "no write"
	written=$(($(under_writes 4) - before))
	[ $written = 128 ] || fail "$written bios, not 128"
	remove ours
}
