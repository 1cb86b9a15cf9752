//! The way into a network that runs on other machines, before anything of this node does: its genesis by its hash, its peers, the clock.
//! `docs/spec/operators.md`, clauses O-5 to O-9.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream;
use openmesh_ledger::Genesis;
use openmesh_network::{Multiaddr, Visit, VisitError};
use openmesh_primitives::{Digest, Timestamp, canonical, report};
use openmesh_storage::files::write_new;
use openmesh_sync::{
    GenesisFault, GenesisParts, Hello, HelloQuestion, check_genesis, check_network, clock_offset_ms, median_ms,
    read_who,
};
use tokio::time::{sleep, timeout};

use super::config::{Files, NodeConfig};
use crate::cli::NodeArgs;
use crate::failure::Failure;

/// Time by which this machine's clock may differ from its peers' when it joins, milliseconds: the ledger refuses blocks that are two seconds
/// ahead of a validator's clock.
const CLOCK_MS_MAX: i64 = 2_000;
/// Peers that are asked: enough that some are up, few enough that all are asked at once.
const PEERS_ASKED_MAX: usize = 16;
/// Peers that the genesis is fetched from at once: a slow one or one that lies holds nobody up, and a large genesis comes three times at the most.
const FETCHES_MAX: usize = 3;
/// Questions to a peer that is busy, and the pause between two of them: others that join have their answers meanwhile.
const BUSY_TRIES: u32 = 8;
/// See [`BUSY_TRIES`].
const BUSY_PAUSE: Duration = Duration::from_millis(500);
/// Longest fetch from one peer: a million accounts (36 MB) over a line of 5 Mbit/s.
const FETCH_TIME: Duration = Duration::from_secs(60);

/// A reason for which a peer is of no use to whoever joins.
#[derive(Debug, thiserror::Error)]
pub enum PeerFault {
    /// Its address is none.
    #[error("{0} is no multiaddress")]
    Address(String),
    /// It is not there, or does not answer.
    #[error(transparent)]
    Visit(#[from] VisitError),
    /// Its answer is of another network, or none.
    #[error("{}", report(.0))]
    Genesis(#[from] GenesisFault),
}

/// A peer of the wanted network: its genesis where it gave one, and its clock.
#[derive(Debug)]
pub struct Found {
    /// The genesis, of the wanted hash.
    pub genesis: Option<Genesis>,
    /// The peer's word about itself.
    pub hello: Hello,
    /// Time by which its clock is ahead of this one, milliseconds.
    pub offset_ms: i64,
}

/// Results of asking all peers.
#[derive(Debug, Default)]
pub struct Asked {
    /// Peers of the wanted network.
    pub found: Vec<(String, Found)>,
    /// The others, with their faults.
    pub faults: Vec<(String, PeerFault)>,
}

impl Asked {
    /// True where nobody answered at all: what is wrong may be only that nobody is there yet.
    pub fn is_silent(&self) -> bool {
        self.found.is_empty() && self.faults.iter().all(|(_, fault)| matches!(fault, PeerFault::Visit(_)))
    }
}

/// Puts what the command line says over the settings.
///
/// # Errors
/// Where it names another network than the settings do.
pub fn apply(config: &mut NodeConfig, files: &Files, arguments: &NodeArgs) -> Result<(), Failure> {
    if let (Some(said), Some(wanted)) = (config.genesis, arguments.genesis)
        && said != wanted
    {
        return Err(other_home(files, &said, &wanted));
    }
    config.genesis = config.genesis.or(arguments.genesis);
    for peer in &arguments.peers {
        add(&mut config.network.peers, peer.network());
        add(&mut config.consensus.peers, peer.consensus());
    }
    Ok(())
}

fn add(list: &mut Vec<String>, address: String) {
    if !list.contains(&address) {
        list.push(address);
    }
}

/// The genesis of a home: its own, or where it has none that of its peers, which is kept.
///
/// # Errors
/// Where the home is of another network, where no peer gives the genesis, and where this machine's clock is off.
pub async fn genesis(files: &Files, config: &NodeConfig) -> Result<Genesis, Failure> {
    if files.genesis().symlink_metadata().is_ok() {
        let genesis = files.read_genesis()?;
        return match config.genesis {
            Some(wanted) if genesis.hash() != wanted => Err(other_home(files, &genesis.hash(), &wanted)),
            _ => first_look(files, config, &genesis).await.map(|()| genesis),
        };
    }
    let Some(wanted) = config.genesis else {
        return Err(Failure::usage(format!("{} is missing, and nobody says of which network this node is", files.genesis().display()))
            .hint("name the network by --genesis HASH and --peers HOST, or put its genesis there: openmesh genesis take FILE --home DIR"));
    };
    let asked = ask_all(&config.network.peers, &wanted, true).await;
    let genesis = chosen(&asked, &wanted)?;
    check_clock(&asked)?;
    for (peer, fault) in &asked.faults {
        tracing::warn!(peer, %fault, "a peer is of no use to this node");
    }
    keep(files, &genesis)?;
    tracing::info!(genesis = %wanted, network = genesis.name, "the genesis came from a peer, and has the hash that was asked for");
    Ok(genesis)
}

/// Writes a genesis into a home, once it is sure that it is read back as the same.
///
/// # Errors
/// Where there is one already, and where the file cannot be written.
pub fn keep(files: &Files, genesis: &Genesis) -> Result<(), Failure> {
    let path = files.genesis();
    let text = serde_json::to_vec_pretty(genesis).map_err(|e| Failure::from_display("genesis", &e))?;
    let again: Genesis = serde_json::from_slice(&text).map_err(|e| Failure::from_display("genesis", &e))?;
    if again.hash() != genesis.hash() {
        return Err(Failure::new(
            "the genesis as text is another one than the genesis in bytes: a bug of this program",
        ));
    }
    write_new(&path, &text).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!("{} is there already", path.display()))
            .hint("a genesis is never written over; see whose it is: openmesh genesis check FILE"),
        _ => Failure::from_display(path.display(), &error),
    })
}

