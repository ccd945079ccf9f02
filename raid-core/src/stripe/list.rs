//! Tasks in first-in first-out lists that share one table: nothing is allocated when one moves.

use crate::check::Trust;
use crate::memory::{Memory, OutOfMemory};
use crate::request::RequestId;
use crate::rows::Piece;

/// What is to be done with a piece of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Where.
    pub piece: Piece,
    /// What.
    pub what: What,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// Recover what a direct read could not have.
    Read(RequestId),
    /// Write.
    Write {
        /// For whom.
        id: RequestId,
        /// Complete when durable.
        fua: bool,
    },
    /// Bring the redundancy of the row in order. Recovery asks for this.
    Heal,
    /// Compare the row's redundancy with its data, and repair it if asked.
    Check(Option<Trust>),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    task: Task,
    next: Option<u32>,
}

/// The table.
pub(super) struct Pool<M: Memory> {
    entries: M::Array<Option<Entry>>,
    free: M::Array<u32>,
    free_count: usize,
}

/// A list in the table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct List {
    head: Option<u32>,
    tail: Option<u32>,
}

impl<M: Memory> Pool<M> {
    pub(super) fn new(len: u32) -> Result<Self, OutOfMemory> {
        let count = len as usize;
        Ok(Self {
            entries: M::array(count, |_| None)?,
            free: M::array(count, |index| u32::try_from(index).unwrap_or(u32::MAX))?,
            free_count: count,
        })
    }

    pub(super) fn copy_from(&mut self, other: &Self) {
        let Self { entries, free, free_count } = other;
        self.entries.copy_from_slice(entries);
        self.free.copy_from_slice(free);
        self.free_count = *free_count;
    }

    /// Entries that are not taken.
    pub(super) fn free(&self) -> usize {
        self.free_count
    }

    /// Appends a task; the caller has seen that the table is not full.
    pub(super) fn push(&mut self, list: &mut List, task: Task) {
        let Some(index) = self.free_count.checked_sub(1) else { return };
        self.free_count = index;
        let index = self.free[index];
        self.entries[index as usize] = Some(Entry { task, next: None });
        match list.tail.and_then(|tail| self.entries[tail as usize].as_mut()) {
            Some(tail) => tail.next = Some(index),
            None => list.head = Some(index),
        }
        list.tail = Some(index);
    }

    pub(super) fn first(&self, list: &List) -> Option<Task> {
        self.at(list.head).map(|(task, _)| task)
    }

    pub(super) fn pop(&mut self, list: &mut List) -> Option<Task> {
        let head = list.head?;
        let entry = self.entries[head as usize].take()?;
        list.head = entry.next;
        if list.head.is_none() {
            list.tail = None;
        }
        self.free[self.free_count] = head;
        self.free_count += 1;
        Some(entry.task)
    }

    /// The task at a place of a list, and the place behind it. `None` is the end.
    pub(super) fn at(&self, place: Option<u32>) -> Option<(Task, Option<u32>)> {
        self.entries[place? as usize].map(|entry| (entry.task, entry.next))
    }

    pub(super) fn iter(&self, list: &List) -> impl Iterator<Item = Task> {
        let mut place = list.head;
        core::iter::from_fn(move || {
            let (task, next) = self.at(place)?;
            place = next;
            Some(task)
        })
    }
}

impl List {
    pub(super) const fn head(&self) -> Option<u32> {
        self.head
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.head.is_none()
    }
}
