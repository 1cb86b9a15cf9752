//! Texts of plans and refusals.

use openmesh_blueprint::document::{PortRange, Size};
use openmesh_blueprint::generation::Generation;
use openmesh_blueprint::inventory::{Feature, Holder, InstanceState, Inventory, ObservedRemoval, Verdict};
use openmesh_blueprint::resolve::LineChoices;
use openmesh_blueprint::step::Step;
use openmesh_blueprint::{Refusal, plan, rollback};

use crate::golden::golden;
use crate::world::{allocations, at, cause, document, empty_machine, generation, name, reach, step};

const SHOP: &str = include_str!("shop.yaml");

/// The shop after its first installation.
fn installed() -> (Inventory, Generation) {
    let first = generation(SHOP, None, 0).unwrap();
    let mut machine = empty_machine();
    reach(&mut machine, &first, None, &[]);
    (machine, first)
}

/// Compares the plan's text with a golden file, and sees that it reaches the generation.
fn check(file: &str, machine: &mut Inventory, generation: &Generation, previous: Option<&Generation>) {
    let plan = plan(machine, generation, previous).unwrap_or_else(|refusals| panic!("{refusals:#?}"));
    golden(&format!("plan/{file}"), &plan.to_string());
    reach(machine, generation, previous, &[]);
}

fn refused(file: &str, machine: &Inventory, generation: &Generation, previous: Option<&Generation>) -> Vec<Refusal> {
    let refusals = plan(machine, generation, previous).unwrap_err();
    let text: String = refusals.iter().map(|refusal| format!("{}: {refusal}\n", refusal.word())).collect();
    golden(&format!("plan/{file}"), &text);
    refusals
}

#[test]
fn a_first_installation() {
    let first = generation(SHOP, None, 0).unwrap();
    check("first.txt", &mut empty_machine(), &first, None);
    golden("plan/first.generation.yaml", &first.to_text());
}

#[test]
fn a_changed_variable() {
    let (mut machine, first) = installed();
    let second = generation(&SHOP.replace("MODE: quiet", "MODE: loud"), Some(&first), 60).unwrap();
    check("variable.txt", &mut machine, &second, Some(&first));
}

#[test]
fn a_new_image_of_a_single_writer() {
    let (mut machine, first) = installed();
    let second = generation(&SHOP.replace("postgres:16", "postgres:17"), Some(&first), 60).unwrap();
    check("single_writer.txt", &mut machine, &second, Some(&first));
}

#[test]
fn a_new_image_without_state() {
    let (mut machine, first) = installed();
    let second = generation(&SHOP.replace("shop/web:1", "shop/web:2"), Some(&first), 60).unwrap();
    check("stateless.txt", &mut machine, &second, Some(&first));
}

#[test]
fn a_removal_and_its_undoing() {
    let (mut machine, first) = installed();
    let start = SHOP.find("  web:").unwrap();
    let without_db = format!("version: 1\napplications:\n{}", SHOP[start..].replace("    links: [db]\n", ""));
    let second = generation(&without_db, Some(&first), 60).unwrap();
    check("removal.txt", &mut machine, &second, Some(&first));
    assert_eq!(machine.volumes.len(), 1, "the data stays");
    let third = generation(SHOP, Some(&second), 3_600).unwrap();
    let placed = |generation: &Generation| generation.placement.applications[&name("db")].clone();
    assert_eq!(placed(&third).volumes, placed(&first).volumes, "the data is back");
    check("removal_undone.txt", &mut machine, &third, Some(&second));
}

#[test]
fn data_that_is_to_be_wiped_goes_after_a_day() {
    let (mut machine, first) = installed();
    let start = SHOP.find("  web:").unwrap();
    let document = document(&format!("version: 1\napplications:\n{}", SHOP[start..].replace("    links: [db]\n", "")));
    let mut allocations = allocations();
    allocations.committed = 1;
    allocations.disposals.insert(name("db"), openmesh_blueprint::generation::Disposal::Wipe);
    let catalogue = crate::world::catalogue(&document);
    let second = openmesh_blueprint::resolve(&document, &catalogue, &allocations, Some(&first), cause(60)).unwrap();
    reach(&mut machine, &second, Some(&first), &[]);
    // Its time is the volume's to measure, by two clocks: the wall's alone removes nothing.
    machine.taken = at(60 + 400 * 86_400);
    assert!(plan(&machine, &second, Some(&first)).unwrap().steps.is_empty());
    for volume in machine.volumes.values_mut() {
        volume.removal = volume.removal.map(|removal| ObservedRemoval { is_due: true, ..removal });
    }
    check("wipe.txt", &mut machine, &second, Some(&first));
    assert!(machine.volumes.is_empty());
}

fn ports() -> PortRange {
    PortRange { first: 20_000, last: 29_999 }
}

