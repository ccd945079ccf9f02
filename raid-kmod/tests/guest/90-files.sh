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

# through TYPE COUNT PARAMETERS MEMBER EXERCISE WORDS..: with an ext4 mounted, EXERCISE WORDS STATE on the whole array, on one that lost
# that member, and while an empty one is filled; and each time once more, in state "after", when its checker found nothing.
through() {
	local type=$1 count=$2 parameters=$3 member=$4
	shift 4
	kind="$type $parameters"
	mkdir -p /tmp/fs
	over_all $count
	create ours "$(line $type "$parameters" $count)"
	/bin/mke2fs -q -t ext4 /dev/mapper/ours >/tmp/mke2fs 2>&1 || fail "$kind: no file system: $(cat /tmp/mke2fs)"
	mount -t ext4 /dev/mapper/ours /tmp/fs || fail "$kind: no mount: $(dmesg | tail -2)"
	now whole "$@"
	checked_fs /dev/mapper/ours
	"$@" after
	under $member "0 $MEMBER_SECTORS error"
	now degraded "$@"
	checked_fs /dev/mapper/ours
	case $(field ours 3) in *D*) ;; *) fail "$kind: nobody is out: $(dmsetup status ours)" ;; esac
	"$@" after
	umount /tmp/fs
	refilled $type $count "$parameters" $member
	mount -t ext4 /dev/mapper/ours /tmp/fs || fail "$kind: no mount while it is filled"
	now filled "$@"
	wait_idle ours
	checked_fs /dev/mapper/ours
	"$@" after
	umount /tmp/fs
	redundant $type $count
	not_over $count
	zero_members
}

# now STATE EXERCISE WORDS..: says so, for who reads why a test took so long.
now() {
	local state=$1
	shift
	echo "$kind, $state: $* at $(cut -d' ' -f1 /proc/uptime) s"
	"$@" $state
}

# refilled TYPE COUNT PARAMETERS MEMBER: it starts with that member empty, slow enough that what comes next meets it being filled.
refilled() {
	remove ours
	dd if=/dev/urandom of=/dev/ram$4 bs=1M count=16 conv=fsync 2>/dev/null
	under $4 "0 $MEMBER_SECTORS linear /dev/ram$4 0"
	create ours "$(line $1 "$3 rebuild $4 max_recovery_rate $((8192 / TIMES))" $2)"
	[ "$(field ours 5)" = recover ] || fail "$kind: nobody is filled: $(dmsetup status ours)"
}

# dm_raid_line WORDS..: a line for under0.. of dm-raid.
dm_raid_line() {
	line "$@" | sed 's/ raid-kmod / raid /'
}

# redundant TYPE COUNT: our check finds nothing, and the members without us are right: copies are equal, and dm-raid serves our content
# without any of them, without two of a RAID 6. Its own check would say so too, but may hang, see docs/testing.md.
redundant() {
	local content
	case $(field ours 3) in *[!A]*) fail "$kind: not all are well: $(dmsetup status ours)" ;; esac
	dmsetup message ours 0 check
	wait_idle ours
	[ "$(field ours 6)" = 0 ] || fail "$kind: mismatches: $(dmsetup status ours)"
	content=$(fingerprint /dev/mapper/ours)
	remove ours
	echo 3 >/proc/sys/vm/drop_caches
	case $kind in
	raid1\ *) cmp /dev/mapper/under0 /dev/mapper/under1 || fail "$kind: copies differ" ;;
	raid10*near) cmp /dev/mapper/under0 /dev/mapper/under1 && cmp /dev/mapper/under2 /dev/mapper/under3 || fail "$kind: copies differ" ;;
	raid[56]*) served_without $content $2 dm_raid_line $1 64 $2 ;;
	esac
}

# trees STATE: each state leaves another tree, which is there after all that follow.
trees() {
	local seed
	case $1 in
	after) for seed in $trees; do same_tree /tmp/fs/$seed $seed; done; return ;;
	whole) trees=1 ;;
	degraded) trees="1 2" ;;
	filled) rm -r /tmp/fs/1; trees="2 3" ;;
	esac
	seed=${trees#* }
	tree /tmp/fs/$seed $seed
	exercised 1$seed
}

test_a_file_system_lives_on_raid5_whole_degraded_and_filled() { through raid5_ls 3 64 1 trees; }
test_a_file_system_lives_on_raid10_whole_degraded_and_filled() { through raid10 4 "64 raid10_format near" 2 trees; }
slow_a_file_system_lives_on_raid6_whole_degraded_and_filled() { through raid6_zr 5 64 0 trees; }
