//! Keys of incidents.

use openmesh_primitives::Height;

/// Prefix of [`incident`].
pub const INCIDENTS: &[u8] = b"incident/";

/// `incident/<8 bytes>/`: the incidents of a height.
pub fn incidents_at(height: Height) -> Vec<u8> {
    [INCIDENTS, &height.to_be_bytes(), b"/"].concat()
}

/// `incident/<8 bytes>/<4 bytes>` -> [`crate::LedgerIncident`].
pub fn incident(height: Height, number: u32) -> Vec<u8> {
    [incidents_at(height).as_slice(), &number.to_be_bytes()].concat()
}
