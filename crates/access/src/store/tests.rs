//! Sign-in, sessions that are open, and what is left after a restart.

use openmesh_primitives::{AccountKey, Timestamp};

use super::*;
use crate::principal::Who;

const HOST: &str = "localhost:7780";

fn tick(ms: u64) -> Tick {
    Tick { boot: "a".into(), boot_ms: ms, wall: Timestamp::from_millis(1_700_000_000_000 + i64::try_from(ms).unwrap()) }
}

fn person(n: u8) -> AccountKey {
    AccountKey::from_bytes([n; 32]).unwrap()
}

fn open(folder: &Path) -> Access {
    Access::open(folder, Some(person(1).address()), None, &tick(0)).unwrap()
}

fn text(key: &AccountKey, nonce: &views::Nonce) -> String {
    format!(
        "{domain} wants you to sign in with your Ethereum account:\n{address}\n\n{statement}\n\nURI: http://{domain}\nVersion: 1\nChain ID: {chain}\nNonce: {nonce}\nIssued At: {at}",
        domain = nonce.domain,
        address = key.address(),
        statement = nonce.statement,
        chain = nonce.chain_id,
        nonce = nonce.nonce,
        at = nonce.at,
    )
}

fn signed(signer: &AccountKey, message: String, code: Option<String>) -> views::SignIn {
    let signature = signer.sign_hash(&personal_message_hash(message.as_bytes())).unwrap();
    views::SignIn { message, signature: format!("0x{signature}"), code }
}

fn attempt(wish: &views::SignIn) -> Attempt<'_> {
    Attempt { wish, host: HOST, from: "127.0.0.1:5", source: "127.0.0.1" }
}

/// The text that a visitor of an application signs.
fn text_of_visit(key: &AccountKey, nonce: &views::Nonce, application: &str, host: &str) -> String {
    let statement = Purpose::Visit { application, host }.statement(HOST);
    text(key, &views::Nonce { statement, ..nonce.clone() })
}

async fn try_in(access: &Access, wish: &views::SignIn, ms: u64) -> Result<views::SignedIn, Refusal> {
    access.sign_in(attempt(wish), &tick(ms)).await
}

async fn come_in(access: &Access, n: u8, ms: u64) -> Result<views::SignedIn, Refusal> {
    let nonce = access.nonce(HOST, &tick(ms)).unwrap();
    try_in(access, &signed(&person(n), text(&person(n), &nonce), None), ms).await
}

fn enter(access: &Access, token: &str, ms: u64) -> Result<Principal, Refusal> {
    access.enter(token, "here", &tick(ms))
}

/// Waits for the end of what is open, which comes at once.
async fn over(open: tokio::task::JoinHandle<()>) {
    let ended = tokio::time::timeout(Duration::from_secs(10), open).await;
    ended.expect("what was open has ended").unwrap();
}

#[tokio::test]
async fn a_wallet_signs_in_once_with_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let access = open(folder.path());
    let nonce = access.nonce(HOST, &tick(10)).unwrap();
    assert!(nonce.owned && nonce.chain_id == 1);
    let wish = signed(&person(1), text(&person(1), &nonce), None);
    let signed_in = try_in(&access, &wish, 20).await.unwrap();
    assert_eq!((signed_in.role, signed_in.wallet), (Role::Owner, person(1).address()));
    assert_eq!(try_in(&access, &wish, 30).await.unwrap_err(), Refusal::NonceUsed, "replayed");
    let principal = enter(&access, &signed_in.token, 40).unwrap();
    assert_eq!((principal.to_string(), principal.role), (person(1).address().to_string(), Role::Owner));
    // No file has the token, and the hash of it opens nothing.
    let files = [fs::read_to_string(folder.path().join("state.json")).unwrap()];
    assert!(files.iter().all(|text| !text.contains(&signed_in.token[4..])));
    assert_eq!(come_in(&access, 2, 50).await.unwrap_err(), Refusal::NoMember(person(2).address()));
}

