//! Answers of a node to whoever does not know its network yet, and what a newcomer makes of them: who is there, the genesis, the clock.
//! `docs/spec/operators.md`, clauses O-5 to O-9.
//!
//! Nothing of it is signed. A genesis is taken where its hash is the one that a person named; a name, a version and a chain id only say with
//! whom one speaks; a clock counts together with others.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_ledger::{Genesis, GenesisError};
use openmesh_primitives::{Digest, Timestamp, canonical, sha256};

/// Longest answer about who is there, bytes: four numbers, a hash and two short texts.
const WHO_BYTES_MAX: usize = 1 << 10;
/// Longest name or version in it, characters.
const TEXT_CHARS_MAX: usize = 64;
/// Bytes of one part of a genesis: as many as one answer about the state has, so that a slow line carries one within an answer's time.
pub const GENESIS_PART_BYTES: usize = 4 << 20;
/// Longest genesis that is fetched, bytes: nearly two million accounts. Three strangers that send as much and lie take thrice of it. A larger one travels as a
/// file.
pub const GENESIS_BYTES_MAX: u64 = 64 << 20;
/// Nanoseconds of a millisecond, halved for the way there and back.
const HALF_MS: i64 = 2_000_000;

/// A question of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum HelloQuestion {
    /// The one who is there: [`Hello`].
    Who,
    /// A part of the genesis' canonical bytes: [`GENESIS_PART_BYTES`] of them, and fewer at the end.
    Genesis {
        /// The part's number, from 0.
        part: u32,
    },
}

/// Identity of a node's network, and the node's clock.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Hello {
    /// Hash of the genesis.
    pub genesis: Digest,
    /// Length of its canonical bytes.
    pub genesis_bytes: u64,
    /// Number that this run of the node drew: two nodes with one identity have two of them.
    pub instance: u64,
    /// The network's number.
    pub chain_id: u64,
    /// Name of the network for people.
    pub network: String,
    /// Version of the binary.
    pub version: String,
    /// The node's clock, milliseconds since 1970.
    pub time_ms: i64,
}

/// A reason for which a genesis of a peer is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisFault {
    /// The answer cannot be read.
    #[error("its answer is none of a node: {0}")]
    Form(String),
    /// It is a node of another network, and says so.
    #[error("it is of another network: {network} (chain id {chain_id}), whose genesis has the hash {theirs}")]
    OtherNetwork {
        /// Hash of its genesis.
        theirs: Digest,
        /// Its chain id.
        chain_id: u64,
        /// Its name.
        network: String,
    },
    /// It claims the hash, and sends something else.
    #[error("it lies about the genesis: it claims the wanted hash, and what it sends has the hash {got}")]
    Lie {
        /// Hash of what it sent.
        got: Digest,
    },
    /// It is longer than what is fetched, or so the node says.
    #[error("its genesis has {0} bytes, and at most {GENESIS_BYTES_MAX} are fetched: it has to come as a file")]
    TooLong(u64),
    /// The hash is right, and this version cannot read it.
    #[error("the genesis cannot be read by this version of the program (the peer runs {version}): {reason}")]
    Unknown {
        /// The peer's version.
        version: String,
        /// The fault.
        reason: String,
    },
    /// The hash is right, and the rules refuse it.
    #[error("the genesis with this hash is refused by this version of the program")]
    Refused(#[from] GenesisError),
}

/// Answers to the visitors of a node. Everything but the clock is made once: strangers may ask as often as they like.
#[derive(Clone, Debug)]
pub struct Greeter {
    genesis: Vec<u8>,
    hello: Hello,
}

impl Greeter {
    /// Answers of a node of this network and this version, in a run that drew this number.
    pub fn new(genesis: &Genesis, version: &str, instance: u64) -> Greeter {
        let bytes = canonical::encode(genesis);
        let hello = Hello {
            genesis: sha256(&[&bytes]),
            genesis_bytes: bytes.len() as u64,
            instance,
            chain_id: genesis.chain_id,
            network: genesis.name.chars().take(TEXT_CHARS_MAX).collect(),
            version: version.chars().take(TEXT_CHARS_MAX).collect(),
            time_ms: 0,
        };
        Greeter { genesis: bytes, hello }
    }

    /// True for a question whose answer is short and made of nothing but memory.
    pub fn is_short(question: &[u8]) -> bool {
        matches!(canonical::decode(question), Ok(HelloQuestion::Who))
    }

