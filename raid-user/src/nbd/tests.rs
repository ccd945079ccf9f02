//! The machine against what clients send, and against what they should not.

use proptest::prelude::*;

use super::machine::{Agreed, Export, Limits, Machine, Step};
use super::protocol::{Command, CommandFlags, Errno, ExportFlags, IHAVEOPT, REQUEST_MAGIC, option, rep};

fn machine(flags: ExportFlags) -> Machine {
    let export = Export {
        name: "array".into(),
        description: "an array".into(),
        size_bytes: 1 << 20,
        block_bytes: 4096,
        flags: ExportFlags::HAS_FLAGS | flags,
    };
    let (machine, greeting) = Machine::new(export, Limits::default());
    assert_eq!(greeting, b"NBDMAGICIHAVEOPT\x00\x03");
    machine
}

/// Gives the machine what it wants from `bytes` until they are used up; returns every step.
fn drive(machine: &mut Machine, bytes: &[u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = bytes;
    while machine.want() > 0 && rest.len() >= machine.want() {
        let (next, later) = rest.split_at(machine.want());
        rest = later;
        steps.push(machine.got(next.to_vec()));
    }
    steps
}

pub(super) fn opt(number: u32, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap();
    [&IHAVEOPT.to_be_bytes()[..], &number.to_be_bytes(), &len.to_be_bytes(), data].concat()
}

fn string(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

pub(super) fn go(name: &str) -> Vec<u8> {
    opt(option::GO, &[string(name), vec![0, 0]].concat())
}

pub(super) fn request(command: u16, flags: u16, offset: u64, len: u32) -> Vec<u8> {
    let head = [&REQUEST_MAGIC.to_be_bytes()[..], &flags.to_be_bytes(), &command.to_be_bytes()].concat();
    [&head[..], &77_u64.to_be_bytes(), &offset.to_be_bytes(), &len.to_be_bytes()].concat()
}

pub(super) fn flags() -> Vec<u8> {
    3_u32.to_be_bytes().to_vec()
}

/// A machine past its handshake.
fn transmitting(export: ExportFlags) -> Machine {
    let mut machine = machine(export);
    let hello = [flags(), opt(option::STRUCTURED_REPLY, &[]), go("")].concat();
    assert!(drive(&mut machine, &hello).iter().all(|step| matches!(step, Step::Read | Step::Send(_))));
    assert!(machine.transmitting());
    assert_eq!(machine.agreed(), Agreed { structured: true, allocation: false });
    machine
}

/// The number of each reply in an answer to an option.
fn replies(step: &Step) -> Vec<u32> {
    let Step::Send(mut bytes) = step.clone() else { panic!("{step:?}") };
    let mut numbers = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(bytes[..8], 0x0003_e889_0455_65a9_u64.to_be_bytes());
        numbers.push(u32::from_be_bytes(bytes[12..16].try_into().unwrap()));
        let len = u32::from_be_bytes(bytes[16..20].try_into().unwrap());
        bytes.drain(..20 + usize::try_from(len).unwrap());
    }
    numbers
}

#[test]
fn every_option_gets_the_answer_that_the_document_demands() {
    let answer = |data: &[u8]| {
        let mut machine = machine(ExportFlags::READ_ONLY);
        replies(drive(&mut machine, &[&flags(), data].concat()).last().unwrap())
    };
    let context = |name: &str, queries: &[&str]| {
        let count = u32::try_from(queries.len()).unwrap().to_be_bytes().to_vec();
        [vec![string(name), count], queries.iter().map(|query| string(query)).collect()].concat().concat()
    };
    assert_eq!(answer(&opt(option::LIST, &[])), [rep::SERVER, rep::ACK]);
    assert_eq!(answer(&opt(option::LIST, b"x")), [rep::ERR_INVALID]);
    assert_eq!(answer(&opt(5, &[])), [rep::ERR_UNSUP], "no TLS");
    assert_eq!(answer(&opt(11, &[])), [rep::ERR_UNSUP], "no extended headers");
    assert_eq!(answer(&go("array")), [rep::INFO, rep::ACK]);
    assert_eq!(answer(&go("other")), [rep::ERR_UNKNOWN]);
    assert_eq!(answer(&opt(option::GO, &[0, 0])), [rep::ERR_INVALID]);
    let all = [string(""), vec![0, 3, 0, 1, 0, 2, 0, 3]].concat();
    assert_eq!(answer(&opt(option::INFO, &all)), [rep::INFO; 4].into_iter().chain([rep::ACK]).collect::<Vec<_>>());
    let set = |query: &[&str]| {
        [opt(option::STRUCTURED_REPLY, &[]), opt(option::SET_META_CONTEXT, &context("", query))].concat()
    };
    assert_eq!(answer(&set(&["base:allocation", "qemu:dirty"])), [rep::META_CONTEXT, rep::ACK]);
    assert_eq!(answer(&set(&["qemu:dirty"])), [rep::ACK]);
    assert_eq!(
        answer(&opt(option::SET_META_CONTEXT, &context("", &[]))),
        [rep::ERR_INVALID],
        "before structured replies"
    );
    let list = opt(option::LIST_META_CONTEXT, &context("", &["base:"]));
    assert_eq!(answer(&[opt(option::STRUCTURED_REPLY, &[]), list].concat()), [rep::META_CONTEXT, rep::ACK]);
}

#[test]
fn the_old_way_to_choose_an_export_works_with_and_without_zeroes() {
    for (flags, len) in [(3_u32, 10), (1, 134)] {
        let mut machine = machine(ExportFlags::READ_ONLY);
        let hello = [flags.to_be_bytes().to_vec(), opt(option::EXPORT_NAME, b"array")].concat();
        let Some(Step::Send(reply)) = drive(&mut machine, &hello).pop() else { panic!("no export") };
        assert_eq!(reply.len(), len);
        assert_eq!(reply[..10], [0, 0, 0, 0, 0, 0x10, 0, 0, 0, 3]);
    }
}

#[test]
fn requests_are_judged_before_they_are_done() {
    use Command as C;
    let judge = |export, command: u16, flags, offset, len| {
        let mut machine = transmitting(export);
        let payload = if command == C::Write as u16 { vec![7; 512] } else { Vec::new() };
        let step = drive(&mut machine, &[request(command, flags, offset, len), payload].concat()).pop();
        match step {
            Some(Step::Refuse { cookie: 77, errno, .. }) => Err(errno),
            Some(Step::Do(request)) => Ok(request.len_bytes),
            step => panic!("{step:?}"),
        }
    };
    let (read_only, writable) = (ExportFlags::READ_ONLY, ExportFlags::SEND_FUA);
    assert_eq!(judge(read_only, 0, 0, 0, 4096), Ok(4096));
    assert_eq!(judge(read_only, 0, 0, (1 << 20) - 1, 2), Err(Errno::Inval), "past the end");
    assert_eq!(judge(read_only, 0, 0, u64::MAX, 2), Err(Errno::Inval), "wraps");
    assert_eq!(judge(read_only, 0, 0, 0, (32 << 20) + 1), Err(Errno::Inval));
    assert_eq!(judge(read_only, 1, 0, 0, 512), Err(Errno::Perm), "and the payload is taken off the wire");
    assert_eq!(judge(writable, 1, 0, 0, 512), Ok(512));
    assert_eq!(judge(writable, 1, 0, (1 << 20) - 100, 512), Err(Errno::NoSpc));
    assert_eq!(judge(writable, 6, CommandFlags::FAST_ZERO.bits(), 0, 512), Err(Errno::NotSup));
    assert_eq!(judge(writable, 6, CommandFlags::NO_HOLE.bits(), 0, 512), Ok(512));
    assert_eq!(judge(read_only, 7, 0, 0, 512), Err(Errno::Inval), "block status without a context");
    assert_eq!(judge(read_only, 3, 0, 0, 0), Ok(0));
    assert_eq!(judge(read_only, 99, 0, 0, 0), Err(Errno::Inval));
    assert_eq!(judge(read_only, 0, 1 << 9, 0, 512), Err(Errno::Inval), "an unknown flag");
}

#[test]
fn violations_close_the_connection_with_a_reason() {
    let closes = |bytes: &[u8]| {
        let mut machine = machine(ExportFlags::READ_ONLY);
        match drive(&mut machine, bytes).pop() {
            Some(Step::Close { why, .. }) => {
                assert_eq!(machine.want(), 0);
                why
            }
            step => panic!("{step:?}"),
        }
    };
    assert_eq!(closes(&0_u32.to_be_bytes()), "the client does not speak fixed newstyle");
    assert_eq!(closes(&0x100_u32.to_be_bytes()), "unknown handshake flags");
    assert_eq!(closes(&[flags(), vec![0; 16]].concat()), "an option without its magic number");
    let long = [flags(), opt(option::GO, &vec![0; 20_000])].concat();
    assert_eq!(closes(&long), "an option that is too long");
    let flood = [flags(), opt(option::LIST, &[]).repeat(300)].concat();
    assert_eq!(closes(&flood), "too many options");
    let hello = [flags(), go("")].concat();
    assert_eq!(closes(&[hello.clone(), vec![0; 28]].concat()), "a request without its magic number");
    assert_eq!(closes(&[hello.clone(), request(2, 0, 0, 0)].concat()), "the client went away");
    assert_eq!(closes(&[hello, request(1, 0, 0, u32::MAX)].concat()), "a write that is too long");
}

#[test]
fn a_message_that_ends_early_closes_the_connection() {
    let mut machine = machine(ExportFlags::READ_ONLY);
    assert!(matches!(machine.got(vec![0; 3]), Step::Close { .. }));
    assert!(matches!(machine.got(Vec::new()), Step::Close { .. }));
}

proptest! {
    #[test]
    fn no_bytes_make_the_machine_panic_or_want_more_than_its_limits(
        start in 0..3_usize, bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let prefix = [Vec::new(), flags(), [flags(), go("")].concat()];
        let mut machine = machine(ExportFlags::SEND_FUA);
        drive(&mut machine, &prefix[start]);
        let mut rest = &bytes[..];
        while machine.want() > 0 && rest.len() >= machine.want() {
            prop_assert!(machine.want() <= Limits::default().payload_bytes as usize);
            let (next, later) = rest.split_at(machine.want());
            rest = later;
            let _ = machine.got(next.to_vec());
        }
    }

    #[test]
    fn no_request_is_done_outside_the_export(command in 0..9_u16, flags in 0..32_u16, offset: u64, len: u32) {
        let mut machine = transmitting(ExportFlags::SEND_FUA);
        for step in drive(&mut machine, &request(command, flags, offset, len)) {
            if let Step::Do(request) = step {
                let end = request.offset_bytes.checked_add(u64::from(request.len_bytes));
                prop_assert!(request.command == Command::Flush || end.is_some_and(|end| end <= 1 << 20));
            }
        }
    }
}
