//! Words to the manager of services that has started an agent (sd_notify(3)).
//!
//! The manager takes the end of the process that it started for the end of the service, and would start another agent beside the one that has taken over.
//! So an agent says which process is the service before the one before it ends.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// A manager of services, known by its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    socket: OsString,
}

impl Manager {
    /// The manager at a socket as `NOTIFY_SOCKET` names it: a path, or `@` and an abstract name.
    #[must_use]
    pub fn at(socket: OsString) -> Manager {
        Manager { socket }
    }

    /// Says that this process serves, and is the service from here on.
    ///
    /// # Errors
    /// Nobody listens at the socket.
    pub(crate) fn serves(&self) -> io::Result<()> {
        let words = format!("READY=1\nMAINPID={}\n", std::process::id());
        let own = UnixDatagram::unbound()?;
        let said = match self.socket.as_bytes().strip_prefix(b"@") {
            Some(name) => own.send_to_addr(words.as_bytes(), &SocketAddr::from_abstract_name(name)?),
            None => own.send_to(words.as_bytes(), &self.socket),
        };
        said.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A word to a manager.
    fn heard(listens: &UnixDatagram) -> String {
        let mut bytes = [0; 128];
        let length = listens.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn a_manager_hears_which_process_is_the_service() {
        let expected = format!("READY=1\nMAINPID={}\n", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listens = UnixDatagram::bind(&path).unwrap();
        Manager::at(path.into_os_string()).serves().unwrap();
        assert_eq!(heard(&listens), expected);
        let name = format!("openmesh-manager-{}", std::process::id());
        let listens = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Manager::at(format!("@{name}").into()).serves().unwrap();
        assert_eq!(heard(&listens), expected);
    }

    #[test]
    fn a_manager_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Manager::at(folder.path().join("none").into_os_string()).serves().is_err());
    }
}
