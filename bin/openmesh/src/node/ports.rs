//! The addresses that a node listens on, tried before anything starts: a port that is taken is said with the setting that names it.

use std::net::{IpAddr, SocketAddr, TcpListener};

use super::config::NodeConfig;
use crate::failure::Failure;

/// Tries each address of a configuration.
///
/// # Errors
/// Where one is taken, not this machine's, not allowed, or that of two settings; with the setting and what to do.
pub fn check(config: &NodeConfig) -> Result<(), Failure> {
    let mut wanted = vec![("api", Some(config.api)), ("consensus.listen", Some(config.consensus.listen))];
    wanted.extend(config.network.listen.iter().map(|text| ("network.listen", socket(text))));
    let named = |(setting, address): (&'static str, Option<SocketAddr>)| {
        Some((setting, address.filter(|address| address.port() != 0)?))
    };
    let sockets: Vec<(&str, SocketAddr)> = wanted.into_iter().filter_map(named).collect();
    for (at, (setting, address)) in sockets.iter().enumerate() {
        if let Some((other, taken)) = sockets[..at].iter().find(|(_, taken)| overlap(*taken, *address)) {
            return Err(Failure::usage(format!("{address} ({setting} in node.toml): {other} has {taken} already"))
                .hint("name another port for one of them"));
        }
    }
    for (setting, address) in sockets {
        // One after the other: `::` beside `0.0.0.0` is what the host listens on, and the system would take the two for one here.
        TcpListener::bind(address).map_err(|error| refused(setting, address, &error))?;
    }
    Ok(())
}

/// True where two sockets are one: the same port at the same address, or at all addresses of one kind.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && (is_any || one.ip() == other.ip())
}

/// The failure of listening on an address.
fn refused(setting: &str, address: SocketAddr, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let (what, hint) = match error.kind() {
        ErrorKind::AddrInUse => (
            "the port is in use",
            format!("`ss -ltnp 'sport = :{}'` tells by whom; end that program, or name another port", address.port()),
        ),
        ErrorKind::AddrNotAvailable => (
            "this machine does not have the address",
            "name one that `ip address` shows, or 0.0.0.0 for all of them".to_owned(),
        ),
        ErrorKind::PermissionDenied => ("this user may not take the port", "name a port above 1023".to_owned()),
        _ => ("it cannot be listened on", "name another address".to_owned()),
    };
    Failure::new(format!("{address} ({setting} in node.toml): {what}: {error}")).hint(hint)
}

/// The socket of a multiaddress `/ip4/ADDRESS/tcp/PORT`; none where it is of another form, about which the host has words.
fn socket(multiaddress: &str) -> Option<SocketAddr> {
    let mut parts = multiaddress.split('/').skip(1);
    let kind = parts.next()?;
    let ip: IpAddr = parts.next()?.parse().ok()?;
    let is_tcp = matches!(kind, "ip4" | "ip6") && parts.next()? == "tcp";
    let port = parts.next()?.parse().ok()?;
    (is_tcp && parts.next().is_none()).then_some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(api: SocketAddr, network: SocketAddr) -> NodeConfig {
        let text = format!(
            "api = \"{api}\"\n[consensus]\nlisten = \"127.0.0.1:0\"\npeers = []\n[network]\nlisten = [\"/ip4/{}/tcp/{}\"]\npeers = []\n",
            network.ip(),
            network.port()
        );
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn each_setting_names_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (taken, any) = (listener.local_addr().unwrap(), SocketAddr::from(([127, 0, 0, 1], 0)));
        assert!(check(&config(any, any)).is_ok());
        for (config, setting) in [(config(taken, any), "(api in"), (config(any, taken), "(network.listen in")] {
            let failure = check(&config).unwrap_err();
            assert!(failure.message().contains(setting) && failure.message().contains("in use"), "{failure:?}");
            assert!(failure.what_to_do().is_some_and(|hint| hint.contains(&taken.port().to_string())), "{failure:?}");
        }
        let failure = check(&config(taken, taken)).unwrap_err();
        assert!(failure.message().contains("network.listen") && failure.message().contains("api has"), "{failure:?}");
        let elsewhere = SocketAddr::from(([192, 0, 2, 77], 8_421));
        let failure = check(&config(any, elsewhere)).unwrap_err();
        assert!(failure.message().contains("does not have the address"), "{failure:?}");
    }

    #[test]
    fn all_addresses_of_both_kinds_are_no_conflict() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (one, other, is_conflict) in [
            ("0.0.0.0:7", "[::]:7", false),
            ("0.0.0.0:7", "10.0.0.1:7", true),
            ("[::1]:7", "[::]:7", true),
            ("10.0.0.1:7", "10.0.0.2:7", false),
            ("10.0.0.1:7", "10.0.0.1:8", false),
        ] {
            assert_eq!(overlap(at(one), at(other)), is_conflict, "{one} {other}");
            assert_eq!(overlap(at(other), at(one)), is_conflict, "{other} {one}");
        }
    }

    #[test]
    fn sockets_of_multiaddresses() {
        assert_eq!(socket("/ip4/10.0.0.1/tcp/7"), Some(SocketAddr::from(([10, 0, 0, 1], 7))));
        assert_eq!(socket("/ip6/::1/tcp/7"), Some("[::1]:7".parse().unwrap()));
        for other in ["/dns/a/tcp/7", "/ip4/10.0.0.1/udp/7", "/ip4/10.0.0.1/tcp/7/ws", "", "/ip4"] {
            assert_eq!(socket(other), None, "{other}");
        }
    }
}
