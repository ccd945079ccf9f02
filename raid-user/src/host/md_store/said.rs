//! What all members of a running array are to say of it, and who are its spares, in one version for each event count.

use std::ops::{Deref, DerefMut};

use raid_formats::md::{self, TableEntry};
use raid_formats::record::Role;

/// One version of the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) array: md::Said,
    /// Numbers of spares.
    pub(super) spares: Vec<u32>,
    /// Numbers that were a spare's and are nobody's, in a version of the superblock where a table does not forget by itself.
    pub(super) gone: Vec<u32>,
}

impl Deref for Said {
    type Target = md::Said;

    fn deref(&self) -> &md::Said {
        &self.array
    }
}

impl DerefMut for Said {
    fn deref_mut(&mut self) -> &mut md::Said {
        &mut self.array
    }
}

impl Said {
    /// The entries of all that are known. Of two with one number, the last counts.
    pub(super) fn table(&self) -> Vec<TableEntry> {
        let entry = |role| move |number: &u32| TableEntry { number: *number, role, in_sync: false };
        let gone = self.gone.iter().map(entry(Role::Faulty));
        let spares = self.spares.iter().map(entry(Role::Spare));
        self.array.out().chain(gone).chain(spares).chain(self.array.living()).collect()
    }
}
