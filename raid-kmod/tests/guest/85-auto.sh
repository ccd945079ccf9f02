# Arrays of Linux MD that the target finds by itself: what md made, we run, and md takes back.

export MDADM_NO_UDEV=1

# md_made LEVEL COUNT OPTIONS..: an array on ram0.., made, filled and stopped by md; its size in sectors is left in length.
md_made() {
	local level=$1 count=$2
	shift 2
	case $level in 1 | linear) ;; *) set -- --chunk=64 "$@" ;; esac
	mdadm --create /dev/md0 --run --force --level=$level --raid-devices=$count "$@" $(rams 0 $count) >/tmp/mdadm 2>&1 </dev/null ||
		fail "no array: $(tail -3 /tmp/mdadm | tr '\n' ' ')"
	mdadm --wait /dev/md0 >/dev/null 2>&1
	length=$(blockdev --getsz /dev/md0)
	fill /dev/md0 $length
	content=$(fingerprint /dev/md0)
	md_stop
}

md_stop() {
	mdadm --stop /dev/md0 >/tmp/mdadm 2>&1 || fail "md stays: $(cat /tmp/mdadm)"
}

# rams FIRST COUNT
rams() {
	local number=$1
	while [ $number -lt $(($1 + $2)) ]; do
		echo -n "/dev/ram$number "
		number=$((number + 1))
	done
}

# found DEVICES..: the line that finds the array on them.
found() {
	echo "0 $length raid-kmod auto $*"
}

# md_takes_back COUNT WANTED [SPARE]: md assembles it whole, finds nothing amiss, and has that content.
md_takes_back() {
	mdadm --assemble /dev/md0 $(rams 0 $1) >/tmp/mdadm 2>&1 || fail "$words: md does not assemble it: $(cat /tmp/mdadm)"
	mdadm --wait /dev/md0 >/dev/null 2>&1
	[ "$(cat /sys/block/md0/md/degraded 2>/dev/null || echo 0)" = 0 ] || fail "$words: degraded: $(mdadm --detail /dev/md0 | tail -8)"
	[ "$2" = "$(fingerprint /dev/md0)" ] || fail "$words: md has another content"
	if [ -e /sys/block/md0/md/sync_action ]; then
		echo check >/sys/block/md0/md/sync_action
		mdadm --wait /dev/md0 >/dev/null 2>&1
		[ "$(cat /sys/block/md0/md/mismatch_cnt)" = 0 ] || fail "$words: md finds $(cat /sys/block/md0/md/mismatch_cnt) mismatches"
	fi
	md_stop
}

MD_KINDS="1:2:--metadata=1.2:--bitmap=internal 5:3:--metadata=1.2:--bitmap=internal 5:3:--metadata=0.90:--bitmap=none
	6:4:--metadata=1.0:--bitmap=internal 10:4:--metadata=1.1:--bitmap=none"
[ -n "$HURRY" ] || MD_KINDS="$MD_KINDS 0:3:--metadata=1.2 linear:2:--metadata=1.2 1:3:--metadata=0.90:--bitmap=internal
	4:3:--metadata=1.2:--bitmap=none 10:4:--metadata=1.2:--layout=f2:--bitmap=internal 6:5:--metadata=0.90:--bitmap=internal"

with_md_kinds() {
	local words
	for words in $MD_KINDS; do
		set -- "$1" $(echo $words | tr ':' ' ')
		"$@"
		zero_members
	done
}

ran_by_us() {
	md_made "$@"
	create ours "$(found $(rams 1 $(($2 - 1))) /dev/ram0)"
	[ "$(field ours 5)" = idle ] || fail "$words: not idle: $(dmsetup status ours)"
	[ "$content" = "$(fingerprint /dev/mapper/ours)" ] || fail "$words: we have another content: $(dmsetup status ours)"
	put /dev/mapper/ours 1000 300 17
	dmsetup suspend ours && dmsetup resume ours || fail "$words: no suspend"
	put /dev/mapper/ours 9000 77 18
	content=$(fingerprint /dev/mapper/ours)
	remove ours
	md_takes_back $2 $content
}

test_an_array_of_md_is_found_run_and_taken_back() { with_md_kinds ran_by_us; }

