//! `openmesh account`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use openmesh_api::limits::TRANSACTION_WAIT_MS_MAX;
use openmesh_api::{
    AccountInfo, ActionRequest, EstimateInfo, EstimateRequest, FieldValue, Status, TransactionAccepted,
    TransactionRequest, TransactionSummary,
};
use openmesh_ledger::{AccountTransaction, Action, FeeOffer, FieldInput, FieldKind, Fields, Transaction};
use openmesh_primitives::{AccountKey, Address, Amount, Decimal, OPEN_DECIMALS};

use super::client::Client;
use crate::cli::{AccountCommand, FeeArgs};
use crate::failure::Failure;

/// Longest wait for a transaction to be committed, in seconds; a block comes about each second.
const COMMIT_SECONDS_MAX: u64 = 30;
/// Fee that is signed at most where nobody has said what to pay: a million times the least base fee of a transfer.
const FEE_UNASKED_MAX: Amount = Amount::open(1);
/// Path at which nonce and fees are asked for.
const FEE_PATH: &str = "/v1/transactions/typed-data";

/// Runs one of the account commands.
pub async fn run(command: AccountCommand) -> Result<(), Failure> {
    match command {
        AccountCommand::New { file } => new(&file),
        AccountCommand::Show { address, node } => {
            let address: Address = address.parse().map_err(|e| Failure::usage(format!("{address}: {e}")))?;
            let client = Client::new(&node.api)?;
            let account: AccountInfo = client.get(&format!("/v1/accounts/{address}")).await?;
            let balance: Amount =
                account.balance.parse().map_err(|e| Failure::from_display("the node's answer", &e))?;
            println!("address  {}\nbalance  {} OPEN\nnonce    {}", account.address, balance.to_open(), account.nonce);
            Ok(())
        }
        AccountCommand::Actions { kind } => {
            print!("{}", actions(kind.as_deref())?);
            Ok(())
        }
        AccountCommand::Do { key, kind, fields, fees, node } => {
            let (client, fields) = (Client::new(&node.api)?, parse_fields(&kind, &fields)?);
            if fees.estimate {
                return estimate(&client, &kind, fields).await;
            }
            let height = perform(&client, &given_key(key.as_deref())?, &kind, fields, &fees).await?;
            println!("{kind} took effect in block {height}");
            Ok(())
        }
        AccountCommand::Send { key, to, amount, fees, node } => {
            let (client, fields) = (Client::new(&node.api)?, transfer(&to, &amount)?);
            if fees.estimate {
                return estimate(&client, "transfer", fields).await;
            }
            let key = given_key(key.as_deref())?;
            let height = perform(&client, &key, "transfer", fields, &fees).await?;
            println!("sent {} OPEN from {} to {to} in block {height}", open_amount(&amount)?.to_open(), key.address());
            Ok(())
        }
    }
}

fn new(file: &Path) -> Result<(), Failure> {
    let key = AccountKey::generate().map_err(|e| Failure::from_display("no key", &e))?;
    crate::up::network::write_key(file, &key.to_bytes())?;
    println!("{}", key.address());
    Ok(())
}

/// Reads the key of an account from a file.
fn read_key(file: &Path) -> Result<AccountKey, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| {
        Failure::from_display(file.display(), &e)
            .hint("openmesh account new FILE makes a key; a local network's faucet has faucet.key in its folder")
    })?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim().trim_start_matches("0x"), &mut bytes)
        .map_err(|_| Failure::usage(format!("{}: 64 hexadecimal digits are expected", file.display())))?;
    AccountKey::from_bytes(bytes).map_err(|e| Failure::from_display(file.display(), &e))
}

/// The key of a command that signs; clap has asked for it.
pub(super) fn given_key(file: Option<&Path>) -> Result<AccountKey, Failure> {
    read_key(file.ok_or_else(|| Failure::usage("--key FILE is missing"))?)
}

