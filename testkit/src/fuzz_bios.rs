//! The body of the fuzz target `bios`: bytes as records, as media, and as changes to a record that was sound.

use raid_core::{Raid5Layout, Sectors};
use raid_formats::{
    bios::{Arrangement, BUFFER_BYTES, Kind, Spec},
    record::{Name, Role},
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
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let len = record.len();
        record[at % len] = change[2];
        check(kind, &record);
    }
}
