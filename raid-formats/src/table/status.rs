//! What the kernel says of a running array: dm-raid's lines, field by field, so that `dmsetup` scripts and LVM read them.

use core::fmt;

use raid_core::health::{Health, State};
use raid_core::{Columns, Level, Member, Sectors};

use super::{Table, kind};

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

impl Info {
    /// The line for an array of this type, as [`Table::info`].
    fn line(self, name: &'static str) -> impl fmt::Display {
        Line(move |f: &mut fmt::Formatter<'_>| {
            write!(f, "{name} {} ", self.health.members())?;
            for member in Columns::first(self.health.members()).iter() {
                write!(f, "{}", self.letter(member))?;
            }
            let Self { progress, whole, mismatches, .. } = self;
            write!(f, " {progress}/{whole} {} {mismatches} 0 -", self.activity.name())
        })
    }

    /// `STATUSTYPE_INFO` of an array that no table line describes, by its level: the same fields.
    pub fn of_level(self, level: Level) -> impl fmt::Display {
        self.line(kind::name_of(level))
    }

    /// `STATUSTYPE_IMA` of such an array.
    pub fn measured(self, level: Level, target: &str, version: [u32; 3]) -> impl fmt::Display {
        self.fields(kind::name_of(level), target, version)
    }

    fn fields(self, name: &'static str, target: &str, version: [u32; 3]) -> impl fmt::Display {
        let [major, minor, patch] = version;
        Line(move |f: &mut fmt::Formatter<'_>| {
            write!(f, "target_name={target},target_version={major}.{minor}.{patch}")?;
            let members = self.health.members();
            write!(f, ",raid_type={name},raid_disks={members},raid_state={}", self.activity.name())?;
            for member in Columns::first(members).iter() {
                write!(f, ",raid_device_{member}_status={}", self.letter(member))?;
            }
            if name.starts_with("raid4") || name.starts_with("raid5") || name.starts_with("raid6") {
                f.write_str(",journal_dev_mode=invalid")?;
            }
            f.write_str(";")
        })
    }
}

impl Table<'_, '_> {
    /// `STATUSTYPE_INFO`: `<type> <#devices> <letters> <progress>/<whole> <activity> <mismatches> <data offset> <journal>`.
    pub fn info(&self, info: Info) -> impl fmt::Display {
        info.line(self.kind.status_name(self.options.format))
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
        info.fields(self.kind.status_name(self.options.format), target, version)
    }
}
