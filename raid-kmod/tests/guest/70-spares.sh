# Members with metadata that fail, what is written down of that, and spares.

# own_over TARGET TYPE PARAMETERS COUNT: a line with metadata devices, and with members that can be given another table.
own_over() {
	own "$@" | sed 's:/dev/ram\([0-9]\):/dev/mapper/under\1:g'
}

# over_all COUNT [DEVICE]: over each RAM disk, or over what DEVICE with its number names.
over_all() {
	local number=0
	while [ $number -lt $1 ]; do
		over $number ${2:+$2$number}
		number=$((number + 1))
	done
}

not_over() {
	local number=0
	while [ $number -lt $1 ]; do
		dmsetup remove under$number || fail "under$number stays"
		number=$((number + 1))
	done
}

# Member 1 fails a write. Who is told that the write is done may cut the power at once: the others' records say who failed.
failure_is_known() {
	local type=$1 count=$2 parameters=$3 content before
	over_all $count
	create ours "$(own_over raid-kmod $type "$parameters" $count)"
	wait_idle ours
	fill /dev/mapper/ours $(length_of $type $count)
	before=$(said 0 16)
	under 1 "0 $MEMBER_SECTORS error"
	# A row of every member, so that member 1 is among them.
	put /dev/mapper/ours 0 512 5
	[ "$(said 0 24)" = 2 ] || fail "$type: the write is done, and failed are $(said 0 24)"
	[ "$(said 0 16)" -gt "$before" ] || fail "$type: no new count"
	[ "$(said 1 24)" = 0 ] || fail "$type: who failed was told"
	content=$(fingerprint /dev/mapper/ours)
	remove ours
	not_over $count
	create peer "$(own raid $type "$parameters" $count 1)"
	[ "$content" = "$(fingerprint /dev/mapper/peer)" ] || fail "$type: dm-raid has another content"
	remove peer
	create ours "$(own raid-kmod $type "$parameters" $count)"
	wait_idle ours
	[ "$(field ours 3)" = $(letters $count A) ] || fail "$type: it is not caught up: $(dmsetup status ours)"
	[ "$content" = "$(fingerprint /dev/mapper/ours)" ] || fail "$type: the content changed"
	remove ours
}

test_a_failure_is_written_down_before_the_write_is_done() { with_kinds failure_is_known; }

# spare LINE: slot 1 of the line gets a new device, ram6 with own5.
spare() {
	echo "$1" | sed 's:/dev/mapper/own1 /dev/[a-z/]*1\( \|$\):/dev/mapper/own5 /dev/ram6\1:'
}

# spare_table WORDS..: the same of a line without metadata.
spare_table() {
	table "$@" | sed 's:- /dev/ram1\>:- /dev/ram6:'
}

# Member 1 is replaced; the rebuild is interrupted by suspends, by another table, and by the module's going away.
spare_takes_over() {
	local type=$1 count=$2 parameters=$3 content line
	create ours "$(own raid-kmod $type "$parameters" $count)"
	wait_idle ours
	fill /dev/mapper/ours $(length_of $type $count)
	dd if=/dev/urandom of=/dev/ram6 bs=1M count=16 conv=fsync 2>/dev/null
	line=$(spare "$(own raid-kmod $type "$parameters rebuild 1 max_recovery_rate $((2000 / TIMES))" $count)")
	dmsetup load ours --table "$line" || fail "$type: no load"
	dmsetup suspend ours && dmsetup resume ours || fail "$type: no resume"
	put /dev/mapper/ours 500 64 17
	for turn in 1 2 3; do
		dmsetup suspend ours && dmsetup resume ours || fail "$type: no suspend"
		sleep 0.2
	done
	content=$(fingerprint /dev/mapper/ours)
	remove ours
	rmmod raid_kmod && insmod /modules/raid_kmod.ko || fail "the module stays"
	# Slow enough to be seen at it.
	line=$(spare "$(own raid-kmod $type "$parameters max_recovery_rate $((6000 / TIMES))" $count)")
	create ours "$line"
	[ "$(field ours 5)" = recover ] || fail "$type: it does not go on: $(dmsetup status ours)"
	wait_idle ours
	[ "$(field ours 3)" = $(letters $count A) ] || fail "$type: $(dmsetup status ours)"
	[ "$content" = "$(fingerprint /dev/mapper/ours)" ] || fail "$type: the content changed"
	remove ours
	create peer "$(spare "$(own raid $type "$parameters" $count)")"
	[ "$content" = "$(fingerprint /dev/mapper/peer)" ] || fail "$type: dm-raid has another content"
	case $type in
	raid[56]*)
		remove peer
		served_without $content $count spare_table raid $(length_of $type $count) $type "$parameters" 0 $count
		;;
	*)
		checked peer
		remove peer
		;;
	esac
}

