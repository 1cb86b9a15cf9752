//! The committed contract is the one that the routes make.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

/// `OPENMESH_UPDATE=1 cargo test -p openmesh-gateway` writes it anew.
#[test]
fn the_committed_contract_is_true() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/openmesh.json");
    let made = openmesh_gateway::openapi();
    assert!(made.len() > 10_000, "the contract was not generated");
    if std::env::var_os("OPENMESH_UPDATE").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        made == committed,
        "openapi/openmesh.json is not what the routes make: OPENMESH_UPDATE=1 cargo test -p openmesh-gateway"
    );
}