/// The first start of a home that has a genesis: peers of other networks and a clock that is off are said before the ledger begins. Whoever
/// is not there yet is waited for by consensus: a network has to begin somewhere.
async fn first_look(files: &Files, config: &NodeConfig, genesis: &Genesis) -> Result<(), Failure> {
    if files.data("ledger").exists() || config.network.peers.is_empty() {
        return Ok(());
    }
    let asked = ask_all(&config.network.peers, &genesis.hash(), false).await;
    let is_other = |fault: &PeerFault| matches!(fault, PeerFault::Genesis(GenesisFault::OtherNetwork { .. }));
    let others = asked.faults.iter().filter(|(_, fault)| is_other(fault)).count();
    if asked.found.is_empty() && others > 0 {
        return Err(Failure::new(format!("no peer is of the network {}:{}", genesis.hash(), told(&asked)))
            .hint("correct the peers in node.toml, or take the genesis of their network into another home"));
    }
    check_clock(&asked)
}

/// Asks peers who they are, all at once, and those of the network for the genesis where it is wanted, until one has given it.
pub async fn ask_all(peers: &[String], wanted: &Digest, whole: bool) -> Asked {
    let one = |peer: String| async move {
        let found = ask(&peer, wanted).await;
        (peer, found)
    };
    let mut asked = Asked::default();
    for (peer, found) in join_all(peers.iter().take(PEERS_ASKED_MAX).cloned().map(one)).await {
        match found {
            Ok(found) => asked.found.push((peer, found)),
            Err(fault) => asked.faults.push((peer, fault)),
        }
    }
    if whole {
        fetch(&mut asked, wanted).await;
    }
    asked
}

/// Asks one peer who it is.
async fn ask(peer: &str, wanted: &Digest) -> Result<Found, PeerFault> {
    let mut visit = Visit::begin(&address(peer)?).await?;
    let Answered { bytes, before, after } = patiently(&mut visit, HelloQuestion::Who).await?;
    let hello = read_who(&bytes)?;
    check_network(&hello, wanted)?;
    let offset_ms = clock_offset_ms(before, after, hello.time_ms);
    Ok(Found { genesis: None, hello, offset_ms })
}

