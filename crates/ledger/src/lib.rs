//! openmesh-ledger