#[test]
fn a_rollback_on_present_data() {
    let (mut machine, first) = installed();
    let second = generation(&SHOP.replace("postgres:16", "postgres:17"), Some(&first), 60).unwrap();
    reach(&mut machine, &second, Some(&first), &[]);
    let third = rollback(&second, &first, &LineChoices::new(), &allocations(), &ports(), cause(120)).unwrap();
    assert_eq!(third.portable.hash(), first.portable.hash());
    check("rollback.txt", &mut machine, &third, Some(&second));
}

#[test]
fn a_rollback_to_an_old_line_keeps_the_present_one() {
    let (mut machine, first) = installed();
    let second = generation(&SHOP.replace("postgres:16", "postgres:17"), Some(&first), 60).unwrap();
    reach(&mut machine, &second, Some(&first), &[]);
    let lines: LineChoices = [((name("db"), name("data")), 1)].into();
    let third = rollback(&second, &first, &lines, &allocations(), &ports(), cause(120)).unwrap();
    check("rollback_with_data.txt", &mut machine, &third, Some(&second));
    let volume = machine.volumes.values().next().unwrap();
    assert_eq!((volume.in_use, volume.lines.len()), (1, 2), "what clients were told is still there");
}

/// A new version of a single writer fails in its gate: the old one comes back with the line that was never changed, and the clone goes.
#[test]
fn a_failed_gate() {
    let (mut machine, first) = installed();
    let second = generation(&SHOP.replace("postgres:16", "postgres:17"), Some(&first), 60).unwrap();
    let plan_of_second = plan(&machine, &second, Some(&first)).unwrap();
    let revision = second.revision(&name("db")).unwrap();
    for planned in &plan_of_second.steps {
        if matches!(&planned.step, Step::Gate { instance, .. } if instance.revision == revision) {
            break;
        }
        step(&planned.step, &mut machine, &second);
    }
    let found = machine.applications.get_mut(&name("db")).unwrap();
    let instance = found.instances.iter_mut().find(|(id, _)| id.revision == revision).unwrap().1;
    instance.gate = Some(Verdict::Failed("exited with 1: data directory has another version".to_string()));
    refused("gate_failed.txt", &machine, &second, Some(&first));

    let lines: LineChoices = [((name("db"), name("data")), 1)].into();
    let third = rollback(&second, &first, &lines, &allocations(), &ports(), cause(120)).unwrap();
    assert_eq!(third.revision(&name("db")), first.revision(&name("db")));
    check("gate_failed_return.txt", &mut machine, &third, Some(&first));
    let volume = machine.volumes.values().next().unwrap();
    assert_eq!(volume.lines.keys().copied().collect::<Vec<_>>(), [1]);
}

#[test]
fn a_pause_and_its_end() {
    let (mut machine, first) = installed();
    let paused = SHOP.replace(
        "    switch: { gate: 2m, probation: 10m }\n",
        "    switch: { gate: 2m, probation: 10m }\n    wish: paused\n",
    );
    let second = generation(&paused, Some(&first), 60).unwrap();
    check("paused.txt", &mut machine, &second, Some(&first));
    let third = generation(SHOP, Some(&second), 120).unwrap();
    check("unpaused.txt", &mut machine, &third, Some(&second));
}

#[test]
fn a_machine_that_is_too_small() {
    let first = generation(SHOP, None, 0).unwrap();
    let mut machine = empty_machine();
    machine.host.disk_free = Size(8 << 30);
    machine.host.memory = Size(1 << 30);
    machine.host.features.remove(&Feature::Loop);
    let port = first.placement.applications[&name("web")].ports[&name("http")];
    machine.ports.insert(port, Holder::Foreign("nginx (process 812)".to_string()));
    assert_eq!(refused("too_small.txt", &machine, &first, None).len(), 4);
}

#[test]
fn data_that_is_not_there() {
    let (mut machine, first) = installed();
    let second = generation(&SHOP.replace("size: 10 GiB", "size: 5 GiB"), Some(&first), 60).unwrap();
    refused("shrink.txt", &machine, &second, Some(&first));
    let third = generation(&SHOP.replace("postgres:16", "postgres:17"), Some(&first), 60).unwrap();
    machine.volumes.values_mut().for_each(|volume| volume.marked = false);
    refused("unmarked.txt", &machine, &third, Some(&first));
    machine.volumes.clear();
    refused("missing.txt", &machine, &third, Some(&first));
    let old = Generation { number: 0, ..first.clone() };
    machine.current = 7;
    assert_eq!(plan(&machine, &old, None).unwrap_err()[0], Refusal::OldGeneration { number: 0, current: 7 });
}

/// A generation that serves is repaired, and what stands in the way of one application does not hold the others up.
#[test]
fn a_repair() {
    let (mut machine, first) = installed();
    let (db, web) = (name("db"), name("web"));
    machine.applications.get_mut(&db).unwrap().instances.values_mut().for_each(|i| i.state = InstanceState::Frozen);
    let found = machine.applications.get_mut(&web).unwrap();
    let last = found.instances.keys().next_back().cloned().unwrap();
    found.instances.remove(&last);
    machine.ports.clear();
    let plan_of_repair = plan(&machine, &first, None).unwrap();
    golden("plan/repair.txt", &plan_of_repair.to_string());
    assert_eq!(plan_of_repair.held.len(), 1);
    // The same condition does not stand in the way of a change of the other application.
    let second = generation(&SHOP.replace("shop/web:1", "shop/web:2"), Some(&first), 60).unwrap();
    assert_eq!(plan(&machine, &second, Some(&first)).unwrap().held.len(), 1);
    let third = generation(&SHOP.replace("postgres:16", "postgres:17"), Some(&first), 60).unwrap();
    assert!(plan(&machine, &third, Some(&first)).is_ok(), "an old frozen instance is stopped by a change");
}