slow_a_spare_takes_over_through_suspends_and_a_restart() { with_kinds spare_takes_over; }

test_read_errors_while_a_spare_is_filled_are_served_by_the_other_parity() {
	fresh_own
	over_all 5
	create ours "$(own_over raid-kmod raid6_zr 64 5)"
	wait_idle ours
	fill /dev/mapper/ours $(length_of raid6_zr 5)
	content=$(fingerprint /dev/mapper/ours)
	remove ours
	under 0 "0 $MEMBER_SECTORS dust /dev/ram0 0 512"
	for block in 3 4000 12345; do
		dmsetup message under0 0 addbadblock $block >/dev/null 2>&1 || fail "no bad block"
	done
	dmsetup message under0 0 enable || fail "dust stays off"
	dd if=/dev/urandom of=/dev/ram1 bs=1M count=16 conv=fsync 2>/dev/null
	create ours "$(own_over raid-kmod raid6_zr "64 rebuild 1" 5)"
	wait_idle ours
	[ "$(field ours 3)" = AAAAA ] || fail "$(dmsetup status ours)"
	[ "$content" = "$(fingerprint /dev/mapper/ours)" ] || fail "the content changed"
	remove ours
}

test_a_member_whose_metadata_cannot_be_written_is_out() {
	fresh_own
	create ours "$(own raid-kmod raid5_ls "64 region_size 512" 3)"
	wait_idle ours
	fill /dev/mapper/ours $(length_of raid5_ls 3)
	dmsetup suspend --noflush own2 && dmsetup load own2 --table "0 4096 error" && dmsetup resume own2 || fail "own2"
	# A region that has no bit yet has to get one.
	dmsetup suspend ours && dmsetup resume ours
	put /dev/mapper/ours 40000 64 3
	case $(field ours 3) in AAD) ;; *) fail "$(dmsetup status ours)" ;; esac
	[ "$(said 0 24)" = 4 ] || fail "failed are $(said 0 24)"
	content=$(fingerprint /dev/mapper/ours)
	remove ours
	create peer "$(own raid raid5_ls "64 region_size 512" 3 2)"
	[ "$content" = "$(fingerprint /dev/mapper/peer)" ] || fail "dm-raid has another content"
}

test_a_member_that_comes_and_goes_is_out_and_comes_back() {
	fresh_own
	over_all 3
	create ours "$(own_over raid-kmod raid5_ls 64 3)"
	wait_idle ours
	under 1 "0 $MEMBER_SECTORS flakey /dev/ram1 0 1 1 1 error_writes"
	fill /dev/mapper/ours $(length_of raid5_ls 3)
	sleep 1
	put /dev/mapper/ours 0 512 5
	case $(field ours 3) in ADA) ;; *) fail "$(dmsetup status ours)" ;; esac
	content=$(fingerprint /dev/mapper/ours)
	remove ours
	under 1 "0 $MEMBER_SECTORS linear /dev/ram1 0"
	create ours "$(own_over raid-kmod raid5_ls 64 3)"
	wait_idle ours
	[ "$(field ours 3)" = AAA ] || fail "$(dmsetup status ours)"
	[ "$content" = "$(fingerprint /dev/mapper/ours)" ] || fail "the content changed"
	remove ours
	not_over 3
	create peer "$(own raid raid5_ls 64 3)"
	[ "$content" = "$(fingerprint /dev/mapper/peer)" ] || fail "dm-raid has another content"
	remove peer
	served_without $content 3 table raid $(length_of raid5_ls 3) raid5_ls 64 0 3
}
