//! What a running array is told by name: dm-raid's messages, and words that say whom a repair is to believe.

use raid_core::check::Trust;
use raid_core::health::Health;
use raid_core::rows::RowKind;
use raid_core::{MEMBERS_MAX, Member};

/// A message, understood. Source: `Documentation/admin-guide/device-mapper/dm-raid.rst`, "Message Interface".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Nothing goes on until another message.
    Frozen,
    /// What goes on ends; what is due begins again by itself.
    Idle,
    /// Go on with redundancy in doubt.
    Resync,
    /// Go on with members being filled.
    Recover,
    /// Compare.
    Check,
    /// Compare, and rewrite what is wrong.
    Repair(Belief),
}

/// Whom a repair believes where the evidence names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// As dm-raid does: the data, or the first copy.
    Usual,
    /// Nobody: what is not named stays as it is.
    Nobody,
    /// This member's copy.
    Copy(Member),
    /// Everybody but this member.
    AllBut(Member),
}

impl Message {
    /// Understands the words: `frozen`, `idle`, `resync`, `recover`, `check`, `repair [nobody | copy N | but N]`. `None` if they are no
    /// message.
    #[must_use]
    pub fn parse(words: &[&str]) -> Option<Self> {
        let [name, rest @ ..] = words else { return None };
        let alone = |message| rest.is_empty().then_some(message);
        match () {
            () if name.eq_ignore_ascii_case("frozen") => alone(Self::Frozen),
            () if name.eq_ignore_ascii_case("idle") => alone(Self::Idle),
            () if name.eq_ignore_ascii_case("resync") => alone(Self::Resync),
            () if name.eq_ignore_ascii_case("recover") => alone(Self::Recover),
            () if name.eq_ignore_ascii_case("check") => alone(Self::Check),
            () if name.eq_ignore_ascii_case("repair") => Belief::parse(rest).map(Self::Repair),
            () => None,
        }
    }
}

impl Belief {
    fn parse(words: &[&str]) -> Option<Self> {
        let member = |word: &str| word.parse().ok().filter(|slot| usize::from(*slot) < MEMBERS_MAX).map(Member);
        match words {
            [] => Some(Self::Usual),
            ["nobody"] => Some(Self::Nobody),
            ["copy", slot] => member(slot).map(Self::Copy),
            ["but", slot] => member(slot).map(Self::AllBut),
            _ => None,
        }
    }

    /// What that is in an array of this kind, whose members are so.
    #[must_use]
    pub fn trust(self, kind: RowKind, health: &Health) -> Trust {
        match self {
            Self::Usual if kind == RowKind::Copies => health.in_sync().iter().next().map_or(Trust::Nobody, Trust::Copy),
            Self::Usual => Trust::Data,
            Self::Nobody => Trust::Nobody,
            Self::Copy(member) => Trust::Copy(member),
            Self::AllBut(member) => Trust::AllBut(member),
        }
    }
}

#[cfg(test)]
mod tests {
    use raid_core::health::Event;

    use super::*;

    #[test]
    fn words_are_messages_whatever_their_case_and_others_are_not() {
        assert_eq!(Message::parse(&["FROZEN"]), Some(Message::Frozen));
        assert_eq!(Message::parse(&["check"]), Some(Message::Check));
        assert_eq!(Message::parse(&["repair"]), Some(Message::Repair(Belief::Usual)));
        assert_eq!(Message::parse(&["repair", "but", "3"]), Some(Message::Repair(Belief::AllBut(Member(3)))));
        for wrong in
            [&[][..], &["dance"], &["check", "all"], &["repair", "copy"], &["repair", "copy", "255"], &["repair", "me"]]
        {
            assert_eq!(Message::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_usual_belief_is_in_data_or_in_the_first_copy_that_is_good() {
        let mut health = Health::new(3).expect("three slots");
        health.apply(Member(1), Event::Admit).expect("was missing");
        health.apply(Member(2), Event::Admit).expect("was missing");
        assert_eq!(Belief::Usual.trust(RowKind::Parity, &health), Trust::Data);
        assert_eq!(Belief::Usual.trust(RowKind::Copies, &health), Trust::Copy(Member(1)));
        assert_eq!(Belief::Nobody.trust(RowKind::Copies, &health), Trust::Nobody);
    }
}