#[tokio::test]
async fn each_fault_has_its_own_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let access = open(folder.path());
    let owner = person(1);
    let attempt = async |change: fn(String) -> String, signer: &AccountKey, later: u64| {
        let nonce = access.nonce(HOST, &tick(0)).unwrap();
        let wish = signed(signer, change(text(&person(1), &nonce)), None);
        try_in(&access, &wish, later).await.unwrap_err().code().0
    };
    let same = |text: String| text;
    assert_eq!(attempt(same, &person(2), 1).await, "bad_signature", "forged");
    assert_eq!(attempt(same, &owner, NONCE_MS_MAX).await, "nonce_expired");
    assert_eq!(attempt(|text| text.replacen(HOST, "evil.example", 1), &owner, 1).await, "wrong_domain");
    assert_eq!(attempt(|text| text.replace("http://localhost", "http://evil"), &owner, 1).await, "wrong_domain");
    assert_eq!(attempt(|text| text.replace("Sign in to", "Sign into"), &owner, 1).await, "wrong_statement");
    assert_eq!(attempt(|text| text.replace("Chain ID: 1", "Chain ID: 5"), &owner, 1).await, "wrong_chain");
    assert_eq!(attempt(|text| text.replace("Nonce: ", "Nonce: 00"), &owner, 1).await, "nonce_unknown");
    assert_eq!(attempt(|text| text + "\nExpiration Time: 2001-01-01T00:00:00Z", &owner, 1).await, "message_time");
    assert_eq!(attempt(|_| "let me in".into(), &owner, 1).await, "bad_message");
    let nonce = access.nonce(HOST, &tick(0)).unwrap();
    let wish = views::SignIn { signature: "0xzz".into(), ..signed(&owner, text(&owner, &nonce), None) };
    assert_eq!(try_in(&access, &wish, 1).await.unwrap_err().code().0, "value");
    // A token that nobody gave out.
    assert_eq!(enter(&access, &format!("oms_{}", "0".repeat(64)), 1).unwrap_err(), Refusal::Forged);
    assert_eq!(enter(&access, "Bearer", 1).unwrap_err(), Refusal::Forged);
}

#[tokio::test]
async fn whatever_is_open_ends_with_its_session() {
    let folder = tempfile::tempdir().unwrap();
    let access = open(folder.path());
    let one = come_in(&access, 1, 1).await.unwrap();
    let two = come_in(&access, 1, 2).await.unwrap();
    let (principal, other) = (enter(&access, &one.token, 3).unwrap(), enter(&access, &two.token, 3).unwrap());
    let (ended, goes_on) = (tokio::spawn(principal.ended()), tokio::spawn(other.ended()));
    access.end_session(&other, &one.id, &tick(4)).unwrap();
    over(ended).await;
    assert_eq!(enter(&access, &one.token, 5).unwrap_err(), Refusal::Revoked);
    assert!(!goes_on.is_finished());
    assert_eq!(access.end_sessions_of(&other, &person(1).address(), &tick(6)), Ok(views::Ended { sessions: 1 }));
    over(goes_on).await;
}

#[tokio::test]
async fn another_role_ends_what_is_open_and_not_the_session() {
    let folder = tempfile::tempdir().unwrap();
    let access = open(folder.path());
    let root = Principal::root();
    let member = |role| views::MemberWish { role, name: None, only: None };
    access.set_member(&root, person(2).address(), &member(Role::Operator), &tick(0)).unwrap();
    let signed_in = come_in(&access, 2, 1).await.unwrap();
    let principal = enter(&access, &signed_in.token, 2).unwrap();
    let ended = tokio::spawn(principal.ended());
    access.set_member(&root, person(2).address(), &member(Role::Viewer), &tick(3)).unwrap();
    over(ended).await;
    assert_eq!(enter(&access, &signed_in.token, 4).unwrap().role, Role::Viewer);
    access.remove_member(&root, &person(2).address(), &tick(5)).unwrap();
    assert_eq!(enter(&access, &signed_in.token, 6).unwrap_err(), Refusal::Revoked);
}

