//! What one member's metadata says, in the words that all formats share.
//!
//! A [`Record`] is what assembly, the tools and the kernel target look at. It is a claim, not a fact:
//! [`raid_core::config::ArrayConfig`] built from it is validated by the core, and records of one array are weighed against each other by
//! [`crate::assemble`].

use core::fmt;
use raid_core::{ArrayConfig, Columns, Extent, Level, Sector, Sectors, Sizes};

/// The format a record was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Linux MD 0.90, little-endian writer.
    Md090Little,
    /// Linux MD 0.90, big-endian writer.
    Md090Big,
    /// Linux MD 1.0: superblock near the end.
    Md10,
    /// Linux MD 1.1: superblock at the start.
    Md11,
    /// Linux MD 1.2: superblock at 4 KiB.
    Md12,
    /// Adaptec HostRAID (ASR).
    Asr,
    /// HighPoint 37x.
    Hpt37x,
    /// HighPoint 45x.
    Hpt45x,
    /// JMicron.
    JMicron,
    /// LSI MegaRAID, software form.
    Lsi,
    /// NVIDIA MediaShield.
    Nvidia,
    /// Promise FastTrak.
    Promise,
    /// Silicon Image Medley.
    Sil,
    /// VIA.
    Via,
    /// SNIA DDF.
    Ddf,
    /// SNIA DDF with every number in the wrong byte order, as some firmware writes it.
    DdfSwapped,
    /// Linux dm-raid, as LVM and `dmsetup` use it.
    DmRaid,
    /// Linux dm-mirror, whose legs keep no records: only a log beside them tells where they agree.
    DmMirror,
    /// LVM2's text: volumes that keep no records of their own.
    Lvm2,
    /// Intel's firmware RAID (IMSM).
    Imsm,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Md090Little,
        Self::Md090Big,
        Self::Md10,
        Self::Md11,
        Self::Md12,
        Self::Asr,
        Self::Hpt37x,
        Self::Hpt45x,
        Self::JMicron,
        Self::Lsi,
        Self::Nvidia,
        Self::Promise,
        Self::Sil,
        Self::Via,
        Self::Ddf,
        Self::DdfSwapped,
        Self::DmRaid,
        Self::DmMirror,
        Self::Lvm2,
        Self::Imsm,
    ];

    /// The name that people type and tools print, such as `md 1.2`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md090Little => "md 0.90",
            Self::Md090Big => "md 0.90 (big-endian)",
            Self::Md10 => "md 1.0",
            Self::Md11 => "md 1.1",
            Self::Md12 => "md 1.2",
            Self::Asr => "asr",
            Self::Hpt37x => "hpt37x",
            Self::Hpt45x => "hpt45x",
            Self::JMicron => "jmicron",
            Self::Lsi => "lsi",
            Self::Nvidia => "nvidia",
            Self::Promise => "promise",
            Self::Sil => "sil",
            Self::Via => "via",
            Self::Ddf => "ddf",
            Self::DdfSwapped => "ddf (little-endian)",
            Self::DmRaid => "dm-raid",
            Self::DmMirror => "dm-mirror",
            Self::Lvm2 => "lvm2",
            Self::Imsm => "imsm",
        }
    }

    /// Formats that share identities and rules: their records may belong to one array, those of others never do.
    #[must_use]
    pub fn is_kin(self, other: Self) -> bool {
        const MD: [Format; 5] = [Format::Md090Little, Format::Md090Big, Format::Md10, Format::Md11, Format::Md12];
        const DDF: [Format; 2] = [Format::Ddf, Format::DdfSwapped];
        let both = |kin: &[Self]| kin.contains(&self) && kin.contains(&other);
        self == other || both(&MD) || both(&DDF)
    }
}

/// Identity of an array: 16 bytes, in the order the format prints them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// False for the all-zero value that stands for "none".
    #[must_use]
    pub fn is_set(self) -> bool {
        self != Self::default()
    }
}

/// As MD prints it: four groups of eight hex digits with colons.
impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if index != 0 && index.is_multiple_of(4) {
                f.write_str(":")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A fixed-size name as the disk holds it: NUL-padded, not always UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name(pub [u8; 32]);

/// A member's part in the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Holds (or is being given) the data of this slot.
    Slot(u16),
    /// Waits for a member to fail.
    Spare,
    /// Thrown out, or never told why it is here.
    Faulty,
    /// Holds the write journal.
    Journal,
    /// Holds a part, but nothing here tells which: the format knows its disks by a serial number that the medium does not give.
    Unidentified,
}

/// Level, width, chunk: what `ArrayConfig` needs besides the members' sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Level and layout.
    pub level: Level,
    /// Slots.
    pub members: u16,
    /// Chunk; zero where there is none.
    pub chunk: Sectors,
    /// Array size, where the format states one.
    pub array_size: Option<Sectors>,
}

impl Shape {
    /// What the core is told of an array of this shape. `used` is what each member gives; `each` says what the levels take that use every
    /// member to its end.
    #[must_use]
    pub const fn config(self, used: Sectors, each: &[Sectors]) -> ArrayConfig<'_> {
        let sizes = match self.level {
            Level::Linear | Level::Raid0(_) => Sizes::Each(each),
            _ => Sizes::Same(used),
        };
        let Self { level, members, chunk, array_size } = self;
        ArrayConfig { level, members, chunk, sizes, array_size }
    }
}

/// What is known of the redundancy when the array was last written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Stopped cleanly, or all known to agree.
    Clean,
    /// Redundancy is in doubt from here on, in sectors of the format's sync space (all of it at zero).
    DirtyFrom(Sector),
}

