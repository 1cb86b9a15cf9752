//! Plans that start instances anew, without a new version.

use openmesh_blueprint::generation::Generation;
use openmesh_blueprint::inventory::{Door, InstanceState, Inventory, Traffic};
use openmesh_blueprint::plan;
use openmesh_blueprint::step::Step;

use crate::world::{differences, empty_machine, generation, name, reach, step};

const SINGLE: &str = "version: 1\napplications:\n  a: {image: i:1, volumes: {data: {path: /data, size: 1 GiB}}, ports: {p: {port: 80, publish: {port: 8080}}}}\n";
const SEVERAL: &str =
    "version: 1\napplications:\n  a: {image: i:1, instances: 3, ports: {p: {port: 80, publish: {port: 8080}}}}\n";

fn installed(text: &str) -> (Inventory, Generation) {
    let first = generation(text, None, 0).unwrap();
    let mut machine = empty_machine();
    reach(&mut machine, &first, None, &[]);
    (machine, first)
}

/// Marks instances of the application as to be started anew.
fn ask_anew(machine: &mut Inventory, numbers: &[u32]) {
    let found = machine.applications.get_mut(&name("a")).unwrap();
    for (id, one) in &mut found.instances {
        one.is_due |= numbers.contains(&id.index);
    }
}

/// Does one step of each plan until nothing is left, and returns them all. `looks` sees the machine after each step.
fn work(machine: &mut Inventory, generation: &Generation, looks: &mut dyn FnMut(&Inventory)) -> Vec<Step> {
    let mut done = Vec::new();
    while let Some(planned) = plan(machine, generation, Some(generation)).unwrap().steps.into_iter().next() {
        step(&planned.step, machine, generation);
        looks(machine);
        done.push(planned.step);
        assert!(done.len() < 100, "{done:#?}");
    }
    assert_eq!(differences(machine, generation), Vec::<String>::new());
    assert!(machine.applications.values().flat_map(|found| found.instances.values()).all(|one| !one.is_due));
    done
}

fn words(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| step.to_string().split(' ').next().unwrap().to_string()).collect()
}

#[test]
fn a_single_instance_is_started_anew_while_requests_wait() {
    let (mut machine, generation) = installed(SINGLE);
    ask_anew(&mut machine, &[0]);
    let before = machine.clone();
    let mut doors = Vec::new();
    let done =
        work(&mut machine, &generation, &mut |machine| doors.push(machine.applications[&name("a")].door.clone()));
    assert_eq!(words(&done), ["hold", "drain", "stop", "start", "gate", "admit"]);
    assert!(doors[..5].iter().all(|door| *door == Door::Holding), "{doors:?}");
    assert_eq!(machine, before_without_marks(before), "nothing else has changed: no line, no generation, no port");
}

fn before_without_marks(mut machine: Inventory) -> Inventory {
    machine.applications.values_mut().flat_map(|found| found.instances.values_mut()).for_each(|one| one.is_due = false);
    machine
}

#[test]
fn several_instances_are_started_anew_one_after_another() {
    let (mut machine, generation) = installed(SEVERAL);
    ask_anew(&mut machine, &[0, 1, 2]);
    let before = machine.clone();
    let mut fewest = usize::MAX;
    let done = work(&mut machine, &generation, &mut |machine| {
        let all = machine.applications[&name("a")].instances.values();
        let serving = all.filter(|one| one.traffic == Traffic::Admitted && one.state == InstanceState::Running).count();
        fewest = fewest.min(serving);
    });
    let each = ["lead", "drain", "stop", "start", "gate"];
    assert_eq!(words(&done), [&each[..], &each[..], &each[..], &["admit"]].concat());
    assert_eq!(fewest, 2, "two of three have the traffic at every moment");
    assert_eq!(machine, before_without_marks(before));
}

#[test]
fn one_instance_of_several_is_started_anew() {
    let (mut machine, generation) = installed(SEVERAL);
    ask_anew(&mut machine, &[1]);
    let done = work(&mut machine, &generation, &mut |_| {});
    assert_eq!(words(&done), ["lead", "drain", "stop", "start", "gate", "admit"]);
    assert!(done.iter().all(|step| !step.to_string().contains(".0") && !step.to_string().contains(".2")), "{done:#?}");
}

/// A restart that was asked for meanwhile, and an instance that dies meanwhile, come in their turn; none is ended before the others serve.
#[test]
fn what_comes_in_between_waits_for_its_turn() {
    for at in 0..16 {
        let (mut machine, generation) = installed(SEVERAL);
        ask_anew(&mut machine, &[0, 2]);
        let mut count = 0;
        loop {
            if count == at {
                ask_anew(&mut machine, &[1, 2]);
                let found = machine.applications.get_mut(&name("a")).unwrap();
                let one = found.instances.values_mut().next().unwrap();
                (one.state, one.gate) = (InstanceState::Created, None);
            }
            let Some(planned) = plan(&machine, &generation, Some(&generation)).unwrap().steps.into_iter().next() else {
                break;
            };
            if let Step::Withdraw { .. } = planned.step {
                let all = machine.applications[&name("a")].instances.values();
                let ready = all.filter(|one| one.state == InstanceState::Running && one.gate.is_some()).count();
                assert_eq!(ready, 3, "at {at}: {} before all are healthy", planned.step);
            }
            step(&planned.step, &mut machine, &generation);
            count += 1;
            assert!(count < 100);
        }
        assert_eq!(differences(&machine, &generation), Vec::<String>::new(), "at {at}");
    }
}

#[test]
fn one_that_is_over_is_only_started() {
    let (mut machine, generation) = installed(SINGLE);
    let found = machine.applications.get_mut(&name("a")).unwrap();
    for one in found.instances.values_mut() {
        (one.state, one.is_due) = (InstanceState::Exited(0), true);
    }
    let done = work(&mut machine, &generation, &mut |_| {});
    assert_eq!(words(&done), ["start", "gate"]);
}
