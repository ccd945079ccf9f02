//! Seats that change hands while actions are on their way.

use std::sync::Arc as Shared;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use raid_core::health::Epoch;
use raid_core::{Member, Sector};
use raid_user::media::{Media as _, MemMedia};

use super::seats::Seats;
use super::start::Slot;
use crate::every_order;

const SEAT: Member = Member(0);

fn slot(name: &str) -> Slot {
    Slot { media: Some(Shared::new(MemMedia::new(name, vec![0; 512]))), data_at: Sector(0) }
}

/// What was decided before the seat was given away reaches who was there then, or nobody; what was decided later, never who left.
#[test]
fn an_action_reaches_whom_it_was_meant_for_or_nobody() {
    every_order(3, || {
        let seats = Arc::new(Seats::new(vec![slot("old")], 1));
        let act = |seen: u64| {
            let seats = Arc::clone(&seats);
            thread::spawn(move || seats.at(SEAT, Epoch(seen)).map(|seat| seat.media.describe()))
        };
        let early = act(0);
        seats.leave(SEAT);
        // In epoch 1 the seat is empty.
        seats.give(SEAT, slot("new"), Epoch(1));
        let late = act(2);
        assert!(matches!(early.join().unwrap().as_deref(), None | Some("old")));
        assert_eq!(late.join().unwrap().as_deref(), Some("new"));
        assert!(seats.at(SEAT, Epoch(0)).is_none());
    });
}

#[test]
fn metadata_of_one_member_are_written_by_one_at_a_time() {
    every_order(3, || {
        let seats = Arc::new(Seats::new(vec![slot("one")], 1));
        let busy = Arc::new(AtomicBool::new(false));
        let write = {
            let (seats, busy) = (Arc::clone(&seats), Arc::clone(&busy));
            move || {
                seats.metadata(SEAT, || {
                    assert!(!busy.swap(true, Ordering::Relaxed));
                    busy.store(false, Ordering::Relaxed);
                });
            }
        };
        let other = thread::spawn(write.clone());
        write();
        other.join().unwrap();
    });
}
