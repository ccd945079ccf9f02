# Tables that change under a running array.

test_suspend_and_resume_under_load_lose_nothing() {
	length=$(length_of raid5_ls 3)
	create ours "$(table raid-kmod $length raid5_ls 64 0 3)"
	create peer "$(table raid $length raid5_ls 64 8 3)"
	( for turn in 1 2 3 4 5 6 7 8 9 10; do
		dmsetup suspend ours && dmsetup resume ours || echo "why: no suspend"
	done ) &
	fill /dev/mapper/ours $length
	wait
	fill /dev/mapper/peer $length
	remove ours
	remove peer
	same_members 3
}

# Each swap ends an array whose last writes are just done, maybe with their senders still on the way out of it (see `raid_io_queue`).
test_tables_are_swapped_under_load() {
	length=$(length_of raid5_ls 3)
	line=$(table raid-kmod $length raid5_ls "64 nosync" 0 3)
	create ours "$line"
	for writer in 1 2 3 4; do
		( while [ ! -e /tmp/enough ]; do put /dev/mapper/ours $((writer * 4096)) 16 $writer; done ) &
	done
	for turn in 1 2 3 4 5 6 7 8 9 10; do
		dmsetup load ours --table "$line" && dmsetup suspend ours && dmsetup resume ours || echo "why: no swap"
	done
	: >/tmp/enough
	wait
	rm /tmp/enough
	dmsetup message ours 0 check
	wait_idle ours
	[ "$(field ours 6)" = 0 ] || fail "$(dmsetup status ours)"
	remove ours
}

# As above, with answers from threads that are dm-delay's, one for each member: of two answers to one write, the later one's may have both
# taken, and the write ended, before the earlier one's is out of the module.
slow_tables_go_while_answers_come() {
	local turn number line
	for number in 0 1 2; do
		over $number
		under $number "0 $MEMBER_SECTORS delay /dev/ram$number 0 0 /dev/ram$number 0 $((4 + number))"
	done
	line=$(line raid5_ls "64 nosync" 3)
	for turn in $(seq 60); do
		create ours "$line"
		( while [ ! -e /tmp/enough ]; do put /dev/mapper/ours $((turn * 64)) 8 $turn; done ) &
		for number in 1 2 3; do
			dmsetup load ours --table "$line" && dmsetup suspend ours && dmsetup resume ours || fail "no swap"
		done
		: >/tmp/enough
		wait $! || fail "a write failed in turn $turn"
		rm /tmp/enough
		remove ours
	done
	create ours "$line"
	dmsetup message ours 0 check
	wait_idle ours
	[ "$(field ours 6)" = 0 ] || fail "$(dmsetup status ours)"
}

# The seed's story: a mirror in the middle of a resync gets another member.
test_a_mirror_in_resync_gets_another_member() {
	dd if=/dev/urandom of=/dev/ram0 bs=1M count=16 2>/dev/null
	dd if=/dev/urandom of=/dev/ram1 bs=1M count=16 2>/dev/null
	dd if=/dev/urandom of=/dev/ram2 bs=1M count=16 2>/dev/null
	create ours "$(table raid-kmod $MEMBER_SECTORS raid1 "0 sync region_size 512" 0 2)"
	put /dev/mapper/ours 100 64 1
	dmsetup load ours --table "$(table raid-kmod $MEMBER_SECTORS raid1 "0 sync rebuild 2 region_size 512" 0 3)" || fail "no load"
	dmsetup resume ours || fail "no resume"
	put /dev/mapper/ours 30000 64 2
	wait_idle ours
	[ "$(field ours 3)" = AAA ] || fail "$(dmsetup status ours)"
	remove ours
	cmp /dev/ram0 /dev/ram1 && cmp /dev/ram0 /dev/ram2 || fail "members differ"
	dd if=/tmp/random bs=1 skip=2 count=32768 2>/dev/null >/tmp/written
	dd if=/dev/ram2 bs=512 skip=30000 count=64 2>/dev/null | cmp - /tmp/written || fail "what was written is not on the new member"
}

test_a_rebuild_goes_on_after_a_suspend() {
	length=$(length_of raid5_ls 3)
	create peer "$(table raid $length raid5_ls 64 8 3)"
	create ours "$(table raid-kmod $length raid5_ls 64 0 3)"
	fill /dev/mapper/ours $length
	fill /dev/mapper/peer $length
	remove ours
	dd if=/dev/urandom of=/dev/ram2 bs=1M count=16 2>/dev/null
	create ours "$(table raid-kmod $length raid5_ls "64 rebuild 2" 0 3)"
	for turn in 1 2 3 4 5; do
		dmsetup suspend ours && dmsetup resume ours || fail "no suspend"
	done
	wait_idle ours
	remove ours
	remove peer
	same_members 3
}


test_recovery_keeps_to_its_rate_and_stands_still_when_frozen() {
	create ours "$(table raid-kmod $MEMBER_SECTORS raid1 "0 sync max_recovery_rate 1024" 0 2)"
	dmsetup message ours 0 frozen || fail "no message"
	for patience in 1 2 3 4 5 6 7 8 9 10; do
		[ "$(field ours 5)" = frozen ] || sleep 0.1
	done
	[ "$(field ours 5)" = frozen ] || fail "$(dmsetup status ours)"
	dmsetup message ours 0 resync || fail "no message"
	[ "$(field ours 5)" = resync ] || fail "$(dmsetup status ours)"
	dmsetup message ours 0 dance 2>/dev/null && fail "any word will do"
	# 16 MiB would take sixteen seconds.
	sleep 0.5
	[ "$(field ours 5)" = resync ] || fail "it is through already: $(dmsetup status ours)"
}
