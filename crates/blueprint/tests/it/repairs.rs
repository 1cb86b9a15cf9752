//! Plans that repair, move, set aside and leave alone.

use openmesh_blueprint::document::{Protocol, Subnet};
use openmesh_blueprint::generation::{Disposal, Generation, HostPort};
use openmesh_blueprint::inventory::{
    Holder, InstanceState, Inventory, ObservedApplication, ObservedLine, ObservedRemoval, Traffic, Verdict,
};
use openmesh_blueprint::resolve::LineChoices;
use openmesh_blueprint::step::{Rubbish, Step};
use openmesh_blueprint::{Refusal, plan, resolve, rollback};
use proptest::prelude::*;

use crate::world::{
    allocations, catalogue, cause, document, empty_machine, generation, generation_after, name, reach, step,
};

const SHOP: &str = include_str!("shop.yaml");
const ONE: &str = "version: 1\napplications:\n  a: {image: i:1, volumes: {data: {path: /data, size: 1 GiB}}, ports: {p: {port: 80, publish: {port: 8080}}}}\n";

fn installed(text: &str) -> (Inventory, Generation) {
    let first = generation(text, None, 0).unwrap();
    let mut machine = empty_machine();
    reach(&mut machine, &first, None, &[]);
    (machine, first)
}

/// Gives the instances that are there the addresses of a generation, as whoever looks at a machine finds them.
fn addressed(machine: &mut Inventory, generation: &Generation) {
    for (name, found) in &mut machine.applications {
        for (id, instance) in &mut found.instances {
            let addresses = &generation.placement.applications[name].addresses;
            instance.address = addresses.get(id.index as usize).copied();
        }
    }
}

/// All links have one gateway: what is of the old network is gone before anything of the new one is made, and the data stay as they are.
#[test]
fn a_network_moves_as_a_whole() {
    let (mut machine, first) = installed(SHOP);
    addressed(&mut machine, &first);
    let text = SHOP.replace("version: 1\n", "version: 1\nmachine: {subnet: 10.99.0.0/16}\n");
    let second = generation(&text, Some(&first), 60).unwrap();
    assert_eq!(second.revision(&name("db")), first.revision(&name("db")), "nothing else changes");
    let subnet: Subnet = "10.99.0.0/16".parse().unwrap();
    assert!(second.placement.applications.values().flat_map(|placed| &placed.addresses).all(|a| subnet.contains(*a)));
    let plan = plan(&machine, &second, Some(&first)).unwrap();
    let words: Vec<String> = plan.steps.iter().map(|planned| planned.step.to_string()).collect();
    let last = |word: &str| words.iter().rposition(|step| step.starts_with(word)).unwrap();
    let first_of = |word: &str| words.iter().position(|step| step.starts_with(word)).unwrap();
    assert!(last("collect") < first_of("create"), "{plan}");
    assert!(last("admit") < first_of("commit"), "{plan}");
    assert_eq!(words.iter().filter(|step| step.starts_with("create")).count(), 3, "{plan}");
    // Broken off anywhere, it goes on.
    for at in 0..words.len() {
        reach(&mut machine.clone(), &second, Some(&first), &[at]);
    }
    // Whoever was frozen is ended like the others, since a plan that ends it is no plan that needs it.
    for instance in machine.applications.get_mut(&name("db")).unwrap().instances.values_mut() {
        instance.state = InstanceState::Frozen;
    }
    reach(&mut machine, &second, Some(&first), &[]);
    let lines: Vec<u32> = machine.volumes.values().flat_map(|volume| volume.lines.keys().copied()).collect();
    assert_eq!(lines, [1], "no data are copied for it");
}

