//! The protocol's numbers, by the names of its document. All integers on the wire are big-endian.

use bitflags::bitflags;

/// First eight bytes of a server.
pub const NBDMAGIC: u64 = 0x4e42_444d_4147_4943;
/// Second eight bytes of a newstyle server, and first of each option.
pub const IHAVEOPT: u64 = 0x4948_4156_454f_5054;
/// First bytes of a reply to an option.
pub const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
/// First bytes of a request.
pub const REQUEST_MAGIC: u32 = 0x2560_9513;
/// First bytes of a simple reply.
pub const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
/// First bytes of a chunk of a structured reply.
pub const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

/// Bytes of an option's header: magic, option, length.
pub const OPTION_HEADER_BYTES: usize = 16;
/// Bytes of a request's header: magic, flags, type, cookie, offset, length.
pub const REQUEST_BYTES: usize = 28;

/// The only metadata context that is served.
pub const BASE_ALLOCATION: &str = "base:allocation";
/// The number that the server gives it.
pub const BASE_ALLOCATION_ID: u32 = 1;
/// `base:allocation`: not stored, and reads as zeros.
pub const STATE_HOLE_ZERO: u32 = 3;

bitflags! {
    /// Handshake flags, of server and client alike.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct HandshakeFlags: u16 {
        /// Fixed newstyle: unknown options get an answer.
        const FIXED_NEWSTYLE = 1;
        /// No 124 zeros after `NBD_OPT_EXPORT_NAME`.
        const NO_ZEROES = 1 << 1;
    }

    /// Transmission flags: what an export can do.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ExportFlags: u16 {
        /// The other flags mean something.
        const HAS_FLAGS = 1;
        /// Writes are refused.
        const READ_ONLY = 1 << 1;
        /// `NBD_CMD_FLUSH`.
        const SEND_FLUSH = 1 << 2;
        /// `NBD_CMD_FLAG_FUA`.
        const SEND_FUA = 1 << 3;
        /// `NBD_CMD_TRIM`.
        const SEND_TRIM = 1 << 5;
        /// `NBD_CMD_WRITE_ZEROES`.
        const SEND_WRITE_ZEROES = 1 << 6;
        /// `NBD_CMD_FLAG_DF`.
        const SEND_DF = 1 << 7;
        /// Several connections see each other's flushed writes.
        const CAN_MULTI_CONN = 1 << 8;
    }

    /// Flags of a request.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CommandFlags: u16 {
        /// Durable before the reply.
        const FUA = 1;
        /// Zeros must stay allocated.
        const NO_HOLE = 1 << 1;
        /// One chunk of data, not several.
        const DF = 1 << 2;
        /// One extent of block status, not several.
        const REQ_ONE = 1 << 3;
        /// Zeros only if that is faster than writing.
        const FAST_ZERO = 1 << 4;
    }
}

/// `NBD_OPT_*`.
pub mod option {
    #![expect(missing_docs, reason = "the names of the document")]
    pub const EXPORT_NAME: u32 = 1;
    pub const ABORT: u32 = 2;
    pub const LIST: u32 = 3;
    pub const INFO: u32 = 6;
    pub const GO: u32 = 7;
    pub const STRUCTURED_REPLY: u32 = 8;
    pub const LIST_META_CONTEXT: u32 = 9;
    pub const SET_META_CONTEXT: u32 = 10;
}

/// `NBD_REP_*` and `NBD_REP_ERR_*`.
pub mod rep {
    #![expect(missing_docs, reason = "the names of the document")]
    pub const ACK: u32 = 1;
    pub const SERVER: u32 = 2;
    pub const INFO: u32 = 3;
    pub const META_CONTEXT: u32 = 4;
    pub const ERR_UNSUP: u32 = 1 << 31 | 1;
    pub const ERR_INVALID: u32 = 1 << 31 | 3;
    pub const ERR_UNKNOWN: u32 = 1 << 31 | 6;
    pub const ERR_TOO_BIG: u32 = 1 << 31 | 9;
}

/// `NBD_INFO_*`.
pub mod info {
    #![expect(missing_docs, reason = "the names of the document")]
    pub const EXPORT: u16 = 0;
    pub const NAME: u16 = 1;
    pub const DESCRIPTION: u16 = 2;
    pub const BLOCK_SIZE: u16 = 3;
}

/// `NBD_REPLY_TYPE_*`.
pub mod chunk {
    #![expect(missing_docs, reason = "the names of the document")]
    pub const NONE: u16 = 0;
    pub const OFFSET_DATA: u16 = 1;
    pub const OFFSET_HOLE: u16 = 2;
    pub const BLOCK_STATUS: u16 = 5;
    pub const ERROR: u16 = 1 << 15 | 1;
    pub const ERROR_OFFSET: u16 = 1 << 15 | 2;
    /// The last chunk of a reply.
    pub const FLAG_DONE: u16 = 1;
}

/// `NBD_CMD_*`: what a client can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Command {
    /// Read.
    Read = 0,
    /// Write; the payload follows.
    Write = 1,
    /// Say goodbye; no reply.
    Disconnect = 2,
    /// Make completed writes durable.
    Flush = 3,
    /// Forget a range.
    Trim = 4,
    /// Make a range zero.
    WriteZeroes = 6,
    /// Say what is stored.
    BlockStatus = 7,
}

impl Command {
    /// The command with that number, if it is known.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        use Command as C;
        let all = [C::Read, C::Write, C::Disconnect, C::Flush, C::Trim, C::WriteZeroes, C::BlockStatus];
        all.into_iter().find(|command| *command as u16 == number)
    }

    /// True if it changes the export.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Trim | Self::WriteZeroes)
    }

    /// Flags that mean something with it.
    #[must_use]
    pub const fn flags(self) -> CommandFlags {
        match self {
            Self::Read => CommandFlags::FUA.union(CommandFlags::DF),
            Self::Write | Self::Trim => CommandFlags::FUA,
            Self::WriteZeroes => CommandFlags::FUA.union(CommandFlags::NO_HOLE).union(CommandFlags::FAST_ZERO),
            Self::BlockStatus => CommandFlags::FUA.union(CommandFlags::REQ_ONE),
            Self::Flush | Self::Disconnect => CommandFlags::FUA,
        }
    }
}

/// Errors on the wire: Linux's numbers, whatever the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Errno {
    /// Not permitted: a write to a read-only export.
    Perm = 1,
    /// The medium failed.
    Io = 5,
    /// The request makes no sense.
    Inval = 22,
    /// Past the end, for writes.
    NoSpc = 28,
    /// Too long for one reply.
    Overflow = 75,
    /// Not this, or not so fast.
    NotSup = 95,
    /// The server is going away.
    Shutdown = 108,
}
