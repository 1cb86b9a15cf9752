//! The files of a new home, each with its mode, `node.toml` last: a home without it is none yet, and `openmesh init` goes on with it.

use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use openmesh_primitives::{Digest, ValidatorKey};
use openmesh_storage::files::{sync_folder, write_new, write_whole};

use super::answers::Plan;
use crate::cli::InitArgs;
use crate::commands::ceremony::plain;
use crate::failure::Failure;
use crate::node::card::Card;
use crate::node::config::{Files, MeantRole, NodeConfig};
use crate::node::{entry, ports};
use crate::up::network::write_key;

/// Mode of a home: nobody but its user has business there.
const HOME_MODE: u32 = 0o700;
/// Modes with which others can put files of theirs into a folder, in the place of a node's key or settings.
const OTHERS_WRITE: u32 = 0o022;

/// Refuses a folder that is a node's home already, has a node's data, or belongs to others as well.
///
/// # Errors
/// Where it is; the part that is there is named.
pub fn check_free(files: &Files) -> Result<(), Failure> {
    let home = &files.home;
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    if is_there(home) && !home.is_dir() {
        return Err(Failure::usage(format!("{} is no folder", home.display())).hint("name another one with --home"));
    }
    if let Ok(meta) = std::fs::metadata(home) {
        check_own(home, meta.uid(), meta.permissions().mode(), rustix::process::geteuid().as_raw())?;
    }
    let other = "name another folder with --home; what is there is never written over";
    for part in [files.config(), files.run()] {
        if is_there(&part) {
            return Err(Failure::usage(format!(
                "{} is a node's home already: {} is there",
                home.display(),
                part.display()
            ))
            .hint(format!("openmesh node --home {} runs it; {other}", home.display())));
        }
    }
    let data = home.join("data");
    match is_there(&data) {
        true => Err(Failure::usage(format!("{} is there, of an earlier node", data.display())).hint(other)),
        false => Ok(()),
    }
}

/// Refuses a folder into which somebody else can put files: by its mode, or as its owner, who needs no mode for that.
fn check_own(home: &Path, owner: u32, mode: u32, user: u32) -> Result<(), Failure> {
    let home = home.display();
    let (what, remedy) = if mode & OTHERS_WRITE != 0 {
        (format!("other users can write into {home}"), format!("chmod go-w {home}"))
    } else if owner != user {
        let what = format!("{home} belongs to another user (id {owner}), who can write into it");
        (what, format!("run this as the user as whom the node will run, to whom the folder belongs ({user} is yours)"))
    } else {
        return Ok(());
    };
    Err(Failure::usage(what).hint(format!("{remedy}, or name a folder with --home that is not there yet")))
}

/// Refuses a folder with the genesis of another network.
///
/// # Errors
/// Where it has one, or one that cannot be read.
pub fn check_network(files: &Files, wanted: Option<Digest>) -> Result<(), Failure> {
    if files.genesis().symlink_metadata().is_err() {
        return Ok(());
    }
    let there = files.read_genesis()?.hash();
    match wanted {
        Some(wanted) if wanted == there => Ok(()),
        _ => Err(Failure::usage(format!(
            "{} is the home of another network: its genesis has the hash {there}",
            files.home.display()
        ))
        .hint("name another folder with --home; what is there is never written over")),
    }
}

/// Makes the home; returns what was made, in words, with the next step.
///
/// # Errors
/// Where the folder cannot be written; what is there then is taken up by the next try.
pub fn make(files: &Files, plan: &Plan, arguments: &InitArgs) -> Result<String, Failure> {
    let text = settings(plan, arguments);
    // What is written must be read: a bug here is said now and not at the start.
    let config: NodeConfig = toml::from_str(&text).map_err(|e| Failure::from_display("node.toml", &e))?;
    let home = &files.home;
    DirBuilder::new().recursive(true).mode(HOME_MODE).create(home).and_then(|()| sync_folder(home)).map_err(|e| {
        Failure::from_display(home.display(), &e).hint("name a folder in which you may write with --home")
    })?;
    let (key, is_kept) = key(files)?;
    if let Some(genesis) = &plan.genesis
        && files.genesis().symlink_metadata().is_err()
    {
        entry::keep(files, genesis)?;
    }
    let card = Card::sign(&key, &plan.name, &plan.reach.to_string(), arguments.payout);
    put_card(files, &card)?;
    let path = files.config();
    write_new(&path, text.as_bytes()).map_err(|error| match error.kind() {
        // Another `openmesh init` was faster.
        ErrorKind::AlreadyExists => Failure::usage(format!("{} is there now", path.display()))
            .hint("somebody else has made this home meanwhile; it is not touched"),
        _ => Failure::from_display(path.display(), &error),
    })?;
    // Another program may have gone by the time at which the node starts.
    let busy = ports::check(&config).err();
    let busy = busy.map(|failure| format!("warning    {}\n", failure.message())).unwrap_or_default();
    Ok(busy + &told(files, plan, &card, is_kept))
}

