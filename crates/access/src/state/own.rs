//! Roles of one's own among members and keys. Pure, as all of the state.

use openmesh_primitives::Address;

use super::{Key, Member, State, missing, no_key};
use crate::error::Refusal;
use crate::moment::Moment;
use crate::own::{self, Grant, OWN_ROLES_MAX, Only, OwnRole, Right};
use crate::principal::Principal;
use crate::role::Role;

impl State {
    /// Rights of a session or key by its number; none where it is gone.
    pub fn grant_of(&self, id: &str) -> Option<Grant> {
        let only = match (self.sessions.get(id), self.keys.get(id)) {
            (Some(session), _) => self.only_of_member(self.members.get(&session.wallet)?),
            (None, Some(key)) => self.only_of_key(key),
            (None, None) => return None,
        };
        Some(Grant { role: self.role_of(id)?, only })
    }

    /// Role of one's own that narrows a member.
    pub fn only_of_member(&self, member: &Member) -> Only {
        Only(member.only.iter().map(|name| self.narrowing(name)).collect())
    }

    /// Roles of one's own that narrow a key: its own, and its maker's.
    pub fn only_of_key(&self, key: &Key) -> Only {
        let maker = key.maker.and_then(|maker| self.members.get(&maker)).and_then(|member| member.only.as_ref());
        Only(maker.into_iter().chain(&key.only).map(|name| self.narrowing(name)).collect())
    }

    /// A role that is not there leaves nothing.
    fn narrowing(&self, name: &str) -> (String, Vec<Right>) {
        (name.to_string(), self.own.get(name).map(|own| own.rights.clone()).unwrap_or_default())
    }

    /// Number of members and keys that have a role of one's own.
    pub fn have_own(&self, name: &str) -> usize {
        let members = self.members.values().map(|member| &member.only);
        members.chain(self.keys.values().map(|key| &key.only)).flatten().filter(|only| *only == name).count()
    }

    /// Makes a role of one's own, or changes it.
    ///
    /// # Errors
    /// A key or no owner asks; its name or a right cannot be; it narrows another role and somebody has it; or there are too many.
    pub fn set_own(
        &mut self,
        actor: &Principal,
        name: &str,
        (of, rights): (Role, Vec<Right>),
        now: &Moment,
    ) -> Result<(), Refusal> {
        is_owner(actor)?;
        own::check(name, of, &rights)?;
        match self.own.get(name) {
            Some(before) if before.of != of && self.have_own(name) > 0 => {
                return Err(Refusal::RoleUsed { name: name.into() });
            }
            None if self.own.len() >= OWN_ROLES_MAX => {
                return Err(Refusal::Full { what: "roles of one's own", max: OWN_ROLES_MAX });
            }
            _ => {}
        }
        self.own.insert(name.into(), OwnRole { of, rights, since: now.wall, by: actor.to_string() });
        Ok(())
    }

    /// Removes a role of one's own.
    ///
    /// # Errors
    /// A key or no owner asks, it is not there, or somebody has it: else they would have more than before, or nothing.
    pub fn remove_own(&mut self, actor: &Principal, name: &str) -> Result<(), Refusal> {
        is_owner(actor)?;
        if !self.own.contains_key(name) {
            return Err(missing("role", name));
        }
        if self.have_own(name) > 0 {
            return Err(Refusal::RoleUsed { name: name.into() });
        }
        self.own.remove(name);
        Ok(())
    }

    /// Narrows a member to a role of one's own; an empty name gives all of their role.
    ///
    /// # Errors
    /// Nobody is a member by this wallet, or the role is not there or narrows another one than they have.
    pub fn narrow_member(&mut self, wallet: &Address, name: &str) -> Result<(), Refusal> {
        let member = self.members.get_mut(wallet).ok_or(Refusal::NoMember(*wallet))?;
        member.only = match name {
            "" => None,
            name => {
                narrows(name, self.own.get(name).ok_or_else(|| missing("role", name))?.of, member.role)?;
                Some(name.into())
            }
        };
        Ok(())
    }

    /// Sees that whoever has changed a member, who was another one before, has given nothing that roles of one's own keep from themselves.
    ///
    /// # Errors
    /// They have.
    pub fn check_given(&self, actor: &Principal, wallet: &Address, before: Option<&Member>) -> Result<(), Refusal> {
        let Some(now) = self.members.get(wallet) else { return Ok(()) };
        // Another name gives nothing.
        if before.is_some_and(|before| (before.role, &before.only) == (now.role, &now.only)) {
            return Ok(());
        }
        let own = now.only.as_ref().and_then(|name| self.own.get(name));
        actor.check_given(own.map(|own| own.rights.as_slice()))
    }