/// The fields of a transfer.
fn transfer(to: &str, amount: &str) -> Result<BTreeMap<String, FieldInput>, Failure> {
    let to: Address = to.parse().map_err(|e| Failure::usage(format!("{to}: {e}")))?;
    let amount = open_amount(amount)?;
    Ok(BTreeMap::from([
        ("to".to_owned(), FieldInput::Text(to.to_string())),
        ("amount".to_owned(), FieldInput::Text(amount.to_string())),
    ]))
}

/// An action of these fields. Fails if a field is missing, malformed, or not of the action.
fn action_of(kind: &str, fields: &BTreeMap<String, FieldInput>) -> Result<Action, Failure> {
    Action::from_fields(kind, Fields::new(fields.clone()))
        .map_err(|e| Failure::usage(e.to_string()).hint("openmesh account actions lists the actions and their fields"))
}

/// The same as a node is asked for it.
fn asked(kind: &str, fields: BTreeMap<String, FieldInput>) -> ActionRequest {
    let value = |input| match input {
        FieldInput::Number(number) => FieldValue::Number(number),
        FieldInput::Text(text) => FieldValue::Text(text),
        FieldInput::Texts(texts) => FieldValue::Texts(texts),
    };
    let fields = fields.into_iter().map(|(name, input)| (name, value(input))).collect();
    ActionRequest { kind: kind.to_owned(), fields }
}

/// Prints what an action would cost in the next block.
pub(super) async fn estimate(client: &Client, kind: &str, fields: BTreeMap<String, FieldInput>) -> Result<(), Failure> {
    action_of(kind, &fields)?;
    let request = EstimateRequest { action: asked(kind, fields) };
    let estimate: EstimateInfo = client.post(openmesh_api::path::ESTIMATE, &request).await?;
    print!("{}", estimated(&estimate)?);
    Ok(())
}

fn estimated(estimate: &EstimateInfo) -> Result<String, Failure> {
    let open = |units: &str| units_of(units).map(|amount| amount.to_open());
    Ok(format!(
        "weight    {} (base fee of a unit: {} OPEN)\n\
         burnt     {} OPEN, if it is in the next block\n\
         tip       {} OPEN to the proposer\n\
         max fee   {} OPEN is reserved until then\n\
         deposit   {} OPEN, which comes back when the record goes\n\
         spends    {} OPEN beside that\n",
        estimate.weight,
        open(&estimate.base_fee)?,
        open(&estimate.burnt)?,
        open(&estimate.tip)?,
        open(&estimate.max_fee)?,
        open(&estimate.deposit)?,
        open(&estimate.spends)?,
    ))
}

/// Signs and sends an action, and waits for its block. Returns the height. Fails if a field is wrong, or if the action is
/// refused or not committed in time.
pub(super) async fn perform(
    client: &Client,
    key: &AccountKey,
    kind: &str,
    fields: BTreeMap<String, FieldInput>,
    fees: &FeeArgs,
) -> Result<u64, Failure> {
    let action = action_of(kind, &fields)?;
    let status: Status = client.get("/v1/status").await?;
    let wanted = |text: &Option<String>| text.as_deref().map(open_amount).transpose();
    let (max_fee, tip) = (wanted(&fees.max_fee)?, wanted(&fees.tip)?);
    let units = |amount: Option<Amount>| amount.map(|amount| amount.to_string());
    let request = openmesh_api::TypedDataRequest {
        from: key.address().to_string(),
        action: asked(kind, fields),
        max_fee: units(max_fee),
        tip: units(tip),
    };
    let offered: openmesh_api::TypedDataResponse = client.post(FEE_PATH, &request).await?;
    let offer = offer(max_fee, tip, units_of(&offered.max_fee)?, units_of(&offered.tip)?)?;
    // The hash is made here, not taken from the node: what is signed is what was asked for.
    let signed = AccountTransaction::sign(key, status.chain_id, offered.nonce, offer, action)
        .map_err(|e| Failure::from_display("signing", &e))?;
    let bytes = hex::encode(Transaction::Account(signed).encode());
    let accepted: TransactionAccepted = client.post("/v1/transactions", &TransactionRequest::Bytes { bytes }).await?;
    committed(client, &accepted.hash).await
}

