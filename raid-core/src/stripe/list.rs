//! Tasks in first-in first-out lists that share one table: nothing is allocated when one moves.

use crate::check::Trust;
use crate::memory::{Memory, OutOfMemory};
use crate::request::RequestId;
use crate::rows::{Piece, RowNo};

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
        /// No bytes but zeros, which members may free if it is true; the request's bytes if there is nothing.
        zeroes: Option<bool>,
    },
    /// Write all data columns, as they stand in the request's buffer.
    Rows {
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
        self.link(list, index);
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

    /// Moves the first task of a list to the end of another.
    pub(super) fn shift(&mut self, from: &mut List, to: &mut List) {
        let Some(head) = from.head else { return };
        let Some(entry) = self.entries[head as usize].as_mut() else { return };
        from.head = entry.next.take();
        if from.head.is_none() {
            from.tail = None;
        }
        self.link(to, head);
    }

    /// Moves all tasks of a row from a list to the end of another, in order.
    pub(super) fn pick(&mut self, row: RowNo, from: &mut List, to: &mut List) {
        let (mut before, mut place) = (None::<u32>, from.head);
        while let Some(index) = place {
            let Some(entry) = self.entries[index as usize].as_mut() else { return };
            place = entry.next;
            if entry.task.piece.row != row {
                before = Some(index);
                continue;
            }
            entry.next = None;
            match before.and_then(|before| self.entries[before as usize].as_mut()) {
                Some(before) => before.next = place,
                None => from.head = place,
            }
            if place.is_none() {
                from.tail = before;
            }
            self.link(to, index);
        }
    }

    /// Appends an entry that is in no list.
    fn link(&mut self, list: &mut List, index: u32) {
        match list.tail.and_then(|tail| self.entries[tail as usize].as_mut()) {
            Some(tail) => tail.next = Some(index),
            None => list.head = Some(index),
        }
        list.tail = Some(index);
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
