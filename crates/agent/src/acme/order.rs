//! One order of a certificate: account, proof, key, certificate (RFC 8555, section 7). Each step that the authority remembers is kept before the next one.

use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType, Error,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use openmesh_door::challenge::is_good;
use openmesh_door::document::Challenge;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::Der;

use super::dns::Dns;
use super::issuer::Issuer;
use super::kept::Issued;
use super::plan::{ASK_S, DAY_S, TIDY_AGAIN_S};
use super::trouble::{Loss, Trouble, Way, is_about_order};
use super::wire::Wire;
use crate::doors::x509;
use crate::error::AgentError;

/// Time for the door to show a proof: it takes documents with each look, and a step may be in its way.
const SHOW: Duration = Duration::from_secs(60);
/// Pause between two looks at the door.
const SHOW_AGAIN: Duration = Duration::from_millis(50);
/// Time for an authority to look at a proof, or to sign: it may ask from several places of the world.
const AUTHORITY: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(90));
/// Passes that an authority may want for other nonces: the library has asked three times in each.
const NONCES_MAX: u32 = 20;
/// Pause after a question for a window that has failed, seconds. Source: RFC 9773, section 4.3.3, names 6 hours.
const ASK_AGAIN_S: u64 = 6 * 3_600;

/// The authority that a person has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Address of its directory.
    pub directory: String,
    /// Address of e-mail of a person.
    pub contact: String,
    /// Root beside those that the machine trusts, as PEM.
    pub root: Option<String>,
}

/// The door as an order needs it.
pub struct Front<'a> {
    /// Brings changed proofs to the door.
    pub wake: &'a (dyn Fn() + Send + Sync),
    /// Returns true where the door shows exactly this proof for a name.
    pub shows: &'a (dyn Fn(&str, &Challenge) -> bool + Send + Sync),
    /// Ways that the door can prove by, the better one first.
    pub ways: Vec<Way>,
    /// The way into the DNS, or words for a hook that cannot be used; none where a document names none.
    pub dns: Option<Result<Dns, String>>,
}

impl Front<'_> {
    /// Ways by which a name can be proved, the better one first: a pattern in the DNS alone.
    fn ways(&self, name: &str) -> Vec<Way> {
        let at_door = self.ways.iter().copied().filter(|_| !name.starts_with("*."));
        at_door.chain(self.dns.is_some().then_some(Way::Dns)).collect()
    }

    /// The way into the DNS.
    fn dns(&self) -> Result<&Dns, Trouble> {
        match &self.dns {
            Some(Ok(dns)) => Ok(dns),
            Some(Err(words)) => Err(Trouble::of_hook(words)),
            None => Err(Trouble::of_hook("the document names none")),
        }
    }
}

/// Takes the proof away, however its order ends.
struct Shown<'a, 'b> {
    issuer: &'a Issuer,
    front: &'a Front<'b>,
    name: &'a str,
}

impl Drop for Shown<'_, '_> {
    fn drop(&mut self) {
        self.issuer.prove(self.name, None);
        (self.front.wake)();
    }
}

fn own(error: impl std::fmt::Display) -> Trouble {
    Trouble::own(error.to_string())
}

/// Orders a certificate for a name, or goes on with its open order, and keeps it.
///
/// # Errors
/// The authority is not reached or refuses, or something of this machine fails.
pub async fn run(
    issuer: &Issuer,
    authority: &Authority,
    wire: &Wire,
    name: &str,
    front: &Front<'_>,
) -> Result<(), Trouble> {
    let _shown = Shown { issuer, front, name };
    let done = passes(issuer, authority, wire, name, front).await;
    if issuer.entry(name).is_some_and(|entry| entry.open.is_some()) {
        // It goes on later, and by then a slow zone shows its record.
        return done;
    }
    let tidied = tidy(issuer, name, front).await.map_err(|error| error.to_string());
    if let Err(cause) = tidied.and_then(|tidied| tidied.map_err(|trouble| trouble.cause)) {
        // The order counts, and the record is tried again.
        tracing::warn!(name, %cause, "a proof stays in the DNS for now");
    }
    done
}

async fn passes(
    issuer: &Issuer,
    authority: &Authority,
    wire: &Wire,
    name: &str,
    front: &Front<'_>,
) -> Result<(), Trouble> {
    for _ in 0..NONCES_MAX {
        match pass(issuer, authority, wire, name, front).await {
            Err(trouble) if trouble.loss == Loss::Moment => {}
            done => return done,
        }
    }
    pass(issuer, authority, wire, name, front).await
}

