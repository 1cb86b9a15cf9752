//! The way back after a failure.

use openmesh_blueprint::document::{Name, Size, Wish};
use openmesh_blueprint::generation::{Generation, Revision};
use openmesh_blueprint::inventory::{Door, Inventory, Verdict};
use openmesh_blueprint::probation::{Admitted, Stage};
use openmesh_blueprint::resolve::Allocations;
use openmesh_blueprint::returning::Fate;
use openmesh_blueprint::step::Step;
use openmesh_blueprint::{Refusal, Returning, plan, return_to, returning};

use crate::world::{allocations, cause, document, empty_machine, generation, generation_after, name, reach, step};

const NOTES: &str = "version: 1
applications:
  notes:
    image: notes:1
    volumes: { data: { path: /data, size: 1 GiB } }
    ports: { http: { port: 80, protocol: http, publish: { port: 8080 } } }
    switch: { probation: 1m }
  page:
    image: page:1
    ports: { http: { port: 80, protocol: http, publish: { port: 8081 } } }
    switch: { probation: 1m }
";

const WRITES: Admitted = Admitted { connections: 0, writing_requests: 100, reading_requests: 5 };
const READS: Admitted = Admitted { connections: 0, writing_requests: 0, reading_requests: 5 };

/// A machine with the first generation of a text.
fn installed(text: &str) -> (Inventory, Generation) {
    let first = generation(text, None, 0).unwrap();
    let mut machine = empty_machine();
    reach(&mut machine, &first, None, &[]);
    (machine, first)
}

/// Does the steps of a generation up to the first one that fits.
fn walk_to(machine: &mut Inventory, wanted: &Generation, before: &Generation, fits: impl Fn(&Step) -> bool) {
    let plan = plan(machine, wanted, Some(before)).unwrap_or_else(|refusals| panic!("{refusals:#?}"));
    for planned in &plan.steps {
        if fits(&planned.step) {
            return;
        }
        step(&planned.step, machine, wanted);
    }
    panic!("there is no such step in\n{plan}");
}

/// Does the steps of a generation up to the gate of an application, which fails.
fn fail_gate(machine: &mut Inventory, wanted: &Generation, before: &Generation, application: &str) {
    let application = name(application);
    let revision = wanted.revision(&application).unwrap();
    walk_to(
        machine,
        wanted,
        before,
        |step| matches!(step, Step::Gate { application: other, instance, .. } if *other == application && instance.revision == revision),
    );
    let found = machine.applications.get_mut(&application).unwrap();
    let (_, instance) = found.instances.iter_mut().find(|(id, _)| id.revision == revision).unwrap();
    instance.gate = Some(Verdict::Failed("ended with code 1".into()));
}

/// Does the steps of a generation up to its probations, of which that of an application fails.
fn fail_probation(machine: &mut Inventory, wanted: &Generation, before: &Generation, application: &str) {
    walk_to(machine, wanted, before, |step| matches!(step, Step::Probation { .. }));
    let application = name(application);
    let revision = wanted.revision(&application).unwrap();
    let found = machine.applications.get_mut(&application).unwrap();
    found.probation = Some((revision, Verdict::Failed("answers 500".into())));
}

/// Lets a generation come back, and sees that the machine gets there.
fn come_back(machine: &mut Inventory, wanted: &Generation, serving: &Generation, way: &Returning) -> Generation {
    let portable = way.portable(wanted, serving);
    let allocations = Allocations { committed: machine.current, ..allocations() };
    let ports = document(NOTES).machine.ports;
    let third = return_to(wanted, portable, &serving.placement, &way.lines, &allocations, &ports, cause(120)).unwrap();
    assert_eq!(third.number, wanted.number + 1);
    reach(machine, &third, Some(serving), &[]);
    assert_eq!(returning(machine, &third, serving, &|_| WRITES), None, "what came back is not returned again");
    third
}