/// An application that is held up is not left behind in the network before, where it would keep all others from the new one.
#[test]
fn a_network_moves_with_all_that_is_in_it() {
    let (mut machine, first) = installed(SHOP);
    addressed(&mut machine, &first);
    let moved = SHOP.replace("version: 1\n", "version: 1\nmachine: {subnet: 10.99.0.0/16}\n");
    let second = generation(&moved, Some(&first), 60).unwrap();
    let whole = plan(&machine, &second, Some(&first)).unwrap();
    let left = |held_up: &[&str]| {
        let mut plan = whole.clone();
        plan.move_with_all(&held_up.iter().map(|text| name(text)).collect());
        plan.steps.len()
    };
    assert_eq!((left(&[]), left(&["other"])), (whole.steps.len(), whole.steps.len()));
    assert_eq!((left(&["db"]), left(&["web"])), (0, 0), "everything goes on where it is");
    // What goes with the move goes before the commit, also where a new application holds that up.
    let start = moved.find("  db:").unwrap();
    let text = format!("{}  other: {{image: other:1}}\n", &moved[..start]);
    let third = generation(&text, Some(&first), 60).unwrap();
    let plan = plan(&machine, &third, Some(&first)).unwrap();
    let next = plan.next(&machine, &third, &[name("other")].into()).unwrap();
    assert!(matches!(&next.planned.step, Step::Shut { application, page: false } if *application == name("db")));
}

/// Whoever was not seen whole may be of the network that goes, and as long as it is there no other one is made: nothing is ended before all are seen.
#[test]
fn a_network_does_not_move_away_from_what_is_not_seen() {
    let (mut machine, first) = installed(SHOP);
    addressed(&mut machine, &first);
    let text = SHOP.replace("version: 1\n", "version: 1\nmachine: {subnet: 10.99.0.0/16}\n");
    let second = generation(&text, Some(&first), 60).unwrap();
    let unseen = ObservedApplication { fault: Some("its shim does not answer".into()), ..Default::default() };
    machine.applications.insert(name("db"), unseen);
    assert!(matches!(plan(&machine, &second, Some(&first)).unwrap_err()[..], [Refusal::Faulty { .. }]));
    let third = generation(&SHOP.replace("shop/web:1", "shop/web:2"), Some(&first), 60).unwrap();
    assert_eq!(plan(&machine, &third, Some(&first)).unwrap().held.len(), 1, "another change goes on beside it");
}

fn collects_line(machine: &Inventory, generation: &Generation, previous: &Generation) -> bool {
    let plan = plan(machine, generation, Some(previous)).unwrap();
    plan.steps.iter().any(|planned| matches!(planned.step, Step::Collect(Rubbish::Line { .. })))
}

/// A line in use stays as long as nothing takes its place, also where it never had traffic and is not the one of the generation.
#[test]
fn a_line_in_use_is_not_asked_for() {
    let first = generation_after(ONE, None, 0, 0).unwrap();
    let mut machine = empty_machine();
    for planned in plan(&machine, &first, None).unwrap().steps {
        if matches!(planned.step, Step::Gate { .. }) {
            break;
        }
        step(&planned.step, &mut machine, &first);
    }
    let second = generation_after(&ONE.replace("i:1", "i:2"), Some(&first), 0, 60).unwrap();
    let stopped = ONE.replace("image: i:1", "wish: stopped, image: i:2");
    let third = generation_after(&stopped, Some(&second), 0, 120).unwrap();
    assert!(!collects_line(&machine, &third, &first));
    reach(&mut machine, &third, None, &[]);
    let volume = machine.volumes.values().next().unwrap();
    assert_eq!((volume.in_use, volume.lines.len()), (1, 1));
}

