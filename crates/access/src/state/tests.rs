//! Members, keys and sessions under every role and both clocks.

use openmesh_primitives::sha256;
use proptest::prelude::*;

use super::*;

fn wallet(n: u8) -> Address {
    Address([n; 20])
}

fn hash(text: &str) -> Digest {
    sha256(&[text.as_bytes()])
}

fn at(ms: u64) -> Moment {
    Moment { wall: Timestamp::from_millis(1_000_000_000_000 + i64::try_from(ms).unwrap()), ran_ms: ms }
}

fn person(n: u8, role: Role) -> Principal {
    Principal { who: Who::Wallet(wallet(n)), role, from: "here".into(), live: None }
}

fn key(role: Role) -> Principal {
    Principal { who: Who::Key { id: "k".into(), name: "bot".into() }, role, from: "here".into(), live: None }
}

/// An owner (1), an admin (2), an operator (3) and a viewer (4).
fn full() -> State {
    let mut state = State::default();
    state.name_owner(wallet(1), "root", &at(0)).unwrap();
    for (n, role) in [(2, Role::Admin), (3, Role::Operator), (4, Role::Viewer)] {
        state.set_member(&Principal::root(), wallet(n), role, None, &at(0)).unwrap();
    }
    state
}

fn begun(state: &mut State, n: u8, id: &str, now: &Moment) {
    state.begin(id.into(), wallet(n), hash(id), "here", now).unwrap();
}

#[test]
fn the_last_owner_stays() {
    let mut state = full();
    let root = Principal::root();
    assert_eq!(state.remove_member(&root, &wallet(1)), Err(Refusal::LastOwner(wallet(1))));
    let demoted = state.set_member(&person(1, Role::Owner), wallet(1), Role::Viewer, None, &at(1));
    assert_eq!(demoted, Err(Refusal::LastOwner(wallet(1))));
    state.set_member(&person(1, Role::Owner), wallet(9), Role::Owner, Some("second".into()), &at(1)).unwrap();
    assert_eq!(state.remove_member(&person(9, Role::Owner), &wallet(1)), Ok(()));
    assert_eq!(state.remove_member(&root, &wallet(9)), Err(Refusal::LastOwner(wallet(9))));
    assert_eq!(state.name_owner(wallet(5), "the settings", &at(2)), Err(Refusal::Owned));
}

#[test]
fn roles_give_and_take_what_they_govern() {
    for actor in Role::ALL {
        for before in Role::ALL {
            for after in Role::ALL {
                let mut state = full();
                state.set_member(&Principal::root(), wallet(7), before, None, &at(0)).unwrap();
                let may = actor.governs(before) && actor.governs(after);
                let set = state.set_member(&person(8, actor), wallet(7), after, None, &at(1));
                assert_eq!(set.is_ok(), may, "{actor}: {before} to {after}");
                let mut state = full();
                state.set_member(&Principal::root(), wallet(7), before, None, &at(0)).unwrap();
                assert_eq!(state.remove_member(&person(8, actor), &wallet(7)).is_ok(), actor.governs(before));
            }
        }
    }
    // Nobody raises themselves.
    let raised = full().set_member(&person(2, Role::Admin), wallet(2), Role::Owner, None, &at(1));
    assert_eq!(raised, Err(Refusal::Govern { role: Role::Admin, other: Role::Owner }));
}

#[test]
fn a_key_changes_nothing_about_access() {
    let mut state = full();
    let wish = KeyWish { name: "more".into(), role: Role::Viewer, lasts_ms: None, only: None };
    begun(&mut state, 3, "s", &at(0));
    let actor = key(Role::Owner);
    let refused = Refusal::KeyOnAccess;
    assert_eq!(state.set_member(&actor, wallet(7), Role::Viewer, None, &at(1)), Err(refused.clone()));
    assert_eq!(state.remove_member(&actor, &wallet(3)), Err(refused.clone()));
    assert_eq!(state.keep_key(&actor, "k2".into(), &wish, hash("k2"), &at(1)), Err(refused.clone()));
    assert_eq!(state.end_session(&actor, "s"), Err(refused.clone()));
    assert_eq!(state.end_sessions_of(&actor, &wallet(3)), Err(refused.clone()));
    assert_eq!(state.end_key(&actor, "k"), Err(refused));
}

