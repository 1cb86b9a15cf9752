//! Receivers of a node's alerts, with the keys of their signatures.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use openmesh_alerts::Receiver;

use crate::node::config::Webhook;

/// The receiver of a webhook of a home; words where it cannot be used.
pub fn receiver(home: &Path, webhook: &Webhook) -> Result<Receiver, String> {
    let file = home.join(&webhook.secret_file);
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    let mode = std::fs::metadata(&file).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("other users can read {0}: chmod 600 {0}", file.display()));
    }
    let secret = std::fs::read(&file).map_err(failed)?;
    Receiver::new(&webhook.url, &secret, webhook.private)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_can_read_signs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let webhook =
            Webhook { url: "https://hooks.example.org/a".into(), secret_file: "hook.secret".into(), private: false };
        assert!(receiver(dir.path(), &webhook).unwrap_err().contains("hook.secret"));
        let file = dir.path().join("hook.secret");
        std::fs::write(&file, "key\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(receiver(dir.path(), &webhook).unwrap_err().contains("chmod 600"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(receiver(dir.path(), &webhook).unwrap().secret, b"key");
        let open = Webhook { url: "http://hooks.example.org/a".into(), ..webhook };
        assert!(receiver(dir.path(), &open).unwrap_err().contains("not encrypted"));
    }
}