#[tokio::test]
async fn whoever_lost_a_role_while_they_asked_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let access = open(folder.path());
    let root = Principal::root();
    let member = |role| views::MemberWish { role, name: None, only: None };
    access.set_member(&root, person(2).address(), &member(Role::Admin), &tick(0)).unwrap();
    let signed_in = come_in(&access, 2, 1).await.unwrap();
    let asks = enter(&access, &signed_in.token, 2).unwrap();
    access.set_member(&root, person(2).address(), &member(Role::Viewer), &tick(3)).unwrap();
    let refused = access.set_member(&asks, person(3).address(), &member(Role::Viewer), &tick(4));
    assert_eq!(refused, Err(Refusal::Govern { role: Role::Viewer, other: Role::Viewer }));
    access.end_sessions_of(&root, &person(2).address(), &tick(5)).unwrap();
    let refused = access.set_member(&asks, person(3).address(), &member(Role::Viewer), &tick(6));
    assert_eq!(refused, Err(Refusal::Revoked));
}

#[tokio::test]
async fn whatever_is_open_ends_when_the_life_of_its_key_does() {
    let folder = tempfile::tempdir().unwrap();
    let access = open(folder.path());
    let wish = KeyWish { name: "short".into(), role: Role::Viewer, lasts_ms: Some(30), only: None };
    let made = access.make_key(&Principal::root(), &wish, &tick(0)).unwrap();
    let (begun, principal) = (Instant::now(), enter(&access, &made.key, 10).unwrap());
    principal.ended().await;
    assert!(begun.elapsed() >= Duration::from_millis(20));
}

#[tokio::test]
async fn whatever_is_open_ends_by_a_clock_that_was_set() {
    let folder = tempfile::tempdir().unwrap();
    let access = open(folder.path());
    assert!(!access.is_due(&tick(600_000)), "nobody has a right that ends");
    let signed_in = come_in(&access, 1, 0).await.unwrap();
    let ended = tokio::spawn(enter(&access, &signed_in.token, 1).unwrap().ended());
    access.end_expired(&tick(SESSION_MS - 1));
    tokio::task::yield_now().await;
    assert!(!ended.is_finished());
    // A day ahead, within a minute of the machine's own time.
    access.end_expired(&Tick { boot_ms: 60_000, ..tick(SESSION_MS) });
    over(ended).await;
    // Set right again, the session is there.
    assert!(enter(&access, &signed_in.token, 61_000).is_ok());
}

#[tokio::test]
async fn sessions_survive_the_agents_restart() {
    let folder = tempfile::tempdir().unwrap();
    let access = open(folder.path());
    let signed_in = come_in(&access, 1, 1).await.unwrap();
    let unused = access.nonce(HOST, &tick(1)).unwrap();
    drop(access);
    let access = open(folder.path());
    assert_eq!(enter(&access, &signed_in.token, 1_000).unwrap().role, Role::Owner);
    // A nonce does not: whoever was reading signs again.
    let late = try_in(&access, &signed(&person(1), text(&person(1), &unused), None), 1_000).await;
    assert_eq!(late.unwrap_err(), Refusal::NonceForged);
    // Last uses are noted to the minute, so that a restart lets nobody idle twice.
    assert!(access.is_due(&tick(120_000)));
    assert!(!access.is_due(&tick(120_000)), "one is enough");
    access.note_uses(&tick(120_000)).unwrap();
    assert!(!access.is_due(&tick(121_000)));
    drop(access);
    // The machine was started anew, and its clock set back by years: the time in which it ran counts on.
    let later = Tick { boot: "b".into(), boot_ms: SESSION_MS, wall: Timestamp::from_millis(1_000) };
    let access = Access::open(folder.path(), None, None, &later).unwrap();
    assert_eq!(access.enter(&signed_in.token, "here", &later).unwrap_err(), Refusal::Expired);
}

