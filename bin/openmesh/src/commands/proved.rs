//! The end of every offline proof: bytes in hexadecimal, and a header that validators signed whom the genesis leads to.

use std::collections::BTreeMap;
use std::path::Path;

use openmesh_api::ProvenValidatorChange;
use openmesh_ledger::light::{self, ValidatorChange};
use openmesh_ledger::{Certificate, Genesis, Header, Origin, ValidatorSet};
use openmesh_primitives::canonical;

use crate::failure::Failure;

/// Largest file that is read, in bytes: windows are far smaller.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// The verifier's own knowledge, from the genesis.
pub struct Trusted {
    /// Name of the network.
    pub name: String,
    /// Its number.
    pub chain_id: u64,
    /// Its first validators.
    pub validators: ValidatorSet,
    /// Origins of its first sources.
    pub origins: BTreeMap<String, Origin>,
}

/// Reads a genesis file. Fails where it is none.
pub fn trusted(path: &Path) -> Result<Trusted, Failure> {
    let genesis: Genesis = serde_json::from_slice(&read(path)?).map_err(|e| {
        Failure::from_display(format!("{} is not a genesis file", path.display()), &e)
            .hint("take genesis.json from somebody you trust, not from where the window came from")
    })?;
    let validators = genesis.validator_set().map_err(|e| Failure::from_display(path.display(), &e))?;
    let origins = genesis.sources.into_iter().map(|source| (source.id.to_string(), source.origin)).collect();
    Ok(Trusted { name: genesis.name, chain_id: genesis.chain_id, validators, origins })
}

/// The failure of a step of a proof.
pub fn refuse(step: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(format!("NOT PROVED: {step}: {why}"))
}

/// Checks that more than two thirds of the validators that the genesis leads to signed a header, and prints it. Fails with the step that
/// does not hold.
pub fn signatures(
    trusted: &Trusted,
    header: &Header,
    certificate: &str,
    changes: &[ProvenValidatorChange],
) -> Result<(), Failure> {
    let validators = follow(changes, trusted)?;
    let certificate: Certificate = decode("certificate", certificate)?;
    light::verify(trusted.chain_id, &validators, header, &certificate).map_err(|e| refuse("signatures", e))?;
    println!(
        "ok  signatures  header {} of height {} signed by {} of the {} validators that the genesis leads to (more than 2/3 of their power)",
        header.hash(),
        header.height,
        certificate.signatures.len(),
        validators.len()
    );
    Ok(())
}

/// Returns the validators that are in force after the changes.
fn follow(changes: &[ProvenValidatorChange], trusted: &Trusted) -> Result<ValidatorSet, Failure> {
    let change = |change: &ProvenValidatorChange| {
        Ok(ValidatorChange {
            header: decode("changes.header", &change.header)?,
            certificate: decode("changes.certificate", &change.certificate)?,
            validators: decode("changes.validators", &change.validators)?,
        })
    };
    let changes = changes.iter().map(change).collect::<Result<Vec<_>, Failure>>()?;
    let validators = light::follow(trusted.chain_id, &trusted.validators, &changes)
        .map_err(|e| refuse("changes of validators", e))?;
    if let Some(last) = changes.last() {
        println!(
            "ok  validators  {} changes of the set followed, the last at height {}",
            changes.len(),
            last.header.height
        );
    }
    Ok(validators)
}

/// Reads a file. Fails where it is larger than any that has to do with a proof.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let size = std::fs::metadata(path).map_err(|e| Failure::from_display(path.display(), &e))?.len();
    if size > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("{}: {size} bytes are more than any window has", path.display())));
    }
    std::fs::read(path).map_err(|e| Failure::from_display(path.display(), &e))
}

/// Bytes of a field of a proof.
pub fn bytes_of(field: &str, text: &str) -> Result<Vec<u8>, Failure> {
    let bytes = hex::decode(text).map_err(|e| Failure::from_display(format!("NOT PROVED: the proof's {field}"), &e))?;
    // One text for the same bytes: lower case.
    if hex::encode(&bytes) != text {
        Err(refuse("proof", format!("{field} has letters in upper case")))
    } else {
        Ok(bytes)
    }
}

/// A value of a field of a proof.
pub fn decode<T: borsh::BorshDeserialize>(field: &str, text: &str) -> Result<T, Failure> {
    canonical::decode(&bytes_of(field, text)?)
        .map_err(|e| Failure::from_display(format!("NOT PROVED: the proof's {field}"), &e))
}
