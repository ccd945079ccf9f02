//! Weighs the members of one array against each other: who is current, who is stale, who was thrown out, and whether
//! what is left may be opened at all.
//!
//! The rules are the kernel's (`drivers/md/md.c`: `analyze_sbs`, `super_1_validate`, `super_90_validate`) and mdadm's
//! (`Assemble.c`), said once for every host:
//!
//! 1. The freshest member is the one with the highest event count among those that claim a slot. Its table is believed.
//! 2. A member whose count is one less is still current: a crash between two superblock writes leaves that. Two less is stale.
//! 3. A current member that the freshest table calls faulty or spare is not used, whatever it says of itself.
//! 4. Two members with the freshest count that each call the other faulty are a split brain: nobody here can choose.
//!
//! Nothing in here reads a medium or decides about a byte of data.

use core::fmt;

use crate::record::{Record, Role, Shape, Sync, Uuid};
use raid_core::health::Event;
use raid_core::{Sector, Sectors};

/// A member as the judge sees it: its record, and what its device table says of others.
pub trait Claimant {
    /// What it says of itself and its array.
    fn record(&self) -> &Record;

    /// What its device table says of the member with this permanent number.
    fn role_of(&self, number: u32) -> Role;

    /// True if its table knows that member and does not know its role, as in DDF, whose disks may know only the members of
    /// their own half of a RAID 10. Then the member is believed about itself.
    fn silent_about(&self, number: u32) -> bool {
        let _ = number;
        false
    }
}

impl<C: Claimant + ?Sized> Claimant for &C {
    fn record(&self) -> &Record {
        (**self).record()
    }

    fn role_of(&self, number: u32) -> Role {
        (**self).role_of(number)
    }

    fn silent_about(&self, number: u32) -> bool {
        (**self).silent_about(number)
    }
}

/// What may be overridden, each with a risk that the caller has told its user.
#[derive(Clone, Copy, Debug, Default)]
pub struct Force<'a> {
    /// Treat every slot member as current, whatever its event count. Data written after a member dropped out mix with older ones.
    pub events: bool,
    /// Indexes of members to treat as current although stale or thrown out.
    pub members: &'a [usize],
}

impl Force<'_> {
    fn covers(&self, index: usize) -> bool {
        self.members.contains(&index)
    }
}

/// What became of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Used in this slot; `mark` tells how far its data are trusted (`None`: all of it).
    Current {
        /// Slot.
        slot: u16,
        /// Sectors of its data that are trusted.
        mark: Option<Sectors>,
        /// True if only a [`Force`] made it current.
        forced: bool,
    },
    /// A copy in the making of the member in this slot. Not used while that one serves.
    Replacement {
        /// Slot.
        slot: u16,
    },
    /// Its event count lags: it missed writes.
    Stale {
        /// The slot it last had.
        slot: u16,
        /// How many events it lags behind the freshest member.
        behind: u64,
    },
    /// The freshest table says that this member failed or was taken out.
    ThrownOut {
        /// The slot it last had.
        slot: u16,
    },
    /// Waits for a member to fail.
    Spare,
    /// Says of itself that it is faulty.
    Faulty,
    /// Holds the array's journal; `behind` events less than the freshest member.
    Journal {
        /// Zero or one if current.
        behind: u64,
    },
    /// Another member with the same identity was given before.
    Duplicate {
        /// Index of that one.
        of: usize,
    },
    /// Another current member claims the slot.
    SlotTaken {
        /// The slot.
        slot: u16,
        /// Index of that one.
        by: usize,
    },
    /// Claims a slot the array does not have.
    NoSuchSlot {
        /// The slot.
        slot: u16,
        /// Slots the array has.
        members: u16,
    },
    /// Same identity, but another level, layout, width or chunk than the freshest member says.
    OtherShape,
    /// Belongs to the array, and nobody knows in which slot.
    Unidentified,
}

