//! Invitations for other machines and the machines that joined, as an agent keeps them; and the owner of a machine that joins another Xnode.

use openmesh_primitives::Address;

use super::{Access, lock};
use crate::error::Refusal;
use crate::invitations::{INVITATION_MS, Invitation, InvitationEnd, Joining};
use crate::moment::{Moment, Tick};
use crate::principal::{Principal, Who};
use crate::role::Role;
use crate::state::State;
use crate::token::{self, INVITATION};
use crate::views;

impl Access {
    /// Makes an invitation: the machine that joins by it is `owner`'s, or else the one's who asks. The token is told this once.
    ///
    /// # Errors
    /// An API key asks, the owner is none of this Xnode or has to be named, the length cannot be taken, too many are open, or the system gives no randomness.
    pub fn invite(
        &self,
        actor: &Principal,
        owner: Option<Address>,
        lasts_ms: Option<u64>,
        tick: &Tick,
    ) -> Result<(String, views::Invitation), Refusal> {
        let (token, id) = (token::token(INVITATION)?, token::number()?);
        let hash = token::hash(&token).ok_or(Refusal::InvitationUnknown)?;
        let entry = self.change_by(actor, tick, |state, actor, now| {
            let owner = owner_for(state, actor, owner)?;
            let lasts_ms = lasts_ms.unwrap_or(INVITATION_MS);
            let made = Invitation { hash, owner, by: actor.to_string(), made: *now, lasts_ms, end: None };
            let State { invitations, members, .. } = state;
            let is_owner = |wallet: &Address| members.get(wallet).is_some_and(|member| member.role == Role::Owner);
            invitations.invite(id.clone(), made, is_owner, now)?;
            view(state, &id, now).ok_or(Refusal::InvitationUnknown)
        })?;
        Ok((token, entry))
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// An API key asks, it is not there, or a machine has joined by it.
    pub fn end_invitation(&self, actor: &Principal, id: &str, tick: &Tick) -> Result<(), Refusal> {
        self.change_by(actor, tick, |state, actor, _| {
            no_key(actor)?;
            state.invitations.revoke(id)
        })
    }

    /// Invitations that are remembered, the newest first.
    pub fn invitations(&self, tick: &Tick) -> Vec<views::Invitation> {
        let inner = lock(&self.inner);
        let now = inner.state.ran.moment(tick);
        let ids = inner.state.invitations.all.keys();
        let mut all: Vec<views::Invitation> = ids.filter_map(|id| view(&inner.state, id, &now)).collect();
        all.sort_by_key(|invitation| std::cmp::Reverse(invitation.made));
        all
    }

    /// Lets a machine join by an invitation, with its own token.
    ///
    /// # Errors
    /// Each fault of an invitation has its own refusal; so has a name or a token that cannot be taken, and a list that is full.
    pub fn join(&self, invitation: &str, token: &str, name: &str, tick: &Tick) -> Result<views::Joined, Refusal> {
        let invitation = Some(invitation).filter(|text| token::is_invitation(text)).and_then(token::hash);
        let invitation = invitation.ok_or(Refusal::InvitationUnknown)?;
        let token = Some(token).filter(|text| text.starts_with(token::MACHINE)).and_then(token::hash);
        let token = token.ok_or_else(|| Refusal::Value("the token of a machine is of another form".into()))?;
        // Strangers cause no copy of all that is kept: nobody waits for them.
        if lock(&self.inner).state.invitations.all.values().all(|kept| kept.hash != invitation) {
            return Err(Refusal::InvitationUnknown);
        }
        let id = token::number()?;
        self.change(tick, |state, now| {
            let State { invitations, members, .. } = state;
            let is_owner = |wallet: &Address| members.get(wallet).is_some_and(|member| member.role == Role::Owner);
            let joining = Joining { invitation: &invitation, token: &token, name };
            let (id, _) = invitations.join(joining, id, is_owner, now)?;
            joined(state, &id).ok_or(Refusal::MachineUnknown)
        })
    }

    /// The machine of a token.
    ///
    /// # Errors
    /// It never joined, or was removed.
    pub fn machine(&self, token: &str) -> Result<views::Joined, Refusal> {
        let hash = token::hash(token).ok_or(Refusal::MachineUnknown)?;
        let inner = lock(&self.inner);
        let (id, _) = inner.state.invitations.machine(&hash)?;
        joined(&inner.state, id).ok_or(Refusal::MachineUnknown)
    }

    /// Machines that have joined, by their names.
    pub fn machines(&self) -> Vec<views::Joined> {
        let inner = lock(&self.inner);
        let ids = inner.state.invitations.machines.keys();
        let mut all: Vec<views::Joined> = ids.filter_map(|id| joined(&inner.state, id)).collect();
        all.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        all
    }

    /// Takes a machine out of the list, in a person's name.
    ///
    /// # Errors
    /// An API key asks, or it is not there.
    pub fn remove_machine(&self, actor: &Principal, id: &str, tick: &Tick) -> Result<views::Joined, Refusal> {
        self.change_by(actor, tick, |state, actor, _| {
            no_key(actor)?;
            take_out(state, id)
        })
    }

    /// Takes the machine of a token out of the list: it leaves.
    ///
    /// # Errors
    /// It never joined, or was removed.
    pub fn leave(&self, token: &str, tick: &Tick) -> Result<views::Joined, Refusal> {
        let hash = token::hash(token).ok_or(Refusal::MachineUnknown)?;
        self.change(tick, |state, _| {
            let id = state.invitations.machine(&hash)?.0.to_string();
            take_out(state, &id)
        })
    }

    /// Refuses a wallet that could not become the owner of this machine: somebody else is one.
    ///
    /// # Errors
    /// [`Refusal::Owned`].
    pub fn check_owner(&self, wallet: &Address) -> Result<(), Refusal> {
        let inner = lock(&self.inner);
        if inner.state.has_owner() && !inner.state.is_owner(wallet) { Err(Refusal::Owned) } else { Ok(()) }
    }

    /// Names the first owner. Returns false where that wallet is an owner already, and nothing has changed.
    ///
    /// # Errors
    /// Somebody else is an owner, or it cannot be written.
    pub fn own(&self, wallet: Address, by: &str, tick: &Tick) -> Result<bool, Refusal> {
        self.change(tick, |state, now| {
            if state.is_owner(&wallet) {
                return Ok(false);
            }
            state.name_owner(wallet, by, now).map(|()| true)
        })
    }
}

/// An API key that leaked must bring no machine.
fn no_key(actor: &Principal) -> Result<(), Refusal> {
    match actor.who {
        Who::Key { .. } => Err(Refusal::KeyOnAccess),
        Who::Root | Who::Wallet(_) => Ok(()),
    }
}

/// The owner of the machine that is invited: the one that is named, whoever asks, or the only one that there is.
fn owner_for(state: &State, actor: &Principal, named: Option<Address>) -> Result<Address, Refusal> {
    no_key(actor)?;
    let mut owners = state.members.iter().filter(|(_, member)| member.role == Role::Owner).map(|(wallet, _)| *wallet);
    let wallet = match (named, &actor.who) {
        (Some(named), _) => named,
        (None, Who::Wallet(own)) => *own,
        (None, _) => match (owners.next(), owners.next()) {
            (Some(only), None) => only,
            (None, _) => return Err(Refusal::Value("nobody owns this Xnode yet; name its first owner before".into())),
            (Some(_), Some(_)) => {
                return Err(Refusal::Value("this Xnode has several owners; say whose the machine will be".into()));
            }
        },
    };
    match state.is_owner(&wallet) {
        true => Ok(wallet),
        false => {
            Err(Refusal::Value(format!("{wallet} is no owner of this Xnode, and an invited machine is an owner's")))
        }
    }
}

fn view(state: &State, id: &str, now: &Moment) -> Option<views::Invitation> {
    use views::InvitationState as Is;
    let kept = state.invitations.all.get(id)?;
    let left_ms = kept.lasts_ms.saturating_sub(now.since_ms(&kept.made));
    let (is, machine) = match &kept.end {
        Some(InvitationEnd::Used { machine }) => (Is::Used, Some(machine.clone())),
        Some(InvitationEnd::Revoked) => (Is::Revoked, None),
        None if !state.is_owner(&kept.owner) => (Is::Revoked, None),
        None if left_ms == 0 => (Is::Expired, None),
        None => (Is::Open, None),
    };
    let (owner, by, made) = (kept.owner, kept.by.clone(), kept.made.wall);
    let left_ms = if is == Is::Open { left_ms } else { 0 };
    Some(views::Invitation { id: id.into(), state: is, owner, by, made, left_ms, machine })
}

fn joined(state: &State, id: &str) -> Option<views::Joined> {
    let kept = state.invitations.machines.get(id)?;
    Some(views::Joined { id: id.into(), name: kept.name.clone(), owner: kept.owner, joined: kept.joined.wall })
}

fn take_out(state: &mut State, id: &str) -> Result<views::Joined, Refusal> {
    let machine = state.invitations.remove(id)?;
    Ok(views::Joined { id: id.into(), name: machine.name, owner: machine.owner, joined: machine.joined.wall })
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::Timestamp;

    use super::*;

    fn tick(ms: u64) -> Tick {
        let wall = Timestamp::from_millis(1_700_000_000_000 + i64::try_from(ms).unwrap());
        Tick { boot: "a".into(), boot_ms: ms, wall }
    }

    fn wallet(n: u8) -> Address {
        Address([n; 20])
    }

    fn person(n: u8, role: Role) -> Principal {
        Principal { who: Who::Wallet(wallet(n)), role, from: "here".into(), live: None }
    }

    fn open(folder: &std::path::Path) -> Access {
        Access::open(folder, Some(wallet(1)), None, &tick(0)).unwrap()
    }

    #[test]
    fn an_owner_invites_and_a_machine_joins_once_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let access = open(folder.path());
        let (token, entry) = access.invite(&person(1, Role::Owner), None, None, &tick(1)).unwrap();
        assert_eq!((entry.owner, entry.left_ms), (wallet(1), INVITATION_MS));
        let own = token::of_machine().unwrap();
        let machine = access.join(&token, &own, "attic", &tick(2)).unwrap();
        assert_eq!((machine.owner, machine.name.as_str()), (wallet(1), "attic"));
        assert_eq!(access.machine(&own).unwrap(), machine);
        // No file has either of the tokens.
        let text = std::fs::read_to_string(folder.path().join("state.json")).unwrap();
        assert!(!text.contains(&token[4..]) && !text.contains(&own[4..]));
        drop(access);
        let access = open(folder.path());
        assert_eq!(access.machines(), std::slice::from_ref(&machine));
        let other = token::of_machine().unwrap();
        assert_eq!(access.join(&token, &other, "thief", &tick(3)).unwrap_err(), Refusal::InvitationUsed);
        assert_eq!(access.join(&token, &own, "attic", &tick(3)).unwrap(), machine, "it has not heard the answer");
        assert_eq!(access.invitations(&tick(4))[0].machine.as_ref(), Some(&machine.id));
        assert_eq!(access.leave(&own, &tick(5)).unwrap(), machine);
        assert_eq!(access.machine(&own).unwrap_err(), Refusal::MachineRemoved);
        assert_eq!(access.machine("omm_").unwrap_err(), Refusal::MachineUnknown);
        assert_eq!(access.machine(&token).unwrap_err(), Refusal::MachineUnknown, "an invitation is no machine");
    }

