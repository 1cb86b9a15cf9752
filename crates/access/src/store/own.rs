//! Roles of one's own, as an agent keeps them.

use super::{Access, lock};
use crate::error::Refusal;
use crate::moment::Tick;
use crate::own::Right;
use crate::principal::Principal;
use crate::views;

impl Access {
    /// Roles of one's own, by their names.
    pub fn own_roles(&self) -> Vec<views::OwnRole> {
        let inner = lock(&self.inner);
        let state = &inner.state;
        let view = |(name, own): (&String, &crate::own::OwnRole)| views::OwnRole {
            name: name.clone(),
            of: own.of,
            rights: own.rights.iter().map(Right::to_string).collect(),
            since: own.since,
            by: own.by.clone(),
            used: state.have_own(name) as u64,
        };
        state.own.iter().map(view).collect()
    }

    /// Makes a role of one's own, or changes it. What whoever has it has open ends.
    ///
    /// # Errors
    /// A right cannot be read; else as `State::set_own`.
    pub fn set_own_role(
        &self,
        actor: &Principal,
        name: &str,
        wish: &views::OwnRoleWish,
        tick: &Tick,
    ) -> Result<(), Refusal> {
        let rights: Result<Vec<Right>, _> = wish.rights.iter().map(|text| text.parse::<Right>()).collect();
        let rights = rights.map_err(|error| Refusal::Value(error.to_string()))?;
        self.change_by(actor, tick, |state, actor, now| state.set_own(actor, name, (wish.of, rights), now))
    }

    /// Removes a role of one's own.
    ///
    /// # Errors
    /// As `State::remove_own`.
    pub fn remove_own_role(&self, actor: &Principal, name: &str, tick: &Tick) -> Result<(), Refusal> {
        self.change_by(actor, tick, |state, actor, _| state.remove_own(actor, name))
    }
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::{Address, Timestamp};

    use super::*;
    use crate::role::Role;
    use crate::state::KeyWish;

    fn tick(ms: u64) -> Tick {
        let wall = Timestamp::from_millis(1_700_000_000_000 + i64::try_from(ms).unwrap());
        Tick { boot: "a".into(), boot_ms: ms, wall }
    }

    /// Whoever has a role of one's own whose rights change has what is open ended at once, and asks with the rights of then.
    #[tokio::test]
    async fn whatever_is_open_ends_when_the_rights_of_a_role_change() {
        let folder = tempfile::tempdir().unwrap();
        let access = Access::open(folder.path(), Some(Address([1; 20])), None, &tick(0)).unwrap();
        let root = Principal::root();
        let wish = |right: &str| views::OwnRoleWish { of: Role::Operator, rights: vec![right.into()] };
        let refused = access.set_own_role(&root, "web", &wish("GET /elsewhere"), &tick(1));
        assert!(matches!(refused, Err(Refusal::Value(_))), "{refused:?}");
        access.set_own_role(&root, "web", &wish("* /v1/xnode/applications/web/**"), &tick(1)).unwrap();
        let key = KeyWish { name: "bot".into(), role: Role::Operator, lasts_ms: None, only: Some("web".into()) };
        let made = access.make_key(&root, &key, &tick(2)).unwrap();
        assert_eq!(made.entry.only.as_deref(), Some("web"));
        let bot = access.enter(&made.key, "here", &tick(3)).unwrap();
        assert!(bot.may(Some("GET"), "/v1/xnode/applications/web/logs") && !bot.may(Some("GET"), "/v1/xnode"));
        assert_eq!((bot.narrowed_by(), access.own_roles()[0].used), (vec!["web".to_string()], 1));
        let ended = tokio::spawn(bot.ended());
        access.set_own_role(&root, "web", &wish("GET /v1/xnode/applications"), &tick(4)).unwrap();
        ended.await.unwrap();
        let bot = access.enter(&made.key, "here", &tick(5)).unwrap();
        assert!(
            bot.may(Some("GET"), "/v1/xnode/applications") && !bot.may(Some("GET"), "/v1/xnode/applications/web/logs")
        );
        // A change of something else leaves it alone, and the role is there after a start.
        let other = access.make_key(&root, &KeyWish { only: None, ..key }, &tick(6)).unwrap();
        access.end_key(&root, &other.entry.id, &tick(7)).unwrap();
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), bot.ended()).await.is_err());
        drop((access, bot));
        let access = Access::open(folder.path(), None, None, &tick(8)).unwrap();
        let bot = access.enter(&made.key, "here", &tick(9)).unwrap();
        assert!(!bot.may(Some("POST"), "/v1/xnode/applications"));
        assert!(Principal::root().may(Some("POST"), "/v1/xnode/applications"), "nothing narrows root");
    }
}
