//! The mutants, and what is known of them. A new one is one entry; its text must stand exactly once in its file.

/// A fault.
pub(super) struct Mutant {
    pub(super) name: &'static str,
    /// From the top folder.
    pub(super) file: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) verdict: Verdict,
}

/// What must come of a mutant.
#[derive(Clone, Copy)]
pub(super) enum Verdict {
    /// A seed breaks a promise, or a test of the core fails.
    Caught,
    /// It survived some thousand seeds, and nobody has judged yet whether it does harm, or which test is missing.
    Open,
    /// It breaks no promise, and this is why.
    Harmless(&'static str),
}

use Verdict::{Caught, Harmless, Open};

const fn mutant(
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
    verdict: Verdict,
) -> Mutant {
    Mutant { name, file, from, to, verdict }
}

/// All of them.
pub(super) const MUTANTS: [Mutant; 60] = [
    mutant(
        "modify-in-doubt",
        "raid-core/src/plan_write.rs",
        "let can_modify = !self.doubt && modified",
        "let can_modify = modified",
        Caught,
    ),
    mutant(
        "trust-whoever-joined",
        "raid-core/src/members.rs",
        "filling.member == member && filling.since == since",
        "filling.member == member && (filling.since == since || true)",
        Caught,
    ),
    mutant("blame-whoever-joined", "raid-core/src/members.rs", "if seen < joined || !self", "if !self", Caught),
    mutant(
        "read-error-of-who-was-before",
        "raid-core/src/members.rs",
        "seen >= *joined",
        "seen >= *joined || true",
        Caught,
    ),
    mutant(
        "flush-before-epoch",
        "raid-core/src/flush.rs",
        "flush.round.answered() && (flush.round.needs <= self.view.durable || self.view.broken)",
        "flush.round.answered()",
        Caught,
    ),
    mutant(
        "log-before-epoch",
        "raid-core/src/region/log.rs",
        "!round.answered() || round.needs > self.view.durable || self.view.broken",
        "!round.answered() || self.view.broken",
        Harmless(
            "whoever takes a write has its bit: who missed the batch is out, and takes none; the answer waits for the epoch by itself",
        ),
    ),
    mutant(
        "heal-from-another-copy",
        "raid-core/src/plan_write.rs",
        "let source = first(sight.preferred)",
        r"let last = sight.preferred.difference(sight.bad).iter().last();
    let source = if aim == Aim::Heal { last } else { first(sight.preferred) }
        ",
        Caught,
    ),
    mutant(
        "bad-copy-not-rewritten",
        "raid-core/src/plan_write.rs",
        "Aim::Fetch(_) => bad,",
        "Aim::Fetch(_) => Columns::EMPTY,",
        Caught,
    ),
    mutant(
        "bad-column-not-rewritten",
        "raid-core/src/plan_write.rs",
        "known.assemble().map(|plan| Plan { writes: bad.intersection(plan.recover), ..plan })",
        "known.assemble()",
        Caught,
    ),
    mutant(
        "no-wait-for-first-batch",
        "raid-core/src/stripe/advance.rs",
        "if self.regions.state(region).has_bit() && self.log_durable < Ticket::FIRST {",
        "if false {",
        Caught,
    ),
    mutant(
        "one-look-is-enough",
        "raid-core/src/stripe/regions.rs",
        "if !core::mem::replace(&mut self.regions[index].old, true) {",
        "if false {",
        Harmless(
            "the second look saves log writes and guards nothing: a bit is taken back only from idle and after a flush",
        ),
    ),
    mutant(
        "lost-wake-after-mark",
        "raid-core/src/engine.rs",
        r"machine.marked(slot, ticket));
            host.wake(shard);",
        "machine.marked(slot, ticket));",
        Caught,
    ),
    mutant(
        "failed-read-counts-as-had",
        "raid-core/src/stripe/mod.rs",
        r"                job.bad.insert(member);
",
        r"                job.bad.insert(member);
                job.have.insert(member);
",
        Harmless("a second plan reads nobody who is bad, so what is said to be had is not asked for again either way"),
    ),
    mutant(
        "plan-again-too-early",
        "raid-core/src/stripe/advance.rs",
        r"        if !self.issue(rows, slot, Way::Read, steps) {
            return false;
        }
        if self.slots[slot].job.replan {
            return self.plan(rows, slot);
        }
",
        r"        if self.slots[slot].job.replan {
            return self.plan(rows, slot);
        }
        if !self.issue(rows, slot, Way::Read, steps) {
            return false;
        }
",
        Caught,
    ),
    mutant(
        "no-second-plan",
        "raid-core/src/stripe/mod.rs",
        r"                job.replan = true;
",
        "",
        Caught,
    ),
    mutant(
        "read-all-again",
        "raid-core/src/stripe/advance.rs",
        "plan.reads.difference(job.have)",
        "plan.reads",
        Harmless("it costs reads, and gives the same bytes: the row excludes"),
    ),
    mutant(
        "clear-though-not-whole",
        "raid-core/src/stripe/regions.rs",
        "if whole { Event::Flushed } else { Event::Keep }",
        "{ let _ = whole; Event::Flushed }",
        Caught,
    ),
    mutant(
        "answer-before-epoch",
        "raid-core/src/stripe/advance.rs",
        "&& job.needs > self.view.durable",
        "&& false",
        Caught,
    ),
    mutant(
        "plan-without-fence",
        "raid-core/src/stripe/advance.rs",
        "job.needs = job.needs.max(self.view.fence);",
        "job.needs = job.needs.max(crate::health::Epoch(0));",
        Caught,
    ),
    mutant(
        "ticket-of-a-batch-gone-by",
        "raid-core/src/region/log.rs",
        "State::Writing { ticket, page: at, .. } if !self.dirty[page] || page > at => ticket,",
        "State::Writing { ticket, .. } => ticket,",
        Caught,
    ),
    mutant(
        "nobody-wakes-settling",
        "raid-core/src/stripe/mod.rs",
        r"        self.wake_all(State::Settling);
",
        "",
        Caught,
    ),
    mutant(
        "write-not-counted",
        "raid-core/src/stripe/advance.rs",
        r"            counted = true;
",
        "",
        Caught,
    ),
    mutant(
        "mark-over-a-gap",
        "raid-core/src/recovery/lap.rs",
        "if self.from <= self.low { cursor",
        "if self.low < u64::MAX { cursor",
        Caught,
    ),
    mutant(
        "joined-at-the-start",
        "raid-core/src/recovery/lap.rs",
        "from: cursor.max(low)",
        "from: cursor.min(low)",
        Caught,
    ),
    mutant(
        "failed-row-forgotten",
        "raid-core/src/recovery/mod.rs",
        "self.failed = Some((first.min(row.0), last.max(row.0)));",
        "let _ = (first, last);",
        Caught,
    ),
    mutant(
        "mark-before-rows-are-in",
        "raid-core/src/recovery/mod.rs",
        "State::Draining if self.pending == 0 =>",
        "State::Draining =>",
        Caught,
    ),
    mutant(
        "marks-without-flush",
        "raid-core/src/engine.rs",
        r"if !host.with_flushes(|flushes| flushes.start(Purpose::Marks)) {
                    host.with_recovery(|recovery| recovery.flushed(false));",
        r"if !host.rows().count().wrapping_add(1) > 0 {
                    host.with_recovery(|recovery| recovery.flushed(true));",
        Caught,
    ),
    mutant(
        "filled-before-its-log",
        "raid-core/src/recovery/mod.rs",
        "target.filling.since <= logged && ",
        "logged <= Epoch(u64::MAX) && ",
        Open,
    ),
    mutant(
        "copy-takes-over-in-doubt",
        "raid-core/src/recovery/mod.rs",
        " && !(unsettled && target.filling.copy)",
        "&& (unsettled || !unsettled)",
        Open,
    ),
    mutant(
        "copy-of-what-was-not-healed",
        "raid-core/src/recovery/mod.rs",
        "if self.doubt_failed.is_some() {",
        "if false {",
        Caught,
    ),
    mutant(
        "visit-that-is-stale",
        "raid-core/src/recovery/mod.rs",
        "if core::mem::take(&mut self.stale) {",
        "if core::mem::take(&mut self.stale) && false {",
        Open,
    ),
    mutant(
        "bits-spare-newcomers",
        "raid-core/src/recovery/mod.rs",
        "(marked || !target.filling.by_log) &&",
        "marked &&",
        Caught,
    ),
    mutant(
        "region-ends-though-a-row-failed",
        "raid-core/src/recovery/mod.rs",
        "healed: !region.failed",
        "healed: true",
        Caught,
    ),
    mutant(
        "half-a-region-ends",
        "raid-core/src/recovery/mod.rs",
        "whole: self.cursor <= first",
        "whole: self.cursor <= first || true",
        Open,
    ),
    mutant(
        "filling-of-whoever-was-before",
        "raid-core/src/recovery/mod.rs",
        "(one.member, one.since, one.copy) == (other.member, other.since, other.copy)",
        "(one.member, one.copy) == (other.member, other.copy)",
        Open,
    ),
    mutant("check-of-rows-in-doubt", "raid-core/src/check/mend.rs", "if sight.doubt {", "if false {", Caught),
    mutant(
        "mend-from-the-wrong-copy",
        "raid-core/src/check/mend.rs",
        "from(reads.difference(members).iter().next(), members)",
        "from(reads.iter().next(), members)",
        Caught,
    ),
    mutant(
        "mend-by-the-wrong-parity",
        "raid-core/src/check/mend.rs",
        "by_p: by.contains(p)",
        "by_p: !by.contains(p)",
        Open,
    ),
    mutant(
        "check-ends-too-early",
        "raid-core/src/check/pass.rs",
        "State::Going | State::Stopping if self.pending > 0 => return None,",
        "State::Going | State::Stopping if self.pending > 1 => return None,",
        Open,
    ),
    mutant(
        "repair-without-flush",
        "raid-core/src/check/pass.rs",
        "State::Flushing if self.tally.mended > 0 =>",
        "State::Flushing if self.tally.mended > u64::MAX - 1 =>",
        Open,
    ),
    mutant(
        "copy-fails-its-member",
        "raid-core/src/members.rs",
        "if self.view.health.seat(member) != seat {",
        "if false {",
        Caught,
    ),
    mutant(
        "trusted-without-fence",
        "raid-core/src/members.rs",
        "if mark.is_none() {",
        "if mark.is_none() && false {",
        Caught,
    ),
    mutant(
        "seat-given-away-too-early",
        "raid-core/src/members.rs",
        "if self.view.durable < self.view.health.epoch() {",
        "if false {",
        Open,
    ),
    mutant(
        "returns-though-bits-were-taken-back",
        "raid-core/src/members.rs",
        "if away.knew < cleared {",
        "if false {",
        Caught,
    ),
    mutant("returns-though-it-diverged", "raid-core/src/members.rs", "|| !spared.is_empty()", "|| false", Open),
    mutant(
        "states-that-a-member-missed",
        "raid-core/src/members.rs",
        "if !round.failed {",
        "if !round.failed || true {",
        Open,
    ),
    mutant("states-durable-too-early", "raid-core/src/members.rs", "if !round.answered() {", "if false {", Caught),
    mutant("newcomer-without-the-log", "raid-core/src/region/log.rs", "self.dirty.fill(true);", "", Caught),
    mutant("log-whole-by-an-older-batch", "raid-core/src/region/log.rs", "self.whole_with = self.next;", "", Open),
    mutant(
        "sweep-while-one-is-missing",
        "raid-core/src/region/log.rs",
        "!self.sweeping && self.view.is_whole() &&",
        "!self.sweeping &&",
        Open,
    ),
    mutant(
        "taken-back-and-not-noted",
        "raid-core/src/region/log.rs",
        "self.cleared = self.cleared.max(seen);",
        "let _ = seen;",
        Caught,
    ),
    mutant(
        "several-rows-over-one",
        "raid-core/src/stripe/mod.rs",
        "&& (row.0..end).all(|row| self.single_of(RowNo(row)).is_none())",
        "",
        Caught,
    ),
    mutant(
        "several-rows-over-several",
        "raid-core/src/stripe/mod.rs",
        "&& self.chain(self.tall).all(|slot| !self.slots[slot].meets(row, rows))",
        "",
        Caught,
    ),
    mutant(
        "several-rows-in-two-regions",
        "raid-core/src/stripe/mod.rs",
        "&& self.region_of(row) == self.region_of(RowNo(end - 1))",
        "",
        Caught,
    ),
    mutant(
        "one-row-beside-several",
        "raid-core/src/stripe/mod.rs",
        "self.single_of(row).or_else(|| self.chain(self.tall).find(|slot| self.slots[*slot].meets(row, 1)))",
        "self.single_of(row)",
        Caught,
    ),
    mutant(
        "waiters-of-several-rows-lost",
        "raid-core/src/stripe/mod.rs",
        "while !self.slots[slot].waiting.is_empty() {",
        "while false {",
        Caught,
    ),
    mutant(
        "waiters-served-with-several-rows",
        "raid-core/src/stripe/advance.rs",
        ".filter(|first| first.piece.band.rows() == *height)",
        ".filter(|_| *height > 0)",
        Caught,
    ),
    mutant(
        "one-column-of-several",
        "raid-core/src/stripe/advance.rs",
        "Some(stripe) if self.rows_of(slot).is_some() => Rows::data(stripe),",
        "Some(stripe) if self.rows_of(slot).is_some() => Rows::data(stripe).iter().take(1).collect(),",
        Caught,
    ),
    mutant(
        "neighbour-joins-several-rows",
        "raid-core/src/stripe/advance.rs",
        "same && new && !matches!(first.what, What::Rows { .. })",
        "same && new",
        Caught,
    ),
    mutant(
        "several-rows-not-durable",
        "raid-core/src/stripe/advance.rs",
        "fua_any = fua;",
        "fua_any = fua && false;",
        Caught,
    ),
];