/// The fees to sign: those that were asked for, and for the rest the node's estimate. Fails where the estimate is more than a person
/// who has not said a word about fees would pay: a node that lies must not spend an account.
fn offer(max_fee: Option<Amount>, tip: Option<Amount>, estimate: Amount, tipped: Amount) -> Result<FeeOffer, Failure> {
    if max_fee.is_none() && estimate > FEE_UNASKED_MAX {
        return Err(Failure::new(format!("the node asks for a fee of up to {} OPEN", estimate.to_open()))
            .hint("say with --max-fee what you are ready to pay"));
    }
    let max_fee = max_fee.unwrap_or(estimate);
    let tip = tip.unwrap_or_else(|| tipped.min(max_fee));
    if tip > max_fee {
        return Err(Failure::usage(format!(
            "the tip of {} OPEN is more than the highest fee of {} OPEN",
            tip.to_open(),
            max_fee.to_open()
        )));
    }
    Ok(FeeOffer::new(max_fee, tip))
}

fn units_of(text: &str) -> Result<Amount, Failure> {
    text.parse().map_err(|e| Failure::from_display("the node's answer", &e))
}

/// Waits for a transaction's block. Returns its height.
pub(super) async fn committed(client: &Client, hash: &str) -> Result<u64, Failure> {
    eprintln!("{hash}: waiting for a block");
    // The node answers as soon as the transaction is in a block, or when the time is over.
    let path = openmesh_api::path::with(openmesh_api::path::TRANSACTION, hash);
    let path = format!("{path}?wait_ms={TRANSACTION_WAIT_MS_MAX}");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(COMMIT_SECONDS_MAX);
    loop {
        let now: TransactionSummary = client.get(&path).await?;
        match (now.height, now.ok) {
            (Some(height), true) => return Ok(height),
            (Some(height), false) => {
                return Err(Failure::new(format!("refused in block {height}: {}", now.error.unwrap_or_default())));
            }
            (None, _) if tokio::time::Instant::now() > deadline => {
                return Err(Failure::new(format!("not committed within {COMMIT_SECONDS_MAX} s"))
                    .hint("is the network making blocks? See openmesh doctor"));
            }
            (None, _) => {}
        }
    }
}

/// Fields of an action as `FIELD=VALUE`; an amount may carry the unit OPEN. A text that ends so stays as it is.
fn parse_fields(kind: &str, texts: &[String]) -> Result<BTreeMap<String, FieldInput>, Failure> {
    let action = Action::descriptors().into_iter().find(|action| action.kind == kind);
    let is_amount = |name: &str| {
        let mut fields = action.iter().flat_map(|action| action.fields);
        fields.any(|field| field.name == name && matches!(field.kind, FieldKind::Amount))
    };
    let mut fields = BTreeMap::new();
    for text in texts {
        let wrong = || Failure::usage(format!("{text:?} is not of the form FIELD=VALUE"));
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let value = match value.strip_suffix("OPEN").filter(|_| is_amount(name)) {
            Some(amount) => open_amount(amount.trim())?.to_string(),
            None => value.to_owned(),
        };
        if fields.insert(name.to_owned(), FieldInput::Text(value)).is_some() {
            return Err(Failure::usage(format!("{name} is given twice")));
        }
    }
    Ok(fields)
}