fn way(machine: &Inventory, wanted: &Generation, serving: &Generation, let_in: Admitted) -> Returning {
    returning(machine, wanted, serving, &|_| let_in).unwrap()
}

fn lines(machine: &Inventory) -> Vec<u32> {
    machine.volumes.values().flat_map(|volume| volume.lines.keys().copied()).collect()
}

fn in_use(machine: &Inventory) -> u32 {
    machine.volumes.values().next().unwrap().in_use
}

#[test]
fn a_failed_gate_brings_code_and_data_back() {
    let (mut machine, first) = installed(NOTES);
    let second = generation(&NOTES.replace("notes:1", "notes:2"), Some(&first), 60).unwrap();
    assert_eq!(returning(&machine, &second, &first, &|_| WRITES), None, "nothing has failed yet");
    fail_gate(&mut machine, &second, &first, "notes");
    // Nobody is let in before the gate, whatever a door's counters say of others.
    let way = way(&machine, &second, &first, WRITES);
    assert_eq!(way.fates, [(name("notes"), Fate::Back)].into());
    assert_eq!(way.failed[&name("notes")].stage, Stage::Gate);
    assert_eq!(way.causes(), "notes failed before it had traffic: ended with code 1");
    let third = come_back(&mut machine, &second, &first, &way);
    assert_eq!(third.portable, first.portable);
    assert_eq!(
        (in_use(&machine), lines(&machine)),
        (1, vec![1]),
        "the clone is gone, and the line in use was not changed"
    );
}

#[test]
fn data_that_nobody_wrote_comes_back_after_a_failed_probation() {
    let (mut machine, first) = installed(NOTES);
    let second = generation(&NOTES.replace("notes:1", "notes:2"), Some(&first), 60).unwrap();
    fail_probation(&mut machine, &second, &first, "notes");
    assert_eq!(in_use(&machine), 2);
    let way = way(&machine, &second, &first, READS);
    assert_eq!(way.fates, [(name("notes"), Fate::Back)].into());
    assert_eq!(way.causes(), "notes failed with traffic: answers 500");
    let third = come_back(&mut machine, &second, &first, &way);
    assert_eq!(third.revision(&name("notes")), first.revision(&name("notes")));
    assert_eq!(in_use(&machine), 1);
}

#[test]
fn written_data_is_kept_and_a_person_chooses() {
    let (mut machine, first) = installed(NOTES);
    let second = generation(&NOTES.replace("notes:1", "notes:2"), Some(&first), 60).unwrap();
    fail_probation(&mut machine, &second, &first, "notes");
    let way = way(&machine, &second, &first, WRITES);
    assert_eq!(way.fates, [(name("notes"), Fate::Held)].into());
    let third = come_back(&mut machine, &second, &first, &way);
    assert_eq!(third.portable.applications[&name("notes")].application.wish, Wish::Paused);
    assert_eq!(machine.applications[&name("notes")].door, Door::Maintenance);
    assert_eq!((in_use(&machine), lines(&machine)), (2, vec![1, 2]), "both lines are there");
    // A person takes the version before with the data before, and what clients wrote is still there.
    let chosen = [((name("notes"), name("data")), 1)].into();
    let allocations = Allocations { committed: machine.current, ..allocations() };
    let ports = document(NOTES).machine.ports;
    let fourth = openmesh_blueprint::rollback(&third, &first, &chosen, &allocations, &ports, cause(180)).unwrap();
    reach(&mut machine, &fourth, Some(&third), &[]);
    assert_eq!((in_use(&machine), lines(&machine)), (1, vec![1, 2]));
}

