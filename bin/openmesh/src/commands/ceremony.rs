//! `openmesh genesis collect`, `check` and `take`: the beginning of a network that several operators make together, checked by each of them.
//! `docs/spec/operators.md`, clauses O-11 to O-13.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use openmesh_ledger::{Genesis, Params};
use openmesh_primitives::{Address, Amount, Timestamp, ValidatorPublicKey, report};
use openmesh_storage::files::write_new;
use serde::Serialize;
use serde_json::{Value, json};

use super::agent::{json as print_json, print};
use crate::cli::{CeremonyCommand, CollectArgs};
use crate::failure::Failure;
use crate::node::card::Card;
use crate::node::config::{Files, read_genesis};
use crate::node::entry;

/// Runs one of these commands.
pub fn run(command: &CeremonyCommand) -> Result<(), Failure> {
    match command {
        CeremonyCommand::Collect(arguments) => collect(arguments),
        CeremonyCommand::Check { file, home, cards, output } => {
            let genesis = checked(file)?;
            let mut known = read_cards(cards)?;
            let mut keys: BTreeSet<ValidatorPublicKey> = known.iter().map(|(_, card)| card.public_key).collect();
            if let Some(home) = home {
                let key = check_home(&genesis, home)?;
                known.extend(own_card(home, &key)?);
                keys.insert(key);
            }
            check_cards(&genesis, &known)?;
            let summary = summary(&genesis);
            if output.json {
                return print_json(&summary);
            }
            // Without cards nobody but the home is known, which is no news.
            let others = if cards.is_empty() { String::new() } else { unknown(&genesis, &keys) };
            print(&(told(&summary) + &others))
        }
        CeremonyCommand::Take { file, home, hash } => {
            let genesis = checked(file)?;
            if let Some(wanted) = hash.filter(|wanted| *wanted != genesis.hash()) {
                return Err(Failure::usage(format!(
                    "{}: its hash is {}, and {wanted} is wanted",
                    file.display(),
                    genesis.hash()
                ))
                .hint("get the file again from whoever named the hash to you"));
            }
            take(&genesis, home)
        }
    }
}

/// Reads a genesis and checks it by the ledger's rules.
fn checked(file: &Path) -> Result<Genesis, Failure> {
    let genesis = read_genesis(file)?;
    genesis.validate().map_err(|error| Failure::usage(format!("{}: {}", file.display(), report(&error))))?;
    Ok(genesis)
}

fn read_cards(files: &[PathBuf]) -> Result<Vec<(PathBuf, Card)>, Failure> {
    files.iter().map(|file| Ok((file.clone(), Card::read(file)?))).collect()
}

/// Makes a genesis of cards. It depends on what they say and not on their order.
fn collect(arguments: &CollectArgs) -> Result<(), Failure> {
    let cards = read_cards(&arguments.cards)?;
    let draft = match &arguments.from {
        Some(file) => {
            let bytes = std::fs::read(file).map_err(|e| Failure::usage(format!("{}: {e}", file.display())))?;
            serde_json::from_slice(&bytes).map_err(|e| Failure::usage(format!("{}: {e}", file.display())))?
        }
        None => json!({}),
    };
    let time = arguments.time.unwrap_or_else(|| Timestamp::from_millis(Timestamp::now().millis()));
    let genesis = genesis_of(draft, &cards, arguments, time)?;
    let text = serde_json::to_vec_pretty(&genesis).map_err(|e| Failure::from_display("genesis", &e))?;
    let out = &arguments.out;
    write_new(out, &text).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!("{} is there already", out.display()))
            .hint("name another file with --out; a genesis is never written over"),
        _ => Failure::from_display(out.display(), &error),
    })?;
    print(&told(&summary(&genesis)))?;
    print(&format!(
        "\nwritten    {}\nnext       each operator: openmesh genesis check {} --home DIR --cards ..., then openmesh genesis take\n",
        out.display(),
        out.display()
    ))
}

