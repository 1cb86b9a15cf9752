//! `openmesh init`: the home of a node on this machine. Four questions, or flags; nothing that is there is written over.
//! `docs/spec/operators.md`, clauses O-1 to O-4.

mod answers;
mod home;

use std::io::{BufRead, IsTerminal as _, Write};
use std::net::IpAddr;

use openmesh_ledger::Genesis;
use openmesh_primitives::Digest;

use super::agent::print;
use super::ceremony::plain;
use crate::cli::InitArgs;
use crate::failure::Failure;
use crate::node::config::{Files, MeantRole, Sync};
use crate::node::entry::{self, Asked};
use crate::node::peer::Peer;
use answers::{Asker, Network, Plan, Question};

/// Makes a home.
pub async fn run(arguments: InitArgs) -> Result<(), Failure> {
    let files = Files::of(&arguments.home);
    home::check_free(&files)?;
    check_flags(&arguments)?;
    let input = std::io::stdin().is_terminal().then(|| std::io::stdin().lock());
    // The questions go where the answers come from; what was made is standard output.
    let asker = Asker { input, output: std::io::stderr() };
    let plan = plan(&arguments, &files, asker).await?;
    let made = home::make(&files, &plan, &arguments)?;
    print(&made)
}

/// Flags that are no answers to the four questions.
fn check_flags(arguments: &InitArgs) -> Result<(), Failure> {
    if let Some(name) = &arguments.name {
        answers::name(name).map_err(|wrong| Failure::usage(format!("--name: {wrong}")))?;
    }
    if let Some(trust) = &arguments.trust {
        Sync { trust: Some(trust.clone()), ..Sync::default() }
            .trusted()
            .map_err(|_| Failure::usage(format!("--trust {trust}: HEIGHT:HASH is expected")))?;
    }
    let taken = [arguments.port, arguments.port + 1];
    if taken.contains(&arguments.api.port()) {
        return Err(Failure::usage(format!(
            "--api {}: {} and {} are the ports for other nodes (--port)",
            arguments.api, taken[0], taken[1]
        )));
    }
    Ok(())
}

/// Asks what no flag says, and looks at the network where it runs.
async fn plan<R: BufRead, W: Write>(
    arguments: &InitArgs,
    files: &Files,
    mut asker: Asker<R, W>,
) -> Result<Plan, Failure> {
    if !asker.is_interactive() {
        missing(arguments)?;
    }
    let (network, peers, genesis) = joined(arguments, files, &mut asker).await?;
    let usual = if network == Network::New { "validator" } else { "full" };
    let given = arguments.role.map(|role| match role {
        MeantRole::Validator => "validator",
        MeantRole::Full => "full",
        MeantRole::Archive => "archive",
    });
    let words =
        "3/4  Role: validator (its key signs blocks), full (follows and answers) or archive (keeps every block)";
    let question = Question { flag: "role", words, usual: Some(usual.into()) };
    let role = asker.answer(given, &question, answers::role)?;
    let own = answers::own_address(&peers);
    let words = "4/4  Address of this machine at which others reach it";
    let given = arguments.listen.map(|address| address.to_string());
    let question = Question { flag: "listen", words, usual: own.map(|address| address.to_string()) };
    // All addresses of the machine are none at which others reach it: one is needed beside them.
    let reached = |listen: IpAddr| if listen.is_unspecified() { own } else { Some(listen) };
    let parse = |text: &str| match answers::listen(text)? {
        listen if arguments.reach.is_none() && reached(listen).is_none() => Err(format!(
            "{listen} is every address, and none at which others reach this machine: name that one too, with --reach HOST"
        )),
        listen => Ok(listen),
    };
    let listen = asker.answer(given.as_deref(), &question, parse)?;
    let reach = match (&arguments.reach, reached(listen)) {
        (Some(reach), _) => reach.clone(),
        (None, address) => Peer::at(address.unwrap_or(listen), arguments.port),
    };
    let name = arguments.name.clone().unwrap_or_else(answers::own_name);
    Ok(Plan { network, genesis, peers, role, listen, reach, name })
}

/// Refuses to begin where nobody can be asked and an answer lacks: all of them are named at once.
fn missing(arguments: &InitArgs) -> Result<(), Failure> {
    let all = [
        ("--network", arguments.network.is_none()),
        ("--peers", arguments.peers.is_none()),
        ("--role", arguments.role.is_none()),
        ("--listen", arguments.listen.is_none()),
    ];
    let missing: Vec<&str> = all.iter().filter(|(_, lacks)| *lacks).map(|(flag, _)| *flag).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::usage(format!("missing: {}", missing.join(", ")))
            .hint("at a terminal openmesh init asks; elsewhere flags answer: openmesh init --help")),
    }
}

/// Network and peers, and the genesis where it is to be had now. At a terminal both are asked again where they do not go together.
async fn joined<R: BufRead, W: Write>(
    arguments: &InitArgs,
    files: &Files,
    asker: &mut Asker<R, W>,
) -> Result<(Network, Vec<Peer>, Option<Genesis>), Failure> {
    loop {
        let words = "1/4  Network: the hash of its genesis, a genesis.json, or `new` for one that is made later";
        let question = Question { flag: "network", words, usual: None };
        let network = asker.answer(arguments.network.as_deref(), &question, answers::network)?;
        home::check_network(files, network.hash())?;
        let usual = matches!(network, Network::New).then(|| "none".to_owned());
        let words = "2/4  Other nodes: HOST or HOST:PORT, separated by commas";
        let question = Question { flag: "peers", words, usual };
        let parse = |text: &str| answers::peers(text, &network);
        let peers = asker.answer(arguments.peers.as_deref(), &question, parse)?;
        let looked = match &network {
            Network::New => Ok(None),
            Network::Genesis(genesis) => Ok(Some((**genesis).clone())),
            Network::Hash(_) if arguments.offline => Ok(None),
            Network::Hash(hash) => fetched(hash, &peers, asker).await,
        };
        let may_ask_again = asker.is_interactive() && (arguments.network.is_none() || arguments.peers.is_none());
        match looked {
            Ok(genesis) => return Ok((network, peers, genesis)),
            Err(failure) if may_ask_again => {
                let hint = failure.what_to_do().map(|hint| format!("  {hint}\n")).unwrap_or_default();
                asker.say(&format!("  {}\n{hint}", failure.message()));
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// The genesis from peers. Where none of them can be reached that is said, and the node fetches it when it starts; a peer of another network,
/// one that lies and a clock that is off are mistakes of now.
async fn fetched<R: BufRead, W: Write>(
    hash: &Digest,
    peers: &[Peer],
    asker: &mut Asker<R, W>,
) -> Result<Option<Genesis>, Failure> {
    let addresses: Vec<String> = peers.iter().map(Peer::network).collect();
    let asked: Asked = entry::ask_all(&addresses, hash, true).await;
    match entry::chosen(&asked, hash) {
        Ok(genesis) => {
            entry::check_clock(&asked)?;
            asker.say(&format!(
                "     {} (chain id {}), {} validators; {} of {} peers answer\n",
                plain(&genesis.name),
                genesis.chain_id,
                genesis.validators.len(),
                asked.found.len(),
                peers.len()
            ));
            Ok(Some(genesis))
        }
        Err(failure) if asked.is_silent() => {
            asker.say(&format!("warning: {}\n         the node asks again when it starts\n", failure.message()));
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}