#[test]
fn a_compatible_version_goes_on_with_the_present_data() {
    let text = NOTES.replacen("probation: 1m", "probation: 1m, compatible: true", 1);
    let (mut machine, first) = installed(&text);
    let second = generation(&text.replace("notes:1", "notes:2"), Some(&first), 60).unwrap();
    fail_probation(&mut machine, &second, &first, "notes");
    let way = way(&machine, &second, &first, WRITES);
    assert_eq!(way.fates, [(name("notes"), Fate::BackOnPresentData)].into());
    assert!(way.lines.is_empty());
    let third = come_back(&mut machine, &second, &first, &way);
    assert_eq!(third.portable, first.portable);
    let volume = machine.volumes.values().next().unwrap();
    assert_eq!((volume.in_use, volume.lines[&3].parent), (3, Some(2)), "a line of what clients wrote");
    assert!(volume.lines.contains_key(&2));
}

/// A generation of two changes of which one fails: the other one comes back too, unless clients have written to it.
#[test]
fn a_healthy_application_with_writes_stays() {
    let (machine, first) = installed(NOTES);
    let text = NOTES.replace("notes:1", "notes:2").replace("page:1", "page:2");
    let second = generation(&text, Some(&first), 60).unwrap();
    for (let_in, notes) in [(READS, Fate::Back), (WRITES, Fate::Stays)] {
        let mut machine = machine.clone();
        fail_gate(&mut machine, &second, &first, "page");
        assert_eq!(machine.applications[&name("notes")].door, Door::Open(second.revision(&name("notes")).unwrap()));
        let way = way(&machine, &second, &first, let_in);
        assert_eq!(way.fates, [(name("notes"), notes), (name("page"), Fate::Back)].into());
        let third = come_back(&mut machine, &second, &first, &way);
        let image =
            |generation: &Generation, application: &Name| generation.portable.applications[application].image.digest;
        let serves = if notes == Fate::Stays { &second } else { &first };
        assert_eq!(image(&third, &name("notes")), image(serves, &name("notes")));
        assert_eq!(image(&third, &name("page")), image(&first, &name("page")));
        let documents = way.document(&document(&text).applications, &document(NOTES).applications);
        assert_eq!(documents[&name("page")], document(NOTES).applications[&name("page")]);
    }
}

/// Applications that are reached beside the door may have been written, whatever the door counts.
#[test]
fn ports_and_links_beside_the_door_count_as_writing() {
    let raw = NOTES.replacen(", protocol: http", "", 1);
    let linked = NOTES.replacen("    image: page:1\n", "    image: page:1\n    links: [notes]\n", 1);
    for text in [raw, linked] {
        let (mut machine, first) = installed(&text);
        let second = generation(&text.replace("notes:1", "notes:2"), Some(&first), 60).unwrap();
        fail_probation(&mut machine, &second, &first, "notes");
        assert_eq!(way(&machine, &second, &first, READS).fates[&name("notes")], Fate::Held, "{text}");
    }
}

#[test]
fn a_new_application_that_fails_goes_and_what_was_to_go_comes_back() {
    let (mut machine, first) = installed(NOTES);
    let page = NOTES.find("  page:").unwrap();
    let text = format!("{}  other:{}", &NOTES[..page], &NOTES[page + "  page:".len()..]).replace("8081", "8082");
    let second = generation(&text, Some(&first), 60).unwrap();
    fail_gate(&mut machine, &second, &first, "other");
    let way = way(&machine, &second, &first, WRITES);
    assert_eq!(way.fates, [(name("other"), Fate::Back), (name("page"), Fate::Back)].into());
    let words = "other: it is new and goes again; its data are kept; page: it stays, with its data";
    assert_eq!(way.consequences(&second, &first), words);
    let third = come_back(&mut machine, &second, &first, &way);
    assert_eq!(third.portable, first.portable);
    assert!(machine.applications[&name("other")].instances.is_empty());
}

/// An application that stays keeps what it is linked to.
#[test]
fn links_of_what_stays_are_there() {
    let (mut machine, first) = installed(NOTES);
    let text =
        NOTES.replacen("image: notes:1\n", "image: notes:2\n    links: [cache]\n", 1).replace("page:1", "page:2")
            + "  cache: { image: cache:1 }\n";
    let second = generation(&text, Some(&first), 60).unwrap();
    fail_gate(&mut machine, &second, &first, "page");
    let way = way(&machine, &second, &first, WRITES);
    assert_eq!(way.fates[&name("cache")], Fate::Stays);
    let third = come_back(&mut machine, &second, &first, &way);
    assert!(third.portable.applications.contains_key(&name("cache")));
}