proptest! {
    /// The planner asks for the lines that the volume gives, and for no other one.
    #[test]
    fn only_lines_that_go_are_asked_for(
        lines in prop::collection::btree_map(1u32..8, (any::<bool>(), any::<bool>()), 1..8),
        in_use in 1u32..8,
        runs in any::<bool>(),
    ) {
        let text = if runs { ONE.to_string() } else { ONE.replace("image:", "wish: stopped, image:") };
        let (mut machine, first) = installed(&text);
        let volume = machine.volumes.values_mut().next().unwrap();
        volume.in_use = if runs { 1 } else { in_use };
        for (number, (admitted, removable)) in &lines {
            let line = ObservedLine { parent: None, admitted: *admitted, removable: *removable && !admitted };
            volume.lines.insert(*number, line);
        }
        let there = volume.clone();
        let plan = plan(&machine, &first, Some(&first)).unwrap();
        let asked: Vec<u32> = plan.steps.iter().filter_map(|planned| match &planned.step {
            Step::Collect(Rubbish::Line { line, .. }) => Some(*line),
            _ => None,
        }).collect();
        let goes = |number: &u32| there.lines[number].removable && *number != 1 && *number != there.in_use;
        let expected: Vec<u32> = there.lines.keys().copied().filter(goes).collect();
        prop_assert_eq!(asked, expected);
    }

    /// A volume without its application is set aside at once, goes when its time is over and not before, and comes back by an undo.
    #[test]
    fn data_without_an_application(disposal in 0usize..3, is_due in any::<bool>(), is_held in any::<bool>()) {
        let disposal = [Disposal::Keep, Disposal::Backup, Disposal::Wipe][disposal];
        let (mut machine, first) = installed(ONE);
        let without = document("version: 1\n");
        let mut allocations = allocations();
        allocations.committed = 1;
        allocations.disposals.insert(name("a"), disposal);
        let second = resolve(&without, &catalogue(&without), &allocations, Some(&first), cause(60)).unwrap();
        reach(&mut machine, &second, Some(&first), &[]);
        let id = machine.volumes.keys().next().unwrap().clone();
        prop_assert_eq!(machine.volumes[&id].removal, Some(ObservedRemoval { disposal, is_due: false }));
        prop_assert!(!machine.volumes[&id].mounted);
        // The undo: one command, whatever its fate was to be.
        let ports = openmesh_blueprint::document::PortRange { first: 20_000, last: 29_999 };
        allocations.disposals.clear();
        allocations.committed = 2;
        let third = rollback(&second, &first, &LineChoices::new(), &allocations, &ports, cause(120)).unwrap();
        prop_assert_eq!(&third.placement.applications[&name("a")].volumes[&name("data")].id, &id);
        let mut undone = machine.clone();
        reach(&mut undone, &third, Some(&second), &[]);
        prop_assert_eq!(undone.volumes[&id].removal, None);
        // Whoever deploys it anew gets what was kept, and nothing that is to be wiped.
        let anew = generation_after(ONE, Some(&second), 2, 180).unwrap();
        let given = &anew.placement.applications[&name("a")].volumes[&name("data")].id;
        prop_assert_eq!(given == &id, disposal != Disposal::Wipe);
        let volume = machine.volumes.get_mut(&id).unwrap();
        volume.removal = Some(ObservedRemoval { disposal, is_due });
        volume.held = is_held.then(|| "its image was removed while in use".to_string());
        let plan = plan(&machine, &second, Some(&first)).unwrap();
        let goes = plan.steps.iter().any(|planned| matches!(planned.step, Step::Collect(Rubbish::Volume { .. })));
        prop_assert_eq!(goes, is_due && !is_held);
    }
}

/// A fate that a person changes is written anew, and its time begins anew.
#[test]
fn a_changed_fate_is_marked_before_anything_goes() {
    let (mut machine, first) = installed(ONE);
    let without = document("version: 1\n");
    let mut allocations = allocations();
    allocations.committed = 1;
    let second = resolve(&without, &catalogue(&without), &allocations, Some(&first), cause(60)).unwrap();
    reach(&mut machine, &second, Some(&first), &[]);
    for volume in machine.volumes.values_mut() {
        volume.removal = Some(ObservedRemoval { disposal: Disposal::Keep, is_due: true });
    }
    allocations.committed = 2;
    allocations.disposals.insert(name("a"), Disposal::Wipe);
    let third = resolve(&without, &catalogue(&without), &allocations, Some(&second), cause(120)).unwrap();
    let plan = plan(&machine, &third, Some(&second)).unwrap();
    let words: Vec<String> = plan.steps.iter().map(|planned| planned.step.to_string()).collect();
    assert_eq!(words, ["commit generation 3", "set volume a/data aside: its data go in a day"]);
}

