# Traces: lists of writes, failures, rebuilds and cuts that other hosts of the engine play too. In the end the members are what the trace
# says that they are everywhere.

# trace_line PARAMETERS..: the array of the trace, with these besides.
trace_line() {
	local parameters="$trace_parameters $*" devices= number=0
	while [ $number -lt $trace_count ]; do
		case " $trace_failed " in
		*" $number "*) devices="$devices - -" ;;
		*) devices="$devices - /dev/mapper/under$number" ;;
		esac
		number=$((number + 1))
	done
	echo "0 $trace_length raid-kmod $trace_type $(echo $parameters | wc -w) $parameters $trace_count$devices"
}

trace_step() {
	case $1 in
	array)
		trace_length=$2 trace_count=$3 trace_type=$4 trace_failed=
		shift 4
		trace_parameters="$*"
		over_all $trace_count
		create ours "$(trace_line)"
		;;
	write)
		dd if=/tests/pattern of=/dev/mapper/ours bs=$(($3 * 512)) count=1 iflag=skip_bytes skip=$(($4 * 512)) \
			oflag=seek_bytes,direct seek=$(($2 * 512)) conv=notrunc 2>/tmp/dd || fail "no write: $*: $(cat /tmp/dd)"
		;;
	flush) dd if=/dev/null of=/dev/mapper/ours conv=notrunc,fsync 2>/dev/null || fail "no flush" ;;
	fail)
		under $2 "0 $MEMBER_SECTORS error"
		trace_failed="$trace_failed $2"
		;;
	rebuild)
		remove ours
		trace_failed=" $(echo " $trace_failed " | sed "s/ $2 / /g") "
		under $2 "0 $MEMBER_SECTORS linear /dev/ram$2 0"
		create ours "$(trace_line rebuild $2)"
		wait_idle ours
		;;
	cut)
		remove ours
		create ours "$(trace_line sync)"
		wait_idle ours
		;;
	images)
		shift
		remove ours
		number=0
		for wanted in "$@"; do
			blockdev --flushbufs /dev/ram$number
			found=$(dd if=/dev/ram$number bs=512 count=4096 iflag=direct 2>/dev/null | sha256sum | cut -d' ' -f1)
			[ "$wanted" = - ] || [ "$wanted" = "$found" ] || fail "member $number is $found, not $wanted"
			number=$((number + 1))
		done
		not_over $trace_count
		;;
	*) fail "what is $*" ;;
	esac
}

# play FILE
play() {
	local line
	while read line <&3; do
		trace_step $line
	done 3<"$1"
	zero_members
}

play_all() {
	local file played=0
	for file in /tests/*-raid*.txt; do
		[ $(wc -l <"$file") -$1 100 ] || continue
		play "$file"
		played=$((played + 1))
	done
	[ $played -gt 0 ] || fail "no trace"
}

test_short_traces_leave_the_members_that_they_leave_elsewhere() { play_all lt; }
slow_long_traces_leave_the_members_that_they_leave_elsewhere() { play_all gt; }