/// The genesis of a draft and cards. As JSON, so that a draft may have whatever a genesis has.
fn genesis_of(
    mut draft: Value,
    cards: &[(PathBuf, Card)],
    arguments: &CollectArgs,
    time: Timestamp,
) -> Result<Genesis, Failure> {
    let from = || arguments.from.as_ref().map_or("the draft".to_owned(), |file| file.display().to_string());
    let Some(fields) = draft.as_object_mut() else {
        return Err(Failure::usage(format!("{}: an object is expected", from())));
    };
    if fields.get("validators").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
        return Err(Failure::usage(format!("{} names validators of its own", from()))
            .hint("leave them out: they come from the cards"));
    }
    let lacks = |flag: &str| Failure::usage(format!("{flag} is missing")).hint("or a draft (--from) that says it");
    match (&arguments.name, fields.contains_key("name")) {
        (Some(name), _) => drop(fields.insert("name".into(), json!(name))),
        (None, false) => return Err(lacks("--name")),
        (None, true) => {}
    }
    match (arguments.chain_id, fields.contains_key("chain_id")) {
        (Some(chain_id), _) => drop(fields.insert("chain_id".into(), json!(chain_id))),
        (None, false) => return Err(lacks("--chain-id")),
        (None, true) => {}
    }
    if arguments.time.is_some() || !fields.contains_key("time") {
        fields.insert("time".into(), json!(time));
    }
    let mut validators = BTreeMap::new();
    for (file, card) in cards {
        if validators.insert(card.public_key, card.validator(arguments.power)).is_some() {
            return Err(Failure::usage(format!("{}: another card has the same key", file.display())).hint(
                "each validator needs a key of its own: two with one key would be named as one that signs twice",
            ));
        }
    }
    check_names(cards)?;
    fields.insert("validators".into(), json!(validators.into_values().collect::<Vec<_>>()));
    for list in ["accounts", "sources"] {
        fields.entry(list).or_insert_with(|| json!([]));
    }
    let genesis: Genesis = serde_json::from_value(draft).map_err(|e| Failure::usage(format!("{}: {e}", from())))?;
    genesis.validate().map_err(|error| Failure::usage(report(&error)))?;
    Ok(genesis)
}

/// Refuses two validators of one name: people would take them for one another.
fn check_names(cards: &[(PathBuf, Card)]) -> Result<(), Failure> {
    let mut names = BTreeMap::new();
    for (file, card) in cards {
        if let Some(first) = names.insert(card.name.as_str(), file) {
            return Err(Failure::usage(format!(
                "{} and {} have the same name, {}",
                first.display(),
                file.display(),
                card.name
            ))
            .hint("one of the operators makes another card: openmesh init --name NAME"));
        }
    }
    Ok(())
}

/// Refuses a genesis that does not name the key of a home; returns the key.
fn check_home(genesis: &Genesis, home: &Path) -> Result<ValidatorPublicKey, Failure> {
    let files = Files::of(home);
    let key = files.read_key()?.public();
    match genesis.validators.iter().any(|validator| validator.public_key == key) {
        true => Ok(key),
        false => Err(Failure::new(format!("the genesis does not name the key of {} ({key})", home.display()))
            .hint(format!("give {} to whoever makes the genesis", files.card().display()))),
    }
}

/// The card of a home's own key, where it has one: whoever made the genesis may have put another account under the key.
fn own_card(home: &Path, key: &ValidatorPublicKey) -> Result<Option<(PathBuf, Card)>, Failure> {
    let path = Files::of(home).card();
    let card = path.exists().then(|| Card::read(&path)).transpose()?;
    Ok(card.filter(|card| card.public_key == *key).map(|card| (path, card)))
}

/// Words about the validators of a genesis that no card was given of: whoever made it may have added some of its own.
fn unknown(genesis: &Genesis, known: &BTreeSet<ValidatorPublicKey>) -> String {
    let others = genesis.validators.iter().filter(|validator| !known.contains(&validator.public_key));
    let names: Vec<String> = others.map(|validator| plain(&validator.name)).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("note       no card was given of {}: do you know who that is?\n", names.join(", ")),
    }
}

/// Refuses a genesis in which a card is missing or was changed.
fn check_cards(genesis: &Genesis, cards: &[(PathBuf, Card)]) -> Result<(), Failure> {
    for (file, card) in cards {
        let fault = match genesis.validators.iter().find(|validator| validator.public_key == card.public_key) {
            Some(found) if found.name == card.name && found.payout == card.payout => continue,
            Some(_) => "stands in the genesis with another name or another account",
            None => "is not in the genesis",
        };
        return Err(Failure::new(format!("{}: this validator ({}) {fault}", file.display(), card.name))
            .hint("do not take it; ask whoever made it to collect the cards again"));
    }
    Ok(())
}

