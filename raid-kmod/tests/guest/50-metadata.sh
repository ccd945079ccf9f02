# Metadata devices: what one target leaves, the other starts. Members are ram0.., their metadata devices own0.. on ram14.

# fresh_own: six empty metadata devices.
fresh_own() {
	local number=0
	while [ $number -lt 6 ]; do
		[ -b /dev/mapper/own$number ] ||
			dmsetup create own$number --table "0 4096 linear /dev/ram14 $((number * 4096))" || fail "no own$number"
		number=$((number + 1))
	done
	dd if=/dev/zero of=/dev/ram14 bs=1M count=12 conv=fsync 2>/dev/null
	echo 3 >/proc/sys/vm/drop_caches
}

# own TARGET TYPE PARAMETERS COUNT [MISSING..]: a line with metadata devices.
own() {
	local target=$1 type=$2 parameters=$3 count=$4 line number=0
	shift 4
	line="0 $(length_of $type $count) $target $type $(echo $parameters | wc -w) $parameters $count"
	while [ $number -lt $count ]; do
		case " $* " in
		*" $number "*) line="$line - -" ;;
		*) line="$line /dev/mapper/own$number /dev/ram$number" ;;
		esac
		number=$((number + 1))
	done
	echo "$line"
}

# said SLOT OFFSET: eight bytes of a record.
said() {
	echo 3 >/proc/sys/vm/drop_caches
	dd if=/dev/mapper/own$1 bs=4096 count=1 iflag=direct 2>/dev/null | od -An -j $2 -N 8 -t u8 | tr -d ' '
}

ALL=18446744073709551615

# is_clean COUNT: all records say that everything is in order, and nobody failed.
is_clean() {
	local number=0
	while [ $number -lt $1 ]; do
		[ "$(said $number 24) $(said $number 32) $(said $number 40)" = "0 $ALL $ALL" ] ||
			fail "slot $number says failed $(said $number 24), filled up to $(said $number 32), agrees up to $(said $number 40)"
		number=$((number + 1))
	done
}

# bits SLOT: bytes of its bitmap that are not zero.
bits() {
	dd if=/dev/mapper/own$1 bs=4096 skip=1 count=2 iflag=direct 2>/dev/null | tail -c +257 | tr -d '\000' | wc -c
}

# starts NAME LINE LETTERS ACTIVITY: it is so at once.
starts() {
	create "$1" "$2"
	[ "$(field "$1" 3) $(field "$1" 5)" = "$3 $4" ] || fail "not $3 $4: $(dmsetup status "$1")"
}

letters() {
	printf '%0*d' $1 0 | tr 0 "$2"
}

KINDS="raid1:2:0 raid5_ls:3:64 raid6_zr:5:64 raid10:4:64"
[ -z "$HURRY" ] || KINDS="raid1:2:0 raid5_ls:3:64"

# with_kinds FUNCTION [WORDS]: calls it with words, type, count, parameters.
with_kinds() {
	local words
	for words in $KINDS; do
		fresh_own
		"$@" $(echo $words | tr ':' ' ')
		zero_members
	done
}

# checked NAME: its own check finds nothing.
checked() {
	dmsetup message $1 0 check || fail "$1 does not check"
	wait_idle $1
	[ "$(field $1 6)" = 0 ] || fail "mismatches: $(dmsetup status $1)"
}

rubbish() {
	local number=0
	while [ $number -lt $1 ]; do
		dd if=/dev/urandom of=/dev/ram$number bs=1M count=16 conv=fsync 2>/dev/null
		number=$((number + 1))
	done
}

# FROM is synchronised, written to and stopped; INTO finds all in order.
left_whole() {
	local from=$1 into=$2 type=$3 count=$4 parameters=$5 content
	rubbish $count
	create first "$(own $from $type $parameters $count)"
	wait_idle first
	fill /dev/mapper/first $(length_of $type $count)
	content=$(fingerprint /dev/mapper/first)
	remove first
	is_clean $count
	starts second "$(own $into $type $parameters $count)" $(letters $count A) idle
	[ "$content" = "$(fingerprint /dev/mapper/second)" ] || fail "$type: the content changed"
	[ $into = raid-kmod ] || checked second
	put /dev/mapper/second 64 64 7
	remove second
	is_clean $count
	starts first "$(own $from $type $parameters $count)" $(letters $count A) idle
	remove first
}

test_dm_raid_starts_what_we_left() { with_kinds left_whole raid-kmod raid; }
test_we_start_what_dm_raid_left() { with_kinds left_whole raid raid-kmod; }

# A cut in the middle of writes: everything as it is on the devices now, to be put back later.
power_cut() {
	local number
	for number in 14 $(seq 0 $(($1 - 1))); do
		blockdev --flushbufs /dev/ram$number
		dd if=/dev/ram$number of=/tmp/cut$number bs=1M iflag=direct 2>/dev/null
	done
}