/// Fetches the genesis from some of the peers that were found. Whoever fails to give it is found no longer.
async fn fetch(asked: &mut Asked, wanted: &Digest) {
    let one = |(peer, hello): (String, Hello)| async move {
        let given = timeout(FETCH_TIME, given(&peer, &hello, wanted)).await;
        let slow = || VisitError::Silent(format!("the genesis did not come within {} s", FETCH_TIME.as_secs()));
        (peer, given.unwrap_or_else(|_| Err(slow().into())))
    };
    let peers: Vec<(String, Hello)> =
        asked.found.iter().map(|(peer, found)| (peer.clone(), found.hello.clone())).collect();
    let mut fetches = stream::iter(peers.into_iter().map(one)).buffer_unordered(FETCHES_MAX);
    while let Some((peer, given)) = fetches.next().await {
        let Some(at) = asked.found.iter().position(|(name, _)| *name == peer) else { continue };
        match given {
            Ok(genesis) => {
                asked.found[at].1.genesis = Some(genesis);
                return;
            }
            Err(fault) => {
                asked.found.remove(at);
                asked.faults.push((peer, fault));
            }
        }
    }
}

/// The genesis of one peer, part by part.
async fn given(peer: &str, hello: &Hello, wanted: &Digest) -> Result<Genesis, PeerFault> {
    let mut parts = GenesisParts::of(hello)?;
    let mut visit = Visit::begin(&address(peer)?).await?;
    while let Some(question) = parts.question() {
        parts.take(&patiently(&mut visit, question).await?.bytes)?;
    }
    Ok(check_genesis(hello, parts.bytes(), wanted)?)
}

/// An answer, and the times between which it was made.
struct Answered {
    bytes: Vec<u8>,
    before: Timestamp,
    after: Timestamp,
}

/// Asks a peer again that has its hands full with other visitors, for a while.
async fn patiently(visit: &mut Visit, question: HelloQuestion) -> Result<Answered, VisitError> {
    let question = canonical::encode(&question);
    let mut tries = 1;
    loop {
        let before = Timestamp::now();
        match visit.ask(question.clone()).await {
            Err(VisitError::Busy) if tries < BUSY_TRIES => tries += 1,
            answer => return answer.map(|bytes| Answered { bytes, before, after: Timestamp::now() }),
        }
        sleep(BUSY_PAUSE).await;
    }
}

fn address(peer: &str) -> Result<Multiaddr, PeerFault> {
    peer.parse().map_err(|_| PeerFault::Address(peer.to_owned()))
}

/// The genesis that a peer gave; where none did, the failure with each peer's fault.
///
/// # Errors
/// One for peers that lie, one for those of other networks, one for those that cannot be reached.
pub fn chosen(asked: &Asked, wanted: &Digest) -> Result<Genesis, Failure> {
    if let Some(genesis) = asked.found.iter().find_map(|(_, found)| found.genesis.clone()) {
        return Ok(genesis);
    }
    if asked.faults.is_empty() {
        return Err(Failure::usage("no peer is named from which the genesis could come")
            .hint("name some by --peers HOST, or in node.toml: network.peers and consensus.peers"));
    }
    let any = |is: fn(&PeerFault) -> bool| asked.faults.iter().any(|(_, fault)| is(fault));
    let (what, hint) = if any(|fault| matches!(fault, PeerFault::Genesis(GenesisFault::Lie { .. }))) {
        (
            "a peer lies about the genesis, and no other one gives it",
            "take that peer out of the list and name others, or get the genesis.json from somebody whom you trust: its hash tells whether it is the right one",
        )
    } else if any(|fault| matches!(fault, PeerFault::Genesis(GenesisFault::Unknown { .. } | GenesisFault::Refused(_))))
    {
        ("this version of the program does not take the genesis", "install the version that the network runs")
    } else if any(|fault| matches!(fault, PeerFault::Genesis(GenesisFault::TooLong(_)))) {
        (
            "the genesis is longer than what is fetched from peers",
            "get the genesis.json as a file from somebody, compare its hash, and put it there: openmesh genesis take FILE --home DIR",
        )
    } else if any(|fault| matches!(fault, PeerFault::Genesis(GenesisFault::OtherNetwork { .. }))) {
        (
            "no peer is of the network with this genesis hash",
            "compare the hash with whoever named it to you; or the peers are those of another network",
        )
    } else {
        (
            "no peer can be reached that would give the genesis",
            "are they running, is their port (8422 where nothing else is said) open to this machine, and are their addresses right (network.peers in node.toml)?",
        )
    };
    Err(Failure::new(format!("{what} ({wanted}):{}", told(asked))).hint(hint))
}