/// Once the data are gone, an application of the same name begins anew, also by a rollback; data that were to be kept are missed.
#[test]
fn data_that_are_no_more_are_not_given_again() {
    for disposal in [Disposal::Keep, Disposal::Backup, Disposal::Wipe] {
        let (mut machine, first) = installed(ONE);
        let without = document("version: 1\n");
        let mut allocations = allocations();
        allocations.committed = 1;
        allocations.disposals.insert(name("a"), disposal);
        let second = resolve(&without, &catalogue(&without), &allocations, Some(&first), cause(60)).unwrap();
        reach(&mut machine, &second, Some(&first), &[]);
        let id = machine.volumes.pop_first().unwrap().0;
        allocations.disposals.clear();
        allocations.committed = 2;
        allocations.gone.insert(id.clone());
        let document = document(ONE);
        let anew = resolve(&document, &catalogue(&document), &allocations, Some(&second), cause(120)).unwrap();
        let ports = openmesh_blueprint::document::PortRange { first: 20_000, last: 29_999 };
        let back = rollback(&second, &first, &LineChoices::new(), &allocations, &ports, cause(120)).unwrap();
        for generation in [anew, back] {
            let plan = plan(&machine, &generation, Some(&second));
            if disposal == Disposal::Keep {
                assert!(matches!(plan.unwrap_err()[..], [Refusal::VolumeMissing { .. }]));
                continue;
            }
            assert_ne!(generation.placement.applications[&name("a")].volumes[&name("data")].id, id);
            assert!(!generation.placement.retired.contains_key(&id));
            reach(&mut machine.clone(), &generation, Some(&second), &[]);
        }
    }
}

/// An application that its policy leaves ended is neither started nor stopped again, and is replaced as any other version.
#[test]
fn an_application_that_is_over_stays_over() {
    let text = ONE.replace("image: i:1,", "image: i:1, restart: never,");
    let (mut machine, first) = installed(&text);
    let set = |machine: &mut Inventory, state| {
        let found = machine.applications.get_mut(&name("a")).unwrap();
        found.instances.values_mut().for_each(|instance| instance.state = state);
    };
    for code in [0, 3] {
        set(&mut machine, InstanceState::Over(code));
        let plan = plan(&machine, &first, Some(&first)).unwrap();
        assert!(plan.steps.is_empty() && plan.held.is_empty(), "{plan}");
    }
    // One that was asked to end is another thing.
    let mut asked = machine.clone();
    set(&mut asked, InstanceState::Exited(0));
    assert!(plan(&asked, &first, Some(&first)).unwrap().to_string().contains("start a "));
    let second = generation(&text.replace("i:1", "i:2"), Some(&first), 60).unwrap();
    let plan_of_second = plan(&machine, &second, Some(&first)).unwrap();
    assert!(!plan_of_second.to_string().contains("stop a "), "{plan_of_second}");
    reach(&mut machine, &second, Some(&first), &[]);
}

/// In a gate the end is the verdict, and not a reason to start it again.
#[test]
fn one_that_is_over_before_its_gate_has_failed_it() {
    let text = ONE.replace("image: i:1,", "image: i:1, restart: never,");
    let first = generation(&text, None, 0).unwrap();
    let mut machine = empty_machine();
    for planned in plan(&machine, &first, None).unwrap().steps {
        if matches!(planned.step, Step::Gate { .. }) {
            break;
        }
        step(&planned.step, &mut machine, &first);
    }
    let found = machine.applications.get_mut(&name("a")).unwrap();
    let instance = found.instances.values_mut().next().unwrap();
    instance.state = InstanceState::Over(1);
    let next = |machine: &Inventory| plan(machine, &first, None).map(|plan| plan.steps[0].step.clone());
    assert!(matches!(next(&machine), Ok(Step::Gate { .. })), "it is not started again");
    let found = machine.applications.get_mut(&name("a")).unwrap();
    found.instances.values_mut().next().unwrap().gate = Some(Verdict::Failed("it has ended with code 1".into()));
    assert!(matches!(next(&machine).unwrap_err()[..], [Refusal::GateFailed { .. }]));
}