put_back() {
	local number
	for number in 14 $(seq 0 $(($1 - 1))); do
		dd if=/tmp/cut$number of=/dev/ram$number bs=1M conv=notrunc,fsync 2>/dev/null
		blockdev --flushbufs /dev/ram$number
		rm /tmp/cut$number
	done
	echo 3 >/proc/sys/vm/drop_caches
}

# Where array sector 1000 has its redundancy: member and sector, for the arrays of KINDS.
redundancy_of_1000() {
	case $1 in
	raid1) echo 1 1000 ;;
	raid5_ls) echo 1 488 ;;
	raid6_zr) echo 0 360 ;;
	raid10) echo 3 488 ;;
	esac
}

# spoil MEMBER SECTOR: eight sectors of rubbish; says what is there now.
spoil() {
	dd if=/tmp/random of=/dev/ram$1 bs=512 skip=77 seek=$2 count=8 conv=notrunc,fsync 2>/dev/null
	blockdev --flushbufs /dev/ram$1
}

is_spoilt() {
	blockdev --flushbufs /dev/ram$1
	dd if=/dev/ram$1 bs=512 skip=$2 count=8 iflag=direct 2>/dev/null >/tmp/there
	dd if=/tmp/random bs=512 skip=77 count=8 2>/dev/null | cmp -s - /tmp/there
}

# FROM is cut while it writes; INTO mends what was being written, and nothing else.
cut_short() {
	local from=$1 into=$2 type=$3 count=$4 parameters="$5 region_size 512" place
	create first "$(own $from $type "$parameters" $count)"
	wait_idle first
	fill /dev/mapper/first $(length_of $type $count)
	remove first
	create first "$(own $from $type "$parameters" $count)"
	put /dev/mapper/first 1000 64 99
	dd if=/dev/mapper/first of=/tmp/content bs=512 count=4096 iflag=direct 2>/dev/null
	power_cut $count
	remove first
	put_back $count
	[ $(bits 0) -gt 0 ] || fail "$type: no bit is set"
	place=$(redundancy_of_1000 $type)
	spoil $place
	# As far away, in a region that is clean.
	spoil ${place% *} 24000
	is_spoilt $place || fail "$type: nothing is spoilt"
	create second "$(own $into $type "$parameters" $count)"
	wait_idle second
	[ "$(field second 3)" = $(letters $count A) ] || fail "$(dmsetup status second)"
	is_spoilt $place && fail "$type: what was being written is not mended"
	[ $into = raid ] || is_spoilt ${place% *} 24000 || fail "$type: the clean region was synchronised too"
	remove second
	create second "$(own raid-kmod $type "$parameters" $count)"
	dd if=/dev/mapper/second bs=512 count=4096 iflag=direct 2>/dev/null | cmp -s - /tmp/content || fail "$type: the content changed"
	remove second
}

test_we_mend_what_was_being_written_when_we_were_cut() { with_kinds cut_short raid-kmod raid-kmod; }
test_we_mend_what_was_being_written_when_dm_raid_was_cut() { with_kinds cut_short raid raid-kmod; }
slow_dm_raid_mends_what_was_being_written_when_we_were_cut() { with_kinds cut_short raid-kmod raid; }

# Member 1 is away while FROM writes; INTO gives it what it lacks.
came_back() {
	local from=$1 into=$2 type=$3 count=$4 parameters="$5 region_size 512" content
	create first "$(own $from $type "$parameters" $count)"
	wait_idle first
	fill /dev/mapper/first $(length_of $type $count)
	remove first
	create first "$(own $from $type "$parameters" $count 1)"
	put /dev/mapper/first 1000 64 99
	put /dev/mapper/first 15000 640 98
	# What is spoilt below lies behind this part.
	content=$(dd if=/dev/mapper/first bs=512 count=20480 iflag=direct 2>/dev/null | sha256sum)
	remove first
	[ "$(said 0 24)" = 2 ] || fail "$type: failed are $(said 0 24)"
	[ $(bits 0) -gt 0 ] || fail "$type: what member 1 lacks is forgotten"
	spoil 1 31000
	create second "$(own $into $type "$parameters" $count)"
	wait_idle second
	[ "$(field second 3)" = $(letters $count A) ] || fail "$(dmsetup status second)"
	[ "$content" = "$(dd if=/dev/mapper/second bs=512 count=20480 iflag=direct 2>/dev/null | sha256sum)" ] ||
		fail "$type: the content changed"
	remove second
	[ $into = raid ] || is_spoilt 1 31000 || fail "$type: the whole member was filled"
	is_clean $count
}

slow_a_member_that_was_away_from_us_is_caught_up_by_us() { with_kinds came_back raid-kmod raid-kmod; }
test_a_member_that_was_away_from_dm_raid_is_caught_up_by_us() { with_kinds came_back raid raid-kmod; }
slow_a_member_that_was_away_from_us_is_caught_up_by_dm_raid() { with_kinds came_back raid-kmod raid; }

