//! Rules as values: golden texts, and a model that reads the text of a ruleset and says who reaches whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use openmesh_blueprint::document::Protocol;
use openmesh_links::{
    Allocations, COMMENT_BYTES_MAX, Elements, Network, Problem, Set, chains, replacement, ruleset, texts, transaction,
};
use proptest::prelude::*;

use crate::golden::golden;
use crate::sample::{address, empty, endpoint, host_port, link, name, network, shop, target};

fn whole_shop() -> Allocations {
    let mut shop = shop("default");
    shop.published.insert(host_port("0.0.0.0", 8080, Protocol::Tcp), target(address(2), 80));
    shop.published.insert(host_port("127.0.0.1", 5432, Protocol::Tcp), target(address(5), 5432));
    shop.published.insert(host_port("0.0.0.0", 53, Protocol::Udp), target(address(6), 5353));
    shop.host_ports.insert((Protocol::Tcp, 443));
    shop.resolvers.insert(Ipv4Addr::new(192, 0, 2, 53));
    shop
}

#[test]
fn the_ruleset_is_the_golden_one() {
    let network = network(&whole_shop());
    golden("shop.nft", &replacement(&network));
}

#[test]
fn a_change_names_its_elements_and_nothing_else() {
    let before = network(&whole_shop());
    let mut after = whole_shop();
    after.links.insert(link("other", "db"));
    after.published.remove(&host_port("0.0.0.0", 53, Protocol::Udp));
    after.published.insert(host_port("0.0.0.0", 8080, Protocol::Tcp), target(address(3), 80));
    let changes = Elements::of(&before).changes_to(&Elements::of(&network(&after)));
    golden("change.nft", &transaction(&before.table(), &changes));
}

#[test]
fn texts_of_an_instance_name_what_it_reaches() {
    let network = network(&whole_shop());
    golden("api.hosts", &texts::hosts(&network, address(4)).unwrap());
    assert_eq!(
        texts::hosts(&network, address(2)).unwrap(),
        "127.0.0.1 localhost\n10.89.0.2 web\n10.89.0.1 host.openmesh.internal\n10.89.0.4 api\n"
    );
    assert_eq!(texts::hosts(&network, address(99)), None);
}

#[test]
fn comments_are_unique_within_a_chain_and_fit() {
    for chain in chains(&network(&whole_shop())) {
        let comments: BTreeSet<String> = chain.rules.iter().map(openmesh_links::Rule::comment).collect();
        assert_eq!(comments.len(), chain.rules.len(), "{}", chain.name);
        assert!(comments.iter().all(|comment| comment.len() <= COMMENT_BYTES_MAX));
    }
}

#[test]
fn every_problem_is_said_at_once() {
    let mut wrong = empty("default", "10.89.0.0/24");
    wrong.instances.insert(address(1), endpoint("gateway"));
    wrong.instances.insert(address(255), endpoint("broadcast"));
    wrong.instances.insert(Ipv4Addr::new(10, 90, 0, 2), endpoint("outside"));
    let mut slow = endpoint("slow");
    slow.rate_bits = Some(8_000);
    wrong.instances.insert(address(2), slow);
    wrong.published.insert(host_port("0.0.0.0", 80, Protocol::Tcp), target(address(2), 0));
    wrong.published.insert(host_port("127.0.0.1", 80, Protocol::Tcp), target(address(9), 80));
    wrong.published.insert(host_port("127.0.0.1", 80, Protocol::Udp), target(address(2), 80));
    wrong.published.insert(host_port("::", 81, Protocol::Tcp), target(address(2), 80));
    let problems = Network::new(wrong).unwrap_err();
    let text: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    golden("problems.txt", &text);
    assert!(problems.iter().any(|problem| matches!(problem, Problem::Overlap { .. })));
    let loopback = Network::new(empty("default", "127.0.0.0/16")).unwrap_err();
    assert!(matches!(loopback[..], [Problem::Subnet(_)]));
}

/// Sets and maps of a ruleset, read from its text: the model knows nothing of how the text was made.
struct Model {
    sets: BTreeMap<String, BTreeMap<String, String>>,
}

