//! Limits of incidents.

/// Most text in an incident's detail, bytes: a sentence with a few CIDs.
pub const INCIDENT_DETAIL_BYTES_MAX: usize = 512;