/// The faults of peers, a line for each.
fn told(asked: &Asked) -> String {
    asked.faults.iter().fold(String::new(), |mut text, (peer, fault)| {
        // Writing to a text does not fail.
        let _ = write!(text, "\n  {peer}: {fault}");
        text
    })
}

/// Refuses a join with a clock that is off: blocks and attestations would be refused later, one after the other.
///
/// # Errors
/// Where the middle of the peers' clocks is more than two seconds away; with the difference.
pub fn check_clock(asked: &Asked) -> Result<(), Failure> {
    let offset = median_ms(asked.found.iter().map(|(_, found)| found.offset_ms).collect());
    match offset {
        Some(ms) if ms.unsigned_abs() > CLOCK_MS_MAX.unsigned_abs() => {
            let (seconds, way) = (ms.unsigned_abs() as f64 / 1_000.0, if ms > 0 { "behind" } else { "ahead of" });
            let peers = asked.found.len();
            Err(Failure::new(format!("this machine's clock is {seconds:.1} s {way} that of {peers} of its peers"))
                .hint("set it by NTP (timedatectl set-ntp true, or chrony), and start again; two seconds are the most that the ledger bears"))
        }
        _ => Ok(()),
    }
}

fn other_home(files: &Files, there: &Digest, wanted: &Digest) -> Failure {
    Failure::usage(format!(
        "{} is the home of another network: its genesis has the hash {there}, and {wanted} is wanted",
        files.home.display()
    ))
    .hint("name the home of that network, or make another one: openmesh init --home DIR; what is there is not touched")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(offset_ms: i64) -> (String, Found) {
        let hello = Hello {
            genesis: Digest([1; 32]),
            genesis_bytes: 7,
            instance: 1,
            chain_id: 9,
            network: "x".into(),
            version: "1".into(),
            time_ms: 0,
        };
        ("p".into(), Found { genesis: None, hello, offset_ms })
    }

    fn faults(faults: Vec<PeerFault>) -> Asked {
        Asked {
            found: Vec::new(),
            faults: faults.into_iter().map(|fault| ("/ip4/10.0.0.2/tcp/8421".into(), fault)).collect(),
        }
    }

    #[test]
    fn each_fault_of_a_join_has_words_of_its_own() {
        let wanted = Digest([1; 32]);
        let other = || {
            PeerFault::Genesis(GenesisFault::OtherNetwork { theirs: Digest([2; 32]), chain_id: 9, network: "x".into() })
        };
        let lie = PeerFault::Genesis(GenesisFault::Lie { got: Digest([3; 32]) });
        let away = || PeerFault::Visit(VisitError::Unreachable("connection refused".into()));
        let long = PeerFault::Genesis(GenesisFault::TooLong(1 << 40));
        for (asked, words) in [
            (faults(vec![away(), other(), lie]), "lies about the genesis"),
            (faults(vec![away(), other(), long]), "longer than what is fetched"),
            (faults(vec![away(), other()]), "no peer is of the network"),
            (faults(vec![away()]), "no peer can be reached"),
            (faults(vec![]), "no peer is named"),
        ] {
            let failure = chosen(&asked, &wanted).unwrap_err();
            assert!(failure.message().contains(words), "{failure:?}");
            assert!(failure.what_to_do().is_some());
            for (peer, fault) in &asked.faults {
                assert!(failure.message().contains(&format!("{peer}: {fault}")), "{failure:?}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told_with_its_way() {
        let asked =
            |offsets: &[i64]| Asked { found: offsets.iter().map(|ms| found(*ms)).collect(), faults: Vec::new() };
        assert!(check_clock(&asked(&[])).is_ok() && check_clock(&asked(&[2_000])).is_ok());
        let behind = check_clock(&asked(&[3_500, 3_500, 0])).unwrap_err();
        assert!(behind.message().contains("3.5 s behind"), "{behind:?}");
        let ahead = check_clock(&asked(&[-2_100])).unwrap_err();
        assert!(
            ahead.message().contains("2.1 s ahead of") && ahead.what_to_do().is_some_and(|hint| hint.contains("NTP"))
        );
        assert!(check_clock(&asked(&[i64::MAX, 5, 1])).is_ok(), "one clock of three may be anybody's");
    }
}