/// Takes the records of a name out of the DNS. Those for which nobody is named any more are let go.
///
/// The inner error is one that stays.
///
/// # Errors
/// Nothing can be written.
pub async fn tidy(issuer: &Issuer, name: &str, front: &Front<'_>) -> Result<Result<(), Trouble>, AgentError> {
    let records = issuer.entry(name).map(|entry| entry.records).unwrap_or_default();
    let mut done = Ok(());
    for value in records.into_keys() {
        let taken = match front.dns() {
            Ok(dns) => dns.take_out(name, &value).await.map_err(|words| Trouble::of_hook(&words)),
            Err(trouble) => Err(trouble),
        };
        let is_tried_again = taken.is_err() && front.dns.is_some();
        let again = is_tried_again.then(|| issuer.now().saturating_add(TIDY_AGAIN_S));
        issuer.note_record(name, &value, again)?;
        done = done.and(taken);
    }
    Ok(done)
}

/// One pass: everything that is kept of the order is gone on with.
async fn pass(
    issuer: &Issuer,
    authority: &Authority,
    wire: &Wire,
    name: &str,
    front: &Front<'_>,
) -> Result<(), Trouble> {
    let account = account(issuer, authority, wire).await?;
    let (mut order, key) = match issuer.open_order(name) {
        // One that the authority has forgotten is lost, and another one is ordered later.
        Some((url, key)) => (account.order(url).await.map_err(|error| Trouble::of(&error, Loss::Order))?, key),
        None => begin(issuer, authority, &account, name).await?,
    };
    let refused = |error: &Error| Trouble::of(error, Loss::Order);
    if order.state().status == OrderStatus::Pending {
        prove(issuer, name, &mut order, front).await?;
    }
    if order.state().status == OrderStatus::Ready {
        let request = request(name, &key).map_err(own)?;
        order.finalize_csr(&request).await.map_err(|error| refused(&error))?;
    }
    if order.state().status == OrderStatus::Invalid {
        return Err(shut(issuer, name, &mut order, front).await);
    }
    let chain = order.poll_certificate(&AUTHORITY).await.map_err(|error| refused(&error))?;
    keep(issuer, authority, name, chain, &key)
}