/// Puts a genesis into a home that has none.
fn take(genesis: &Genesis, home: &Path) -> Result<(), Failure> {
    let files = Files::of(home);
    if !files.config().exists() {
        return Err(Failure::usage(format!("{} is no node's home: node.toml is missing", home.display()))
            .hint("openmesh init --home DIR makes one"));
    }
    let config = crate::node::config::NodeConfig::read(&files)?;
    let hash = genesis.hash();
    if let Some(wanted) = config.genesis.filter(|wanted| *wanted != hash) {
        return Err(Failure::usage(format!(
            "{} is the home of another network: node.toml names the genesis {wanted}, not {hash}",
            home.display()
        ))
        .hint("make another home: openmesh init --home DIR"));
    }
    if files.genesis().symlink_metadata().is_ok() {
        let there = files.read_genesis()?.hash();
        return match there == hash {
            true => print(&format!("{} is this genesis already\n", files.genesis().display())),
            false => Err(Failure::usage(format!(
                "{} is the home of another network: its genesis has the hash {there}",
                home.display()
            ))
            .hint("a genesis is never written over: make another home with openmesh init --home DIR")),
        };
    }
    entry::keep(&files, genesis)?;
    print(&format!("{}\nnext       openmesh node --home {}\n", told(&summary(genesis)), home.display()))
}

/// A genesis, for people and programs.
#[derive(Debug, Serialize)]
struct Summary {
    hash: String,
    chain_id: u64,
    name: String,
    time: String,
    validators: Vec<Member>,
    accounts: usize,
    grants: usize,
    /// Out of the pools to accounts, in 10^-18 OPEN.
    given: String,
    sources: usize,
    source_owners: Vec<Owned>,
    /// Parameters that are not the usual ones.
    params: Vec<Changed>,
}

/// A source with the account that may change and retire it.
#[derive(Debug, Serialize)]
struct Owned {
    source: String,
    owner: String,
}

/// A parameter that is another one than that of a network for which nobody said any.
#[derive(Debug, PartialEq, Serialize)]
struct Changed {
    /// Its place: `blocks.block_bytes_max`.
    name: String,
    value: Value,
    usual: Value,
}

/// The parameters of a network that are not the usual ones.
fn changed(params: &Params) -> Vec<Changed> {
    let mut found = Vec::new();
    differing(String::new(), &json!(params), &json!(Params::default()), &mut found);
    found
}

fn differing(name: String, value: &Value, usual: &Value, found: &mut Vec<Changed>) {
    match (value, usual) {
        (Value::Object(fields), Value::Object(others)) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                differing(name, value, others.get(field).unwrap_or(&Value::Null), found);
            }
        }
        _ if value != usual => found.push(Changed { name, value: value.clone(), usual: usual.clone() }),
        _ => {}
    }
}

/// A validator in a summary.
#[derive(Debug, Serialize)]
struct Member {
    name: String,
    address: String,
    public_key: String,
    power: u64,
    /// Account that earns its fees, where that is another one than its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    payout: Option<String>,
}

fn summary(genesis: &Genesis) -> Summary {
    let member = |validator: &openmesh_ledger::GenesisValidator| Member {
        name: validator.name.clone(),
        address: validator.public_key.address().to_string(),
        public_key: validator.public_key.to_string(),
        power: validator.power,
        payout: validator.payout.map(|account| account.to_string()),
    };
    let owned = |(source, owner): (&String, &Address)| Owned { source: source.clone(), owner: owner.to_string() };
    let own = genesis.accounts.iter().map(|(_, amount)| amount.0);
    let granted = genesis.allocation.grants.iter().map(|grant| grant.amount.0);
    let given = own.chain(granted).fold(0u128, u128::saturating_add);
    Summary {
        hash: genesis.hash().to_string(),
        chain_id: genesis.chain_id,
        name: genesis.name.clone(),
        time: genesis.time.to_rfc3339(),
        validators: genesis.validators.iter().map(member).collect(),
        accounts: genesis.accounts.len(),
        grants: genesis.allocation.grants.len(),
        given: given.to_string(),
        sources: genesis.sources.len(),
        source_owners: genesis.source_owners.iter().map(owned).collect(),
        params: changed(&genesis.params),
    }
}