#[tokio::test]
async fn an_idle_session_ends_unless_something_of_it_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let access = open(folder.path());
    let signed_in = come_in(&access, 1, 0).await.unwrap();
    let stream = enter(&access, &signed_in.token, 1).unwrap();
    assert!(enter(&access, &signed_in.token, IDLE_MS + 5).is_ok());
    assert_eq!(access.sessions(&stream, &tick(IDLE_MS + 5))[0].open, 1);
    let closed = Arc::new(AtomicU64::new(0));
    let counts = closed.clone();
    stream.when_closed(move || {
        counts.fetch_add(1, Ordering::SeqCst);
    });
    let copy = stream.clone();
    access.touch(stream.credential().unwrap(), &tick(2 * IDLE_MS));
    drop(stream);
    assert_eq!(closed.load(Ordering::SeqCst), 0, "a copy of it is still there");
    drop(copy);
    assert_eq!(closed.load(Ordering::SeqCst), 1);
    assert!(enter(&access, &signed_in.token, 3 * IDLE_MS - 1).is_ok());
    let idle = Refusal::Idle { idle_ms: IDLE_MS };
    assert_eq!(enter(&access, &signed_in.token, 4 * IDLE_MS).unwrap_err(), idle);
}

#[tokio::test]
async fn the_first_owner_comes_by_settings_or_by_a_code() {
    let folder = tempfile::tempdir().unwrap();
    let access = Access::open(folder.path(), None, None, &tick(0)).unwrap();
    let root = Principal::root();
    assert!(!access.nonce(HOST, &tick(0)).unwrap().owned);
    let old = access.code(&root, &tick(0)).unwrap();
    let code = access.code(&root, &tick(0)).unwrap();
    let claim = async |n: u8, code: &str, ms: u64| {
        let nonce = access.nonce(HOST, &tick(ms)).unwrap();
        try_in(&access, &signed(&person(n), text(&person(n), &nonce), Some(code.into())), ms).await
    };
    assert_eq!(claim(5, &old.code, 1).await.unwrap_err(), Refusal::Code, "a newer one was given");
    assert_eq!(claim(5, "omc_", 1).await.unwrap_err(), Refusal::Code);
    assert_eq!(claim(5, &code.code, CODE_MS).await.unwrap_err(), Refusal::Code, "too old");
    let owner = claim(5, &code.code, 2).await.unwrap();
    assert_eq!(owner.role, Role::Owner);
    assert_eq!(claim(6, &code.code, 3).await.unwrap_err(), Refusal::Code, "used");
    assert_eq!(access.code(&root, &tick(3)), Err(Refusal::Owned));
    let principal = enter(&access, &owner.token, 4).unwrap();
    assert_eq!(access.code(&principal, &tick(4)), Err(Refusal::Root));
    // Settings name the first owner, and no second one.
    drop(access);
    let access = open(folder.path());
    assert_eq!(access.members().len(), 1);
    assert_eq!(access.members()[0].wallet, person(5).address());
}

/// A chain that knows one contract wallet and one signature, and counts questions.
struct Chain(Address, AtomicU64);

impl ContractWallets for Chain {
    fn chain_id(&self) -> u64 {
        11_155_111
    }

    fn verifies<'a>(&'a self, wallet: Address, _: Digest, signature: &'a [u8]) -> Verifies<'a> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            match signature {
                b"down" => Err("no answer".to_string()),
                signature => Ok(wallet == self.0 && signature == b"two of three"),
            }
        })
    }
}