/// A change of shape under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reshape {
    /// Array sector up to which (or, backwards, from which) the new shape holds.
    pub position: Sector,
    /// True if it walks from the end to the start.
    pub backwards: bool,
    /// The shape it ends in.
    pub to: Shape,
    /// Where this member's data start in the new shape, on the medium.
    pub new_data_at: Sector,
}

/// What stands between a write and the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteLog {
    /// Nothing: one dirty flag for the whole array.
    None,
    /// A write-intent bitmap at this sector of the medium.
    Bitmap(Sector),
    /// A partial parity log in this run of the medium; `multiple` if it holds several.
    Ppl {
        /// Where it lies on the medium.
        at: Extent,
        /// MD's MULTIPLE_PPLS feature.
        multiple: bool,
    },
    /// A journal on a member of its own; on that member, the tail in sectors of its data.
    Journal {
        /// Where replay would start. Only meaningful on the journal member.
        tail: Sector,
    },
}

bitflags::bitflags! {
    /// Oddities: the record can be read, and a user should hear of them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Notes: u16 {
        /// Bytes that the format reserves are set: a newer writer, or damage. Linux refuses such an MD 1.x member.
        const RESERVED_BYTES_SET = 1;
        /// A logical block size is recorded, which Linux before 6.19 refuses.
        const LOGICAL_BLOCK_RECORDED = 1 << 1;
        /// The checksum is right only in an older, shorter form.
        const WEAK_CHECKSUM = 1 << 2;
        /// The member's own number lies outside its table; it counts as a spare.
        const NUMBER_OUTSIDE_TABLE = 1 << 3;
        /// The table gives slots that the array does not have.
        const SLOT_OUTSIDE_ARRAY = 1 << 4;
        /// A table's checksum is wrong in every copy (DDF).
        const DAMAGED_TABLE = 1 << 5;
        /// The array size that is stated cannot be; the one that follows from the members counts (DDF).
        const STATED_SIZE_WRONG = 1 << 6;
        /// The write hole is closed by a log of a kind that is not known; what it holds is not replayed (IMSM).
        const UNKNOWN_WRITE_LOG = 1 << 7;
    }
}

impl Notes {
    /// Each note as a sentence for people.
    pub fn sentences(self) -> impl Iterator<Item = &'static str> {
        self.iter().map(|note| match note {
            Self::RESERVED_BYTES_SET => "Reserved bytes are not zero; Linux would refuse this member.",
            Self::LOGICAL_BLOCK_RECORDED => {
                "A logical block size is recorded; Linux before 6.19 would refuse this member."
            }
            Self::WEAK_CHECKSUM => "The checksum is right only when folded to 16 bits, as old Alpha kernels did.",
            Self::NUMBER_OUTSIDE_TABLE => "The member's number lies outside its own table; it counts as a spare.",
            Self::DAMAGED_TABLE => {
                "A table's checksum is wrong in every copy; what the table says was taken as it stands."
            }
            Self::STATED_SIZE_WRONG => "The stated size of the array cannot be; the size that its members give counts.",
            Self::UNKNOWN_WRITE_LOG => {
                "Writes are logged on another drive, in a form that is not known; what it holds is not replayed."
            }
            _ => "The table gives slots that the array does not have.",
        })
    }
}

/// One member's claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Found as.
    pub format: Format,
    /// Identity of the array.
    pub array: Uuid,
    /// Name of the array, empty where the format has none.
    pub name: Name,
    /// Identity of the member; zero where the format has none.
    pub member: Uuid,
    /// The member's permanent number in its array's device table.
    pub number: u32,
    /// What this member believes it is.
    pub role: Role,
    /// Freshness: the higher, the newer.
    pub events: u64,
    /// Last update, seconds since 1970; zero if not kept.
    pub updated_s: u64,
    /// Creation, seconds since 1970; zero if not kept.
    pub created_s: u64,
    /// The array's shape. During a reshape, the shape it comes from.
    pub shape: Shape,
    /// Where the data lie on this medium, in the (old) shape.
    pub data: Extent,
    /// Sectors of each member that the array uses; zero where each gives what it has (linear, RAID 0).
    pub used: Sectors,
    /// Data below this many sectors are trusted; `None` if all are.
    pub sync_mark: Option<Sectors>,
    /// This member takes over from another in the same slot, which still serves.
    pub replacement: bool,
    /// Clean or not.
    pub sync: Sync,
    /// A change of shape under way.
    pub reshape: Option<Reshape>,
    /// Write log, as this member knows it.
    pub log: WriteLog,
    /// Where the list of bad blocks lies on the medium, if one is in use.
    pub bad_blocks: Option<Extent>,
    /// Slots that this member's table calls in sync (active, not faulty, not removed).
    ///
    /// An MD 1.x table cannot tell a rebuilding member from one in sync: only the rebuilding member itself knows, and
    /// leaves out its own slot.
    pub table_in_sync: Columns,
    /// Read last (MD write-mostly).
    pub write_mostly: bool,
    /// Requests to this member may fail early, without retries (MD failfast).
    pub fail_fast: bool,
    /// Logical block size that kernels from 6.19 record; zero if unset.
    pub logical_block_bytes: u32,
    /// What is odd about the record but kept nobody from reading it.
    pub notes: Notes,
}

/// Slots that an array's table may name: those of the wider shape while it changes.
#[must_use]
pub fn slots(shape: Shape, reshape: Option<Reshape>) -> u16 {
    reshape.map_or(shape.members, |reshape| shape.members.max(reshape.to.members))
}

impl Name {
    /// The bytes before the padding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let len = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        self.0.get(..len).unwrap_or(&[])
    }
}

/// Printable ASCII as is, the rest as `\xNN`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_bytes().escape_ascii(), f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
