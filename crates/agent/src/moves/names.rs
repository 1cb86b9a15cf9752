//! Name of this machine, as another one shows it.

use crate::backups::subject;
use crate::error::AgentError;
use crate::service::Service;

/// Name of a machine that has none.
const NODE: &str = "xnode";

/// Name of this machine: that of its document, else its host's.
///
/// # Errors
/// A generation cannot be read.
pub(crate) fn node_name(service: &Service) -> Result<String, AgentError> {
    if let Some(present) = subject::present(service)? {
        return Ok(present.placement.node.to_string());
    }
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let hostname = hostname.trim().to_lowercase();
    Ok(if hostname.is_empty() { NODE.to_string() } else { hostname })
}