/// Puts the card into a home. One that a try before has made with this key gives way to the newer answers; every other file is somebody's.
fn put_card(files: &Files, card: &Card) -> Result<(), Failure> {
    let path = files.card();
    let text = serde_json::to_vec_pretty(card).map_err(|e| Failure::from_display("card.json", &e))?;
    let written = match path.symlink_metadata() {
        Err(_) => write_new(&path, &text),
        Ok(_) if Card::read(&path).is_ok_and(|there| there.public_key == card.public_key) => write_whole(&path, &text),
        Ok(_) => {
            return Err(Failure::usage(format!("{} is there, and is no card of this home's key", path.display()))
                .hint("move it away, or name another folder with --home; what is there is never written over"));
        }
    };
    written.map_err(|error| Failure::from_display(path.display(), &error))
}

/// The key of a home: a new one, or the one that is there.
fn key(files: &Files) -> Result<(ValidatorKey, bool), Failure> {
    let path = files.key();
    if path.symlink_metadata().is_ok() {
        let key = files.read_key()?;
        let mode =
            std::fs::metadata(&path).map_err(|e| Failure::from_display(path.display(), &e))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Failure::usage(format!("other users can read {}", path.display())).hint(format!(
                "chmod 600 {}; and if somebody may have read it: begin with another key",
                path.display()
            )));
        }
        return Ok((key, true));
    }
    let key = ValidatorKey::generate().map_err(|e| Failure::from_display("no key", &e))?;
    write_key(&path, &key.seed())?;
    Ok((key, false))
}