# FROM fills member 1 and is stopped in the middle; INTO goes on there.
half_filled() {
	local from=$1 into=$2 type=$3 count=$4 parameters=$5 content mark
	create first "$(own $from $type "$parameters" $count)"
	wait_idle first
	fill /dev/mapper/first $(length_of $type $count)
	content=$(fingerprint /dev/mapper/first)
	remove first
	dd if=/dev/urandom of=/dev/ram1 bs=1M count=16 oflag=direct 2>/dev/null
	create first "$(own $from $type "$parameters rebuild 1 max_recovery_rate 4096" $count)"
	sleep 1.5
	remove first
	mark=$(said 1 32)
	[ "$mark" != 0 ] && [ "$mark" != $ALL ] || fail "$type: stopped at $mark"
	create second "$(own $into $type "$parameters" $count)"
	wait_idle second
	[ "$(field second 3)" = $(letters $count A) ] || fail "$(dmsetup status second)"
	[ "$content" = "$(fingerprint /dev/mapper/second)" ] || fail "$type: the content changed"
	remove second
	is_clean $count
	create second "$(own raid $type "$parameters" $count)"
	checked second
	remove second
}

slow_we_go_on_filling_where_we_stopped() { with_kinds half_filled raid-kmod raid-kmod; }
test_we_go_on_filling_where_dm_raid_stopped() { with_kinds half_filled raid raid-kmod; }
slow_dm_raid_goes_on_filling_where_we_stopped() { with_kinds half_filled raid-kmod raid; }

# The seed's story, remembered: a mirror in the middle of a resync gets another member.
test_a_mirror_with_metadata_gets_another_member_in_the_middle_of_a_resync() {
	fresh_own
	rubbish 3
	create ours "$(own raid-kmod raid1 "0 region_size 512 max_recovery_rate 4096" 2)"
	put /dev/mapper/ours 100 64 1
	sleep 1
	dmsetup suspend ours || fail "no suspend"
	mark=$(said 0 40)
	[ "$mark" -gt 0 ] && [ "$mark" -lt $MEMBER_SECTORS ] || fail "suspended at $mark"
	dmsetup load ours --table "$(own raid-kmod raid1 "0 region_size 512 rebuild 2" 3)" || fail "no load"
	dmsetup resume ours || fail "no resume: $(dmesg | tail -2)"
	put /dev/mapper/ours 30000 64 2
	wait_idle ours
	[ "$(field ours 3)" = AAA ] || fail "$(dmsetup status ours)"
	remove ours
	is_clean 3
	cmp /dev/ram0 /dev/ram1 && cmp /dev/ram0 /dev/ram2 || fail "members differ"
	dd if=/tmp/random bs=1 skip=2 count=32768 2>/dev/null >/tmp/written
	dd if=/dev/ram2 bs=512 skip=30000 count=64 iflag=direct 2>/dev/null | cmp - /tmp/written || fail "what was written is not on the new member"
	starts peer "$(own raid raid1 "0 region_size 512" 3)" AAA idle
	checked peer
}

test_a_resync_goes_on_at_its_mark_after_the_module_was_away() {
	fresh_own
	rubbish 3
	create ours "$(own raid-kmod raid5_ls "64 region_size 512 max_recovery_rate 4096" 3)"
	sleep 1
	remove ours
	rmmod raid_kmod || fail "the module stays"
	mark=$(said 0 40)
	[ "$mark" -gt 0 ] && [ "$mark" -lt $MEMBER_SECTORS ] || fail "stopped at $mark"
	# What lies before the mark is not looked at again.
	spoil 2 0
	insmod /modules/raid_kmod.ko || fail "no module"
	create ours "$(own raid-kmod raid5_ls "64 region_size 512" 3)"
	wait_idle ours
	remove ours
	is_clean 3
	is_spoilt 2 0 || fail "it began anew"
	create peer "$(own raid raid5_ls "64 region_size 512" 3)"
	dmsetup message peer 0 check || fail "no check"
	wait_idle peer
	[ "$(field peer 6)" = 8 ] || fail "but for what was spoilt, the peer finds $(dmsetup status peer)"
}

test_what_the_metadata_refuse_is_refused() {
	fresh_own
	create ours "$(own raid-kmod raid5_ls "64 nosync" 3)"
	remove ours
	while read type count parameters; do
		dmsetup create ours --table "$(own raid-kmod $type "$parameters" $count)" 2>/dev/null &&
			fail "taken: $type $count $parameters"
	done <<-END
		raid5_la 3 64
		raid5_ls 3 32
		raid6_zr 4 64
		raid5_ls 4 64
	END
	dd if=/dev/zero of=/dev/mapper/own1 bs=4096 count=1 oflag=direct 2>/dev/null
	dmsetup create ours --table "$(own raid-kmod raid5_ls 64 3)" 2>/dev/null && fail "a member without a record is taken"
	starts ours "$(own raid-kmod raid5_ls "64 rebuild 1 max_recovery_rate 1024" 3)" AaA recover
}
