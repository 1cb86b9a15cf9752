//! HTTP without a subject: connections, bodies, parameters, headers, ranges, Studio's files, the contract.

pub mod body;
pub mod contract;
pub mod download;
pub mod headers;
pub mod instrument;
pub mod request;
pub mod serve;
pub mod socket;
pub mod studio;
pub mod xnode;