#[test]
fn ports_change_hands() {
    let one = "version: 1\napplications:\n  a: {image: a, ports: {http: {port: 80, publish: {port: 8080}}}}\n  b: {image: b, ports: {http: {port: 80, publish: {port: 8081}}}}\n";
    let two = one.replace("8081", "x").replace("8080", "8081").replace('x', "8080");
    let first = generation(one, None, 0).unwrap();
    let mut machine = empty_machine();
    reach(&mut machine, &first, None, &[]);
    let second = generation(&two, Some(&first), 60).unwrap();
    check("ports.txt", &mut machine, &second, Some(&first));
}

const PAIR: &str =
    "version: 1\napplications:\n  a: {image: a, ports: {http: {port: 80, publish: {port: 8080}}}}\n  b: {image: b}\n";

/// Steps that are done while an application is held up, until nothing is left but what waits for it.
fn beside(machine: &mut Inventory, generation: &Generation, before: &Generation, held_up: &str) -> Vec<String> {
    let mut done = Vec::new();
    loop {
        let plan = plan(machine, generation, Some(before)).unwrap();
        let Some(next) = plan.next(machine, generation, &[name(held_up)].into()) else { return done };
        done.push(next.planned.step.to_string());
        step(&next.planned.step, machine, generation);
    }
}

#[test]
fn one_that_cannot_go_on_holds_up_the_commit_and_no_other() {
    let first = generation(PAIR, None, 0).unwrap();
    let mut machine = empty_machine();
    reach(&mut machine, &first, None, &[]);
    let text = PAIR.replace("image: a,", "image: a2,").replace("image: b}", "image: b2}");
    let second = generation(&text, Some(&first), 60).unwrap();
    let done = beside(&mut machine, &second, &first, "a");
    let is = |word: &str| done.iter().any(|step| step.starts_with(word));
    assert!(is("fetch docker.io/library/b2") && !is("fetch docker.io/library/a2"), "{done:#?}");
    assert!(is("admit traffic to b") && !is("commit") && !is("collect"), "{done:#?}");
    let old = first.revision(&name("b")).unwrap();
    let kept = machine.applications[&name("b")].instances.keys().any(|id| id.revision == old);
    assert!(kept, "there is something to return to");
    reach(&mut machine, &second, Some(&first), &[]);
}

#[test]
fn a_port_is_not_taken_from_one_that_is_held_up() {
    let first = generation(PAIR, None, 0).unwrap();
    let mut machine = empty_machine();
    reach(&mut machine, &first, None, &[]);
    let text = "version: 1\napplications:\n  a: {image: a, ports: {http: {port: 80, publish: {port: 8081}}}}\n  b: {image: b, ports: {http: {port: 80, publish: {port: 8080}}}}\n";
    let second = generation(text, Some(&first), 60).unwrap();
    let done = beside(&mut machine, &second, &first, "a");
    assert!(!done.iter().any(|step| step.starts_with("publish b")), "{done:#?}");
    let at = first.placement.applications[&name("a")].ports[&name("http")];
    let holder = Holder::Ours { application: name("a"), port: name("http") };
    assert_eq!(machine.ports.get(&at), Some(&holder));
}

/// A thing that cannot be seen, a volume in a condition for a person, and a full disk each hold the application that they are about, when a generation serves.
#[test]
fn faults_hold_their_application_alone() {
    let (machine, first) = installed();
    let held = |machine: &Inventory| {
        let plan = plan(machine, &first, Some(&first)).unwrap();
        assert!(plan.steps.iter().all(|planned| planned.step.application() != Some(&name("db"))), "{plan}");
        plan.held.iter().map(|refusal| (refusal.application().unwrap().to_string(), refusal.word())).collect::<Vec<_>>()
    };
    let mut faulty = machine.clone();
    faulty.applications.get_mut(&name("db")).unwrap().fault = Some("its door.json is damaged".into());
    assert_eq!(held(&faulty), [("db".to_string(), "faulty")]);
    let mut gone = machine.clone();
    for volume in gone.volumes.values_mut() {
        (volume.mounted, volume.held) = (false, Some("its image is missing".into()));
    }
    assert_eq!(held(&gone), [("db".to_string(), "volume_held")]);
    let mut full = machine.clone();
    full.images.remove(&first.portable.applications[&name("db")].image.digest);
    full.host.disk_free = Size(0);
    assert_eq!(held(&full), [("db".to_string(), "disk_short")]);
}