# Member 0 is not given: it is written off, and md catches it up.
ran_degraded() {
	case $1 in 0 | linear) return ;; esac
	md_made "$@"
	create ours "$(found $(rams 1 $(($2 - 1))))"
	[ "$content" = "$(fingerprint /dev/mapper/ours)" ] || fail "$words: we have another content: $(dmsetup status ours)"
	put /dev/mapper/ours 1000 300 17
	content=$(fingerprint /dev/mapper/ours)
	remove ours
	dmsetup create ours --table "$(found $(rams 0 $2))" || fail "$words: with the stale member it is refused"
	case $(field ours 3) in -*) ;; *) fail "$words: who is stale counts: $(dmsetup status ours)" ;; esac
	remove ours
	mdadm --assemble --run /dev/md0 $(rams 1 $(($2 - 1))) >/tmp/mdadm 2>&1 || fail "$words: md does not assemble it: $(cat /tmp/mdadm)"
	[ "$content" = "$(fingerprint /dev/md0)" ] || fail "$words: md has another content"
	mdadm /dev/md0 --re-add /dev/ram0 >/tmp/mdadm 2>&1 || mdadm /dev/md0 --add /dev/ram0 >/tmp/mdadm 2>&1 ||
		fail "$words: it does not come back: $(cat /tmp/mdadm)"
	mdadm --wait /dev/md0 >/dev/null 2>&1
	md_stop
	md_takes_back $2 $content
}

test_an_array_of_md_is_run_without_a_member() { with_md_kinds ran_degraded; }

# md has not synchronised it, or not filled its member: we go on.
test_what_md_began_to_fill_is_filled_by_us() {
	words="a rebuild"
	md_made 5 3 --metadata=1.2 --bitmap=internal
	dd if=/dev/urandom of=/dev/ram2 bs=1M count=16 conv=fsync 2>/dev/null
	mdadm --assemble --run /dev/md0 $(rams 0 2) >/tmp/mdadm 2>&1 || fail "md does not assemble it: $(cat /tmp/mdadm)"
	echo 1000 >/sys/block/md0/md/sync_speed_max
	echo 1000 >/sys/block/md0/md/sync_speed_min
	mdadm /dev/md0 --add /dev/ram2 >/tmp/mdadm 2>&1 || fail "no new member: $(cat /tmp/mdadm)"
	sleep 2
	md_stop
	create ours "$(found $(rams 0 3))"
	# It may be done with before anybody looks; that md finds no mismatch at the end shows that it was done.
	wait_idle ours
	[ "$(field ours 3)" = AAA ] || fail "$(dmsetup status ours)"
	[ "$content" = "$(fingerprint /dev/mapper/ours)" ] || fail "the content changed"
	remove ours
	md_takes_back 3 $content
}

# A member fails while we run it: md sees that it is out.
test_a_failure_while_we_run_it_is_told_to_md() {
	words="a failure"
	md_made 5 3 --metadata=1.2 --bitmap=internal
	over_all 3
	create ours "$(found /dev/mapper/under0 /dev/mapper/under1 /dev/mapper/under2)"
	# It knows that writes began. Of one that does not, MD's bits do not tell what it lacks.
	put /dev/mapper/ours 0 512 4
	under 1 "0 $MEMBER_SECTORS error"
	put /dev/mapper/ours 0 512 5
	[ "$(field ours 3)" = ADA ] || fail "$(dmsetup status ours)"
	content=$(fingerprint /dev/mapper/ours)
	remove ours
	not_over 3
	mdadm --assemble --run /dev/md0 $(rams 0 3) >/tmp/mdadm 2>&1
	[ "$(cat /sys/block/md0/md/degraded)" = 1 ] || fail "md does not know: $(mdadm --detail /dev/md0)"
	[ "$content" = "$(fingerprint /dev/md0)" ] || fail "md has another content"
	mdadm /dev/md0 --re-add /dev/ram1 >/tmp/mdadm 2>&1 || fail "it does not come back: $(cat /tmp/mdadm)"
	mdadm --wait /dev/md0 >/dev/null 2>&1
	md_stop
	md_takes_back 3 $content
}

test_what_is_not_found_is_refused_with_the_reason() {
	words=refused
	md_made 5 3 --metadata=1.2 --bitmap=none
	refused() {
		dmesg -c >/dev/null
		dmsetup create ours --table "$1" 2>/dev/null && fail "taken: $1"
		dmesg | grep -q "$2" || fail "no word of '$2': $(dmesg | tail -3)"
	}
	refused "$(found /dev/ram0)" "more are missing"
	refused "$(found /dev/ram0 /dev/ram1 /dev/ram7)" "no RAID superblock"
	refused "0 $((length - 8)) raid-kmod auto /dev/ram0 /dev/ram1 /dev/ram2" "the array has $length sectors"
	mdadm --create /dev/md1 --run --force --level=1 --raid-devices=2 /dev/ram4 /dev/ram5 >/dev/null 2>&1 </dev/null
	mdadm --stop /dev/md1 >/dev/null 2>&1
	refused "$(found /dev/ram0 /dev/ram1 /dev/ram4)" "another array's"
}