/// A text of a file that nobody has checked yet, without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn told(summary: &Summary) -> String {
    let Summary { hash, chain_id, name, time, validators, accounts, grants, given, .. } = summary;
    let name = plain(name);
    let mut text = format!("genesis    {hash}\nnetwork    {name} (chain id {chain_id}), begins {time}\n");
    for Member { name, address, power, payout, .. } in validators {
        let payout = payout.as_ref().map(|account| format!(", earns for {account}")).unwrap_or_default();
        text += &format!("validator  {}, {address}, power {power}{payout}\n", plain(name));
    }
    let unpaid = validators.iter().filter(|member| member.payout.is_none()).count();
    if unpaid > 0 {
        text += &format!(
            "note       {unpaid} of {} validators name no account: nobody can spend the tips of their blocks (openmesh init --payout)\n",
            validators.len()
        );
    }
    let given = given.parse().map_or_else(|_| given.clone(), |units| Amount(units).to_open().to_string());
    text += &format!(
        "accounts   {accounts}, and {grants} grants: {given} OPEN of the pools\nsources    {}\n",
        summary.sources
    );
    for Owned { source, owner } in &summary.source_owners {
        text += &format!("owner      {} belongs to {owner}\n", plain(source));
    }
    if summary.params.is_empty() {
        text += "params     the usual ones\n";
    }
    for Changed { name, value, usual } in &summary.params {
        text += &format!("params     {name} is {value}, usual is {usual}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::ValidatorKey;

    use super::*;

    fn cards(count: u8) -> Vec<(PathBuf, Card)> {
        let one = |n: u8| {
            let key = ValidatorKey::from_seed([n + 1; 32]);
            (PathBuf::from(format!("{n}.json")), Card::sign(&key, &format!("v{n}"), &format!("10.0.0.{n}:8421"), None))
        };
        (0..count).map(one).collect()
    }

    fn arguments() -> CollectArgs {
        CollectArgs {
            cards: Vec::new(),
            name: Some("five".into()),
            chain_id: Some(84_500),
            time: None,
            power: 100,
            from: None,
            out: "genesis.json".into(),
        }
    }

    #[test]
    fn the_same_cards_in_any_order_make_the_same_genesis() {
        let (cards, time) = (cards(4), Timestamp::from_millis(1_000));
        let mut turned = cards.clone();
        turned.reverse();
        let made = genesis_of(json!({}), &cards, &arguments(), time).unwrap();
        assert_eq!(genesis_of(json!({}), &turned, &arguments(), time).unwrap().hash(), made.hash());
        assert_eq!((made.chain_id, made.validators.len(), made.time), (84_500, 4, time));
        check_cards(&made, &cards).unwrap();
        let later = genesis_of(json!({}), &cards, &arguments(), Timestamp::from_millis(2_000)).unwrap();
        assert_ne!(later.hash(), made.hash(), "its beginning is part of it");
        let mut hostile = made.clone();
        (hostile.name, hostile.validators[0].name) = ("a\u{1b}[2J".into(), "b\u{7}".into());
        let told = told(&summary(&hostile));
        assert!(told.contains("validator  b,") && !told.contains(['\u{1b}', '\u{7}']), "{told:?}");
    }

    #[test]
    fn whoever_checks_a_genesis_sees_parameters_and_owners_that_are_not_the_usual_ones() {
        let (cards, time) = (cards(2), Timestamp::from_millis(1_000));
        let made = genesis_of(json!({}), &cards, &arguments(), time).unwrap();
        assert!(summary(&made).params.is_empty() && told(&summary(&made)).contains("params     the usual ones\n"));
        let mut other = made.clone();
        let usual = other.params.blocks.block_bytes_max;
        other.params.blocks.block_bytes_max = 7;
        other.params.accounts.fee_min = Amount(8);
        other.source_owners.insert("kraken".into(), Address([9; 20]));
        let text = told(&summary(&other));
        for line in [
            format!("params     blocks.block_bytes_max is 7, usual is {usual}\n"),
            "params     accounts.fee_min is \"8\", usual is".into(),
            format!("owner      kraken belongs to {}\n", Address([9; 20])),
        ] {
            assert!(text.contains(&line), "{line:?} is not in\n{text}");
        }
        assert!(!text.contains("the usual ones"), "{text}");
        let told = json!(summary(&other));
        let params = told["params"].as_array().unwrap();
        let changed = json!({ "name": "blocks.block_bytes_max", "value": 7, "usual": usual });
        assert!(params.len() == 2 && params.contains(&changed), "{params:?}");
        assert_eq!(told["source_owners"], json!([{ "source": "kraken", "owner": Address([9; 20]).to_string() }]));
    }

    #[test]
    fn a_card_that_lacks_or_was_changed_in_the_genesis_is_named() {
        let cards = cards(3);
        let made = genesis_of(json!({}), &cards[..2], &arguments(), Timestamp(0)).unwrap();
        let lacks = check_cards(&made, &cards).unwrap_err();
        assert!(lacks.message().contains("2.json") && lacks.message().contains("not in the genesis"), "{lacks:?}");
        let mut changed = made.clone();
        changed.validators[0].payout = Some(openmesh_primitives::Address([9; 20]));
        assert!(check_cards(&changed, &cards[..2]).unwrap_err().message().contains("another account"));
        let told = told(&summary(&changed));
        assert!(told.contains(", earns for 0x0909") && told.contains("1 of 2 validators name no account"), "{told}");
    }

    #[test]
    fn whoever_made_the_genesis_can_neither_redirect_a_home_nor_add_somebody_unseen() {
        let cards = cards(3);
        let made = genesis_of(json!({}), &cards, &arguments(), Timestamp(0)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let files = Files::of(dir.path());
        let own = ValidatorKey::from_seed([1; 32]);
        crate::up::network::write_key(&files.key(), &own.seed()).unwrap();
        // A home without a card is known by its key alone.
        let key = check_home(&made, dir.path()).unwrap();
        assert_eq!((key, own_card(dir.path(), &key).unwrap()), (own.public(), None));
        std::fs::write(files.card(), serde_json::to_vec(&cards[0].1).unwrap()).unwrap();
        let card = [own_card(dir.path(), &key).unwrap().unwrap()];
        assert_eq!(card[0].1, cards[0].1);
        check_cards(&made, &card).unwrap();
        let mut taken = made.clone();
        let place = taken.validators.iter().position(|validator| validator.public_key == key).unwrap();
        taken.validators[place].payout = Some(openmesh_primitives::Address([9; 20]));
        assert_eq!(check_home(&taken, dir.path()).unwrap(), key, "the key alone tells nothing");
        let fault = check_cards(&taken, &card).unwrap_err();
        assert!(fault.message().contains("card.json: this validator (v0)"), "{fault:?}");
        // The card of another key is none of this home's.
        std::fs::write(files.card(), serde_json::to_vec(&cards[1].1).unwrap()).unwrap();
        assert_eq!(own_card(dir.path(), &key).unwrap(), None);

        let known = |many: usize| cards[..many].iter().map(|(_, card)| card.public_key).collect::<BTreeSet<_>>();
        assert_eq!(unknown(&made, &known(3)), "");
        assert!(unknown(&made, &known(2)).contains("no card was given of v2:"));
        let mut missing = made.clone();
        missing.validators.retain(|validator| validator.public_key != key);
        assert!(check_home(&missing, dir.path()).unwrap_err().message().contains("does not name the key"));
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_its_place() {
        let refused = |draft: Value, cards: &[(PathBuf, Card)], arguments: &CollectArgs| {
            genesis_of(draft, cards, arguments, Timestamp(0)).unwrap_err().message().to_owned()
        };
        let two = cards(2);
        let same_key = vec![two[0].clone(), (PathBuf::from("again.json"), two[0].1.clone())];
        assert!(refused(json!({}), &same_key, &arguments()).contains("again.json: another card has the same key"));
        let twin = Card::sign(&ValidatorKey::from_seed([9; 32]), "v0", "10.0.0.9:8421", None);
        let same_name = vec![two[0].clone(), (PathBuf::from("twin.json"), twin)];
        assert!(refused(json!({}), &same_name, &arguments()).contains("same name"));
        let nameless = CollectArgs { name: None, ..arguments() };
        assert!(refused(json!({}), &two, &nameless).contains("--name is missing"));
        assert!(genesis_of(json!({ "name": "draft" }), &two, &nameless, Timestamp(0)).is_ok());
        assert!(refused(json!([]), &two, &arguments()).contains("an object is expected"));
        assert!(refused(json!({ "validators": [1] }), &two, &arguments()).contains("validators of its own"));
        assert!(refused(json!({ "colour": 1 }), &two, &arguments()).contains("colour"));
        assert!(refused(json!({}), &[], &arguments()).contains("0 validators"));
    }
}