#[test]
fn sessions_are_ended_by_their_own_and_by_who_governs_them() {
    for (n, role) in [(1, Role::Owner), (2, Role::Admin), (3, Role::Operator), (4, Role::Viewer)] {
        for (other, other_role) in [(1, Role::Owner), (2, Role::Admin), (3, Role::Operator), (4, Role::Viewer)] {
            let mut state = full();
            begun(&mut state, other, "s", &at(0));
            let may = n == other || role.governs(other_role);
            assert_eq!(state.end_session(&person(n, role), "s").is_ok(), may, "{role} ends one of {other_role}");
            let mut state = full();
            begun(&mut state, other, "s", &at(0));
            begun(&mut state, other, "t", &at(0));
            let ended = state.end_sessions_of(&person(n, role), &wallet(other));
            assert_eq!(ended.ok(), may.then_some(2));
        }
    }
    let mut state = full();
    begun(&mut state, 1, "s", &at(0));
    let unseen = state.end_session(&person(4, Role::Viewer), "s");
    assert_eq!(
        unseen,
        Err(Refusal::Missing { what: "session", name: "s".into() }),
        "a viewer learns nothing of others"
    );
}

#[test]
fn forged_expired_idle_and_revoked_are_told_apart() {
    let mut state = full();
    begun(&mut state, 3, "s", &at(0));
    let find = |state: &State, ms, open: bool| state.find(&hash("s"), &at(ms), |_| open).map(|found| found.left_ms);
    assert_eq!(find(&state, 1_000, false), Ok(Some(SESSION_MS - 1_000)));
    assert_eq!(state.find(&hash("x"), &at(0), |_| false).unwrap_err(), Refusal::Forged);
    assert_eq!(find(&state, IDLE_MS, false), Err(Refusal::Idle { idle_ms: IDLE_MS }));
    // What is still open is being used; but not for longer than a session's life.
    assert_eq!(find(&state, IDLE_MS, true), Ok(Some(SESSION_MS - IDLE_MS)));
    assert_eq!(find(&state, SESSION_MS, true), Err(Refusal::Expired));
    // It is forgotten at a later sign-in, and its end is not.
    begun(&mut state, 4, "t", &at(SESSION_MS));
    assert!(!state.sessions.contains_key("s"));
    assert_eq!(find(&state, SESSION_MS, false), Err(Refusal::Expired));
    let mut state = full();
    begun(&mut state, 3, "s", &at(0));
    state.end_session(&person(3, Role::Operator), "s").unwrap();
    assert_eq!(find(&state, 1, false), Err(Refusal::Revoked));
}

#[test]
fn a_clock_that_is_set_frees_and_forgets_nothing() {
    const DAY: i64 = 86_400_000;
    let mut state = full();
    begun(&mut state, 3, "s", &at(0));
    let moved = |ms: u64, by: i64| Moment { wall: Timestamp::from_millis(at(ms).wall.millis() + by), ran_ms: ms };
    let find = |state: &State, now: &Moment| state.find(&hash("s"), now, |_| true).map(|_| ());
    // Set back by a day: the session ends when it would have.
    assert_eq!(find(&state, &moved(SESSION_MS - 1, -DAY)), Ok(()));
    assert_eq!(find(&state, &moved(SESSION_MS, -DAY)), Err(Refusal::Expired));
    // A year ahead: refused as long as it is ahead, and there again afterwards, also after somebody signed in meanwhile.
    assert_eq!(find(&state, &moved(1_000, 365 * DAY)), Err(Refusal::Expired));
    begun(&mut state, 4, "t", &moved(2_000, 365 * DAY));
    assert_eq!(find(&state, &at(3_000)), Ok(()));
    // A key of a month: the same.
    let wish = KeyWish { name: "bot".into(), role: Role::Viewer, lasts_ms: Some(30 * DAY as u64), only: None };
    state.keep_key(&person(3, Role::Operator), "k".into(), &wish, hash("k"), &at(0)).unwrap();
    let find = |now: &Moment| state.find(&hash("k"), now, |_| false).map(|_| ());
    assert_eq!(find(&moved(1_000, 365 * DAY)), Err(Refusal::Expired));
    assert_eq!(find(&at(1_000)), Ok(()));
    assert_eq!(find(&moved(30 * DAY as u64, -20 * DAY)), Err(Refusal::Expired));
}

