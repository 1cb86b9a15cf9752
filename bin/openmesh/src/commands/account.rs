//! `openmesh account`.

use std::path::Path;
use std::time::Duration;

use openmesh_api::limits::TRANSACTION_WAIT_MS_MAX;
use openmesh_api::{AccountInfo, ActionRequest, Status, TransactionAccepted, TransactionRequest, TransactionSummary};
use openmesh_ledger::{AccountTransaction, AccountsAction, Action};
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
    let text = std::fs::read_to_string(file).map_err(|e| Failure::from_display(file.display(), &e))?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim().trim_start_matches("0x"), &mut bytes)
        .map_err(|_| Failure::usage(format!("{}: 64 hexadecimal digits are expected", file.display())))?;
    AccountKey::from_bytes(bytes).map_err(|e| Failure::from_display(file.display(), &e))
}

async fn send(client: &Client, key: &AccountKey, to: &str, amount: &str) -> Result<(), Failure> {
    let to: Address = to.parse().map_err(|e| Failure::usage(format!("{to}: {e}")))?;
    let amount = open_amount(amount)?;
    let from = key.address();
    let status: Status = client.get("/v1/status").await?;
    let action = ActionRequest::Transfer { to: to.to_string(), amount: amount.to_string() };
    let request = openmesh_api::TypedDataRequest { from: from.to_string(), action: action.clone(), fee: None };
    let offer: openmesh_api::TypedDataResponse = client.post(FEE_PATH, &request).await?;
    let fee: Amount = offer.fee.parse().map_err(|e| Failure::from_display("the node's answer", &e))?;
    // The hash is made here, not taken from the node: what is signed is what was asked for.
    let transaction = AccountTransaction::sign(
        key,
        status.chain_id,
        offer.nonce,
        fee,
        Action::Accounts(AccountsAction::Transfer { to, amount }),
    )
    .map_err(|e| Failure::from_display("signing", &e))?;
    let request = TransactionRequest::Parts {
        action,
        nonce: offer.nonce,
        fee: fee.to_string(),
        signature: transaction.signature.to_string(),
    };
    let accepted: TransactionAccepted = client.post("/v1/transactions", &request).await?;
    eprintln!("{}: waiting for a block", accepted.hash);
    // The node answers as soon as the transaction is in a block, or when the time is over.
    let path = openmesh_api::path::with(openmesh_api::path::TRANSACTION, &accepted.hash);
    let path = format!("{path}?wait_ms={TRANSACTION_WAIT_MS_MAX}");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(COMMIT_SECONDS_MAX);
    loop {
        let now: TransactionSummary = client.get(&path).await?;
        match (now.height, now.ok) {
            (Some(height), true) => {
                println!("sent {} OPEN from {from} to {to} in block {height}", amount.to_open());
                return Ok(());
            }
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

fn open_amount(text: &str) -> Result<Amount, Failure> {
    let wrong = || Failure::usage(format!("{text:?} is not an amount of OPEN, such as 12.5"));
    let units =
        text.parse::<Decimal>().ok().and_then(|d| d.normalized().mantissa_at(OPEN_DECIMALS)).ok_or_else(wrong)?;
    u128::try_from(units).map(Amount).map_err(|_| wrong())
}
