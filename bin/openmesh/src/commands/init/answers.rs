//! The answers of a person, by flags or at a terminal: each is checked as soon as it is there, and at a terminal asked again.

use std::io::{BufRead, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use clap::ValueEnum as _;
use openmesh_ledger::Genesis;
use openmesh_primitives::Digest;

use crate::failure::Failure;
use crate::node::card;
use crate::node::config::{MeantRole, read_genesis};
use crate::node::peer::{self, Peer};

/// The network that a home is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// One that does not exist yet.
    New,
    /// One that runs elsewhere, by the hash of its genesis.
    Hash(Digest),
    /// One by its genesis.
    Genesis(Box<Genesis>),
}

impl Network {
    /// Hash of the genesis, where there is one.
    pub fn hash(&self) -> Option<Digest> {
        match self {
            Network::New => None,
            Network::Hash(hash) => Some(*hash),
            Network::Genesis(genesis) => Some(genesis.hash()),
        }
    }
}

/// Everything that a home is made of.
pub struct Plan {
    /// Network.
    pub network: Network,
    /// The genesis, where it is here already.
    pub genesis: Option<Genesis>,
    /// Other nodes.
    pub peers: Vec<Peer>,
    /// Role.
    pub role: MeantRole,
    /// Address to listen on.
    pub listen: IpAddr,
    /// Place at which others reach it.
    pub reach: Peer,
    /// Name for people.
    pub name: String,
}

/// A question: its flag, its words, and the answer that an empty line is.
pub struct Question<'a> {
    /// The flag without its dashes.
    pub flag: &'a str,
    /// The words.
    pub words: &'a str,
    /// The usual answer.
    pub usual: Option<String>,
}

/// The one who answers: flags, and a person where somebody sits at a terminal.
pub struct Asker<R, W> {
    /// Lines of the person; none where nobody is there.
    pub input: Option<R>,
    /// The person's screen.
    pub output: W,
}

impl<R: BufRead, W: Write> Asker<R, W> {
    /// True where a person answers.
    pub fn is_interactive(&self) -> bool {
        self.input.is_some()
    }

    /// The answer to a question: that of its flag, or of the person, who is asked until it is right.
    ///
    /// # Errors
    /// Where a flag's answer is wrong, where the answers end, and where nobody is there to answer.
    pub fn answer<T>(
        &mut self,
        given: Option<&str>,
        question: &Question<'_>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        if let Some(given) = given {
            return parse(given.trim()).map_err(|wrong| Failure::usage(format!("--{}: {wrong}", question.flag)));
        }
        loop {
            let line = self.line(question)?;
            let answer = match (line.trim(), &question.usual) {
                ("", Some(usual)) => usual.clone(),
                (answer, _) => answer.to_owned(),
            };
            match parse(&answer) {
                Ok(answer) => return Ok(answer),
                Err(wrong) => self.say(&format!("  {wrong}\n")),
            }
        }
    }

    /// Says something to the person.
    pub fn say(&mut self, text: &str) {
        // A screen that has gone is noticed at the next line.
        let _ = self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush());
    }

    fn line(&mut self, question: &Question<'_>) -> Result<String, Failure> {
        let usual = question.usual.as_ref().map(|usual| format!(" [{usual}]")).unwrap_or_default();
        self.say(&format!("{}{usual}: ", question.words));
        let Some(input) = &mut self.input else {
            return Err(Failure::usage(format!("--{} is missing, and no terminal is here to ask at", question.flag)));
        };
        let mut line = String::new();
        match input.read_line(&mut line) {
            Ok(0) => Err(Failure::new("the answers end here; nothing was made")),
            Ok(_) => Ok(line),
            Err(error) => Err(Failure::from_display("standard input", &error)),
        }
    }
}

/// Reads which network is meant; a file is read and checked.
pub fn network(text: &str) -> Result<Network, String> {
    if text == "new" {
        return Ok(Network::New);
    }
    if let Ok(hash) = text.parse::<Digest>() {
        return Ok(Network::Hash(hash));
    }
    let path = Path::new(text);
    if text.is_empty() || !path.exists() {
        return Err(format!(
            "{text:?} is neither the hash of a genesis (64 hexadecimal digits), nor a file, nor `new` for a network that is made later"
        ));
    }
    let genesis = read_genesis(path).map_err(|failure| failure.message().to_owned())?;
    genesis.validate().map_err(|error| format!("{text}: {}", openmesh_primitives::report(&error)))?;
    Ok(Network::Genesis(Box::new(genesis)))
}

