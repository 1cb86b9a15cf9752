//! The image of the program that this machine runs anyway: a template names it, and nobody has to publish it.

use std::path::{Path, PathBuf};

use openmesh_blueprint::document::{ImageReference, Name};
use openmesh_image::recipe::Taken;
use openmesh_primitives::Digest;
use openmesh_xnode::{Machine, OWN_REGISTRY, open};

use crate::error::AgentError;
use crate::settings::Settings;

/// Repository of the program's image there.
const REPOSITORY: &str = "openmesh";
/// Name of the program.
const PROGRAM: &str = "openmesh";
/// Certificates of the authorities that this machine trusts, as Debian, Fedora and Alpine have them.
const CERTIFICATES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// True for a reference to the program's image. Its tag is a label: another one takes the program as it is then, since a tag stays pinned.
pub(crate) fn is_own(reference: &ImageReference) -> bool {
    reference.registry == OWN_REGISTRY && reference.repository == REPOSITORY && reference.digest.is_none()
}

/// Makes that image, or finds it made. Blocks for as long as the program is read.
///
/// # Errors
/// The program, a library of it, or one of the two small programs for its start is not there.
pub(crate) fn make(machine: &Machine, settings: &Settings, name: &Name, lease: &str) -> Result<Digest, AgentError> {
    let taken = |source: PathBuf, target: &str| Taken { source, target: target.into() };
    let programs = [
        taken(program(settings), "usr/bin/openmesh"),
        taken("/bin/sh".into(), "bin/sh"),
        taken("/bin/mkdir".into(), "bin/mkdir"),
    ];
    let certificates = CERTIFICATES.iter().find(|path| Path::new(path).exists());
    let files: Vec<Taken> =
        certificates.map(|path| taken(path.into(), "etc/ssl/certs/ca-certificates.crt")).into_iter().collect();
    let made = machine.images.make_own(&programs, &files, lease, &open);
    made.map_err(|cause| AgentError::Recipe { application: name.clone(), cause: Box::new(cause) })
}

/// The program: the one that runs, where it is it, else the one beside the agent's programs.
fn program(settings: &Settings) -> PathBuf {
    let own = std::env::current_exe().ok().filter(|path| path.file_name().is_some_and(|name| name == PROGRAM));
    own.unwrap_or_else(|| settings.programs.join(PROGRAM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_meant() {
        let own = |text: &str| is_own(&text.parse().unwrap());
        assert!(own("xnode.internal/openmesh:first"));
        assert!(!own("docker.io/library/openmesh:first") && !own("xnode.internal/other:first"));
        let digest = "0".repeat(64);
        assert!(!own(&format!("xnode.internal/openmesh@sha256:{digest}")));
    }
}