/// The declared actions as a table: kind and title, then each field with its type and help.
fn actions(kind: Option<&str>) -> Result<String, Failure> {
    let mut text = String::new();
    for action in Action::descriptors().into_iter().filter(|action| kind.is_none_or(|kind| kind == action.kind)) {
        text += &format!("{:<18} {}\n", action.kind, action.summary);
        for field in action.fields {
            let kind = match field.kind {
                FieldKind::Choice(choices) => choices.join("|"),
                other => other.as_str().to_owned(),
            };
            let unit = field.unit.map(|unit| format!(" In {unit}.")).unwrap_or_default();
            text += &format!("  {:<16} {:<22} {}{unit}\n", field.name, kind, field.help);
        }
    }
    match (text.is_empty(), kind) {
        (true, Some(kind)) => Err(Failure::usage(format!("there is no action {kind:?}"))
            .hint("openmesh account actions lists the actions and their fields")),
        _ => Ok(text),
    }
}

fn open_amount(text: &str) -> Result<Amount, Failure> {
    let wrong = || Failure::usage(format!("{text:?} is not an amount of OPEN, such as 12.5"));
    let units =
        text.parse::<Decimal>().ok().and_then(|d| d.normalized().mantissa_at(OPEN_DECIMALS)).ok_or_else(wrong)?;
    u128::try_from(units).map(Amount).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_command_line() {
        let of_kind =
            |kind, texts: &[&str]| parse_fields(kind, &texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        let of = |texts: &[&str]| of_kind("transfer", texts);
        let fields = of(&["amount=1.5OPEN", "note=a=b", "empty="]).unwrap();
        assert_eq!(fields["amount"], FieldInput::Text("1500000000000000000".into()));
        assert_eq!(fields["note"], FieldInput::Text("a=b".into()));
        assert_eq!(fields["empty"], FieldInput::Text(String::new()));
        assert!(of(&["amount"]).is_err() && of(&["a=1", "a=2"]).is_err() && of(&["amount=xOPEN"]).is_err());
        let stamp = of_kind("stamp", &["note=paid 5 OPEN", "topic=5OPEN"]).unwrap();
        assert_eq!(stamp["note"], FieldInput::Text("paid 5 OPEN".into()));
        assert_eq!(stamp["topic"], FieldInput::Text("5OPEN".into()), "only amounts have a unit");
    }

    #[test]
    fn a_node_cannot_make_up_what_is_paid() {
        let (one, two) = (Amount(1), Amount(2));
        assert_eq!(offer(None, None, two, one).unwrap(), FeeOffer::new(two, one));
        assert_eq!(offer(Some(one), None, two, two).unwrap(), FeeOffer::new(one, one), "within what was asked for");
        assert!(offer(None, None, Amount(FEE_UNASKED_MAX.0 + 1), one).is_err());
        let asked = Amount(FEE_UNASKED_MAX.0 * 2);
        assert_eq!(offer(Some(asked), Some(two), one, one).unwrap(), FeeOffer::new(asked, two));
        assert!(offer(Some(one), Some(two), one, one).is_err());
    }

    #[test]
    fn an_estimate_is_told_in_open() {
        let units = |text: &str| text.to_owned();
        let estimate = EstimateInfo {
            weight: 4,
            base_fee: units("1000000000000"),
            burnt: units("4000000000000"),
            tip: units("400000000000"),
            max_fee: units("8400000000000"),
            deposit: units("10000000000000000000"),
            spends: units("0"),
        };
        let text = estimated(&estimate).unwrap();
        assert!(text.contains("burnt     0.000004 OPEN") && text.contains("deposit   10 OPEN"), "{text}");
        assert!(estimated(&EstimateInfo { tip: units("much"), ..estimate }).is_err());
    }

    #[test]
    fn every_declared_action_is_listed_with_its_fields() {
        let all = actions(None).unwrap();
        for action in Action::descriptors() {
            assert!(all.contains(action.kind) && all.contains(action.summary));
            let one = actions(Some(action.kind)).unwrap();
            assert!(action.fields.iter().all(|field| one.contains(field.name) && one.contains(field.help)));
        }
        assert!(actions(Some("mint")).is_err());
    }
}