#[tokio::test]
async fn contract_wallets_are_asked_of_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let wallet = person(3).address();
    let chain = Arc::new(Chain(wallet, AtomicU64::new(0)));
    let access = Access::open(folder.path(), Some(wallet), Some(chain.clone()), &tick(0)).unwrap();
    let attempt = async |n: u8, signature: &[u8]| {
        let nonce = access.nonce(HOST, &tick(0)).unwrap();
        let wish = views::SignIn { message: text(&person(n), &nonce), signature: hex::encode(signature), code: None };
        try_in(&access, &wish, 1).await.map(|signed_in| signed_in.role)
    };
    assert_eq!(access.nonce(HOST, &tick(0)).unwrap().chain_id, 11_155_111);
    assert_eq!(attempt(3, b"two of three").await, Ok(Role::Owner));
    assert_eq!(attempt(3, b"one of three").await, Err(Refusal::Signature(wallet)));
    assert_eq!(attempt(3, b"down").await, Err(Refusal::Chainless { address: wallet, cause: "no answer".into() }));
    // A stranger's wallet is not asked about.
    assert_eq!(attempt(4, b"down").await, Err(Refusal::Signature(person(4).address())));
    assert_eq!(chain.1.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn strangers_have_the_chain_asked_seldom() {
    let folder = tempfile::tempdir().unwrap();
    let wallet = person(3).address();
    let chain = Arc::new(Chain(wallet, AtomicU64::new(0)));
    let access = Access::open(folder.path(), Some(wallet), Some(chain.clone()), &tick(0)).unwrap();
    let wish = |message: String, signature: &[u8]| {
        let signature = hex::encode(signature);
        views::SignIn { message, signature, code: None }
    };
    let asked = || chain.1.load(Ordering::SeqCst);
    // Whoever knows a member's address, and whoever knows one of an audience.
    let forged = async |source: &str, visits: bool, signature: &[u8]| {
        let nonce = access.nonce(HOST, &tick(0)).unwrap();
        if visits {
            let wish = wish(text_of_visit(&person(3), &nonce, "notes", "notes.lan"), signature);
            let attempt = Attempt { source, ..attempt(&wish) };
            return access.prove(attempt, ("notes", "notes.lan"), |_| true, &tick(1)).await.map(drop);
        }
        let wish = wish(text(&person(3), &nonce), signature);
        access.sign_in(Attempt { source, ..attempt(&wish) }, &tick(1)).await.map(drop)
    };
    let mut busy = 0;
    for n in 0..40 {
        match forged("192.0.2.1", n % 2 == 0, b"one of three").await {
            Err(Refusal::ChainBusy) => busy += 1,
            other => assert_eq!(other, Err(Refusal::Signature(wallet))),
        }
    }
    assert_eq!((asked(), busy), (5, 35));
    // Somebody elsewhere is asked about as before, also where they come in again and again.
    for n in 0..20 {
        assert_eq!(forged("192.0.2.2", n % 2 == 0, b"two of three").await, Ok(()));
    }
    // All of them together have a bound of their own.
    for n in 0..100 {
        let refused = forged(&format!("198.51.100.{n}"), true, b"one of three").await;
        assert!(refused.is_err(), "{n}");
    }
    assert_eq!(asked(), 20 + 30);
    // A wallet that is a key needs no chain.
    let nonce = access.nonce(HOST, &tick(0)).unwrap();
    let by_key = signed(&person(3), text(&person(3), &nonce), None);
    assert!(try_in(&access, &by_key, 1).await.is_ok());
}

#[tokio::test]
async fn keys_stand_in_the_place_of_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let access = open(folder.path());
    let signed_in = come_in(&access, 1, 0).await.unwrap();
    let owner = enter(&access, &signed_in.token, 1).unwrap();
    let wish = KeyWish { name: "pipeline".into(), role: Role::Operator, lasts_ms: Some(10_000), only: None };
    let made = access.make_key(&owner, &wish, &tick(2)).unwrap();
    let text = fs::read_to_string(folder.path().join("state.json")).unwrap();
    assert!(!text.contains(&made.key[4..]));
    let principal = enter(&access, &made.key, 3).unwrap();
    assert_eq!(
        (principal.role, principal.who.clone()),
        (Role::Operator, Who::Key { id: made.entry.id.clone(), name: "pipeline".into() })
    );
    assert_eq!(access.keys(&tick(3))[0].used.map(|used| used.millis()), Some(tick(3).wall.millis()));
    let ended = tokio::spawn(principal.ended());
    access.end_key(&owner, &made.entry.id, &tick(4)).unwrap();
    over(ended).await;
    assert_eq!(enter(&access, &made.key, 5).unwrap_err(), Refusal::Revoked);
    let made = access.make_key(&owner, &wish, &tick(5)).unwrap();
    assert_eq!(enter(&access, &made.key, 10_005).unwrap_err(), Refusal::Expired);
}