#[test]
fn keys_have_the_least_of_their_own_role_and_their_makers() {
    let mut state = full();
    let wish = |role, lasts_ms| KeyWish { name: " bot ".into(), role, lasts_ms, only: None };
    let too_much = state.keep_key(&person(2, Role::Admin), "k".into(), &wish(Role::Owner, None), hash("k"), &at(0));
    assert_eq!(too_much, Err(Refusal::Role { least: Role::Owner, role: Role::Admin }));
    for lasts_ms in [Some(0), Some(KEY_MS_MAX + 1)] {
        let refused = state.keep_key(&Principal::root(), "k".into(), &wish(Role::Viewer, lasts_ms), hash("k"), &at(0));
        assert!(matches!(refused, Err(Refusal::Value(_))));
    }
    state.keep_key(&person(2, Role::Admin), "k".into(), &wish(Role::Admin, None), hash("k"), &at(0)).unwrap();
    let found = state.find(&hash("k"), &at(KEY_MS_MAX), |_| false).unwrap();
    assert_eq!((found.role, found.left_ms, found.who.to_string()), (Role::Admin, None, "key bot (k)".into()));
    state.set_member(&Principal::root(), wallet(2), Role::Viewer, None, &at(1)).unwrap();
    assert_eq!(state.role_of("k"), Some(Role::Viewer));
    state.remove_member(&Principal::root(), &wallet(2)).unwrap();
    assert_eq!(state.find(&hash("k"), &at(2), |_| false).unwrap_err(), Refusal::Revoked);
    // What root made stays until somebody who governs it takes it.
    state.keep_key(&Principal::root(), "r".into(), &wish(Role::Owner, None), hash("r"), &at(0)).unwrap();
    assert!(matches!(state.end_key(&person(5, Role::Admin), "r"), Err(Refusal::Govern { .. })));
    assert_eq!(state.end_key(&person(1, Role::Owner), "r"), Ok(()));
    assert!(matches!(state.end_key(&person(1, Role::Owner), "r"), Err(Refusal::Missing { .. })));
}

#[test]
fn lists_are_bounded() {
    let mut state = full();
    for n in 0..SESSIONS_PER_MEMBER_MAX + 5 {
        begun(&mut state, 3, &format!("s{n}"), &at(n as u64));
    }
    assert_eq!(state.sessions.len(), SESSIONS_PER_MEMBER_MAX);
    assert_eq!(state.find(&hash("s0"), &at(100), |_| true).unwrap_err(), Refusal::Revoked, "the oldest made room");
    for n in 0..MEMBERS_MAX - 4 {
        let mut address = [0xee; 20];
        address[..8].copy_from_slice(&(n as u64).to_be_bytes());
        state.set_member(&Principal::root(), Address(address), Role::Viewer, None, &at(0)).unwrap();
    }
    let more = state.set_member(&Principal::root(), wallet(7), Role::Viewer, None, &at(0));
    assert_eq!(more, Err(Refusal::Full { what: "members", max: MEMBERS_MAX }));
    for name in ["a".repeat(NAME_CHARS_MAX + 1), "a\u{1b}[2J".into()] {
        let set = state.set_member(&Principal::root(), wallet(3), Role::Viewer, Some(name), &at(0));
        assert!(matches!(set, Err(Refusal::Value(_))));
    }
}

#[test]
fn uses_of_a_copy_are_kept() {
    let mut state = full();
    begun(&mut state, 3, "s", &at(5));
    let wish = KeyWish { name: "bot".into(), role: Role::Viewer, lasts_ms: None, only: None };
    state.keep_key(&person(2, Role::Admin), "k".into(), &wish, hash("k"), &at(0)).unwrap();
    let mut changed = state.clone();
    state.touch("s", &at(9));
    state.touch("k", &at(9));
    begun(&mut changed, 3, "t", &at(8));
    changed.keep_uses(&state);
    assert_eq!((changed.sessions["s"].used, changed.sessions["t"].used), (at(9), at(8)));
    assert_eq!(changed.keys["k"].used, Some(at(9)));
    let later = changed.clone();
    changed.keep_uses(&full());
    assert_eq!(changed, later, "an older copy takes nothing back");
}

#[test]
fn the_state_is_read_back() {
    let mut state = full();
    begun(&mut state, 3, "s", &at(5));
    let wish = KeyWish { name: "bot".into(), role: Role::Viewer, lasts_ms: Some(7), only: None };
    state.keep_key(&person(2, Role::Admin), "k".into(), &wish, hash("k"), &at(0)).unwrap();
    state.end_session(&person(3, Role::Operator), "s").unwrap();
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    assert!(serde_json::from_str::<State>(&text.replacen("\"members\"", "\"memers\"", 1)).is_err());
}

proptest! {
    /// Whatever members do to each other, there is an owner, and nobody has more than somebody gave them who could.
    #[test]
    fn there_is_always_an_owner(acts in prop::collection::vec((1u8..6, 1u8..6, 0usize..5), 0..60)) {
        let mut state = full();
        for (by, to, act) in acts {
            let Some(role) = state.members.get(&wallet(by)).map(|member| member.role) else { continue };
            let before = state.clone();
            let actor = person(by, role);
            let done = match Role::ALL.get(act) {
                Some(role) => state.set_member(&actor, wallet(to), *role, None, &at(1)),
                None => state.remove_member(&actor, &wallet(to)),
            };
            if done.is_err() {
                prop_assert_eq!(&state, &before);
            } else {
                prop_assert!(role >= Role::Admin);
                prop_assert!(state.members.get(&wallet(to)).is_none_or(|member| role.governs(member.role)));
            }
            prop_assert!(state.has_owner());
        }
    }
}