    #[test]
    fn root_names_an_owner_where_there_are_several_and_a_key_invites_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let access = open(folder.path());
        let root = Principal::root();
        assert_eq!(access.invite(&root, None, None, &tick(1)).unwrap().1.owner, wallet(1));
        let wish = views::MemberWish { role: Role::Owner, name: None, only: None };
        access.set_member(&root, wallet(2), &wish, &tick(2)).unwrap();
        assert!(matches!(access.invite(&root, None, None, &tick(3)), Err(Refusal::Value(_))));
        assert_eq!(access.invite(&root, Some(wallet(2)), None, &tick(3)).unwrap().1.owner, wallet(2));
        assert!(matches!(access.invite(&root, Some(wallet(3)), None, &tick(3)), Err(Refusal::Value(_))));
        let key = Principal {
            who: Who::Key { id: "k".into(), name: "bot".into() },
            role: Role::Owner,
            from: "here".into(),
            live: None,
        };
        assert_eq!(access.invite(&key, None, None, &tick(3)).unwrap_err(), Refusal::KeyOnAccess);
        // What an owner has made goes with them.
        let (token, _) = access.invite(&person(2, Role::Owner), None, None, &tick(4)).unwrap();
        access.remove_member(&root, &wallet(2), &tick(5)).unwrap();
        let refused = access.join(&token, &token::of_machine().unwrap(), "attic", &tick(6));
        assert_eq!(refused.unwrap_err(), Refusal::InvitationRevoked);
    }

    #[test]
    fn a_machine_gets_its_owner_once() {
        let folder = tempfile::tempdir().unwrap();
        let access = Access::open(folder.path(), None, None, &tick(0)).unwrap();
        assert_eq!(access.check_owner(&wallet(1)), Ok(()));
        assert_eq!(access.own(wallet(1), "an invitation", &tick(1)), Ok(true));
        assert_eq!(access.own(wallet(1), "an invitation", &tick(2)), Ok(false));
        assert_eq!(access.own(wallet(2), "an invitation", &tick(3)), Err(Refusal::Owned));
        assert_eq!((access.check_owner(&wallet(1)), access.check_owner(&wallet(2))), (Ok(()), Err(Refusal::Owned)));
    }
}
