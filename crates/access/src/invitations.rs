//! Invitations for other machines, and the machines that joined by them (clauses of `docs/spec/access.md`). Pure: time and randomness are handed in.
//!
//! A machine brings a secret of its own when it joins. So the same machine may ask twice, where it has not heard the answer, and everybody else who uses its
//! invitation is refused.

use std::collections::{BTreeMap, VecDeque};

use openmesh_primitives::{Address, Digest};
use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::moment::Moment;

/// Life of an invitation where nobody names another one, milliseconds: a walk to the other machine.
pub const INVITATION_MS: u64 = 3_600_000;
/// Shortest life of an invitation, milliseconds: a line is copied within it.
pub const INVITATION_MS_MIN: u64 = 60_000;
/// Longest life of an invitation, milliseconds: a machine that is on its way by post.
pub const INVITATION_MS_MAX: u64 = 7 * 86_400_000;
/// Machines that have joined: those of a large house.
pub const MACHINES_MAX: usize = 200;
/// Invitations that are open at once: machines that are set up at the same time.
const OPEN_MAX: usize = 20;
/// Invitations that are remembered, ended ones among them, so that a replay is told from a forgery.
const KEPT_MAX: usize = 200;
/// Removed machines that are remembered, so that they are told so.
const REMOVED_MAX: usize = 200;
/// Longest name of a machine, characters: that of a host in the DNS.
const NAME_CHARS_MAX: usize = 63;

/// An invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// Hash of its token.
    pub hash: Digest,
    /// Wallet that owns the machine that joins by it.
    pub owner: Address,
    /// Whoever made it.
    pub by: String,
    /// Moment at which it was made.
    pub made: Moment,
    /// Length of its life, milliseconds.
    pub lasts_ms: u64,
    /// Its end, where that is not by time.
    pub end: Option<InvitationEnd>,
}

/// End of an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum InvitationEnd {
    /// A machine has joined by it.
    Used {
        /// Number of the machine.
        machine: String,
    },
    /// Somebody took it back.
    Revoked,
}

/// A machine that has joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Hash of its token.
    pub hash: Digest,
    /// Name that it gave.
    pub name: String,
    /// Wallet that owns it.
    pub owner: Address,
    /// Moment at which it joined.
    pub joined: Moment,
}

/// A machine that wants to join.
#[derive(Clone, Copy, Debug)]
pub struct Joining<'a> {
    /// Hash of the invitation's token.
    pub invitation: &'a Digest,
    /// Hash of the machine's own token.
    pub token: &'a Digest,
    /// Name that it gives.
    pub name: &'a str,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitations {
    /// Invitations by their numbers.
    pub all: BTreeMap<String, Invitation>,
    /// Machines by their numbers.
    pub machines: BTreeMap<String, Machine>,
    removed: VecDeque<Digest>,
}

impl Invitation {
    /// True where a machine can join by it now. `is_owner` says of a wallet whether it is an owner.
    pub fn is_open(&self, is_owner: impl Fn(&Address) -> bool, now: &Moment) -> bool {
        self.end.is_none() && is_owner(&self.owner) && now.since_ms(&self.made) < self.lasts_ms
    }
}

impl Invitations {
    /// True where nothing is kept.
    pub fn is_empty(&self) -> bool {
        *self == Invitations::default()
    }

