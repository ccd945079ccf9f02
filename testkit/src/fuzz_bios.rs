//! The body of the fuzz target `bios`: bytes as records, as media, and as changes to a record that was sound.

use raid_core::{
    Level, Member, Raid5Layout, Sector, Sectors,
    health::{Event, Health},
};
use raid_formats::{
    bios::{Arrangement, BUFFER_BYTES, Kind, Running, Spec},
    record::{Name, Record, Role, Sync},
};

use crate::image::Image;

const MEDIUM: Sectors = Sectors(1 << 16);

/// The first byte picks the format. The rest is a record, a medium, and a spec followed by changes: two bytes say where, one what.
pub fn bios(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let Some(kind) = Kind::all().nth(usize::from(*first) % Kind::all().count()) else { return };
    check(kind, rest);
    let mut record = vec![0; kind.len_bytes()];
    record.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
    check(kind, &record);
    if let Ok(member) = kind.find(&Image(rest), &mut [0; BUFFER_BYTES]) {
        assert!(member.at().0 * 512 < rest.len() as u64);
    }
    changed(kind, rest);
}

/// A record that is believed claims nothing outside of its medium.
fn check(kind: Kind, bytes: &[u8]) {
    if let Ok(record) = kind.parse(bytes, MEDIUM) {
        assert!(record.data.at.0 + record.data.len.0 <= MEDIUM.0, "{record:?}");
        if let Role::Slot(slot) = record.role {
            assert!(slot < record.shape.members, "{record:?}");
            told(kind, bytes, &record, slot);
        }
    }
    assert!(kind.dump(bytes).count() > 0);
}

fn changed(kind: Kind, data: &[u8]) {
    let [which, members, power, slot, changes @ ..] = data else { return };
    let all = [
        Arrangement::Span,
        Arrangement::Stripe,
        Arrangement::Mirror,
        Arrangement::StripedPairs,
        Arrangement::MirroredStripes,
        Arrangement::Raid5(Raid5Layout::LeftSymmetric),
        Arrangement::Raid5(Raid5Layout::LeftAsymmetric),
    ];
    let arrangement = all[usize::from(*which) % all.len()];
    let chunk = Sectors(1 << (power % 12));
    let spec = Spec {
        arrangement,
        members: u16::from(*members),
        chunk,
        used: Sectors(8192),
        set: 0x1234_5678,
        name: Name([b'n'; 32]),
    };
    let (mut pieces, slot) = (Vec::new(), u16::from(*slot));
    let made = kind.make(&spec, slot, MEDIUM, &mut [0; BUFFER_BYTES], |_, bytes| pieces.push(bytes.to_vec()));
    if made.is_err() {
        return;
    }
    // What lies elsewhere is written first, and stands behind the head in the buffer.
    let tail = if kind.len_bytes() > pieces.last().map_or(0, Vec::len) { pieces.remove(0) } else { Vec::new() };
    let mut record = [pieces.first().cloned().unwrap_or_default(), tail].concat();
    let sound = kind.parse(&record, MEDIUM).expect("what was made is believed");
    assert_eq!((sound.role, sound.used), (Role::Slot(slot), spec.used), "{kind:?} {spec:?}");
    for change in changes.chunks_exact(3).take(32) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let len = record.len();
        record[at % len] = change[2];
        check(kind, &record);
    }
}

/// The states of so many members, of which one may be missing and one be filled up to a mark.
fn health(members: u16, missing: Option<u16>, filling: Option<(u16, u64)>) -> Option<Health> {
    let mut health = Health::new(members).ok()?;
    for slot in (0..members).filter(|slot| Some(*slot) != missing) {
        let event = match filling {
            Some((own, mark)) if own == slot => Event::Rebuild { mark: Sector(mark) },
            _ => Event::Admit,
        };
        health.apply(Member(u8::try_from(slot).ok()?), event).ok()?;
    }
    Some(health)
}

/// Whatever a sound record held, it says what it is told, and stays the same disk's of the same array.
fn told(kind: Kind, bytes: &[u8], record: &Record, slot: u16) {
    let (members, level) = (record.shape.members, record.shape.level);
    if kind.unwritable().is_some() || members < 2 || matches!(level, Level::Linear | Level::Raid0(_)) {
        return;
    }
    let other = (slot + 1) % members;
    let (mut held, mut events) = (bytes.to_vec(), record.events);
    for (dirty, missing, shut_out) in [
        (true, None, None),
        (true, Some(other), Some(other)),
        (false, Some(other), Some(other)),
        (true, Some(other), None),
        (false, None, None),
    ] {
        let Some(health) = health(members, missing, None) else { return };
        let state = Running { dirty, health: &health, shut_out };
        let after = kind.update(&mut held, slot, MEDIUM, &state);
        let after = after.unwrap_or_else(|refusal| panic!("{kind:?} {state:?}: {refusal}"));
        assert_eq!((after.role, after.shape, after.data), (record.role, record.shape, record.data), "{kind:?}");
        assert_eq!(after.sync != Sync::Clean, dirty && kind.says_dirty(), "{kind:?} {state:?}");
        // When a count is used up, the identity changes.
        let raised = after.events == events + u64::from(shut_out.is_some()) || after.array != record.array;
        assert!(raised || after.events == 0 && events >= 0xff, "{kind:?} {state:?}: {} after {events}", after.events);
        events = after.events;
        let mut writes = 0;
        let written = kind.write((Sector(9), MEDIUM), &held, None, |_, sector| {
            writes += sector.len();
            Ok::<(), ()>(())
        });
        assert!(written.is_ok() && writes >= kind.len_bytes(), "{kind:?}");
    }
    joined(kind, &held, members, other);
}

/// A copy of a disk's record for another slot: trusted up to its mark at most, and that slot's when it is filled.
fn joined(kind: Kind, like: &[u8], members: u16, slot: u16) {
    let (Some(filling), Some(whole)) = (health(members, None, Some((slot, 64))), health(members, None, None)) else {
        return;
    };
    let mut held = like.to_vec();
    let state = Running { dirty: true, health: &filling, shut_out: None };
    let Ok(new) = kind.join(&mut held, slot, (MEDIUM, MEDIUM), &state) else { return };
    let trusted = matches!(new.role, Role::Slot(_)) && new.sync_mark.is_none_or(|mark| mark.0 > 64);
    assert!(!trusted, "{kind:?} {new:?}");
    let state = Running { dirty: false, health: &whole, shut_out: None };
    if let Ok(new) = kind.update(&mut held, slot, MEDIUM, &state) {
        assert!(new.sync_mark.is_none(), "{kind:?} {new:?}");
    }
}