/// Reads the peers; a network that runs elsewhere has some.
pub fn peers(text: &str, network: &Network) -> Result<Vec<Peer>, String> {
    let peers = peer::list(text)?;
    match (peers.is_empty(), network) {
        (true, Network::Hash(_)) => {
            Err("a network is joined through its nodes: name at least one, two or three are better".to_owned())
        }
        _ => Ok(peers),
    }
}

/// Reads a role.
pub fn role(text: &str) -> Result<MeantRole, String> {
    MeantRole::from_str(text, true).map_err(|_| format!("{text:?}: validator, full or archive is expected"))
}

/// Reads an address to listen on, which has to be this machine's.
pub fn listen(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| {
        format!("{text:?}: an address of this machine is expected, such as 192.0.2.7, or 0.0.0.0 for all of them")
    })?;
    match TcpListener::bind(SocketAddr::new(address, 0)) {
        Ok(_) => Ok(address),
        Err(error) => {
            Err(format!("{address} cannot be listened on ({error}): `ip address` shows those of this machine"))
        }
    }
}

/// Reads a name for people.
pub fn name(text: &str) -> Result<String, String> {
    card::check_name(text).map(|()| text.to_owned())
}

/// This machine's name, as far as it is one for a node.
pub fn own_name() -> String {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name(hostname.trim()).unwrap_or_else(|_| "node".to_owned())
}

/// The address of this machine from which it would reach a peer; nothing is sent.
pub fn own_address(peers: &[Peer]) -> Option<IpAddr> {
    let towards = peers.iter().find_map(Peer::address)?;
    let any: IpAddr = match towards.ip() {
        IpAddr::V4(_) => [0, 0, 0, 0].into(),
        IpAddr::V6(_) => [0_u16; 8].into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(towards).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(lines: &'static str) -> Asker<&'static [u8], Vec<u8>> {
        Asker { input: Some(lines.as_bytes()), output: Vec::new() }
    }

    const QUESTION: Question<'static> = Question { flag: "role", words: "Role", usual: None };

    #[test]
    fn a_wrong_answer_is_said_at_once_and_asked_again() {
        let mut person = asker("king\n\nFull\n");
        assert_eq!(person.answer(None, &QUESTION, role).unwrap(), MeantRole::Full);
        let said = String::from_utf8(person.output).unwrap();
        assert_eq!(said.matches("is expected").count(), 2, "{said}");
        let mut usual = asker("\n");
        let question = Question { usual: Some("archive".into()), ..QUESTION };
        assert_eq!(usual.answer(None, &question, role).unwrap(), MeantRole::Archive);
        assert!(asker("").answer(None, &QUESTION, role).unwrap_err().message().contains("nothing was made"));
    }

    #[test]
    fn a_flag_is_no_question_and_nobody_is_asked_without_a_terminal() {
        let mut nobody: Asker<&[u8], Vec<u8>> = Asker { input: None, output: Vec::new() };
        assert_eq!(nobody.answer(Some("validator"), &QUESTION, role).unwrap(), MeantRole::Validator);
        assert!(nobody.answer(Some("king"), &QUESTION, role).unwrap_err().message().contains("--role"));
        assert!(nobody.answer(None, &QUESTION, role).unwrap_err().message().contains("--role is missing"));
    }

    #[test]
    fn each_answer_is_checked_for_what_it_is() {
        assert_eq!(network("new"), Ok(Network::New));
        assert_eq!(network(&"ab".repeat(32)), Ok(Network::Hash(Digest([0xab; 32]))));
        assert!(network("abc").unwrap_err().contains("64 hexadecimal digits"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("genesis.json");
        std::fs::write(&file, "{}").unwrap();
        assert!(network(file.to_str().unwrap()).unwrap_err().contains("genesis.json"));

        let running = Network::Hash(Digest([1; 32]));
        assert!(peers("none", &running).is_err() && peers("none", &Network::New) == Ok(Vec::new()));
        assert_eq!(peers("10.0.0.1,10.0.0.2", &running).unwrap().len(), 2);

        assert_eq!(listen("127.0.0.1"), Ok([127, 0, 0, 1].into()));
        assert!(listen("192.0.2.77").unwrap_err().contains("ip address") && listen("here").is_err());
        assert!(name("a b-1").is_ok() && name("").is_err() && name("a\nb").is_err() && name(&"x".repeat(33)).is_err());
        assert!(name(&own_name()).is_ok());
        let loopback: Vec<Peer> = vec!["127.0.0.1".parse().unwrap()];
        assert_eq!(own_address(&loopback), Some([127, 0, 0, 1].into()));
    }
}
