//! Settings of links: most of those that are looked at come with the kernel's list of links, as their files have them.
//!
//! A file for each setting of each link is opened, read and closed at every look, and costs more than all the list.

use std::path::{Path, PathBuf};

use netlink_packet_route::link::{AfSpecInet, AfSpecInet6, AfSpecUnspec};

/// Folders of the kernel with the settings of links.
pub(crate) const IPV4: &str = "/proc/sys/net/ipv4/conf";
pub(crate) const IPV6: &str = "/proc/sys/net/ipv6/conf";
/// Folders among them that are of no link, whatever a link is named.
const OF_NO_LINK: [&str; 2] = ["all", "default"];

/// Settings of a link that are looked at, as they came with it: the paths of their files, and what those hold.
pub(crate) fn said(link: &str, settings: &AfSpecUnspec) -> Vec<(PathBuf, String)> {
    if OF_NO_LINK.contains(&link) {
        return Vec::new();
    }
    let of = |folder: &str, found: &[(&str, i32)]| -> Vec<(PathBuf, String)> {
        let path = |key: &str| Path::new(folder).join(link).join(key);
        found.iter().map(|(key, value)| (path(key), value.to_string())).collect()
    };
    match settings {
        AfSpecUnspec::Inet(all) => all.iter().find_map(|one| match one {
            AfSpecInet::DevConf(conf) => Some(of(
                IPV4,
                &[
                    ("forwarding", conf.forwarding),
                    ("route_localnet", conf.route_localnet),
                    ("accept_redirects", conf.accept_redirects),
                    ("accept_source_route", conf.accept_source_route),
                    ("send_redirects", conf.send_redirects),
                ],
            )),
            _ => None,
        }),
        AfSpecUnspec::Inet6(all) => all.iter().find_map(|one| match one {
            AfSpecInet6::DevConf(conf) => Some(of(IPV6, &[("disable_ipv6", conf.disable_ipv6)])),
            _ => None,
        }),
        _ => None,
    }
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use nix::sched::{CloneFlags, unshare};

    use super::*;
    use crate::ends::{Ends, read, write};
    use crate::netlink::Netlink;

    /// The list of links says of a setting as its file does, also after somebody has written it.
    #[test]
    fn settings_come_with_the_list_as_their_files_have_them() {
        let look = || -> Option<usize> {
            unshare(CloneFlags::CLONE_NEWNET).ok()?;
            let ends = || Ends::read(&mut Netlink::open().unwrap()).unwrap();
            let known: Vec<PathBuf> = ends().said.into_keys().collect();
            for path in &known {
                for value in ["1", "0", "1"] {
                    write(path, value).unwrap();
                    let said = ends().said.get(path).cloned();
                    assert_eq!((&said, said.as_deref()), (&read(path).unwrap(), Some(value)), "{}", path.display());
                }
            }
            Some(known.len())
        };
        let Some(known) = std::thread::spawn(look).join().unwrap() else {
            return println!("skipped: these tests need root");
        };
        assert!(known >= 5, "{known} settings of the loopback: all of IPv4, and that of IPv6 where the kernel has it");
    }
}