    /// The answer to a question at a moment; `None` where it is none, and for a part that the genesis does not have.
    pub fn answer(&self, question: &[u8], now: Timestamp) -> Option<Vec<u8>> {
        match canonical::decode(question).ok()? {
            HelloQuestion::Genesis { part } => {
                let at = usize::try_from(part).ok()?;
                self.genesis.chunks(GENESIS_PART_BYTES).nth(at).map(<[u8]>::to_vec)
            }
            HelloQuestion::Who => Some(canonical::encode(&Hello { time_ms: now.millis(), ..self.hello.clone() })),
        }
    }
}

/// Reads the answer about who is there; texts of a stranger lose what a terminal would obey.
///
/// # Errors
/// [`GenesisFault::Form`] where it is none.
pub fn read_who(bytes: &[u8]) -> Result<Hello, GenesisFault> {
    if bytes.len() > WHO_BYTES_MAX {
        return Err(GenesisFault::Form(format!("{} bytes are more than any has", bytes.len())));
    }
    let hello: Hello = canonical::decode(bytes).map_err(|error| GenesisFault::Form(error.to_string()))?;
    let plain = |text: String| text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect();
    Ok(Hello { network: plain(hello.network), version: plain(hello.version), ..hello })
}

/// Checks that a node is of the wanted network, by its own word.
///
/// # Errors
/// [`GenesisFault::OtherNetwork`].
pub fn check_network(hello: &Hello, wanted: &Digest) -> Result<(), GenesisFault> {
    match hello.genesis == *wanted {
        true => Ok(()),
        false => Err(GenesisFault::OtherNetwork {
            theirs: hello.genesis,
            chain_id: hello.chain_id,
            network: hello.network.clone(),
        }),
    }
}

/// The canonical bytes of a genesis while they come in parts: no more than the node has said, and never more than [`GENESIS_BYTES_MAX`].
#[derive(Debug)]
pub struct GenesisParts {
    length: usize,
    bytes: Vec<u8>,
}

impl GenesisParts {
    /// No part yet of the genesis of a node.
    ///
    /// # Errors
    /// [`GenesisFault::TooLong`] where the node says that it is longer than what is fetched.
    pub fn of(hello: &Hello) -> Result<GenesisParts, GenesisFault> {
        let too_long = GenesisFault::TooLong(hello.genesis_bytes);
        if hello.genesis_bytes > GENESIS_BYTES_MAX {
            return Err(too_long);
        }
        Ok(GenesisParts { length: usize::try_from(hello.genesis_bytes).map_err(|_| too_long)?, bytes: Vec::new() })
    }

    /// The question for the next part; `None` where all are there.
    pub fn question(&self) -> Option<HelloQuestion> {
        let part = u32::try_from(self.bytes.len() / GENESIS_PART_BYTES).ok()?;
        (self.bytes.len() < self.length).then_some(HelloQuestion::Genesis { part })
    }