#[test]
fn files_of_another_form_are_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("state.json"), "{").unwrap();
    assert!(matches!(Access::open(folder.path(), None, None, &tick(0)), Err(AccessError::Damaged { .. })));
}

#[tokio::test]
async fn a_visitor_is_proved_once_and_becomes_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let access = open(folder.path());
    let may = |wallet: &Address| *wallet == person(7).address();
    let prove =
        async |wish: &views::SignIn, ms: u64| access.prove(attempt(wish), ("notes", "notes.lan"), may, &tick(ms)).await;
    let wish = |n: u8, signer: u8| {
        let nonce = access.nonce(HOST, &tick(0)).unwrap();
        signed(&person(signer), text_of_visit(&person(n), &nonce, "notes", "notes.lan"), None)
    };
    let good = wish(7, 7);
    assert_eq!(prove(&good, 1).await, Ok(person(7).address()));
    assert_eq!(prove(&good, 2).await, Err(Refusal::NonceUsed), "replayed");
    assert_eq!(prove(&wish(7, 8), 1).await, Err(Refusal::Signature(person(7).address())), "forged");
    assert_eq!(prove(&wish(7, 7), NONCE_MS_MAX).await.unwrap_err().code().0, "nonce_expired");
    // An owner of the machine is no visitor by that, and uses no nonce up by being refused.
    let refused: Result<Address, Refusal> =
        Err(Refusal::Audience { wallet: person(1).address(), application: "notes".into() });
    let owners = wish(1, 1);
    assert_eq!((prove(&owners, 1).await, prove(&owners, 2).await), (refused.clone(), refused));
    // Whoever may open an application has no right at the agent.
    assert_eq!(come_in(&access, 7, 4).await.unwrap_err(), Refusal::NoMember(person(7).address()));
    assert!(access.members().iter().all(|member| member.wallet == person(1).address()));
}

#[tokio::test]
async fn a_signature_is_good_for_what_was_signed_and_for_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let access = open(folder.path());
    // The owner may open everything here, so that only the text can refuse.
    let owner = person(1);
    let nonce = || access.nonce(HOST, &tick(0)).unwrap();
    let visit = async |wish: &views::SignIn, application: &str, host: &str| {
        access.prove(attempt(wish), (application, host), |_| true, &tick(1)).await
    };
    let other = |expected: String| Refusal::Statement { expected };
    let to_notes = signed(&owner, text_of_visit(&owner, &nonce(), "notes", "notes.lan"), None);
    // Signed for one application, and used for another one, another host of the same, another port, or the agent itself.
    for (application, host) in [("wiki", "wiki.lan"), ("notes", "wiki.lan"), ("notes", "notes.lan:8443")] {
        let expected = Purpose::Visit { application, host }.statement(HOST);
        assert_eq!(visit(&to_notes, application, host).await, Err(other(expected)), "{application} {host}");
    }
    let expected = Purpose::SignIn.statement(HOST);
    assert_eq!(try_in(&access, &to_notes, 1).await.unwrap_err(), other(expected));
    // The other way round.
    let to_agent = signed(&owner, text(&owner, &nonce()), None);
    let expected = Purpose::Visit { application: "notes", host: "notes.lan" }.statement(HOST);
    assert_eq!(visit(&to_agent, "notes", "notes.lan").await, Err(other(expected)));
    // A text of somebody else's choice, and one that names another machine.
    for statement in ["Sign in.".to_string(), Purpose::SignIn.statement("evil.example"), nonce().statement + " "] {
        let wish = signed(&owner, text(&owner, &views::Nonce { statement, ..nonce() }), None);
        assert_eq!(try_in(&access, &wish, 1).await.unwrap_err().code().0, "wrong_statement", "{wish:?}");
    }
    // None of it has used a nonce up.
    assert_eq!(visit(&to_notes, "notes", "notes.lan").await, Ok(owner.address()));
    assert!(try_in(&access, &to_agent, 1).await.is_ok());
}