#[test]
fn a_first_generation_has_nothing_to_return_to() {
    let first = generation(NOTES, None, 0).unwrap();
    assert_eq!(returning(&empty_machine(), &first, &first, &|_| WRITES), None);
}

/// A job of a switch is a gate before the gate: it works on the data of the new version alone.
#[test]
fn a_failed_job_of_a_switch_brings_code_and_data_back() {
    let (mut machine, first) = installed(NOTES);
    let with_job = NOTES.replacen(
        "image: notes:1\n",
        "image: notes:2\n    jobs: { up: { command: [up], occasion: switch } }\n",
        1,
    );
    let second = generation(&with_job, Some(&first), 60).unwrap();
    walk_to(&mut machine, &second, &first, |step| matches!(step, Step::Run { .. }));
    let (notes, words) = (name("notes"), "job up has failed: it ended with code 3");
    let revision = second.revision(&notes).unwrap();
    let set = |machine: &mut Inventory, of: &Revision| {
        machine.applications.get_mut(&notes).unwrap().failed_job = Some((of.clone(), words.into()));
    };
    // That of a version that nobody wants stands in nobody's way.
    set(&mut machine, &first.revision(&notes).unwrap());
    assert!(plan(&machine, &second, Some(&first)).is_ok());
    assert_eq!(returning(&machine, &second, &first, &|_| WRITES), None);
    set(&mut machine, &revision);
    let refusals = plan(&machine, &second, Some(&first)).unwrap_err();
    assert_eq!(refusals, [Refusal::GateFailed { application: notes.clone(), cause: words.into() }]);
    let way = way(&machine, &second, &first, WRITES);
    assert_eq!(way.fates, [(notes.clone(), Fate::Back)].into());
    assert_eq!(way.failed[&notes].stage, Stage::Gate);
    assert_eq!(way.causes(), format!("notes failed before it had traffic: {words}"));
    let third = come_back(&mut machine, &second, &first, &way);
    assert_eq!(third.portable, first.portable);
    assert_eq!((in_use(&machine), lines(&machine)), (1, vec![1]), "the line of the job is gone");
}

/// A version that has its traffic is not measured by a job of an earlier attempt.
#[test]
fn a_failed_job_of_an_admitted_version_holds_nothing() {
    let (mut machine, first) = installed(NOTES);
    let notes = name("notes");
    let revision = first.revision(&notes).unwrap();
    machine.applications.get_mut(&notes).unwrap().failed_job = Some((revision, "job up has failed".into()));
    let plan = plan(&machine, &first, Some(&first)).unwrap();
    assert!(plan.steps.is_empty() && plan.held.is_empty(), "{plan}");
}