/// The array as its freshest member tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assembly {
    /// Index of the freshest member.
    pub freshest: usize,
    /// Slots in use: the wider of both shapes during a reshape.
    pub slots: u16,
    /// True if redundancy is in doubt somewhere.
    pub sync: Sync,
}

/// Why no array can be told from the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody holds data: only spares, journals or faulty members.
    NoSlotMember,
    /// Two members, equally fresh, each call the other faulty.
    SplitBrain {
        /// Index of one.
        one: usize,
        /// Index of the other.
        other: usize,
    },
    /// More members were given than verdicts can be returned for.
    TooMany {
        /// Members given.
        given: usize,
        /// Room for verdicts.
        room: usize,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlotMember => f.write_str("no member here holds data (only spares, journals or faulty ones)"),
            Self::SplitBrain { one, other } => {
                write!(f, "members {one} and {other} are equally fresh and each calls the other faulty (split brain)")
            }
            Self::TooMany { given, room } => write!(f, "{given} members given, at most {room} can be judged"),
        }
    }
}

/// True if both say that they belong to one array.
#[must_use]
pub fn same_array(one: &Record, other: &Record) -> bool {
    one.array == other.array && one.format.is_kin(other.format)
}

/// Judges `claims`, which all belong to one array. `verdicts` gets one entry for each.
///
/// # Errors
/// [`Refusal`] if no array can be told at all; then `verdicts` holds nothing of use.
pub fn judge<C: Claimant>(claims: &[C], force: &Force<'_>, verdicts: &mut [Verdict]) -> Result<Assembly, Refusal> {
    if claims.len() > verdicts.len() {
        return Err(Refusal::TooMany { given: claims.len(), room: verdicts.len() });
    }
    let (freshest, head) = freshest(claims, force).ok_or(Refusal::NoSlotMember)?;
    let slots = slots(head.record());
    for (index, (claim, verdict)) in claims.iter().zip(verdicts.iter_mut()).enumerate() {
        *verdict = if index == freshest {
            own_verdict(claim.record(), slots)
        } else {
            weigh(index, claim, (freshest, head), force)?
        };
    }
    settle_rivals(claims, freshest, verdicts);
    Ok(Assembly { freshest, slots, sync: head.record().sync })
}

/// Slots that members may claim: the wider shape of a reshape.
fn slots(record: &Record) -> u16 {
    let to = record.reshape.map_or(0, |reshape| reshape.to.members);
    record.shape.members.max(to)
}

/// The slot member with the most events; the first given among equals. A member that the user forced never leads an unforced one.
fn freshest<'a, C: Claimant>(claims: &'a [C], force: &Force<'_>) -> Option<(usize, &'a C)> {
    let mut best: Option<(usize, &C)> = None;
    for (index, claim) in claims.iter().enumerate() {
        if !matches!(claim.record().role, Role::Slot(_)) {
            continue;
        }
        let better = best.is_none_or(|(held, other)| {
            let rank = |index: usize, claim: &C| (!force.covers(index), claim.record().events);
            rank(index, claim) > rank(held, other)
        });
        if better {
            best = Some((index, claim));
        }
    }
    best
}

/// The freshest member is believed about itself.
fn own_verdict(record: &Record, slots: u16) -> Verdict {
    match record.role {
        Role::Slot(slot) => in_slot(record, slot, slots, false),
        Role::Spare => Verdict::Spare,
        Role::Faulty => Verdict::Faulty,
        Role::Journal => Verdict::Journal { behind: 0 },
        Role::Unidentified => Verdict::Unidentified,
    }
}

fn in_slot(record: &Record, slot: u16, slots: u16, forced: bool) -> Verdict {
    if slot >= slots {
        Verdict::NoSuchSlot { slot, members: slots }
    } else if record.replacement {
        Verdict::Replacement { slot }
    } else {
        Verdict::Current { slot, mark: record.sync_mark, forced }
    }
}

