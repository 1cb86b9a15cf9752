//! coinbase