/// A version that had traffic and was replaced before it was committed: what clients wrote to it is in neither generation, and is not left behind.
#[test]
fn what_was_written_between_two_generations_stays() {
    for text in [NOTES.to_string(), NOTES.replacen("probation: 1m", "probation: 1m, compatible: true", 1)] {
        let (mut machine, first) = installed(&text);
        let second = generation(&text.replace("notes:1", "notes:2"), Some(&first), 60).unwrap();
        walk_to(&mut machine, &second, &first, |step| matches!(step, Step::Probation { .. }));
        assert_eq!(in_use(&machine), 2, "clients write to the second version");
        let third = text.replace("notes:1", "notes:3");
        let third = generation_after(&third, Some(&second), 1, 90).unwrap();
        let mut failed = machine.clone();
        fail_gate(&mut failed, &third, &first, "notes");
        let held = way(&failed, &third, &first, Admitted::default());
        assert_eq!(held.fates, [(name("notes"), Fate::Held)].into());
        assert!(held.lines.is_empty());
        come_back(&mut failed, &third, &first, &held);
        assert_eq!((in_use(&failed), lines(&failed)), (2, vec![1, 2, 3]));
        // The same where another application fails, before and after the third version has traffic.
        let both = text.replace("notes:1", "notes:3").replace("page:1", "page:2");
        let both = generation_after(&both, Some(&second), 1, 90).unwrap();
        let mut begun = machine.clone();
        let revision = both.revision(&name("page")).unwrap();
        begun.applications.get_mut(&name("page")).unwrap().probation =
            Some((revision, Verdict::Failed("answers 500".into())));
        assert_eq!(way(&begun, &both, &first, READS).fates[&name("notes")], Fate::Stays);
        fail_gate(&mut machine, &both, &first, "page");
        assert_eq!(in_use(&machine), 3);
        let stays = way(&machine, &both, &first, READS);
        assert_eq!(stays.fates, [(name("notes"), Fate::Stays), (name("page"), Fate::Back)].into());
        come_back(&mut machine, &both, &first, &stays);
    }
}

/// The version before is tried on the present data once: where it fails there too, the data before do not take their place.
#[test]
fn a_version_that_came_back_and_fails_is_held() {
    let text = NOTES.replacen("probation: 1m", "probation: 1m, compatible: true", 1);
    let (mut machine, first) = installed(&text);
    let second = generation(&text.replace("notes:1", "notes:2"), Some(&first), 60).unwrap();
    fail_probation(&mut machine, &second, &first, "notes");
    let back = way(&machine, &second, &first, WRITES);
    assert_eq!(back.fates, [(name("notes"), Fate::BackOnPresentData)].into());
    let (portable, ports) = (back.portable(&second, &first), document(NOTES).machine.ports);
    let allocations = Allocations { committed: 1, ..allocations() };
    let third = return_to(&second, portable, &first.placement, &back.lines, &allocations, &ports, cause(120)).unwrap();
    fail_gate(&mut machine, &third, &first, "notes");
    let held = way(&machine, &third, &first, READS);
    assert_eq!(held.fates, [(name("notes"), Fate::Held)].into());
    come_back(&mut machine, &third, &first, &held);
    assert_eq!((in_use(&machine), lines(&machine)), (2, vec![1, 2, 3]), "what clients wrote is in use");
}

/// A volume does not shrink, so that one which was enlarged for a failed generation is no reason against the one that comes back.
#[test]
fn an_enlarged_volume_stays_as_large() {
    let (mut machine, first) = installed(NOTES);
    let text = NOTES.replace("size: 1 GiB", "size: 2 GiB").replace("page:1", "page:2");
    let second = generation(&text, Some(&first), 60).unwrap();
    fail_gate(&mut machine, &second, &first, "page");
    let way = way(&machine, &second, &first, READS);
    assert_eq!(way.fates, [(name("page"), Fate::Back)].into());
    let third = come_back(&mut machine, &second, &first, &way);
    let size = |applications: &openmesh_blueprint::document::Application| applications.volumes[&name("data")].size;
    assert_eq!(size(&third.portable.applications[&name("notes")].application), Size(2 << 30));
    let documents = way.document(&document(&text).applications, &document(NOTES).applications);
    assert_eq!(size(&documents[&name("notes")]), Size(2 << 30));
}

/// A return needs no more memory than there is: what failed goes.
#[test]
fn a_version_that_goes_stands_in_no_returns_way() {
    let memory =
        |mib: u32| NOTES.replace("image: page:1\n", &format!("image: page:1\n    limits: {{memory: {mib}MiB}}\n"));
    let (mut machine, first) = installed(&memory(3_000));
    machine.host.memory = Size(6 << 30);
    let second = generation(&memory(1_000), Some(&first), 60).unwrap();
    fail_probation(&mut machine, &second, &first, "page");
    let way = way(&machine, &second, &first, READS);
    come_back(&mut machine, &second, &first, &way);
}