    /// Takes the answer to that question.
    ///
    /// # Errors
    /// [`GenesisFault::Form`] where it has another length than that part.
    pub fn take(&mut self, part: &[u8]) -> Result<(), GenesisFault> {
        let wanted = GENESIS_PART_BYTES.min(self.length - self.bytes.len());
        if part.len() != wanted {
            return Err(GenesisFault::Form(format!("a part of the genesis has {} bytes, not {wanted}", part.len())));
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    /// The bytes that have come.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The genesis of a node that says to be of the wanted network, checked against the hash.
///
/// # Errors
/// Where it has another hash, or this version cannot take it.
pub fn check_genesis(hello: &Hello, bytes: &[u8], wanted: &Digest) -> Result<Genesis, GenesisFault> {
    let got = sha256(&[bytes]);
    if got != *wanted {
        return Err(GenesisFault::Lie { got });
    }
    let genesis: Genesis = canonical::decode(bytes)
        .map_err(|error| GenesisFault::Unknown { version: hello.version.clone(), reason: error.to_string() })?;
    genesis.validate()?;
    Ok(genesis)
}

/// The time by which another clock is ahead of this one, milliseconds, if the way there took as long as the way back.
pub fn clock_offset_ms(asked: Timestamp, answered: Timestamp, theirs_ms: i64) -> i64 {
    let middle_ms = asked.nanos().saturating_add(answered.nanos()) / HALF_MS;
    theirs_ms.saturating_sub(middle_ms)
}

/// The middle of offsets of clocks, milliseconds: half of all have to be wrong before it is. Of two the one nearer to zero, since one of them
/// may be anybody's.
pub fn median_ms(mut offsets: Vec<i64>) -> Option<i64> {
    if offsets.is_empty() {
        return None;
    }
    offsets.sort_unstable();
    let upper = offsets[offsets.len() / 2];
    let lower = offsets[(offsets.len() - 1) / 2];
    Some(if lower.unsigned_abs() <= upper.unsigned_abs() { lower } else { upper })
}

#[cfg(test)]
mod tests {
    use openmesh_ledger::{GenesisValidator, Params};
    use openmesh_primitives::{SplitMix64, ValidatorKey};

    use super::*;

    fn genesis() -> Genesis {
        let public_key = ValidatorKey::from_seed([1; 32]).public();
        Genesis {
            chain_id: 7,
            name: "a\u{7}b".into(),
            time: Timestamp::from_millis(1_000),
            validators: vec![GenesisValidator { public_key, power: 1, name: "v".into(), payout: None }],
            accounts: Vec::new(),
            sources: Vec::new(),
            source_owners: Default::default(),
            allocation: Default::default(),
            params: Params::default(),
        }
    }

    const PART: HelloQuestion = HelloQuestion::Genesis { part: 0 };

    fn ask(question: HelloQuestion) -> Vec<u8> {
        Greeter::new(&genesis(), "1.2.3", 77).answer(&canonical::encode(&question), Timestamp::from_millis(5)).unwrap()
    }

    /// Fetches a genesis part by part.
    fn fetch(greeter: &Greeter) -> Result<Vec<u8>, GenesisFault> {
        let ask = |question| greeter.answer(&canonical::encode(&question), Timestamp(0)).unwrap();
        let mut parts = GenesisParts::of(&read_who(&ask(HelloQuestion::Who))?)?;
        while let Some(question) = parts.question() {
            parts.take(&ask(question))?;
        }
        Ok(parts.bytes().to_vec())
    }

    #[test]
    fn a_genesis_is_taken_by_its_hash_alone() {
        let hello = read_who(&ask(HelloQuestion::Who)).unwrap();
        let (wanted, bytes) = (genesis().hash(), ask(PART));
        let read = (hello.network.as_str(), hello.chain_id, hello.time_ms, hello.instance);
        assert_eq!(read, ("ab", 7, 5, 77), "no control character comes through");
        assert_eq!(fetch(&Greeter::new(&genesis(), "v", 1)), Ok(bytes.clone()));
        assert_eq!(check_network(&hello, &wanted), Ok(()));
        assert_eq!(check_genesis(&hello, &bytes, &wanted).unwrap(), genesis());
        let other = Digest([9; 32]);
        assert!(matches!(check_network(&hello, &other), Err(GenesisFault::OtherNetwork { chain_id: 7, .. })));
        // Every bit of it counts.
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut spoilt = bytes.clone();
            spoilt[at] ^= 1;
            assert!(matches!(check_genesis(&hello, &spoilt, &wanted), Err(GenesisFault::Lie { .. })), "byte {at}");
        }
        let nonsense = b"no genesis".to_vec();
        let named = sha256(&[&nonsense]);
        let fault = check_genesis(&hello, &nonsense, &named).unwrap_err();
        assert!(matches!(&fault, GenesisFault::Unknown { version, .. } if version == "1.2.3"), "{fault:?}");
        let bad = Genesis { validators: Vec::new(), ..genesis() };
        assert!(matches!(check_genesis(&hello, &canonical::encode(&bad), &bad.hash()), Err(GenesisFault::Refused(_))));
    }

    #[test]
    fn what_is_no_question_or_answer_is_refused() {
        let greeter = Greeter::new(&genesis(), "v", 1);
        assert_eq!((greeter.answer(b"?", Timestamp(0)), greeter.answer(&[], Timestamp(0))), (None, None));
        assert!(Greeter::is_short(&canonical::encode(&HelloQuestion::Who)));
        assert!(!Greeter::is_short(&canonical::encode(&PART)) && !Greeter::is_short(b"?") && !Greeter::is_short(&[]));
        for part in [1, u32::MAX] {
            assert_eq!(greeter.answer(&canonical::encode(&HelloQuestion::Genesis { part }), Timestamp(0)), None);
        }
        assert!(matches!(read_who(&[0; 2_000]), Err(GenesisFault::Form(_))));
        assert!(matches!(read_who(b"short"), Err(GenesisFault::Form(_))));
    }

    /// More than one answer carries (a million accounts have 36 MB).
    #[test]
    fn a_large_genesis_comes_in_parts() {
        let account = |n: u32| {
            let mut address = [0; 20];
            address[..4].copy_from_slice(&n.to_be_bytes());
            (openmesh_primitives::Address(address), openmesh_primitives::Amount::ZERO)
        };
        for count in [1, 250_000] {
            let large = Genesis { accounts: (0..count).map(account).collect(), ..genesis() };
            let greeter = Greeter::new(&large, "v", 1);
            let bytes = fetch(&greeter).unwrap();
            assert_eq!(sha256(&[&bytes]), large.hash());
            assert_eq!(bytes.len() > 2 * GENESIS_PART_BYTES, count > 1);
        }
        let said = |genesis_bytes| Hello { genesis_bytes, ..read_who(&ask(HelloQuestion::Who)).unwrap() };
        for length in [GENESIS_BYTES_MAX + 1, u64::MAX] {
            assert_eq!(GenesisParts::of(&said(length)).unwrap_err(), GenesisFault::TooLong(length));
        }
        // A node that sends more or less than it said.
        let mut parts = GenesisParts::of(&said(GENESIS_PART_BYTES as u64 + 1)).unwrap();
        assert!(parts.take(&[0; 7]).is_err() && parts.take(&vec![0; GENESIS_PART_BYTES + 1]).is_err());
        parts.take(&vec![0; GENESIS_PART_BYTES]).unwrap();
        assert_eq!(parts.question(), Some(HelloQuestion::Genesis { part: 1 }));
        assert!(parts.take(&[0; 2]).is_err());
        parts.take(&[0]).unwrap();
        assert_eq!((parts.question(), parts.take(&[0]).is_err()), (None, true));
    }

    /// Whatever a stranger sends: nothing panics, and nothing but the genesis with the wanted hash is taken.
    #[test]
    fn answers_with_wrong_bytes_are_never_taken() {
        let (wanted, hello) = (genesis().hash(), read_who(&ask(HelloQuestion::Who)).unwrap());
        let answers = [ask(HelloQuestion::Who), ask(PART)];
        let mut random = SplitMix64::new(12);
        for turn in 0..20_000 {
            let mut bytes = answers[turn % 2].clone();
            for _ in 0..=random.below(4) {
                let at = random.index(bytes.len());
                match random.below(3) {
                    0 => bytes[at] = random.below(256) as u8,
                    1 => bytes.truncate(at + 1),
                    _ => bytes.insert(at, 0xff),
                }
            }
            if let Ok(read) = read_who(&bytes) {
                let _ = GenesisParts::of(&read).map(|mut parts| parts.take(&bytes));
                assert!(read.network.len() <= 4 * TEXT_CHARS_MAX && !read.version.contains('\u{1b}'));
            }
            let is_whole = bytes == answers[1];
            assert_eq!(check_genesis(&hello, &bytes, &wanted).is_ok(), is_whole);
            // The same bytes under a hash of their own: read by the rules, or refused.
            let _ = check_genesis(&hello, &bytes, &sha256(&[&bytes]));
        }
    }

    #[test]
    fn clocks_are_compared_in_the_middle_of_the_way_and_one_liar_moves_nothing() {
        let at = Timestamp::from_millis;
        assert_eq!(clock_offset_ms(at(1_000), at(1_200), 1_100), 0);
        assert_eq!(clock_offset_ms(at(1_000), at(1_200), 6_100), 5_000);
        assert_eq!(clock_offset_ms(at(1_000), at(1_000), i64::MIN), i64::MIN, "no overflow");
        assert_eq!(median_ms(vec![]), None);
        assert_eq!(median_ms(vec![7]), Some(7));
        assert_eq!(median_ms(vec![i64::MAX, 3]), Some(3));
        assert_eq!(median_ms(vec![3, i64::MIN]), Some(3));
        assert_eq!(median_ms(vec![2, i64::MAX, 1]), Some(2));
        assert_eq!(median_ms(vec![2, i64::MAX, 1, i64::MIN, 3]), Some(2));
    }
}