/// The content of `node.toml`.
fn settings(plan: &Plan, arguments: &InitArgs) -> String {
    let list = |of: fn(&crate::node::peer::Peer) -> String| {
        plan.peers.iter().map(|peer| format!("\"{}\"", of(peer))).collect::<Vec<_>>().join(", ")
    };
    let role = match plan.role {
        MeantRole::Validator => "validator",
        MeantRole::Full => "full",
        MeantRole::Archive => "archive",
    };
    let genesis = match plan.network.hash() {
        Some(hash) => format!("genesis = \"{hash}\""),
        None => {
            "# genesis = \"HASH\"                 # once there is one: openmesh genesis take FILE --home DIR".to_owned()
        }
    };
    let trust = match &arguments.trust {
        Some(trust) => format!("trust = \"{trust}\""),
        None => "# trust = \"HEIGHT:HASH\"             # a block that you know from elsewhere; a join by snapshot begins there".to_owned(),
    };
    let (port, consensus) = (arguments.port + 1, SocketAddr::new(plan.listen, arguments.port));
    let kind = if plan.listen.is_ipv4() { "ip4" } else { "ip6" };
    let listen = plan.listen;
    format!(
        "# Settings of this node, written once by `openmesh init` and never again. Each takes effect when the node starts again.

api = \"{api}\"              # API and Studio; keep it on this machine, and put a proxy with TLS in front of it for others
# public_hosts = [\"studio.example\"]  # what that proxy is called in a browser, for signing in
{genesis}
role = \"{role}\"

[consensus]
listen = \"{consensus}\"
peers = [{consensus_peers}]

[network]
listen = [\"/{kind}/{listen}/tcp/{port}\"]
peers = [{network_peers}]

[storage]
# retain_epochs = 336                # hours for which blocks and facts are kept; 0 for ever
# retain_hours = 720                 # hours for which the tables keep rows; for ever without it

[sync]
{trust}

[alerts]
# missed_blocks = 10                 # of the last hundred
# disk_free_mib = 2048
# clock_ms = 500

# [alerts.webhooks.ops]              # openmesh validator test-alert --home DIR tries it
# url = \"https://hooks.example.org/openmesh\"
# secret_file = \"webhook.secret\"     # in this folder: openssl rand -hex 32 > webhook.secret; chmod 600 webhook.secret
",
        api = arguments.api,
        consensus_peers = list(crate::node::peer::Peer::consensus),
        network_peers = list(crate::node::peer::Peer::network),
    )
}

/// The parts that were made, and the next step.
fn told(files: &Files, plan: &Plan, card: &Card, is_kept: bool) -> String {
    let mut text = String::new();
    let home = files.home.display();
    let key = if is_kept { "the key that was there" } else { "a new key, which exists once: back it up" };
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{words}");
    };
    line(format_args!("home       {home}"));
    line(format_args!("key        {} ({key})", files.key().display()));
    line(format_args!("address    {}", card.public_key.address()));
    match (card.payout, plan.role, plan.network.hash()) {
        (Some(account), ..) => line(format_args!("earns for  {account}")),
        (None, MeantRole::Validator, None) => line(format_args!(
            "note       the tips of its blocks go to that address, from which nobody can spend. To name an account of yours, remove \
             {} and run this again with --payout ADDRESS: the key stays; in a network that runs, openmesh validator payout ADDRESS names one",
            files.config().display()
        )),
        (None, ..) => {}
    }
    match (&plan.network.hash(), &plan.genesis) {
        (Some(hash), Some(genesis)) => {
            let name = plain(&genesis.name);
            line(format_args!("network    {name} (chain id {}), genesis {hash}", genesis.chain_id))
        }
        (Some(hash), None) => line(format_args!("network    genesis {hash}, which is fetched when the node starts")),
        (None, _) => {
            line(format_args!("network    none yet: give {} to whoever makes the genesis", files.card().display()))
        }
    }
    if let (MeantRole::Validator, Some(genesis)) = (plan.role, &plan.genesis)
        && !genesis.validators.iter().any(|validator| validator.public_key == card.public_key)
    {
        line(format_args!(
            "note       the genesis does not name this key: the node follows the ledger until the validators take it in"
        ));
    }
    match plan.network.hash() {
        Some(_) => line(format_args!("\nnext       openmesh node --home {home}")),
        None => line(format_args!(
            "\nnext       openmesh genesis take genesis.json --home {home}\n           openmesh node --home {home}"
        )),
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::answers::Network;
    use super::*;
    use crate::cli::{Cli, Command};

    fn arguments(home: &Path, more: &[&str]) -> InitArgs {
        let words = ["openmesh", "init", "--home", home.to_str().unwrap()].into_iter().chain(more.iter().copied());
        match Cli::parse_from(words).command {
            Command::Init(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    fn plan(network: Network, role: MeantRole) -> Plan {
        Plan {
            network,
            genesis: None,
            peers: vec!["10.0.0.1".parse().unwrap(), "node.example.org:9000".parse().unwrap()],
            role,
            listen: [10, 0, 0, 9].into(),
            reach: "10.0.0.9".parse().unwrap(),
            name: "nine".into(),
        }
    }

    #[test]
    fn a_home_has_its_files_with_their_modes_and_is_never_made_twice() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("deep/home");
        let (files, arguments) = (Files::of(&home), arguments(&home, &["--trust", "7:ab"]));
        let hash = Digest([7; 32]);
        check_free(&files).unwrap();
        let told = make(&files, &plan(Network::Hash(hash), MeantRole::Archive), &arguments).unwrap();
        assert!(told.contains("back it up") && told.contains(&hash.to_string()), "{told}");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&home), mode(&files.key())), (0o700, 0o600));
        let config = NodeConfig::read(&files).unwrap();
        assert_eq!((config.genesis, config.role), (Some(hash), Some(MeantRole::Archive)));
        assert_eq!(config.api, "127.0.0.1:8420".parse().unwrap());
        assert_eq!(config.consensus.listen, "10.0.0.9:8421".parse().unwrap());
        assert_eq!(config.network.listen, ["/ip4/10.0.0.9/tcp/8422"]);
        assert_eq!(config.consensus.peers, ["/ip4/10.0.0.1/tcp/8421", "/dns/node.example.org/tcp/9000"]);
        assert_eq!(config.network.peers, ["/ip4/10.0.0.1/tcp/8422", "/dns/node.example.org/tcp/9001"]);
        assert_eq!(config.sync.trust.as_deref(), Some("7:ab"));
        assert!(config.storage.archive);
        let card = Card::read(&files.card()).unwrap();
        assert_eq!((card.peer.as_str(), card.public_key), ("10.0.0.9:8421", files.read_key().unwrap().public()));
        let again = check_free(&files).unwrap_err();
        assert!(again.message().contains("node.toml is there") && again.what_to_do().is_some(), "{again:?}");
    }

    #[test]
    fn a_half_made_home_keeps_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let (files, arguments) = (Files::of(dir.path()), arguments(dir.path(), &[]));
        write_key(&files.key(), &[9; 32]).unwrap();
        // The card of the try before, which had other answers.
        let before = Card::sign(&ValidatorKey::from_seed([9; 32]), "eight", "10.0.0.8:8421", None);
        std::fs::write(files.card(), serde_json::to_vec(&before).unwrap()).unwrap();
        check_free(&files).unwrap();
        let told = make(&files, &plan(Network::New, MeantRole::Validator), &arguments).unwrap();
        assert_eq!(Card::read(&files.card()).unwrap().name, "nine");
        assert!(told.contains("the key that was there") && told.contains("card.json"), "{told}");
        assert_eq!(files.read_key().unwrap().seed(), [9; 32]);
        assert_eq!(NodeConfig::read(&files).unwrap().genesis, None);
    }

    /// An address of a validator is a hash of its key, and no account's: what is there stays there.
    #[test]
    fn a_validator_that_names_no_account_is_told_so_and_can_name_one_with_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::of(dir.path());
        let made = |more: &[&str], role| make(&files, &plan(Network::New, role), &arguments(dir.path(), more)).unwrap();
        let told = made(&[], MeantRole::Validator);
        assert!(told.contains("nobody can spend") && told.contains("--payout"), "{told}");
        let before = Card::read(&files.card()).unwrap();
        assert_eq!(before.payout, None);
        std::fs::remove_file(files.config()).unwrap();
        check_free(&files).unwrap();
        let account = openmesh_primitives::Address([1; 20]);
        let told = made(&["--payout", &account.to_string()], MeantRole::Validator);
        assert!(!told.contains("nobody can spend") && told.contains(&format!("earns for  {account}")), "{told}");
        let card = Card::read(&files.card()).unwrap();
        assert_eq!((card.payout, card.public_key), (Some(account), before.public_key));
        std::fs::remove_file(files.config()).unwrap();
        assert!(!made(&[], MeantRole::Full).contains("nobody can spend"));
    }

    #[test]
    fn what_is_there_is_refused_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let (files, arguments) = (Files::of(dir.path()), arguments(dir.path(), &[]));
        std::fs::create_dir(dir.path().join("data")).unwrap();
        assert!(check_free(&files).unwrap_err().message().contains("data is there"));
        std::fs::remove_dir(dir.path().join("data")).unwrap();
        std::fs::write(files.key(), "no key").unwrap();
        let failure = make(&files, &plan(Network::New, MeantRole::Full), &arguments).unwrap_err();
        assert!(failure.message().contains("64 hexadecimal digits"), "{failure:?}");
        assert!(!files.config().exists(), "nothing half done");
        std::fs::remove_file(files.key()).unwrap();
        write_key(&files.key(), &[9; 32]).unwrap();
        std::fs::set_permissions(files.key(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let failure = make(&files, &plan(Network::New, MeantRole::Full), &arguments).unwrap_err();
        assert!(failure.what_to_do().is_some_and(|hint| hint.contains("chmod 600")), "{failure:?}");
        std::fs::set_permissions(files.key(), std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(files.card(), "a letter").unwrap();
        let failure = make(&files, &plan(Network::New, MeantRole::Full), &arguments).unwrap_err();
        assert!(failure.message().contains("card.json is there"), "{failure:?}");
        assert_eq!(std::fs::read(files.card()).unwrap(), b"a letter");
        assert!(!files.config().exists());
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(check_free(&Files::of(&file)).unwrap_err().message().contains("no folder"));
        let open = dir.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
        let failure = check_free(&Files::of(&open)).unwrap_err();
        assert!(failure.message().contains("other users can write"), "{failure:?}");
    }

    #[test]
    fn a_folder_of_somebody_else_is_no_home() {
        let home = Path::new("/srv/node");
        assert!(check_own(home, 7, 0o40700, 7).is_ok() && check_own(home, 0, 0o40755, 0).is_ok());
        for (owner, mode, user, fault) in
            [(8, 0o40755, 7, "belongs to another user (id 8)"), (8, 0o40700, 0, "id 8"), (7, 0o40770, 7, "other users")]
        {
            let failure = check_own(home, owner, mode, user).unwrap_err();
            assert!(failure.message().contains(fault) && failure.what_to_do().is_some(), "{failure:?}");
        }
    }
}
