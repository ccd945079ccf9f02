# Discards and zeros: what nobody needs any more is freed on the members, and redundancy goes on to fit.

# over_files COUNT: loop0.. on files, which free what is discarded, as RAM disks promise it to nobody.
over_files() {
	local number=0
	while [ $number -lt $1 ]; do
		[ -b /dev/loop$number ] || mknod /dev/loop$number b 7 $number
		dd if=/dev/zero of=/tmp/loop$number bs=1M count=0 seek=${file_mib:-16} 2>/dev/null
		losetup /dev/loop$number /tmp/loop$number || fail "no loop$number"
		number=$((number + 1))
	done
}

files_go() {
	local number=0
	while [ $number -lt $1 ]; do
		losetup -d /dev/loop$number
		rm /tmp/loop$number
		number=$((number + 1))
	done
}

# on_files LINE: the same line for loop0..
on_files() {
	echo "$1" | sed 's:/dev/ram:/dev/loop:g'
}

# holds COUNT: KiB that the files take.
holds() {
	local number=0 sum=0
	while [ $number -lt $1 ]; do
		sum=$((sum + $(du -k /tmp/loop$number | cut -f1)))
		number=$((number + 1))
	done
	echo $sum
}

# freed TYPE COUNT PARAMETERS [MISSING..]: the middle is discarded, from within a row to within another; the rest stays.
freed() {
	local type=$1 count=$2 parameters=$3 length from=1003 sectors=20481 before after
	shift 3
	over_files $count
	length=$(length_of $type $count)
	create ours "$(on_files "$(table raid-kmod $length $type "$parameters" 0 $count $*)")"
	fill /dev/mapper/ours $length
	dd if=/dev/mapper/ours of=/tmp/wanted bs=1M iflag=direct 2>/dev/null
	dd if=/dev/zero of=/tmp/wanted bs=512 seek=$from count=$sectors conv=notrunc 2>/dev/null
	before=$(holds $count)
	/bin/blkdiscard $how -o $((from * 512)) -l $((sectors * 512)) /dev/mapper/ours || fail "$type: no discard"
	echo 3 >/proc/sys/vm/drop_caches
	dd if=/dev/mapper/ours bs=1M iflag=direct 2>/dev/null | cmp - /tmp/wanted || fail "$type $parameters $*: the content is wrong"
	after=$(holds $count)
	# Files here can be zeroed only by being freed, which who wants them to stay allocated does not ask for.
	[ "$how" = -z ] || [ $after -lt $((before - sectors / 4)) ] || fail "$type: of $before KiB it still holds $after"
	case $(field ours 3) in *D*) fail "$type $parameters $*: a member was thrown out: $(dmsetup status ours)" ;; esac
	[ $# -gt 0 ] || [ $type = raid0 ] || checked ours
	remove ours
	files_go $count
	rm /tmp/wanted
}

each_freed() {
	freed raid0 3 64
	freed raid1 2 0
	freed raid5_ls 3 64
	freed raid6_zr 5 64
	freed raid10 4 "64 raid10_format near"
	freed raid5_ls 3 64 1
	freed raid6_zr 5 64 0 2
}

test_what_is_discarded_is_freed_and_reads_as_zeros() { how= each_freed; }
# These members say that they can make zeros, and refuse when asked to: that is no failure of theirs.
test_what_is_zeroed_reads_as_zeros_and_nobody_is_out() { how=-z each_freed; }

# Members that promise nothing of what they discard get no discards; zeros are written to them.
test_members_that_promise_no_zeros_are_not_discarded() {
	create ours "$(table raid-kmod $(length_of raid5_ls 3) raid5_ls 64 0 3)"
	fill /dev/mapper/ours $(length_of raid5_ls 3)
	before=$(fingerprint /dev/mapper/ours)
	/bin/blkdiscard /dev/mapper/ours 2>/dev/null && fail "a discard is taken"
	[ "$before" = "$(fingerprint /dev/mapper/ours)" ] || fail "the content changed"
	/bin/blkdiscard -z -o 512000 -l 1024000 /dev/mapper/ours || fail "no zeros"
	dd if=/dev/mapper/ours bs=512 skip=1000 count=2000 iflag=direct 2>/dev/null | tr -d '\000' | cmp -s - /dev/null || fail "no zeros"
	checked ours
}
