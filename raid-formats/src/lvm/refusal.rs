//! Why something is no LVM, or not one that can be used.

use crate::{fault::Refuse, md};
use core::fmt;

/// The first thing that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A structure's bytes are not what they should be.
    Structure {
        /// Which structure.
        name: &'static str,
        /// What is wrong with it; offsets count from the structure's start.
        refusal: md::Refusal,
    },
    /// The text breaks its own grammar.
    Grammar {
        /// Byte of the text.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// The text lacks something, or says something that cannot be.
    Field {
        /// The kind of thing that the field belongs to.
        of: &'static str,
        /// Its name.
        field: &'static str,
    },
    /// None of the first four sectors holds a label.
    NoLabel,
    /// The area holds no text: another one of the group does.
    NoText,
}

impl Refusal {
    /// A refusal of the structure of that name.
    pub(super) const fn of(name: &'static str, refusal: md::Refusal) -> Self {
        Self::Structure { name, refusal }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure { name, refusal } => write!(f, "{name}: {refusal}"),
            Self::Grammar { at, what } => write!(f, "the group's text is broken at byte {at}: {what}"),
            Self::Field { of, field } => write!(f, "the group's text: {field} of a {of} is missing or cannot be"),
            Self::NoLabel => f.write_str("no magic: none of the first four sectors holds a label"),
            Self::NoText => f.write_str("the metadata area holds no text"),
        }
    }
}

impl core::error::Error for Refusal {}

impl Refuse for Refusal {
    fn is_absence(&self) -> bool {
        matches!(self, Self::NoLabel)
    }
}

/// Why LVM metadata could not be read from a medium.
pub type Fault<E> = crate::fault::Fault<E, Refusal>;