/// The account at the authority: the one that is kept, else a new one.
async fn account(issuer: &Issuer, authority: &Authority, wire: &Wire) -> Result<Account, Trouble> {
    let builder = Account::builder_with_http(Box::new(wire.clone()));
    let refused = |error: Error| Trouble::of(&error, Loss::Nothing);
    if let Some(credentials) = credentials(issuer, authority) {
        return builder.from_credentials(credentials).await.map_err(refused);
    }
    // Orders beside one another make one account.
    let _making = issuer.make_account().await;
    if let Some(credentials) = credentials(issuer, authority) {
        return builder.from_credentials(credentials).await.map_err(refused);
    }
    let contact = format!("mailto:{}", authority.contact);
    let wish = NewAccount { contact: &[&contact], terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder.create(&wish, authority.directory.clone(), None).await.map_err(refused)?;
    let bytes = serde_json::to_vec(&credentials).map_err(own)?;
    issuer.keep_account(&authority.directory, &bytes).map_err(own)?;
    Ok(account)
}

/// Credentials of the account that is kept.
fn credentials(issuer: &Issuer, authority: &Authority) -> Option<AccountCredentials> {
    serde_json::from_slice(&issuer.account(&authority.directory)?).ok()
}

/// A new order with a new key, both kept.
async fn begin(
    issuer: &Issuer,
    authority: &Authority,
    account: &Account,
    name: &str,
) -> Result<(Order, String), Trouble> {
    let key = KeyPair::generate().map_err(own)?.serialize_pem();
    issuer.note_order(name).map_err(own)?;
    let entry = issuer.entry(name).unwrap_or_default();
    // An authority that has a window for it counts a renewal apart (RFC 9773, section 5). Where that fails once, the next order is as any other.
    let before = entry.issued.filter(|issued| issued.window.is_some() && issued.directory == authority.directory);
    let replaced = before.filter(|_| entry.failure.is_none()).and_then(|issued| identifier(&issued.chain));
    let order = ordered(account, name, replaced).await.map_err(|error| Trouble::of(&error, Loss::Order))?;
    issuer.note_open(name, &authority.directory, order.url(), &key).map_err(own)?;
    Ok((order, key))
}

/// Orders a certificate, and names the one that it replaces, if any. An authority that refuses this, since it does not find that one, is asked without it.
async fn ordered(account: &Account, name: &str, replaced: Option<CertificateIdentifier<'_>>) -> Result<Order, Error> {
    let identifiers = [Identifier::Dns(name.to_string())];
    if let Some(replaced) = replaced {
        match asked(account, &NewOrder::new(&identifiers).replaces(replaced)).await {
            Err(error) if is_about_order(&error) => {
                tracing::warn!(name, %error, "the authority refuses a renewal, and is asked for a new certificate");
            }
            done => return done,
        }
    }
    asked(account, &NewOrder::new(&identifiers)).await
}

/// Asks for an order, with as many nonces as it takes.
async fn asked(account: &Account, wish: &NewOrder<'_>) -> Result<Order, Error> {
    for _ in 0..NONCES_MAX {
        match account.new_order(wish).await {
            Err(error) if Trouble::of(&error, Loss::Order).loss == Loss::Moment => {}
            done => return done,
        }
    }
    account.new_order(wish).await
}

/// Proves that the name leads here, or that its zone is its owner's.
async fn prove(issuer: &Issuer, name: &str, order: &mut Order, front: &Front<'_>) -> Result<(), Trouble> {
    let refused = |error: Error| Trouble::of(&error, Loss::Order);
    let way = way(issuer, name, front)?;
    let kind = match way {
        Way::Http => ChallengeType::Http01,
        Way::Tls => ChallengeType::TlsAlpn01,
        Way::Dns => ChallengeType::Dns01,
    };
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(refused)?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let lacks =
            || Trouble { loss: Loss::Order, ..Trouble::own(format!("the authority takes no proof by {}", way.word())) };
        let mut challenge = authorization.challenge(kind.clone()).ok_or_else(lacks)?;
        let authorized = challenge.key_authorization();
        match way {
            Way::Http => {
                let tokens = [(challenge.token.clone(), authorized.as_str().to_string())].into();
                at_door(issuer, name, Challenge { tokens, digest: None }, front).await?;
            }
            Way::Tls => {
                let digest = data_encoding::HEXLOWER.encode(authorized.digest().as_ref());
                at_door(issuer, name, Challenge { digest: Some(digest), ..Challenge::default() }, front).await?;
            }
            Way::Dns => in_dns(issuer, name, &authorized.dns_value(), front).await?,
        }
        // One that was said to be ready by a pass before is looked at already.
        if challenge.status == ChallengeStatus::Pending {
            challenge.set_ready().await.map_err(refused)?;
        }
    }
    match order.poll_ready(&AUTHORITY).await {
        Ok(OrderStatus::Invalid) => Err(why(name, way, order).await),
        Ok(_) => Ok(()),
        // The words of an order that was shut say less than those of its proof.
        Err(Error::Api(problem)) if order.state().status == OrderStatus::Invalid => {
            let found = why(name, way, order).await;
            Err(if found.cause.is_empty() { Trouble::of_proof(name, way, &problem) } else { found })
        }
        Err(error) => Err(refused(error)),
    }
}

/// Words for an order that the authority has shut before this pass, as for a proof of the pass before that it did not take.
async fn shut(issuer: &Issuer, name: &str, order: &mut Order, front: &Front<'_>) -> Trouble {
    let way = match way(issuer, name, front) {
        Ok(way) => way,
        Err(trouble) => return Trouble { loss: Loss::Order, ..trouble },
    };
    let found = why(name, way, order).await;
    if !found.cause.is_empty() {
        return found;
    }
    let shut = || Trouble { loss: Loss::Order, ..Trouble::own("the authority has shut the order") };
    order.state().error.as_ref().map_or_else(shut, |problem| Trouble::of_proof(name, way, problem))
}

/// Lets the door show a proof, and waits until it does.
async fn at_door(issuer: &Issuer, name: &str, proof: Challenge, front: &Front<'_>) -> Result<(), Trouble> {
    if !is_good(&proof) {
        // The door would take no document with it, and so hold up every application.
        let cause = "the authority has a token that is none".to_string();
        return Err(Trouble { loss: Loss::Order, ..Trouble::own(cause) });
    }
    issuer.prove(name, Some(proof.clone()));
    show(name, &proof, front).await
}

/// Lets the hook set a proof in the DNS, and waits until it is seen. It is noted before, so that it is taken out after a death too.
async fn in_dns(issuer: &Issuer, name: &str, value: &str, front: &Front<'_>) -> Result<(), Trouble> {
    let dns = front.dns()?;
    issuer.note_record(name, value, Some(issuer.now())).map_err(own)?;
    dns.set(name, value).await.map_err(|words| Trouble::of_hook(&words))?;
    dns.wait(name, value).await.map_err(|words| Trouble::unseen(name, &words))
}

