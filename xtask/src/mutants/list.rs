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
    /// It survives, and nobody has judged yet whether it does harm.
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
pub(super) const MUTANTS: [Mutant; 22] = [
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
        Open,
    ),
    mutant("blame-whoever-joined", "raid-core/src/members.rs", "if seen < joined || matches!(", "if matches!(", Caught),
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
        "if self.regions.state(region) != region::State::Clean && self.log_durable < Ticket::FIRST {",
        "if false {",
        Open,
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
        Open,
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
];
