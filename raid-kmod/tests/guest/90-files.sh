# A file system on our target: made, filled, checked by its own checker, degraded, used on, filled again.

# tree FOLDER SEED: files of many sizes below it, and a list of what is in them.
tree() {
	local folder=$1 seed=$2 number=0 size
	mkdir -p $folder/a/b $folder/c
	while [ $number -lt 60 ]; do
		size=$(((number * 7919 + seed * 104729) % 120000 + 1))
		dd if=/tmp/random of=$folder/$(echo a a/b c | cut -d' ' -f$((number % 3 + 1)))/file$number bs=$size count=1 \
			iflag=skip_bytes skip=$(((number + seed) * 4099)) 2>/dev/null || fail "no file $number"
		number=$((number + 1))
	done
	(cd $folder && find . -type f | sort | xargs sha256sum) >/tmp/tree$seed
}

same_tree() {
	(cd $1 && sha256sum -c -s /tmp/tree$2) || fail "$kind: files are not what was written"
}

checked_fs() {
	umount /tmp/fs || fail "$kind: it stays mounted"
	/bin/e2fsck -f -n $1 >/tmp/fsck 2>&1 || fail "$kind: e2fsck: $(tail -5 /tmp/fsck | tr '\n' ' ')"
	mount -t ext4 -o ${options:-defaults} $1 /tmp/fs || fail "$kind: no mount"
}

# Writes, cuts and holes at random places of a file, and of another one that is not on the array; then both are the same.
exercised() {
	local turn=0 at len state=$1
	rm -f /tmp/twin
	: >/tmp/fs/twin
	: >/tmp/twin
	while [ $turn -lt 150 ]; do
		state=$(((state * 1103515245 + 12345) % 2147483648))
		at=$((state % 700000)) len=$((state / 65536 % 40000 + 1))
		for file in /tmp/fs/twin /tmp/twin; do
			case $((turn % 9)) in
			8) truncate -s $at $file ;;
			*) dd if=/tmp/random of=$file bs=$len count=1 iflag=skip_bytes skip=$((state % 3000000)) oflag=seek_bytes seek=$at conv=notrunc 2>/dev/null ;;
			esac || fail "$kind: turn $turn"
		done
		[ $((turn % 50)) != 49 ] || { sync; echo 3 >/proc/sys/vm/drop_caches; cmp /tmp/fs/twin /tmp/twin || fail "$kind: the twins differ after turn $turn"; }
		turn=$((turn + 1))
	done
	rm /tmp/twin /tmp/fs/twin
}

# files TYPE COUNT PARAMETERS MEMBER: that member fails on the way, and comes back as an empty one.
files() {
	local type=$1 count=$2 parameters=$3 member=$4
	kind="$type $parameters"
	mkdir -p /tmp/fs
	over_all $count
	create ours "$(line $type "$parameters" $count)"
	/bin/mke2fs -q -t ext4 /dev/mapper/ours >/tmp/mke2fs 2>&1 || fail "$kind: no file system: $(cat /tmp/mke2fs)"
	mount -t ext4 /dev/mapper/ours /tmp/fs || fail "$kind: no mount: $(dmesg | tail -2)"
	tree /tmp/fs/one 1
	exercised 11
	checked_fs /dev/mapper/ours
	same_tree /tmp/fs/one 1
	under $member "0 $MEMBER_SECTORS error"
	tree /tmp/fs/two 2
	exercised 12
	checked_fs /dev/mapper/ours
	case $(field ours 3) in *D*) ;; *) fail "$kind: nobody is out: $(dmsetup status ours)" ;; esac
	same_tree /tmp/fs/one 1
	same_tree /tmp/fs/two 2
	rm -r /tmp/fs/one
	umount /tmp/fs
	remove ours
	dd if=/dev/urandom of=/dev/ram$member bs=1M count=16 conv=fsync 2>/dev/null
	under $member "0 $MEMBER_SECTORS linear /dev/ram$member 0"
	create ours "$(line $type "$parameters rebuild $member" $count)"
	mount -t ext4 /dev/mapper/ours /tmp/fs || fail "$kind: no mount while it is filled"
	tree /tmp/fs/three 3
	exercised 13
	wait_idle ours
	checked_fs /dev/mapper/ours
	same_tree /tmp/fs/two 2
	same_tree /tmp/fs/three 3
	umount /tmp/fs
	dmsetup message ours 0 check
	wait_idle ours
	[ "$(field ours 6)" = 0 ] || fail "$kind: mismatches: $(dmsetup status ours)"
	remove ours
	not_over $count
	zero_members
}

test_a_file_system_lives_on_raid5_whole_degraded_and_filled() { files raid5_ls 3 64 1; }
test_a_file_system_lives_on_raid10_whole_degraded_and_filled() { files raid10 4 "64 raid10_format near" 2; }
slow_a_file_system_lives_on_raid6_whole_degraded_and_filled() { files raid6_zr 5 64 0; }