    /// Checks a role of one's own for a new key of a role.
    ///
    /// # Errors
    /// It is not there, or narrows another one.
    pub fn check_own(&self, name: &str, role: Role) -> Result<(), Refusal> {
        narrows(name, self.own.get(name).ok_or_else(|| missing("role", name))?.of, role)
    }
}

/// Refuses whoever is no owner at this moment, and each key.
fn is_owner(actor: &Principal) -> Result<(), Refusal> {
    no_key(actor)?;
    if actor.role == Role::Owner { Ok(()) } else { Err(Refusal::Role { least: Role::Owner, role: actor.role }) }
}

fn narrows(name: &str, of: Role, role: Role) -> Result<(), Refusal> {
    if of == role {
        return Ok(());
    }
    Err(Refusal::Value(format!("the role `{name}` narrows {of}, and is given with that role, not with {role}")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openmesh_primitives::{Timestamp, sha256};
    use tokio::sync::watch;

    use super::*;
    use crate::principal::{Live, Open, Who};
    use crate::state::KeyWish;

    fn right(text: &str) -> Right {
        text.parse().unwrap()
    }

    fn person(n: u8, role: Role) -> Principal {
        Principal { who: Who::Wallet(Address([n; 20])), role, from: "here".into(), live: None }
    }

    /// The same in a session that roles of one's own narrow.
    fn narrowed(n: u8, role: Role, only: Only) -> Principal {
        let (_, ends) = watch::channel(());
        let live = Live { id: "s".into(), ends, until: None, open: Open::counted(&Arc::default()), only };
        Principal { live: Some(live), ..person(n, role) }
    }

    fn now() -> Moment {
        Moment { wall: Timestamp(1), ran_ms: 1 }
    }

    #[test]
    fn roles_of_ones_own_are_bounded_and_stay_as_long_as_somebody_has_them() {
        let (owner, wallet) = (person(1, Role::Owner), Address([2; 20]));
        let mut state = State::default();
        state.name_owner(Address([1; 20]), "a test", &now()).unwrap();
        let logs = || vec![right("GET /v1/xnode/applications/*/logs")];
        for (name, of, rights, words) in [
            ("viewer", Role::Viewer, logs(), "another role"),
            ("root", Role::Viewer, logs(), "another role"),
            ("Reader", Role::Viewer, logs(), "small letters"),
            ("", Role::Viewer, logs(), "small letters"),
            ("reader", Role::Owner, logs(), "does everything"),
            ("reader", Role::Viewer, Vec::new(), "1 to 64 rights"),
            ("reader", Role::Viewer, vec![right("DELETE /v1/xnode/applications/web")], "opens nothing"),
            ("reader", Role::Admin, vec![right("POST /v1/xnode/access/code")], "opens nothing"),
        ] {
            let refused = state.set_own(&owner, name, (of, rights), &now()).unwrap_err();
            assert!(refused.to_string().contains(words), "{name}: {refused}");
        }
        state.set_own(&owner, "reader", (Role::Viewer, logs()), &now()).unwrap();
        state.set_member(&owner, wallet, Role::Operator, None, &now()).unwrap();
        assert!(matches!(state.narrow_member(&wallet, "reader"), Err(Refusal::Value(_))), "it narrows another role");
        assert!(matches!(state.narrow_member(&wallet, "none"), Err(Refusal::Missing { .. })));
        state.set_member(&owner, wallet, Role::Viewer, None, &now()).unwrap();
        state.narrow_member(&wallet, "reader").unwrap();
        let used = Refusal::RoleUsed { name: "reader".into() };
        assert_eq!(state.remove_own(&owner, "reader"), Err(used.clone()));
        assert_eq!(state.set_own(&owner, "reader", (Role::Operator, logs()), &now()), Err(used));
        // Another name widens nothing, and another role is not narrowed by it.
        state.set_member(&owner, wallet, Role::Viewer, Some("Ann".into()), &now()).unwrap();
        assert_eq!(state.have_own("reader"), 1, "another name widens nothing");
        state.set_member(&owner, wallet, Role::Operator, None, &now()).unwrap();
        assert_eq!(state.have_own("reader"), 0);
        state.set_member(&owner, wallet, Role::Viewer, None, &now()).unwrap();
        state.narrow_member(&wallet, "reader").unwrap();
        state.narrow_member(&wallet, "").unwrap();
        assert_eq!(state.have_own("reader"), 0, "all of the role, since that was said");
        state.remove_own(&owner, "reader").unwrap();
        assert!(matches!(state.remove_own(&owner, "reader"), Err(Refusal::Missing { .. })));
        let key = Principal { who: Who::Key { id: "k".into(), name: "k".into() }, ..owner };
        let admin = state.set_own(&person(3, Role::Admin), "reader", (Role::Viewer, logs()), &now());
        assert_eq!(admin, Err(Refusal::Role { least: Role::Owner, role: Role::Admin }));
        assert_eq!(state.set_own(&key, "reader", (Role::Viewer, logs()), &now()), Err(Refusal::KeyOnAccess));
    }

    /// Whoever lets people in gives nothing that they do not have themselves: else a second wallet of theirs would.
    #[test]
    fn a_role_that_lets_people_in_gives_no_more_than_it_has() {
        let (owner, wallet) = (person(1, Role::Owner), Address([3; 20]));
        let rights = |texts: &[&str]| texts.iter().map(|text| right(text)).collect::<Vec<_>>();
        let mut state = State::default();
        let of_people = rights(&["* /v1/xnode/access/members/**", "GET /v1/xnode/applications/web/**"]);
        state.set_own(&owner, "people", (Role::Admin, of_people), &now()).unwrap();
        state.set_own(&owner, "web", (Role::Viewer, rights(&["GET /v1/xnode/applications/web/logs"])), &now()).unwrap();
        state.set_own(&owner, "all", (Role::Viewer, rights(&["GET /v1/xnode/applications/*/logs"])), &now()).unwrap();
        let ann = narrowed(2, Role::Admin, Only(vec![state.narrowing("people")]));
        let mut set = |actor: &Principal, role, only: Option<&str>, name: &str| {
            let (mut next, before) = (state.clone(), state.members.get(&wallet).cloned());
            next.set_member(actor, wallet, role, Some(name.into()), &now())?;
            only.map_or(Ok(()), |only| next.narrow_member(&wallet, only))?;
            next.check_given(actor, &wallet, before.as_ref())?;
            state = next;
            Ok::<(), Refusal>(())
        };
        let refused = Err(Refusal::NotInRole { names: "people".into() });
        assert_eq!(set(&ann, Role::Viewer, None, "bob"), refused, "all of a role");
        assert_eq!(set(&ann, Role::Viewer, Some("all"), "bob"), refused, "logs of each application");
        assert_eq!(set(&ann, Role::Viewer, Some("web"), "bob"), Ok(()));
        assert_eq!(set(&ann, Role::Viewer, Some(""), "bob"), refused);
        assert_eq!(set(&owner, Role::Viewer, Some("all"), "bob"), Ok(()));
        assert_eq!(set(&ann, Role::Viewer, None, "Bob"), Ok(()), "a name gives nothing");
    }

    #[test]
    fn a_key_has_the_narrower_of_its_own_role_and_its_makers() {
        let (owner, wallet) = (person(1, Role::Owner), Address([2; 20]));
        let mut state = State::default();
        let rights = |texts: &[&str]| texts.iter().map(|text| right(text)).collect::<Vec<_>>();
        let web = rights(&["* /v1/xnode/applications/web/**"]);
        let logs = rights(&["GET /v1/xnode/applications/*/logs"]);
        state.set_own(&owner, "web", (Role::Admin, web), &now()).unwrap();
        state.set_own(&owner, "logs", (Role::Viewer, logs), &now()).unwrap();
        state.set_member(&owner, wallet, Role::Admin, None, &now()).unwrap();
        state.narrow_member(&wallet, "web").unwrap();
        let wish = KeyWish { name: "bot".into(), role: Role::Viewer, lasts_ms: None, only: Some("logs".into()) };
        let hash = sha256(&[b"key"]);
        let wrong = KeyWish { role: Role::Operator, ..wish.clone() };
        let maker = person(2, Role::Admin);
        assert!(matches!(state.keep_key(&maker, "k".into(), &wrong, hash, &now()), Err(Refusal::Value(_))));
        state.keep_key(&maker, "k".into(), &wish, hash, &now()).unwrap();
        let grant = state.grant_of("k").unwrap();
        assert_eq!((grant.role, grant.only.names()), (Role::Viewer, vec!["web".to_string(), "logs".to_string()]));
        assert!(grant.only.allows(Some("GET"), "/v1/xnode/applications/web/logs"));
        assert!(!grant.only.allows(Some("GET"), "/v1/xnode/applications/db/logs"), "its maker may not");
        assert!(!grant.only.allows(Some("GET"), "/v1/xnode/applications/web"), "it may not itself");
        // A state with all that is read back.
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    }
}