/// One member against the freshest.
fn weigh<C: Claimant>(
    index: usize,
    claim: &C,
    (freshest, head): (usize, &C),
    force: &Force<'_>,
) -> Result<Verdict, Refusal> {
    let (record, lead) = (claim.record(), head.record());
    let behind = lead.events.saturating_sub(record.events);
    let slot = match record.role {
        Role::Slot(slot) => slot,
        Role::Spare => return Ok(Verdict::Spare),
        Role::Faulty => return Ok(Verdict::Faulty),
        Role::Journal => return Ok(Verdict::Journal { behind }),
        Role::Unidentified => return Ok(Verdict::Unidentified),
    };
    let slots = slots(lead);
    let forced = force.events || force.covers(index);
    if forced {
        let vouched = head.silent_about(record.number) || head.role_of(record.number) == Role::Slot(slot);
        let doubted = behind > 1 || !vouched;
        return Ok(in_slot(record, slot, slots, doubted));
    }
    if behind > 1 {
        return Ok(Verdict::Stale { slot, behind });
    }
    if !same_shape(record, lead) {
        return Ok(Verdict::OtherShape);
    }
    if head.silent_about(record.number) {
        return Ok(in_slot(record, slot, slots, false));
    }
    match head.role_of(record.number) {
        Role::Slot(assigned) => Ok(in_slot(record, assigned, slots, false)),
        Role::Spare => Ok(Verdict::Spare),
        Role::Journal => Ok(Verdict::Journal { behind }),
        Role::Faulty if behind == 0 && claim.role_of(lead.number) == Role::Faulty => {
            Err(Refusal::SplitBrain { one: freshest, other: index })
        }
        Role::Faulty => Ok(Verdict::ThrownOut { slot }),
        Role::Unidentified => Ok(Verdict::Unidentified),
    }
}