/// The way of a proof: after a failure the other one, since nobody here sees which port an authority reaches.
fn way(issuer: &Issuer, name: &str, front: &Front<'_>) -> Result<Way, Trouble> {
    let failures = issuer.entry(name).and_then(|entry| entry.failure).map_or(0, |failure| failure.count as usize);
    let ways = front.ways(name);
    let chosen = if ways.is_empty() { None } else { ways.get(failures % ways.len()) };
    chosen.copied().ok_or_else(|| Trouble {
        cause: "the door listens neither at port 80 nor at port 443".into(),
        remedy: "`openmesh xnode doors` says who has the ports; one of them has to be free".into(),
        loss: Loss::Nothing,
        is_of_authority: false,
    })
}

/// Waits until the door shows a proof.
async fn show(name: &str, proof: &Challenge, front: &Front<'_>) -> Result<(), Trouble> {
    let shown = async {
        (front.wake)();
        while !(front.shows)(name, proof) {
            tokio::time::sleep(SHOW_AGAIN).await;
        }
    };
    let late = |_| Trouble::own(format!("the door does not show the proof for {name} yet"));
    tokio::time::timeout(SHOW, shown).await.map_err(late)
}

/// Words of the proof that an authority did not take; an empty cause where it says nothing of one.
async fn why(name: &str, way: Way, order: &mut Order) -> Trouble {
    for _ in 0..NONCES_MAX {
        // An order is for one name.
        match order.authorizations().next().await {
            Some(Ok(authorization)) => {
                let problem = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
                if let Some(problem) = problem {
                    return Trouble::of_proof(name, way, problem);
                }
                break;
            }
            Some(Err(_)) => {}
            None => break,
        }
    }
    Trouble { loss: Loss::Order, ..Trouble::own("") }
}

/// The request for a certificate, as DER.
fn request(name: &str, key: &str) -> Result<Vec<u8>, rcgen::Error> {
    let key = KeyPair::from_pem(key)?;
    let mut params = CertificateParams::new(vec![name.to_string()])?;
    // The name stands among the alternative ones, where browsers look.
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&key)?.der().to_vec())
}

/// Keeps a certificate that fits its name and key.
fn keep(issuer: &Issuer, authority: &Authority, name: &str, chain: String, key: &str) -> Result<(), Trouble> {
    let wrong = |words: String| Trouble {
        loss: Loss::Order,
        ..Trouble::own(format!("the certificate of the authority cannot be used: {words}"))
    };
    let about = x509::about(&chain).map_err(wrong)?;
    x509::fits(&chain, key, name).map_err(wrong)?;
    let issued = Issued {
        directory: authority.directory.clone(),
        chain,
        // It is sealed where it is kept.
        key: String::new(),
        from_s: about.from_s,
        until_s: about.until_s,
        at_s: issuer.now(),
        window: None,
        asked: None,
    };
    issuer.keep_issued(name, key, issued).map_err(own)
}

/// Identifier of a certificate in questions for its window; none where it has no identifier of its authority.
fn identifier(chain: &str) -> Option<CertificateIdentifier<'static>> {
    let (authority, serial) = x509::about(chain).ok()?.identifier?;
    Some(CertificateIdentifier::new(Der::from_slice(&authority), Der::from_slice(&serial)).into_owned())
}

/// Asks for the window in which a certificate is to be renewed, and notes it; one that has none, or no way to its authority, is renewed by its life.
///
/// # Errors
/// Nothing can be written.
pub async fn ask(issuer: &Issuer, authority: &Authority, wire: Option<&Wire>, name: &str) -> Result<(), Trouble> {
    let chain = issuer.entry(name).and_then(|entry| entry.issued).map(|issued| issued.chain);
    let answer = match (chain.as_deref().and_then(identifier), wire) {
        (Some(identifier), Some(wire)) => match account(issuer, authority, wire).await {
            Ok(account) => account.renewal_info(&identifier).await,
            Err(_) => Err(Error::Str("the account")),
        },
        _ => Err(Error::Unsupported("identifiers of authorities")),
    };
    let seconds = |moment: i64| u64::try_from(moment).unwrap_or(0);
    let (window, pause) = match answer {
        Ok((info, again)) => {
            let window = info.suggested_window;
            let window = (seconds(window.start.unix_timestamp()), seconds(window.end.unix_timestamp()));
            (Some(Some(window)), again.as_secs().clamp(ASK_S.0, ASK_S.1))
        }
        Err(Error::Unsupported(_)) => (Some(None), DAY_S),
        // The window that is known stays.
        Err(_) => (None, ASK_AGAIN_S),
    };
    let now = issuer.now();
    let noted = issuer.change(|book| {
        if let Some(issued) = book.names.get_mut(name).and_then(|entry| entry.issued.as_mut()) {
            issued.asked = Some((now, now.saturating_add(pause)));
            issued.window = window.unwrap_or(issued.window);
        }
    });
    noted.map_err(own)
}