impl Model {
    fn read(text: &str) -> Model {
        let mut sets: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("set ").or(line.strip_prefix("map ")) {
                current = rest.trim_end_matches(" {").to_string();
                sets.entry(current.clone()).or_default();
            } else if let Some(rest) = line.strip_prefix("elements = { ") {
                for element in rest.trim_end_matches(" }").split(", ") {
                    let (key, value) = element.split_once(" : ").unwrap_or((element, ""));
                    sets.get_mut(&current).unwrap().insert(key.to_string(), value.to_string());
                }
            }
        }
        Model { sets }
    }

    /// A packet that comes out of a link with a source address, for an instance: the chains `source` and `enter`.
    fn reaches(&self, link: &str, from: Ipv4Addr, to: Ipv4Addr) -> bool {
        self.sets["instances"].contains_key(&format!("\"{link}\" . {from}"))
            && self.sets["links"].contains_key(&format!("{from} . {to}"))
    }

    /// Target of a packet to a port at an address of the host: the chains `publish` and `publish_own`.
    fn target(&self, at: Ipv4Addr, protocol: Protocol, port: u16, own: bool) -> Option<&str> {
        if at.is_loopback() && !own {
            return None;
        }
        let published = self.sets["published"].get(&format!("{at} . {protocol} . {port}"));
        let anywhere = self.sets["published_anywhere"].get(&format!("{protocol} . {port}"));
        published.or(anywhere).map(String::as_str)
    }
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)]
}

fn allocations() -> impl Strategy<Value = Allocations> {
    let applications = ["a", "b", "c", "d"];
    let application = prop::sample::select(applications.to_vec());
    let instances = prop::collection::btree_map(2u8..20, application.clone(), 0..12);
    let links = prop::collection::btree_set((application.clone(), application), 0..8);
    let at = prop::sample::select(vec!["0.0.0.0", "127.0.0.1", "192.0.2.2"]);
    let published = prop::collection::btree_map((1u16..6, protocol()), (at, 0usize..12, 1u16..4), 0..8);
    (instances, links, published).prop_map(|(instances, links, published)| {
        let mut found = empty("default", "10.89.0.0/16");
        for (last, application) in instances {
            found.instances.insert(address(last), endpoint(application));
        }
        found.links.extend(links.into_iter().map(|(from, to)| link(from, to)));
        let addresses: Vec<Ipv4Addr> = found.instances.keys().copied().collect();
        for ((port, protocol), (at, index, inner)) in published {
            if let Some(address) = addresses.get(index) {
                found.published.insert(host_port(at, port, protocol), target(*address, inner));
            }
        }
        found
    })
}

proptest! {
    #[test]
    fn who_reaches_whom_is_what_the_links_say(allocations in allocations()) {
        let network = network(&allocations);
        let model = Model::read(&ruleset(&network, &Elements::of(&network)));
        for (from, source) in &allocations.instances {
            for (to, receiver) in &allocations.instances {
                let linked = from != to && allocations.links.contains(&(source.application.clone(), receiver.application.clone()));
                prop_assert_eq!(model.reaches(&network.link_name(*from), *from, *to), linked);
                // Nobody speaks for another one.
                prop_assert!(from == to || !model.reaches(&network.link_name(*to), *from, *to));
            }
        }
    }

    #[test]
    fn a_port_leads_where_it_is_published(allocations in allocations(), port in 1u16..6, protocol in protocol()) {
        let network = network(&allocations);
        let model = Model::read(&ruleset(&network, &Elements::of(&network)));
        for at in ["127.0.0.1", "192.0.2.2", "192.0.2.99"] {
            let wanted = ["0.0.0.0", at].iter().find_map(|at| allocations.published.get(&host_port(at, port, protocol)));
            let wanted = wanted.map(|target| format!("{} . {}", target.address, target.port));
            let at: Ipv4Addr = at.parse().unwrap();
            prop_assert_eq!(model.target(at, protocol, port, true), wanted.as_deref());
            prop_assert_eq!(model.target(at, protocol, port, false), wanted.as_deref().filter(|_| !at.is_loopback()));
        }
    }

    #[test]
    fn changes_lead_to_what_is_wanted_and_a_second_time_to_nothing(before in allocations(), after in allocations()) {
        let (before, after) = (Elements::of(&network(&before)), Elements::of(&network(&after)));
        let changes = before.changes_to(&after);
        let mut found = before.clone();
        found.apply(&changes);
        prop_assert_eq!(&found, &after);
        prop_assert!(found.changes_to(&after).is_empty());
        // One element for one change: what stays is not named.
        let kept = |elements: &Elements, other: &Elements| {
            Set::ALL.iter().map(|set| elements.get(*set).filter(|element| !other.get(*set).any(|found| found == *element)).count()).sum::<usize>()
        };
        prop_assert_eq!(changes.len(), kept(&before, &after) + kept(&after, &before));
    }
}

#[test]
fn one_published_port_is_one_element() {
    let before = network(&shop("default"));
    let mut after = shop("default");
    after.published.insert(host_port("0.0.0.0", 80, Protocol::Tcp), target(address(2), 8080));
    let changes = Elements::of(&before).changes_to(&Elements::of(&network(&after)));
    assert_eq!(
        transaction(&openmesh_links::names::table(&name("default")), &changes),
        "add element inet openmesh-default published_anywhere { tcp . 80 : 10.89.0.2 . 8080 }\n"
    );
}
