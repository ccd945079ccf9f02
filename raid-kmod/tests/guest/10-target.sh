# The target's table and status lines.

test_target_is_there_with_its_version() {
	dmsetup targets | grep -q '^raid-kmod  *v0.1.0' || fail "no target raid-kmod: $(dmsetup targets | tr '\n' ' ')"
}

# What dm-raid says of the same table, but for the target's name.
test_status_and_table_are_those_of_dm_raid() {
	while read type count parameters; do
		length=$(length_of $type $count)
		[ $type != raid10 ] || parameters="$parameters nosync"
		create ours "$(table raid-kmod $length $type "$parameters" 0 $count)"
		create peer "$(table raid $length $type "$parameters" 0 $count)"
		for form in status table; do
			ours=$(dmsetup $form ours | sed 's/ raid-kmod / raid /')
			# A peer with metadata, where that is the only way, has their names in its table.
			peer=$(dmsetup $form peer | sed 's/ 25[0-9]:[0-9]* 1:/ - 1:/g')
			[ "$ours" = "$peer" ] || fail "$form: ours is '$ours', dm-raid's is '$peer'"
		done
		remove ours
		remove peer
	done <<-END
		raid0 3 64
		raid1 2 0
		raid1 2 0 write_mostly 1 region_size 1024
		raid4 3 8
		raid5_ls 3 64
		raid5_ra 4 64 nosync region_size 2048 min_recovery_rate 5 max_recovery_rate 500
		raid6_zr 5 128
		raid10 4 64 raid10_format near
		raid10 4 64 raid10_format far
		raid10 4 64 raid10_copies 2 raid10_format offset
	END
}

test_wrong_tables_are_refused_and_leave_nothing() {
	while read type count parameters; do
		dmsetup create ours --table "$(table raid-kmod 65536 $type "$parameters" 0 $count)" 2>/dev/null &&
			fail "taken: $type $count $parameters"
	done <<-END
		raid7 3 64
		raid5_ls 3 63
		raid5_ls 3 64 rebuild 3
		raid5_ls 3 64 delta_disks 1
		raid5_ls 4 64
		raid6_zr 20 64
	END
	dmsetup create ours --table "$(table raid-kmod 65536 raid5_ls 64 0 3 0 1)" 2>/dev/null && fail "taken with two missing"
	dmsetup create ours --table "$(table raid-kmod 6553600 raid5_ls 64 0 3)" 2>/dev/null && fail "taken with small members"
	return 0
}

# Which code that is depends on the CPU: whoever emulates one says what it must be.
test_parity_is_by_the_code_of_this_cpu() {
	wanted=$(word parity)
	rmmod raid_kmod
	insmod /modules/raid_kmod.ko
	dmesg | grep -q "parity by ${wanted:-[a-z0-9-]*}\$" || fail "not by $wanted: $(dmesg | grep 'parity by' | tail -1)"
}

# Four write at the same time, so that on two processors two compute at the same time; then what is missing is computed.
test_parity_of_this_cpu_is_that_of_dm_raid() {
	for words in "raid5_ls 4 1" "raid6_zr 5 0 2"; do
		type=${words%% *} count=$(echo $words | cut -d' ' -f2) missing=$(echo $words | cut -d' ' -f3-) length=6144
		zero_members
		create ours "$(table raid-kmod $length $type 64 0 $count)"
		create peer "$(table raid $length $type 64 8 $count)"
		for device in ours peer; do
			for writer in 0 1 2 3; do
				( for size in 1 8 64 200 384; do
					put /dev/mapper/$device $((writer * 1536 + size * 2)) $size $((writer * 1000 + size))
				done ) &
			done
			wait
		done
		whole=$(fingerprint /dev/mapper/ours)
		[ "$whole" = "$(fingerprint /dev/mapper/peer)" ] || fail "$type: contents differ"
		remove ours
		remove peer
		same_members $count
		create ours "$(table raid-kmod $length $type 64 0 $count $missing)"
		[ "$whole" = "$(fingerprint /dev/mapper/ours)" ] || fail "$type without $missing: content differs from the whole array's"
		remove ours
	done
}
