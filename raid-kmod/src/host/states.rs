// SPDX-License-Identifier: GPL-2.0-only
//! What goes on besides requests: messages, what is said of it, suspend and resume.

use kernel::prelude::*;
use raid_core::check;
use raid_core::engine::{self, Host};
use raid_core::region::RegionNo;
use raid_core::rows::{RowNo, ROW_SECTORS};
use raid_core::{Sector, Sectors};
use raid_formats::record::Sync;
use raid_formats::table::{Activity, Message};

use super::{Array, Clock, Gate, TICK_MS};
use crate::shim;

impl Array {
    /// Does what a message says.
    pub(crate) fn tell(&self, message: Message) -> Result {
        if *self.gate.lock() != Gate::Open {
            return Err(EBUSY);
        }
        if !self.writes {
            return Err(EROFS);
        }
        let repair = match message {
            Message::Frozen => {
                self.clock.lock().held = true;
                engine::pause(self);
                return Ok(());
            }
            Message::Idle | Message::Resync | Message::Recover => {
                if message == Message::Idle {
                    engine::stop_check(self);
                }
                self.clock.lock().held = false;
                engine::resume(self);
                return Ok(());
            }
            Message::Check => None,
            Message::Repair(belief) => Some(belief.trust(self.rows.kind(), &self.health())),
        };
        if self.activity() != Activity::Idle {
            return Err(EBUSY);
        }
        let order = check::Order { from: RowNo(0), to: RowNo(self.rows.count()), repair };
        engine::check(self, order).map_err(|_| EBUSY)?;
        self.clock.lock().mends = repair.is_some();
        Ok(())
    }

    /// What goes on besides requests.
    pub(crate) fn activity(&self) -> Activity {
        let clock = *self.clock.lock();
        let compares = self.with_check(|check| check.state()) != check::State::Resting;
        let (paused, rests) = self.with_recovery(|recovery| (recovery.is_paused(), recovery.is_resting()));
        match (compares, clock.mends) {
            _ if clock.held && (paused || rests) => Activity::Frozen,
            (true, false) => Activity::Check,
            (true, true) => Activity::Repair,
            _ if rests => Activity::Idle,
            _ if self.health().rebuilding().next().is_some() => Activity::Recover,
            _ => Activity::Resync,
        }
    }

    /// Sectors that the last check found to differ; a repair counts none, as dm-raid has it.
    pub(crate) fn mismatches(&self) -> u64 {
        let mends = self.clock.lock().mends;
        if mends { 0 } else { self.with_check(|check| check.tally().wrong_sectors) }
    }

    /// Begins, or goes on.
    pub(crate) fn resume(&self) {
        let was = core::mem::replace(&mut *self.gate.lock(), Gate::Open);
        let now_ms = shim::now_ms();
        let mut clock = self.clock.lock();
        let held = clock.held;
        *clock = Clock { swept_ms: now_ms, ticked_ms: now_ms, asked: 0, ..*clock };
        drop(clock);
        if was == Gate::New {
            engine::set_rates(self, self.rates);
            if !self.writes {
                // Who only reads heals nobody.
                engine::pause(self);
            }
            engine::start(self);
        } else {
            if let Some(store) = &self.store {
                let set = self.has_bits();
                store.go_on(&self.seats, set).iter().for_each(|member| engine::fail(self, member));
            }
            if !held {
                engine::resume(self);
            }
        }
        for lane in 0..self.limits.shards {
            self.rooms.lanes.wake(lane);
        }
        self.rooms.lanes.tick_after(TICK_MS);
    }

    /// Comes to rest, with all that it did durable and written down; then shuts the gate. There are no requests from above any more.
    pub(crate) fn suspend(&self) {
        self.rooms.lanes.no_tick();
        let running = *self.gate.lock() == Gate::Open;
        if running {
            engine::pause(self);
            self.rooms.lanes.wait();
            if self.store.is_some() {
                // Regions are taken back when they were idle for two sweeps; the log's pages follow.
                for _ in 0..3 {
                    engine::sweep(self, usize::MAX);
                    self.rooms.lanes.wait();
                }
            }
            *self.gate.lock() = Gate::Shut;
        }
        self.rooms.lanes.wait();
        if let Some(store) = self.store.as_ref().filter(|_| running && self.writes) {
            store.stop(&self.seats, &self.health(), self.at_rest());
        }
    }

    /// How redundancy is, now that nothing is under way.
    fn at_rest(&self) -> Sync {
        let view = self.with_members(|members| members.view());
        let devices = view.writable().iter().filter_map(|member| self.seats.data_device(member));
        let flushed = devices.fold(true, |well, device| device.flush() && well);
        if view.broken || !flushed {
            return Sync::DirtyFrom(Sector(0));
        }
        match self.doubted() {
            0 => Sync::Clean,
            _ => {
                let from = self.with_recovery(|recovery| recovery.doubt_from()).unwrap_or(RowNo(0));
                Sync::DirtyFrom(Sector(from.0 * ROW_SECTORS))
            }
        }
    }

    fn regions(&self) -> u64 {
        self.rows.count().div_ceil(self.limits.region_rows.max(1))
    }

    /// True if the log has any bit.
    fn has_bits(&self) -> bool {
        let pages = self.regions().div_ceil(64 * self.limits.log_page_words as u64) as u32;
        (0..pages).any(|page| self.with_log(|log| log.page(page).iter().any(|word| *word != 0)))
    }

    /// Regions whose redundancy is in doubt.
    fn doubted(&self) -> u64 {
        let shard = |number: u64| (number % u64::from(self.limits.shards.max(1))) as u16;
        let state = |number| self.with_shard(shard(number), |machine| machine.region(RegionNo(number)));
        (0..self.regions()).filter(|number| state(*number).in_doubt()).count() as u64
    }

    /// How many sectors are in order, of how many that redundancy is about; while a pass compares, how far that is.
    pub(crate) fn progress(&self) -> (Sectors, Sectors) {
        let whole = self.rows.count() * ROW_SECTORS;
        let (state, tally) = self.with_check(|check| (check.state(), check.tally()));
        if state != check::State::Resting {
            return (Sectors(tally.done() * ROW_SECTORS), Sectors(whole));
        }
        let (region, doubted) = (self.limits.region_rows.max(1), self.doubted());
        let marks = self.health().rebuilding().map(|(_, mark)| mark.0).min().unwrap_or(whole);
        let in_order = whole.saturating_sub(doubted * region * ROW_SECTORS);
        (Sectors(in_order.min(marks)), Sectors(whole))
    }
}
