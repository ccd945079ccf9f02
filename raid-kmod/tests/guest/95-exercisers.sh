# Programs of others that do much at random and hold what they read against what they wrote: fsx, stress-ng and fio. A machine that cannot
# have one skips its tests.

# given PROGRAM: or the test is skipped.
given() {
	[ -x /bin/$1 ] || skip "$1 is not there"
}

# told FILE: the end of what a program said, on one line.
told() {
	tail -6 $1 | tr '\n' ' '
}

# without_cache COMMAND..: while pages are taken from the cache all the time, so that what is read comes from the array.
without_cache() {
	local well
	rm -f /tmp/enough
	( while [ ! -e /tmp/enough ]; do sync; echo 1 >/proc/sys/vm/drop_caches; sleep 0.05; done ) &
	"$@"
	well=$?
	: >/tmp/enough
	wait $!
	return $well
}

# fsx's words for what it does to a file, and how often; and to a device, which has a size and no holes that others know of.
FSX_FILE="flen = 2000000
[weights]
close_open = 1
invalidate = 2
mapread = 5
mapwrite = 5
read = 10
write = 10
truncate = 3
fsync = 1
fdatasync = 1
posix_fallocate = 2
punch_hole = 4
sendfile = 3
posix_fadvise = 3
copy_file_range = 4"
FSX_DEVICE="blockmode = true
[opsize]
align = 512
[weights]
invalidate = 2
mapread = 5
mapwrite = 5
read = 10
write = 10
fsync = 1
fdatasync = 1
punch_hole = 2
posix_fadvise = 3"

# fsx OPERATIONS SEED PATH WORDS
fsx() {
	echo "$4" >/tmp/fsx.toml
	without_cache /bin/fsx -q -f /tmp/fsx.toml -N $1 -S $2 -P /tmp $3 >/tmp/fsx 2>&1 || fail "$kind: fsx, seed $2: $(told /tmp/fsx)"
}

# fsx_on OPERATIONS STATE
fsx_on() {
	case $2 in
	after) ;;
	*) fsx $1 $(($1 + $(echo $2 | wc -c))) /tmp/fs/fsx "$FSX_FILE" ;;
	esac
}

# fsx_in OPERATIONS TYPE COUNT PARAMETERS MEMBER: the same without a file system.
fsx_in() {
	local operations=$1 type=$2 count=$3 parameters=$4 member=$5
	kind="$type $parameters"
	over_all $count
	create ours "$(line $type "$parameters" $count)"
	fsx $operations 1 /dev/mapper/ours "$FSX_DEVICE"
	under $member "0 $MEMBER_SECTORS error"
	fsx $operations 2 /dev/mapper/ours "$FSX_DEVICE"
	case $(field ours 3) in *D*) ;; *) fail "$kind: nobody is out: $(dmsetup status ours)" ;; esac
	refilled $type $count "$parameters" $member
	fsx $operations 3 /dev/mapper/ours "$FSX_DEVICE"
	wait_idle ours
	redundant $type $count
	not_over $count
	zero_members
}

test_fsx_on_raid5_whole_degraded_and_filled() { given fsx; through raid5_ls 3 64 1 fsx_on 1000; }
test_fsx_on_raid10_whole_degraded_and_filled() { given fsx; through raid10 4 "64 raid10_format near" 2 fsx_on 1000; }
slow_fsx_on_raid5_at_length() { given fsx; through raid5_ls 3 64 2 fsx_on 10000; }
slow_fsx_on_raid10_at_length() { given fsx; through raid10 4 "64 raid10_format near" 0 fsx_on 10000; }
slow_fsx_on_raid6_at_length() { given fsx; through raid6_zr 5 64 3 fsx_on 10000; }
slow_fsx_on_raid1_at_length() { given fsx; through raid1 2 0 1 fsx_on 10000; }
slow_fsx_without_a_file_system() {
	given fsx
	fsx_in 3000 raid5_ls 3 64 1
	fsx_in 3000 raid10 4 "64 raid10_format near" 2
	fsx_in 3000 raid6_zr 5 64 0
	fsx_in 3000 raid1 2 0 1
}

