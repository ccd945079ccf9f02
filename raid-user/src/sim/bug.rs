//! Canaries: mistakes on purpose, so that a test can tell whether the simulator would notice them.
//!
//! Each is made where core and world meet (an action is not done as it says, an answer is wrong, assembly believes too much),
//! which is as good as the same mistake inside the core: what reaches the disks and the host is the same.

use clap::ValueEnum;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bug {
    /// The region log is never written.
    SkipLog,
    /// Bits are taken back without a flush.
    ClearBeforeFlush,
    /// No flush reaches a disk.
    LostFlush,
    /// A flush reaches the first disk only.
    FlushOne,
    /// FUA writes stay in the cache.
    LostFua,
    /// The members' states are never written: acknowledged before the epoch is durable.
    AckBeforeEpoch,
    /// After a power cut a member that is being rebuilt is trusted everywhere.
    TrustAboveMark,
    /// After a power cut a member that is being rebuilt is taken for one row further than it is.
    MarkAhead,
    /// A wake-up is forgotten now and then.
    ForgetWaiter,
    /// Modified parity is wrong while a member is missing.
    WrongDegradedParity,
    /// Modified parity forgets Q.
    ForgetQ,
    /// After a power cut the log is not looked at.
    SkipResync,
    /// A member that comes back is taken for good.
    StaleReturn,
    /// A disk is taken for the member whose bay it is in.
    TakeBays,
    /// A member that is added again counts as good at once: the bits are not looked at.
    StaleReadd,
    /// A member that is added again is believed to know everything, whatever bits were taken back since it left.
    ForgetCleared,
    /// A member's copy takes over when it came, not when it has all.
    TakeOverEarly,
    /// Some writes go to a member alone, and not to its copy.
    ForgetCopy,
    /// A failed write counts as done.
    IgnoreWriteError,
    /// A failed read counts as done.
    IgnoreReadError,
    /// Lost columns are not computed.
    SkipRecover,
    /// Parity is not made anew.
    SkipParity,
    /// A write to one of the members is dropped now and then.
    DropWrite,
    /// A repair rewrites the wrong column: while a check is under way, writes go to the next member.
    MendOther,
}

impl Bug {
    /// All of them.
    #[must_use]
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }
}
