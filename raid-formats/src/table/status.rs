//! What the kernel says of a running array: dm-raid's lines, field by field, so that `dmsetup` scripts and LVM read them.

use core::fmt;

use raid_core::health::{Health, State};
use raid_core::{Columns, Member, Sectors};

use super::Table;

/// What goes on besides requests, `sync_action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Nothing, and nothing may begin.
    Frozen,
    /// Nothing.
    Idle,
    /// Redundancy in doubt is made.
    Resync,
    /// Members are filled.
    Recover,
    /// Redundancy is compared.
    Check,
    /// Redundancy is compared and mended.
    Repair,
}

impl Activity {
    /// dm-raid's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Idle => "idle",
            Self::Resync => "resync",
            Self::Recover => "recover",
            Self::Check => "check",
            Self::Repair => "repair",
        }
    }
}

/// What there is to say of an array now.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// Its members' states.
    pub health: Health,
    /// Slots that have a device.
    pub present: Columns,
    /// What goes on.
    pub activity: Activity,
    /// How far that is.
    pub progress: Sectors,
    /// How far it has to go.
    pub whole: Sectors,
    /// Sectors that the last check found to differ.
    pub mismatches: u64,
}

impl Info {
    /// A slot's letter: `A` in sync, `a` alive but not in sync, `D` failed, `-` no device.
    fn letter(&self, member: Member) -> char {
        match self.health.state(member) {
            _ if !self.present.contains(member) => '-',
            None | Some(State::Missing) => 'D',
            Some(_) if self.activity == Activity::Resync => 'a',
            Some(State::Rebuilding { .. }) => 'a',
            Some(State::InSync) => 'A',
        }
    }
}

/// A line to be written.
struct Line<F>(F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for Line<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

impl Table<'_, '_> {
    /// `STATUSTYPE_INFO`: `<type> <#devices> <letters> <progress>/<whole> <activity> <mismatches> <data offset> <journal>`.
    pub fn info(&self, info: Info) -> impl fmt::Display {
        let (name, members) = (self.kind.status_name(self.options.format), self.members());
        Line(move |f: &mut fmt::Formatter<'_>| {
            write!(f, "{name} {members} ")?;
            for member in Columns::first(members).iter() {
                write!(f, "{}", info.letter(member))?;
            }
            let Info { progress, whole, mismatches, .. } = info;
            write!(f, " {progress}/{whole} {} {mismatches} 0 -", info.activity.name())
        })
    }

    /// `STATUSTYPE_TABLE`: the line that would make this array again. `devices` are the names as the kernel has them.
    pub fn line<N: fmt::Display>(&self, device: impl Fn(Member) -> [N; 2]) -> impl fmt::Display {
        let Self { name, chunk, options, .. } = *self;
        let members = self.members();
        Line(move |f: &mut fmt::Formatter<'_>| {
            write!(f, "{name} {} {chunk}", options.words() + 1)?;
            options.emit(f)?;
            write!(f, " {members}")?;
            for member in Columns::first(members).iter() {
                let [metadata, data] = device(member);
                write!(f, " {metadata} {data}")?;
            }
            Ok(())
        })
    }

    /// `STATUSTYPE_IMA`: fields by name, for integrity measurements.
    pub fn measured(&self, target: &str, version: [u32; 3], info: Info) -> impl fmt::Display {
        let (name, members) = (self.kind.status_name(self.options.format), self.members());
        let (parity, [major, minor, patch]) = (self.kind.parity_devices() > 0, version);
        Line(move |f: &mut fmt::Formatter<'_>| {
            write!(f, "target_name={target},target_version={major}.{minor}.{patch}")?;
            write!(f, ",raid_type={name},raid_disks={members},raid_state={}", info.activity.name())?;
            for member in Columns::first(members).iter() {
                write!(f, ",raid_device_{member}_status={}", info.letter(member))?;
            }
            if parity {
                f.write_str(",journal_dev_mode=invalid")?;
            }
            f.write_str(";")
        })
    }
}