fn foreign(at: &str, port: u16, protocol: Protocol) -> (HostPort, Holder) {
    let address = at.parse().unwrap();
    (HostPort { address, port, protocol }, Holder::Foreign("a process of the host".into()))
}

/// Whoever listens later does not take an application that serves down; whoever was there first is not driven away.
#[test]
fn ports_do_not_flap() {
    let text = ONE.replace("publish: {port: 8080}", "publish: {port: 8080, address: 192.0.2.1}");
    let (mut machine, first) = installed(&text);
    machine.ports.extend([foreign("0.0.0.0", 8080, Protocol::Tcp)]);
    assert!(plan(&machine, &first, Some(&first)).unwrap().held.is_empty());
    let second = generation(&text.replace("i:1", "i:2"), Some(&first), 60).unwrap();
    assert!(plan(&machine, &second, Some(&first)).is_ok(), "it has the port already");
    // After a reboot it is started, and its port stays published.
    machine.applications.get_mut(&name("a")).unwrap().instances.values_mut().for_each(|instance| {
        (instance.state, instance.gate, instance.traffic) = (InstanceState::Created, None, Traffic::Admitted);
    });
    let plan_of_repair = plan(&machine, &first, Some(&first)).unwrap();
    assert!(plan_of_repair.held.is_empty() && plan_of_repair.to_string().contains("start a "), "{plan_of_repair}");
    machine.ports.retain(|_, holder| matches!(holder, Holder::Foreign(_)));
    assert_eq!(plan(&machine, &first, Some(&first)).unwrap().held[0].word(), "port_taken");
}

/// Each question to a resolver opens a socket of UDP somewhere: it is looked at where a generation is new, and holds none that serves.
#[test]
fn sockets_of_udp_hold_no_application_that_serves() {
    let text = ONE.replace("{port: 80, publish: {port: 8080}}", "{port: 80, protocol: udp, publish: {port: 8080}}");
    let first = generation(&text, None, 0).unwrap();
    let mut machine = empty_machine();
    machine.ports.extend([foreign("0.0.0.0", 8080, Protocol::Udp)]);
    assert!(matches!(plan(&machine, &first, None).unwrap_err()[..], [Refusal::PortTaken { .. }]));
    machine.ports.clear();
    reach(&mut machine, &first, None, &[]);
    machine.ports = [foreign("0.0.0.0", 8080, Protocol::Udp)].into();
    assert!(plan(&machine, &first, Some(&first)).unwrap().held.is_empty());
}

/// A mend of a volume is a step like any other, with its finding.
#[test]
fn a_volume_is_mended() {
    let (mut machine, first) = installed(ONE);
    for volume in machine.volumes.values_mut() {
        volume.mends = Some("2 MiB of it are not reserved on the host".into());
    }
    let plan = plan(&machine, &first, Some(&first)).unwrap();
    let words: Vec<String> = plan.steps.iter().map(|planned| planned.step.to_string()).collect();
    assert_eq!(words, ["mend volume a/data: 2 MiB of it are not reserved on the host"]);
    reach(&mut machine, &first, Some(&first), &[]);
}

/// The image knows whose a volume is: it is there before one is made, whatever the wish; a user of the document's needs none.
#[test]
fn a_volume_is_made_for_whom_the_image_names() {
    let stopped = ONE.replace("image:", "wish: stopped, image:");
    let words = |text: &str| {
        let first = generation(text, None, 0).unwrap();
        let mut machine = empty_machine();
        let plan_of_first = plan(&machine, &first, None).unwrap();
        let next = plan_of_first.next(&machine, &first, &std::collections::BTreeSet::new()).unwrap();
        assert_eq!(next.applications, [name("a")].into(), "{}", next.planned.step);
        let words: Vec<String> = plan_of_first.steps.iter().map(|planned| planned.step.to_string()).collect();
        reach(&mut machine, &first, None, &[]);
        words.iter().filter_map(|step| step.split(' ').next()).map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!(words(&stopped), ["fetch", "unpack", "make", "commit"]);
    assert_eq!(words(&stopped.replace("wish:", "user: \"1000:1000\", wish:")), ["make", "commit"]);
}
