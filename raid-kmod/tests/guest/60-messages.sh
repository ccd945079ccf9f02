# Messages: check, repair, frozen, idle.

# checked_and_repaired TYPE COUNT PARAMETERS MEMBER SECTOR: what a check says when eight sectors are wrong there, and what a repair leaves.
checked_and_repaired() {
	local type=$1 count=$2 parameters=$3
	create ours "$(table raid-kmod $(length_of $type $count) $type "$parameters" 0 $count)"
	fill /dev/mapper/ours $(length_of $type $count)
	before=$(fingerprint /dev/mapper/ours)
	dmsetup message ours 0 check || fail "$type: no check"
	wait_idle ours
	[ "$(field ours 6)" = 0 ] || fail "$type: mismatches in a sound array: $(dmsetup status ours)"
	sound=$(all_members $count)
	spoil $4 $5
	dmsetup message ours 0 check || fail "$type: no check"
	wait_idle ours
	[ "$(field ours 6)" = 8 ] || fail "$type: eight sectors are wrong, and it says $(dmsetup status ours)"
	case $(field ours 3) in *[!A]*) fail "$type: $(dmsetup status ours)" ;; esac
	dmsetup message ours 0 repair || fail "$type: no repair"
	wait_idle ours
	is_spoilt $4 $5 && fail "$type: it is not repaired"
	dmsetup message ours 0 check || fail "$type: no check"
	wait_idle ours
	[ "$(field ours 6)" = 0 ] || fail "$type: mismatches after the repair: $(dmsetup status ours)"
	[ "$before" = "$(fingerprint /dev/mapper/ours)" ] || fail "$type: the content changed"
	remove ours
	[ "$sound" = "$(all_members $count)" ] || fail "$type: members are not what they were"
	zero_members
}

# all_members COUNT: what is on them. dm-raid is not asked: a RAID 6 of it that has checked is at times never let go of
# (docs/testing.md).
all_members() {
	local number=0
	while [ $number -lt $1 ]; do
		blockdev --flushbufs /dev/ram$number
		fingerprint /dev/ram$number
		number=$((number + 1))
	done
}

test_a_check_counts_and_a_repair_mends() {
	checked_and_repaired raid1 2 0 1 1000
	# Left-symmetric: the first stripe's parity is on the last member.
	checked_and_repaired raid5_ls 3 64 2 8
	# Q of the first stripe, and a data block that P and Q name.
	checked_and_repaired raid6_zr 4 64 1 16
	checked_and_repaired raid6_zr 4 64 2 16
	checked_and_repaired raid10 4 64 1 32
}

test_a_repair_that_believes_nobody_leaves_what_is_not_named() {
	create ours "$(table raid-kmod $(length_of raid5_ls 3) raid5_ls 64 0 3)"
	fill /dev/mapper/ours $(length_of raid5_ls 3)
	spoil 2 8
	dmsetup message ours 0 repair nobody || fail "no repair"
	wait_idle ours
	is_spoilt 2 8 || fail "it was repaired without a reason"
	dmsetup message ours 0 repair but 2 || fail "no repair"
	wait_idle ours
	is_spoilt 2 8 && fail "it is not repaired"
	dmsetup message ours 0 check
	wait_idle ours
	[ "$(field ours 6)" = 0 ] || fail "mismatches after the repair: $(dmsetup status ours)"
	for wrong in "repair me" "check all" "repair copy" dance; do
		dmsetup message ours 0 $wrong 2>/dev/null && fail "taken: $wrong"
	done
	return 0
}

test_a_check_can_be_seen_frozen_and_called_off() {
	create ours "$(table raid-kmod $MEMBER_SECTORS raid1 "0 max_recovery_rate 1024" 0 2)"
	dmsetup message ours 0 check || fail "no check"
	[ "$(field ours 5)" = check ] || fail "$(dmsetup status ours)"
	dmsetup message ours 0 repair 2>/dev/null && fail "a repair in the middle of a check"
	sleep 1
	case $(field ours 4) in 0/* | $MEMBER_SECTORS/*) fail "no progress: $(dmsetup status ours)" ;; esac
	dmsetup message ours 0 frozen || fail "no frozen"
	[ "$(field ours 5)" = frozen ] || fail "$(dmsetup status ours)"
	put /dev/mapper/ours 100 8 1
	dmsetup message ours 0 idle || fail "no idle"
	wait_idle ours
	dmsetup suspend ours
	dmsetup message ours 0 check 2>/dev/null && fail "a check while suspended"
	dmsetup resume ours
	dmsetup message ours 0 check || fail "no second check"
}