    /// Keeps a new invitation. Of those that have ended the oldest makes room.
    ///
    /// # Errors
    /// Its length cannot be taken, or too many are open.
    pub fn invite(
        &mut self,
        id: String,
        invitation: Invitation,
        is_owner: impl Fn(&Address) -> bool,
        now: &Moment,
    ) -> Result<(), Refusal> {
        if !(INVITATION_MS_MIN..=INVITATION_MS_MAX).contains(&invitation.lasts_ms) {
            return Err(Refusal::Value(format!(
                "an invitation lasts at least {} minute and at most {} days",
                INVITATION_MS_MIN / 60_000,
                INVITATION_MS_MAX / 86_400_000
            )));
        }
        if self.all.values().filter(|kept| kept.is_open(&is_owner, now)).count() >= OPEN_MAX {
            return Err(Refusal::Full { what: "open invitations", max: OPEN_MAX });
        }
        while self.all.len() >= KEPT_MAX {
            let ended = self.all.iter().filter(|(_, kept)| !kept.is_open(&is_owner, now));
            let Some(oldest) = ended.min_by_key(|(_, kept)| kept.made.ran_ms).map(|(id, _)| id.clone()) else { break };
            self.all.remove(&oldest);
        }
        self.all.insert(id, invitation);
        Ok(())
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// It is not there, or a machine has joined by it.
    pub fn revoke(&mut self, id: &str) -> Result<(), Refusal> {
        let found = self.all.get_mut(id).ok_or_else(|| missing("invitation", id))?;
        match found.end {
            Some(InvitationEnd::Used { .. }) => Err(Refusal::InvitationUsed),
            Some(InvitationEnd::Revoked) => Ok(()),
            None => {
                found.end = Some(InvitationEnd::Revoked);
                Ok(())
            }
        }
    }

    /// Lets a machine join, as number `id` where it is a new one; the number that it has, and its owner.
    ///
    /// # Errors
    /// The invitation was never made, was used by another machine, was taken back, or has expired; the name cannot be taken; or there are too many machines.
    pub fn join(
        &mut self,
        joining: Joining<'_>,
        id: String,
        is_owner: impl Fn(&Address) -> bool,
        now: &Moment,
    ) -> Result<(String, Address), Refusal> {
        let name = plain(joining.name)?;
        let found = self.all.values_mut().find(|kept| kept.hash == *joining.invitation);
        let found = found.ok_or(Refusal::InvitationUnknown)?;
        match &found.end {
            Some(InvitationEnd::Used { machine }) => {
                // The machine that joined by it asks again: it has not heard the answer.
                let same = self.machines.get(machine).is_some_and(|kept| kept.hash == *joining.token);
                return if same { Ok((machine.clone(), found.owner)) } else { Err(Refusal::InvitationUsed) };
            }
            Some(InvitationEnd::Revoked) => return Err(Refusal::InvitationRevoked),
            None if !is_owner(&found.owner) => return Err(Refusal::InvitationRevoked),
            None if now.since_ms(&found.made) >= found.lasts_ms => return Err(Refusal::InvitationExpired),
            None => {}
        }
        if self.machines.len() >= MACHINES_MAX {
            return Err(Refusal::Full { what: "machines", max: MACHINES_MAX });
        }
        let is_known = self.machines.values().any(|kept| kept.hash == *joining.token);
        if is_known || self.removed.contains(joining.token) {
            return Err(Refusal::Value("a machine that joins brings a token that it never had before".into()));
        }
        found.end = Some(InvitationEnd::Used { machine: id.clone() });
        let owner = found.owner;
        self.machines.insert(id.clone(), Machine { hash: *joining.token, name, owner, joined: *now });
        Ok((id, owner))
    }

    /// The machine of a token, with its number.
    ///
    /// # Errors
    /// It never joined, or was removed.
    pub fn machine(&self, token: &Digest) -> Result<(&str, &Machine), Refusal> {
        match self.machines.iter().find(|(_, machine)| machine.hash == *token) {
            Some((id, machine)) => Ok((id, machine)),
            None if self.removed.contains(token) => Err(Refusal::MachineRemoved),
            None => Err(Refusal::MachineUnknown),
        }
    }

    /// Takes a machine out of the list.
    ///
    /// # Errors
    /// It is not there.
    pub fn remove(&mut self, id: &str) -> Result<Machine, Refusal> {
        let machine = self.machines.remove(id).ok_or_else(|| missing("machine", id))?;
        self.removed.push_back(machine.hash);
        while self.removed.len() > REMOVED_MAX {
            self.removed.pop_front();
        }
        Ok(machine)
    }
}

fn missing(what: &'static str, id: &str) -> Refusal {
    Refusal::Missing { what, name: id.chars().take(NAME_CHARS_MAX).collect() }
}

/// A name of another machine, which anybody may have written.
fn plain(name: &str) -> Result<String, Refusal> {
    let name = name.trim();
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "-._".contains(sign);
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(is_plain) {
        return Err(Refusal::Value(format!(
            "the name of a machine has 1 to {NAME_CHARS_MAX} letters, digits, dots, hyphens and underscores"
        )));
    }
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::{Timestamp, sha256};
    use proptest::prelude::*;

    use super::*;

    fn hash(text: &str) -> Digest {
        sha256(&[text.as_bytes()])
    }

    fn at(ms: u64) -> Moment {
        Moment { wall: Timestamp::from_millis(1_000_000_000_000 + i64::try_from(ms).unwrap()), ran_ms: ms }
    }

    fn invited(name: &str, made_ms: u64) -> Invitation {
        let (owner, lasts_ms) = (Address([1; 20]), INVITATION_MS);
        Invitation { hash: hash(name), owner, by: "ann".into(), made: at(made_ms), lasts_ms, end: None }
    }

    fn one() -> Invitations {
        let mut all = Invitations::default();
        all.invite("i1".into(), invited("first", 0), |_| true, &at(0)).unwrap();
        all
    }

    fn join(all: &mut Invitations, by: &str, token: &str, ms: u64) -> Result<(String, Address), Refusal> {
        let joining = Joining { invitation: &hash(by), token: &hash(token), name: "attic" };
        all.join(joining, format!("of-{token}"), |owner| *owner == Address([1; 20]), &at(ms))
    }

    #[test]
    fn each_line_that_is_not_good_has_its_own_word() {
        let mut all = one();
        assert_eq!(join(&mut all, "forged", "a", 1), Err(Refusal::InvitationUnknown));
        assert_eq!(join(&mut all, "first", "a", INVITATION_MS), Err(Refusal::InvitationExpired));
        assert_eq!(join(&mut all, "first", "a", 1).unwrap(), ("of-a".to_string(), Address([1; 20])));
        assert_eq!(join(&mut all, "first", "b", 2), Err(Refusal::InvitationUsed), "replayed");
        assert_eq!(join(&mut all, "first", "b", 2 * INVITATION_MS), Err(Refusal::InvitationUsed), "replayed later");
        all.invite("i2".into(), invited("second", 5), |_| true, &at(5)).unwrap();
        all.revoke("i2").unwrap();
        assert_eq!(join(&mut all, "second", "b", 6), Err(Refusal::InvitationRevoked));
        assert_eq!(all.revoke("i1"), Err(Refusal::InvitationUsed));
        assert!(matches!(all.revoke("i9"), Err(Refusal::Missing { .. })));
        // Whoever made it is an owner no more.
        all.invite("i3".into(), invited("third", 5), |_| true, &at(5)).unwrap();
        let joining = Joining { invitation: &hash("third"), token: &hash("c"), name: "attic" };
        assert_eq!(all.join(joining, "m".into(), |_| false, &at(6)), Err(Refusal::InvitationRevoked));
    }

    #[test]
    fn a_clock_that_is_set_back_lengthens_no_invitation() {
        let mut all = one();
        let joining = Joining { invitation: &hash("first"), token: &hash("a"), name: "attic" };
        let back = Moment { wall: Timestamp::from_millis(0), ran_ms: INVITATION_MS };
        assert_eq!(all.join(joining, "m".into(), |_| true, &back), Err(Refusal::InvitationExpired));
        let ahead = Moment { wall: Timestamp::from_millis(2_000_000_000_000), ran_ms: 1 };
        assert_eq!(all.join(joining, "m".into(), |_| true, &ahead), Err(Refusal::InvitationExpired));
        assert!(all.join(joining, "m".into(), |_| true, &at(1)).is_ok(), "it is forgotten by neither");
    }

    #[test]
    fn a_machine_that_has_not_heard_the_answer_asks_again() {
        let mut all = one();
        let joined = join(&mut all, "first", "a", 1).unwrap();
        assert_eq!(join(&mut all, "first", "a", 2).unwrap(), joined);
        assert_eq!(all.machines.len(), 1);
        assert_eq!(all.machine(&hash("a")).unwrap().0, "of-a");
        assert_eq!(all.machine(&hash("b")).unwrap_err(), Refusal::MachineUnknown);
        assert_eq!(all.remove("of-a").unwrap().name, "attic");
        assert_eq!(all.machine(&hash("a")).unwrap_err(), Refusal::MachineRemoved);
        assert_eq!(join(&mut all, "first", "a", 3), Err(Refusal::InvitationUsed), "it comes back by another one");
        all.invite("i2".into(), invited("second", 5), |_| true, &at(5)).unwrap();
        assert!(matches!(join(&mut all, "second", "a", 6), Err(Refusal::Value(_))), "with another token");
        assert!(join(&mut all, "second", "b", 6).is_ok());
    }

    #[test]
    fn lengths_names_and_numbers_are_bounded() {
        let mut all = Invitations::default();
        for lasts_ms in [0, INVITATION_MS_MIN - 1, INVITATION_MS_MAX + 1] {
            let wish = Invitation { lasts_ms, ..invited("x", 0) };
            assert!(matches!(all.invite("i".into(), wish, |_| true, &at(0)), Err(Refusal::Value(_))), "{lasts_ms}");
        }
        for n in 0..OPEN_MAX {
            all.invite(n.to_string(), invited(&n.to_string(), 0), |_| true, &at(0)).unwrap();
        }
        let more = all.invite("more".into(), invited("more", 0), |_| true, &at(0));
        assert_eq!(more, Err(Refusal::Full { what: "open invitations", max: OPEN_MAX }));
        for n in 0..3 * KEPT_MAX as u64 {
            let made = (n + 1) * INVITATION_MS;
            all.invite(format!("later-{n}"), invited(&format!("later-{n}"), made), |_| true, &at(made)).unwrap();
        }
        assert_eq!(all.all.len(), KEPT_MAX);
        let last = 3 * KEPT_MAX as u64;
        let by = format!("later-{}", last - 1);
        for name in ["", " ", "a b", "a\u{202e}b", "\u{1b}[31m", &"a".repeat(NAME_CHARS_MAX + 1)] {
            let joining = Joining { invitation: &hash(&by), token: &hash("a"), name };
            let refused = all.join(joining, "m".into(), |_| true, &at(last * INVITATION_MS + 1));
            assert!(matches!(refused, Err(Refusal::Value(_))), "{name}");
        }
        for n in 0..MACHINES_MAX {
            let machine =
                Machine { hash: hash(&format!("m{n}")), name: "m".into(), owner: Address([1; 20]), joined: at(0) };
            all.machines.insert(format!("m{n}"), machine);
        }
        let full = join(&mut all, &by, "a", last * INVITATION_MS + 1);
        assert_eq!(full, Err(Refusal::Full { what: "machines", max: MACHINES_MAX }));
    }

    proptest! {
        /// Whatever machines ask in whatever order, at most one is ever in by an invitation, and only within its time.
        #[test]
        fn an_invitation_lets_one_machine_in(asks in proptest::collection::vec((0u8..4, 0u64..3 * INVITATION_MS), 1..30)) {
            let mut all = one();
            let mut inside: Option<u8> = None;
            for (machine, ms) in asks {
                match (join(&mut all, "first", &machine.to_string(), ms), inside) {
                    (Ok(_), Some(first)) => prop_assert_eq!(machine, first),
                    (Ok(_), None) => {
                        prop_assert!(ms < INVITATION_MS);
                        inside = Some(machine);
                    }
                    (Err(refusal), Some(first)) => {
                        prop_assert_eq!(refusal, Refusal::InvitationUsed);
                        prop_assert_ne!(machine, first);
                    }
                    (Err(refusal), None) => prop_assert_eq!(refusal, Refusal::InvitationExpired),
                }
            }
            prop_assert!(all.machines.len() <= 1);
        }
    }
}
