//! Deaths at every door of effects: what is left is found and finished.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, sync::Mutex};

use openmesh_blueprint::document::Protocol;
use openmesh_links::{Context, LinksError, Listings, Network, remove};

use crate::lab::{HOST, Lab, PATIENCE, PORT};
use crate::sample::{address, host_port, name, network, shop, target};

/// First: the shop. Then: `other` goes, `api` gets another rate, a port is published.
fn two() -> [Network; 2] {
    let mut first = shop("deaths");
    first.instances.retain(|address, _| address.octets()[3] != 3);
    let mut then = first.clone();
    then.instances.remove(&address(6));
    then.instances.get_mut(&address(4)).unwrap().rate_bits = Some(50_000_000);
    then.published.insert(host_port("0.0.0.0", 80, Protocol::Tcp), target(address(2), PORT));
    [network(&first), network(&then)]
}

/// A door that dies at the n-th passage, and the names of those before it.
fn door(at: usize, names: Arc<Mutex<Vec<String>>>) -> impl Fn(&str) -> io::Result<()> + Send + Sync + 'static {
    let passed = AtomicUsize::new(0);
    move |name| {
        if passed.fetch_add(1, Ordering::SeqCst) == at {
            return Err(io::Error::other("death"));
        }
        names.lock().unwrap().push(name.to_string());
        Ok(())
    }
}

/// Doors of a run from one network to another without a death, and the machine after it.
fn undisturbed(networks: &[Network]) -> Option<(usize, String)> {
    let mut lab = Lab::new()?;
    let names = Arc::new(Mutex::new(Vec::new()));
    for network in networks {
        names.lock().unwrap().clear();
        lab.instances(network);
        lab.converge_through(network, door(usize::MAX, names.clone())).unwrap();
    }
    let doors = names.lock().unwrap().len();
    Some((doors, lab.dump()))
}

fn check(networks: &[Network]) {
    let Some((doors, expected)) = undisturbed(networks) else { return };
    assert!(doors >= 8, "{doors}");
    let (last, before) = networks.split_last().unwrap();
    for at in 0..doors {
        let mut lab = Lab::new().unwrap();
        for network in before {
            lab.instances(network);
            lab.converge(network).unwrap();
        }
        lab.instances(last);
        let names = Arc::new(Mutex::new(Vec::new()));
        let died = lab.converge_through(last, door(at, names.clone()));
        let names = names.lock().unwrap();
        assert!(matches!(died, Err(LinksError::Effect { .. })), "door {at} after {:?}: {died:?}", names.last());
        lab.converge(last).unwrap();
        assert_eq!(lab.dump(), expected, "death at door {at} after {:?}", names.last());
        assert!(lab.converge(last).unwrap().is_empty());
    }
    println!("{doors} doors");
}

#[test]
fn a_death_while_everything_is_made_is_finished() {
    let mut first = shop("deaths");
    first.instances.retain(|address, _| [4, 5].contains(&address.octets()[3]));
    first.instances.get_mut(&address(5)).unwrap().rate_bits = Some(1_000_000);
    check(&[network(&first)]);
}

#[test]
fn a_death_in_a_change_is_finished() {
    check(&two());
}

#[test]
fn a_death_in_a_removal_is_finished() {
    let Some(lab) = Lab::new() else { return };
    let before = lab.dump();
    drop(lab);
    let [network, _] = two();
    for at in 0.. {
        let lab = Lab::with(&network).unwrap();
        lab.host.shell("echo 0 > /proc/sys/net/ipv4/ip_forward");
        let gone = |at: usize| {
            let marks = lab.marks.clone();
            let names = Arc::new(Mutex::new(Vec::new()));
            lab.host.run(move || {
                remove(
                    &name("deaths"),
                    Context { marks: marks.path(), listings: &Listings::default(), effect: &door(at, names) },
                )
            })
        };
        let died = gone(at);
        gone(usize::MAX).unwrap();
        assert_eq!(lab.dump(), before, "death at door {at}");
        assert!(std::fs::read_dir(lab.marks.path()).unwrap().next().is_none(), "no mark is left");
        if died.is_ok() {
            println!("{at} doors");
            assert!(at >= 10);
            break;
        }
    }
}

#[test]
fn a_converged_network_passes_no_door() {
    let [network, _] = two();
    let Some(lab) = Lab::with(&network) else { return };
    let begun = std::time::Instant::now();
    let faults = lab.converge_through(&network, |name| panic!("{name}")).unwrap();
    println!("{} instances observed in {:?}", network.instances().len(), begun.elapsed());
    assert!(faults.is_empty());
    assert!(lab.outside.ask((HOST, 80), crate::lab::SILENCE).is_none());
    assert!(lab.host.ask((address(2), PORT), PATIENCE).is_some());
}