# stress_on TIMES STATE: of stress-ng what changes names, extents and contents and comes to an end, all at once. Writes past the cache are
# hdd's; whoever is cut off by the clock has not done what is counted.
stress_on() {
	local times=$1 patience=$((100 * TIMES))
	[ $2 != after ] || return 0
	mkdir -p /tmp/fs/stress
	/bin/stress-ng --temp-path /tmp/fs/stress --seed 5 --verify --timeout $patience \
		--hdd 1 --hdd-ops $((times * 100)) --hdd-bytes 2M --hdd-opts direct,wr-rnd,rd-rnd,fsync --aiol 1 --aiol-ops $times \
		--revio 1 --revio-bytes 1M --revio-ops $((times * 20)) --seek 1 --seek-size 1M --seek-ops $((times * 20)) \
		--sync-file 1 --sync-file-bytes 1M --sync-file-ops $times --fallocate 1 --fallocate-bytes 1M --fallocate-ops $times \
		--rename 1 --rename-ops $((times * 20)) --link 1 --link-ops $times --dir 1 --dir-dirs 64 --dir-ops $times \
		--dentry 1 --dentries 64 --dentry-ops $((times * 64)) --xattr 1 --xattr-ops $times \
		>/tmp/stress 2>&1 || fail "$kind $2: stress-ng: $(told /tmp/stress)"
	[ $(sed -n 's/.* completed in \([0-9]*\).*/\1/p' /tmp/stress) -lt $patience ] || fail "$kind $2: stress-ng did not come to its end"
	rm -r /tmp/fs/stress
}

test_stress_on_raid5_whole_degraded_and_filled() { given stress-ng; through raid5_ls 3 64 1 stress_on 1; }
slow_stress_on_raid10_at_length() { given stress-ng; through raid10 4 "64 raid10_format near" 1 stress_on 4; }
slow_stress_on_raid6_at_length() { given stress-ng; through raid6_zr 5 64 2 stress_on 4; }

# fio SEED KIB WORDS..: writes past the cache, of many sizes and sixteen at a time, with sums in them; then reads them, and says what
# differs.
fio() {
	local seed=$1 kib=$2
	shift 2
	/bin/fio --name=it --filename=/dev/mapper/ours --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite --thread --minimal \
		--bssplit=512/10:4k/40:12k/15:32k/15:64k/10:256k/10 --size=${kib}k --randseed=$seed --verify=crc32c --verify_fatal=1 \
		"$@" >/tmp/fio 2>&1 || fail "$kind: fio, seed $seed $*: $(told /tmp/fio)"
}

# fio_on KIB TYPE COUNT PARAMETERS MEMBER OTHER: what was written whole is read when MEMBER is out, what was written without it while and
# after it is filled, and then by it, without OTHER.
fio_on() {
	local kib=$1 type=$2 count=$3 parameters=$4 member=$5 other=$6 failing
	kind="$type $parameters"
	over_all $count
	create ours "$(line $type "$parameters" $count)"
	fio 1 $kib
	# Slow enough that the member fails in the middle.
	( sleep 0.3; under $member "0 $MEMBER_SECTORS error" ) &
	failing=$!
	fio 2 $kib --rate=,${kib}k --do_verify=0
	wait $failing || fail "$kind: no failure"
	fio 2 $kib --verify_only
	case $(field ours 3) in *D*) ;; *) fail "$kind: nobody is out: $(dmsetup status ours)" ;; esac
	fio 3 $kib
	refilled $type $count "$parameters" $member
	fio 3 $kib --verify_only
	fio 4 $kib
	wait_idle ours
	redundant $type $count
	under $other "0 $MEMBER_SECTORS error"
	create ours "$(line $type "$parameters" $count)"
	fio 4 $kib --verify_only
	fio 5 $kib --verify_backlog=64
	remove ours
	not_over $count
	zero_members
}

test_what_fio_wrote_is_there_on_raid5() { given fio; fio_on 8192 raid5_ls 3 64 1 0; }
test_what_fio_wrote_is_there_on_raid10() { given fio; fio_on 8192 raid10 4 "64 raid10_format near" 2 3; }
slow_what_fio_wrote_is_there_on_all_of_raid5() { given fio; fio_on 32768 raid5_ls 3 64 2 1; }
slow_what_fio_wrote_is_there_on_all_of_raid10() {
	given fio
	fio_on 32768 raid10 4 "64 raid10_format near" 1 0
	fio_on 32768 raid10 4 "64 raid10_format far" 1 0
}
slow_what_fio_wrote_is_there_on_all_of_raid6() {
	given fio
	fio_on 49152 raid6_zr 5 64 4 0
	fio_on 49152 raid6_zr 5 64 0 2
}
slow_what_fio_wrote_is_there_on_all_of_raid1() { given fio; fio_on 16384 raid1 2 0 0 1; }
