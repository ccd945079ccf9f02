//! When two shards are the same, and how one becomes what another is: for hosts that try every order of events and want to see each
//! state once.
//!
//! What is hashed is what a shard will do. Where a task lies in the table and how slots are chained are history, and left out.

use core::hash::{Hash, Hasher};

use super::list::List;
use super::slot::{Class, Job, Slot, Stage};
use super::{Shard, State};
use crate::memory::Memory;

impl<M: Memory> Hash for Shard<M> {
    fn hash<H: Hasher>(&self, into: &mut H) {
        // All named, so that what is new must be thought of.
        let Self {
            number,
            region_rows: _,
            view,
            log_durable,
            regions,
            slots,
            looks,
            index: _,
            tall: _,
            free: _,
            free_len: _,
            ready,
            ready_from,
            ready_len,
            pool: _,
            reserved: _,
            queue,
        } = self;
        (number, view, log_durable).hash(into);
        regions.hash(into);
        for (slot, look) in slots.iter().zip(looks.iter()) {
            self.hash_slot(slot, into);
            if slot.state != State::Free && slot.job.class == Class::Check {
                look.hash(into);
            }
        }
        for place in *ready_from..*ready_from + *ready_len {
            ready[place % ready.len()].hash(into);
        }
        self.hash_list(queue, into);
    }
}

impl<M: Memory> Shard<M> {
    /// Becomes what `other` is: a host that tries everything goes on from it twice. Both were made alike.
    pub fn copy_from(&mut self, other: &Self) {
        let Self {
            number: _,
            region_rows: _,
            view,
            log_durable,
            regions,
            slots,
            looks,
            index,
            tall,
            free,
            free_len,
            ready,
            ready_from,
            ready_len,
            pool,
            reserved: _,
            queue,
        } = other;
        self.regions.copy_from(regions);
        self.slots.copy_from_slice(slots);
        self.looks.copy_from_slice(looks);
        self.index.copy_from_slice(index);
        self.free.copy_from_slice(free);
        self.free_len = *free_len;
        self.ready.copy_from_slice(ready);
        self.pool.copy_from(pool);
        (self.view, self.log_durable, self.queue) = (*view, *log_durable, *queue);
        self.tall = *tall;
        (self.ready_from, self.ready_len) = (*ready_from, *ready_len);
    }

    fn hash_slot<H: Hasher>(&self, slot: &Slot, into: &mut H) {
        let Slot { state, row, rows, chain: _, ready, waiting, wait, batch, job } = slot;
        (state, ready).hash(into);
        if *state == State::Free {
            return;
        }
        (row, rows).hash(into);
        if *state == State::Marking {
            wait.hash(into);
        }
        self.hash_list(waiting, into);
        if matches!(state, State::Queued | State::Marking) {
            // It has no batch, and makes its job anew when it starts with one.
            return;
        }
        self.hash_list(batch, into);
        Job { stage: Stage::default(), ..*job }.hash(into);
        core::mem::discriminant(&job.stage).hash(into);
        if let Stage::Task(mut place) = job.stage {
            while let Some((task, next)) = self.pool.at(place) {
                task.hash(into);
                place = next;
            }
        }
    }

    fn hash_list<H: Hasher>(&self, list: &List, into: &mut H) {
        self.pool.iter(list).for_each(|task| task.hash(into));
        u8::MAX.hash(into);
    }
}