/// RAID 0's layout may be stated on some members only; the rest must agree.
fn same_shape(record: &Record, lead: &Record) -> bool {
    let same = |a: &Shape, b: &Shape| a.level == b.level && a.members == b.members && a.chunk == b.chunk;
    same(&record.shape, &lead.shape)
        && match (&record.reshape, &lead.reshape) {
            (Some(one), Some(other)) => same(&one.to, &other.to) && one.backwards == other.backwards,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
}

/// Gives each identity and each slot to one member: unforced before forced, then the fresher, then the first given.
/// A replacement serves where the member that it replaces is gone.
fn settle_rivals<C: Claimant>(claims: &[C], freshest: usize, verdicts: &mut [Verdict]) {
    let winner_of = |verdicts: &[Verdict], rivals: &dyn Fn(usize) -> bool| {
        (0..claims.len()).filter(|index| rivals(*index)).max_by_key(|index| {
            let forced = matches!(verdicts.get(*index), Some(Verdict::Current { forced: true, .. }));
            let events = claims.get(*index).map_or(0, |claim| claim.record().events);
            (*index == freshest, !forced, events, core::cmp::Reverse(*index))
        })
    };
    for (index, claim) in claims.iter().enumerate() {
        let own = identity(claim);
        let twins = |other: usize| own.is_some() && claims.get(other).and_then(identity) == own;
        if let (Some(of), Some(verdict)) = (winner_of(verdicts, &twins), verdicts.get_mut(index))
            && of != index
        {
            *verdict = Verdict::Duplicate { of };
        }
    }
    for (index, claim) in claims.iter().enumerate() {
        let Some(Verdict::Replacement { slot }) = verdicts.get(index).copied() else { continue };
        let served = (0..claims.len()).any(|other| current_slot(verdicts, other) == Some(slot));
        if let (false, Some(verdict)) = (served, verdicts.get_mut(index)) {
            *verdict = Verdict::Current { slot, mark: claim.record().sync_mark, forced: false };
        }
    }
    for index in 0..claims.len() {
        let Some(slot) = current_slot(verdicts, index) else { continue };
        let rivals = |other: usize| current_slot(verdicts, other) == Some(slot);
        if let (Some(by), Some(verdict)) = (winner_of(verdicts, &rivals), verdicts.get_mut(index))
            && by != index
        {
            *verdict = Verdict::SlotTaken { slot, by };
        }
    }
}

/// What tells one member from another; nothing if the format gives members no identity.
fn identity<C: Claimant>(claim: &C) -> Option<(Uuid, u32)> {
    let record = claim.record();
    record.member.is_set().then_some((record.member, record.number))
}

fn current_slot(verdicts: &[Verdict], index: usize) -> Option<u16> {
    match verdicts.get(index) {
        Some(Verdict::Current { slot, .. }) => Some(*slot),
        _ => None,
    }
}

/// How a member takes its slot that holds what it should up to `mark`, or all.
#[must_use]
pub fn admission(mark: Option<Sectors>) -> Event {
    mark.map_or(Event::Admit, |mark| Event::Rebuild { mark: Sector(mark.0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Format, Name, Notes, WriteLog};
    use raid_core::{Columns, Extent, Level, Raid5Layout, Sector};

    struct Fake {
        record: Record,
        table: [Role; 4],
    }

    impl Claimant for Fake {
        fn record(&self) -> &Record {
            &self.record
        }

        fn role_of(&self, number: u32) -> Role {
            usize::try_from(number).ok().and_then(|number| self.table.get(number)).copied().unwrap_or(Role::Faulty)
        }
    }

    const ALL: [Role; 4] = [Role::Slot(0), Role::Slot(1), Role::Slot(2), Role::Faulty];

    fn member(number: u8, events: u64) -> Fake {
        let shape = Shape {
            level: Level::Raid5(Raid5Layout::LeftSymmetric),
            members: 3,
            chunk: Sectors(128),
            array_size: None,
        };
        let record = Record {
            format: Format::Md12,
            array: Uuid([7; 16]),
            name: Name([0; 32]),
            member: Uuid([number + 1; 16]),
            number: u32::from(number),
            role: Role::Slot(u16::from(number)),
            events,
            updated_s: 0,
            created_s: 0,
            shape,
            data: Extent { at: Sector(2048), len: Sectors(8192) },
            used: Sectors(8192),
            sync_mark: None,
            replacement: false,
            sync: Sync::Clean,
            reshape: None,
            log: WriteLog::None,
            bad_blocks: None,
            table_in_sync: Columns::first(3),
            write_mostly: false,
            fail_fast: false,
            logical_block_bytes: 0,
            notes: Notes::empty(),
        };
        Fake { record, table: ALL }
    }

    fn verdicts<const N: usize>(claims: [Fake; N], force: &Force<'_>) -> Result<[Verdict; N], Refusal> {
        let mut verdicts = [Verdict::Spare; N];
        judge(&claims, force, &mut verdicts)?;
        Ok(verdicts)
    }

    fn current(slot: u16) -> Verdict {
        Verdict::Current { slot, mark: None, forced: false }
    }

    #[test]
    fn one_event_less_is_current_two_less_is_stale() {
        let got = verdicts([member(0, 10), member(1, 9), member(2, 8)], &Force::default()).unwrap();
        assert_eq!(got, [current(0), current(1), Verdict::Stale { slot: 2, behind: 2 }]);
    }

    #[test]
    fn a_stale_member_is_used_only_when_forced_and_says_so() {
        let got =
            verdicts([member(0, 10), member(1, 10), member(2, 3)], &Force { events: false, members: &[2] }).unwrap();
        assert_eq!(got[2], Verdict::Current { slot: 2, mark: None, forced: true });
    }

    #[test]
    fn a_forced_member_never_leads() {
        let mut ahead = member(2, 99);
        ahead.table = [Role::Faulty, Role::Faulty, Role::Slot(2), Role::Faulty];
        let mut out = [Verdict::Spare; 3];
        let claims = [member(0, 10), member(1, 10), ahead];
        let assembly = judge(&claims, &Force { events: false, members: &[2] }, &mut out).unwrap();
        assert_eq!(assembly.freshest, 0);
        assert_eq!(out[..2], [current(0), current(1)]);
    }

    #[test]
    fn the_freshest_table_throws_out_a_member_that_does_not_know_yet() {
        let mut fresh = member(0, 10);
        fresh.table[1] = Role::Faulty;
        let got = verdicts([fresh, member(1, 9), member(2, 10)], &Force::default()).unwrap();
        assert_eq!(got, [current(0), Verdict::ThrownOut { slot: 1 }, current(2)]);
    }

    #[test]
    fn two_equally_fresh_members_that_accuse_each_other_are_a_split_brain() {
        let (mut one, mut other) = (member(0, 10), member(1, 10));
        one.table[1] = Role::Faulty;
        other.table[0] = Role::Faulty;
        let got = verdicts([one, other], &Force::default());
        assert_eq!(got, Err(Refusal::SplitBrain { one: 0, other: 1 }));
    }

    #[test]
    fn a_member_given_twice_counts_once() {
        let got = verdicts([member(0, 10), member(1, 10), member(0, 10)], &Force::default()).unwrap();
        assert_eq!(got[2], Verdict::Duplicate { of: 0 });
    }

    #[test]
    fn of_two_copies_of_one_member_the_fresher_counts() {
        let got = verdicts([member(1, 5), member(0, 10), member(1, 10)], &Force::default()).unwrap();
        assert_eq!(got, [Verdict::Duplicate { of: 2 }, current(0), current(1)]);
    }

    #[test]
    fn a_replacement_serves_only_where_the_replaced_member_is_gone() {
        let replacement = || {
            let mut fake = member(1, 10);
            fake.record.member = Uuid([9; 16]);
            fake.record.number = 3;
            fake.record.replacement = true;
            fake.record.sync_mark = Some(Sectors(64));
            fake
        };
        let fresh = || {
            let mut fake = member(0, 10);
            fake.table[3] = Role::Slot(1);
            fake
        };
        let got = verdicts([fresh(), member(1, 10), replacement()], &Force::default()).unwrap();
        assert_eq!(got[1..], [current(1), Verdict::Replacement { slot: 1 }]);
        let got = verdicts([fresh(), replacement()], &Force::default()).unwrap();
        assert_eq!(got[1], Verdict::Current { slot: 1, mark: Some(Sectors(64)), forced: false });
    }

    #[test]
    fn two_members_in_one_slot_leave_the_fresher() {
        let mut rival = member(1, 11);
        rival.record.role = Role::Slot(0);
        rival.record.number = 3;
        rival.table = [Role::Slot(0), Role::Slot(1), Role::Slot(2), Role::Slot(0)];
        let got = verdicts([member(0, 10), rival, member(2, 10)], &Force::default()).unwrap();
        assert_eq!(got, [Verdict::SlotTaken { slot: 0, by: 1 }, current(0), current(2)]);
    }

    #[test]
    fn a_slot_past_the_width_is_refused_by_name() {
        let mut far = member(2, 10);
        far.record.role = Role::Slot(9);
        let mut fresh = member(0, 11);
        fresh.table[2] = Role::Slot(9);
        let got = verdicts([fresh, far], &Force::default()).unwrap();
        assert_eq!(got[1], Verdict::NoSuchSlot { slot: 9, members: 3 });
    }

    #[test]
    fn spares_alone_are_no_array() {
        let mut spare = member(0, 10);
        spare.record.role = Role::Spare;
        assert_eq!(verdicts([spare], &Force::default()), Err(Refusal::NoSlotMember));
    }

    #[test]
    fn another_shape_under_the_same_identity_is_not_mixed_in() {
        let mut odd = member(2, 10);
        odd.record.shape.chunk = Sectors(1024);
        let got = verdicts([member(0, 10), member(1, 10), odd], &Force::default()).unwrap();
        assert_eq!(got[2], Verdict::OtherShape);
    }
}
