//! `openmesh account`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use openmesh_api::limits::TRANSACTION_WAIT_MS_MAX;
use openmesh_api::{
    AccountInfo, ActionRequest, FieldValue, Status, TransactionAccepted, TransactionRequest, TransactionSummary,
};
use openmesh_ledger::{AccountTransaction, Action, FieldInput, FieldKind, Fields, Transaction};
use openmesh_primitives::{AccountKey, Address, Amount, Decimal, OPEN_DECIMALS};

use super::client::Client;
use crate::cli::AccountCommand;
use crate::failure::Failure;

/// Longest wait for a transaction to be committed, in seconds; a block comes about each second.
const COMMIT_SECONDS_MAX: u64 = 30;
/// Fee offered, in 10^-18 OPEN, where the network's minimum is asked for through the API first.
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
        AccountCommand::Do { key, kind, fields, node } => {
            let (client, key) = (Client::new(&node.api)?, read_key(&key)?);
            let height = perform(&client, &key, &kind, parse_fields(&fields)?).await?;
            println!("{kind} took effect in block {height}");
            Ok(())
        }
        AccountCommand::Send { key, to, amount, node } => {
            let client = Client::new(&node.api)?;
            send(&client, &read_key(&key)?, &to, &amount).await
        }
    }
}

fn new(file: &Path) -> Result<(), Failure> {
    let key = AccountKey::generate().map_err(|e| Failure::from_display("no key", &e))?;
    crate::up::network::write_key(file, &key.to_bytes())?;
    println!("{}", key.address());
    Ok(())
}

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

async fn send(client: &Client, key: &AccountKey, to: &str, amount: &str) -> Result<(), Failure> {
    let to: Address = to.parse().map_err(|e| Failure::usage(format!("{to}: {e}")))?;
    let amount = open_amount(amount)?;
    let fields = BTreeMap::from([
        ("to".to_owned(), FieldInput::Text(to.to_string())),
        ("amount".to_owned(), FieldInput::Text(amount.to_string())),
    ]);
    let height = perform(client, key, "transfer", fields).await?;
    println!("sent {} OPEN from {} to {to} in block {height}", amount.to_open(), key.address());
    Ok(())
}

/// Signs and sends an action, and waits for its block. Returns the height. Fails if a field is wrong, or if the action is
/// refused or not committed in time.
async fn perform(
    client: &Client,
    key: &AccountKey,
    kind: &str,
    fields: BTreeMap<String, FieldInput>,
) -> Result<u64, Failure> {
    let action = Action::from_fields(kind, Fields::new(fields.clone())).map_err(|e| {
        Failure::usage(e.to_string()).hint("openmesh account actions lists the actions and their fields")
    })?;
    let status: Status = client.get("/v1/status").await?;
    let value = |input| match input {
        FieldInput::Number(number) => FieldValue::Number(number),
        FieldInput::Text(text) => FieldValue::Text(text),
        FieldInput::Texts(texts) => FieldValue::Texts(texts),
    };
    let fields = fields.into_iter().map(|(name, input)| (name, value(input))).collect();
    let asked = ActionRequest { kind: kind.to_owned(), fields };
    let request = openmesh_api::TypedDataRequest { from: key.address().to_string(), action: asked, fee: None };
    let offer: openmesh_api::TypedDataResponse = client.post(FEE_PATH, &request).await?;
    let fee: Amount = offer.fee.parse().map_err(|e| Failure::from_display("the node's answer", &e))?;
    // The hash is made here, not taken from the node: what is signed is what was asked for.
    let signed = AccountTransaction::sign(key, status.chain_id, offer.nonce, fee, action)
        .map_err(|e| Failure::from_display("signing", &e))?;
    let bytes = hex::encode(Transaction::Account(signed).encode());
    let accepted: TransactionAccepted = client.post("/v1/transactions", &TransactionRequest::Bytes { bytes }).await?;
    committed(client, &accepted.hash).await
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

/// Fields as `FIELD=VALUE`; an amount may carry the unit OPEN.
fn parse_fields(texts: &[String]) -> Result<BTreeMap<String, FieldInput>, Failure> {
    let mut fields = BTreeMap::new();
    for text in texts {
        let wrong = || Failure::usage(format!("{text:?} is not of the form FIELD=VALUE"));
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let value = match value.strip_suffix("OPEN") {
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
        let of = |texts: &[&str]| parse_fields(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        let fields = of(&["amount=1.5OPEN", "note=a=b", "empty="]).unwrap();
        assert_eq!(fields["amount"], FieldInput::Text("1500000000000000000".into()));
        assert_eq!(fields["note"], FieldInput::Text("a=b".into()));
        assert_eq!(fields["empty"], FieldInput::Text(String::new()));
        assert!(of(&["amount"]).is_err() && of(&["a=1", "a=2"]).is_err() && of(&["a=xOPEN"]).is_err());
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
