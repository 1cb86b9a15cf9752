//! GPUs of applications: the document, the choice, the bytes of generations, plans and refusals.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::document::{Document, GpuVendor, SwitchKind};
use openmesh_blueprint::generation::Generation;
use openmesh_blueprint::gpu::{Gpu, PciAddress, Stock};
use openmesh_blueprint::inventory::{InstanceState, Inventory};
use openmesh_blueprint::resolve::{Allocations, LineChoices};
use openmesh_blueprint::step::Step;
use openmesh_blueprint::{Refusal, Unresolved, diff, plan, resolve, return_to};
use openmesh_primitives::canonical;

use crate::world::{allocations, catalogue, cause, document, empty_machine, name, reach};

fn address(bus: u8) -> PciAddress {
    format!("0000:{bus:02x}:00.0").parse().unwrap()
}

/// A machine with three GPUs of NVIDIA and one of AMD.
fn stock() -> Stock {
    let nvidia = |bus: u8| (address(bus), Gpu { vendor: GpuVendor::Nvidia, model: format!("Card {bus}") });
    let mut there: BTreeMap<PciAddress, Gpu> = [2, 3, 4].map(nvidia).into();
    there.insert(address(1), Gpu { vendor: GpuVendor::Amd, model: "Radeon".into() });
    Stock { there, ..Stock::default() }
}

fn after(text: &str, previous: Option<&Generation>, gpus: Stock) -> Result<Generation, Vec<Unresolved>> {
    let document = document(text);
    let committed = previous.map_or(0, |previous| previous.number);
    let allocations = Allocations { gpus, committed, ..allocations() };
    resolve(&document, &catalogue(&document), &allocations, previous, cause(60))
}

fn with(applications: &[(&str, &str)]) -> String {
    let lines = applications.iter().map(|(name, more)| format!("  {name}: {{image: {name}{more}}}\n"));
    format!("version: 1\napplications:\n{}", lines.collect::<String>())
}

/// Buses of the GPUs that an application has, by instance.
fn has(generation: &Generation, application: &str) -> Vec<Vec<u8>> {
    let bus = |gpu: &PciAddress| (1..=4).find(|bus| address(*bus) == *gpu).unwrap();
    let placed = &generation.placement.applications[&name(application)];
    placed.gpus.iter().map(|gpus: &BTreeSet<PciAddress>| gpus.iter().map(bus).collect()).collect()
}

fn refused(text: &str, previous: Option<&Generation>, gpus: Stock) -> String {
    let reasons = after(text, previous, gpus).unwrap_err();
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A machine with the GPUs of [`stock`] on which a generation was reached.
fn machine(generation: &Generation) -> Inventory {
    let mut machine = empty_machine();
    machine.host.gpus = stock().there;
    reach(&mut machine, generation, None, &[]);
    machine
}

#[test]
fn a_document_asks_for_gpus() {
    for (written, printed) in [("{}", "gpus: {}"), ("{count: 2, vendor: amd}", "count: 2\n      vendor: amd")] {
        let parsed = document(&with(&[("llm", &format!(", gpus: {written}"))]));
        assert!(parsed.to_yaml().contains(printed), "{}", parsed.to_yaml());
        assert_eq!(Document::parse(&parsed.to_yaml()).unwrap(), parsed);
        assert_eq!(Document::parse(&parsed.to_json()).unwrap(), parsed);
        assert_eq!(parsed.applications[&name("llm")].switch_kind(), SwitchKind::Hold, "one has it at a time");
    }
    for (wrong, words) in [
        ("{count: 0}", "1 to 16 are possible"),
        ("{count: 17}", "1 to 16 are possible"),
        ("{vendor: nvida}", "did you mean `nvidia`?"),
        ("{size: 1}", "is not a known key"),
        ("{}, switch: {kind: overlap}", "two versions would have one GPU"),
    ] {
        let problems = Document::parse(&with(&[("llm", &format!(", gpus: {wrong}"))])).unwrap_err();
        assert!(problems.iter().any(|problem| problem.to_string().contains(words)), "{wrong}: {problems:?}");
    }
}

#[test]
fn gpus_are_given_to_one_alone_and_stay() {
    let text = with(&[("b", ", gpus: {vendor: nvidia}"), ("c", ", instances: 2, gpus: {}")]);
    let first = after(&text, None, stock()).unwrap();
    assert_eq!((has(&first, "b"), has(&first, "c")), (vec![vec![2]], vec![vec![1], vec![3]]));
    // A newcomer that comes first in the alphabet takes nothing from them.
    let more = with(&[("a", ", gpus: {}"), ("b", ", gpus: {vendor: nvidia}"), ("c", ", instances: 2, gpus: {}")]);
    let second = after(&more, Some(&first), stock()).unwrap();
    assert_eq!(has(&second, "a"), [[4]]);
    assert_eq!((has(&second, "b"), has(&second, "c")), (has(&first, "b"), has(&first, "c")));
    // A GPU that is gone is another one's place, and so is one of another vendor than is asked for.
    let mut without = stock();
    without.there.remove(&address(2));
    assert_eq!(has(&after(&text, Some(&first), without).unwrap(), "b"), [[4]]);
    let other = text.replace("instances: 2, gpus: {}", "gpus: {vendor: nvidia}");
    assert_eq!(has(&after(&other, Some(&first), stock()).unwrap(), "c"), [[3]]);
    // Enough of one vendor, not of two together.
    let pair = after(&with(&[("llm", ", gpus: {count: 2}")]), None, stock()).unwrap();
    assert_eq!(has(&pair, "llm"), [[2, 3]]);
    // One that does not run has none.
    let stopped = after(&with(&[("b", ", wish: stopped, gpus: {}"), ("d", ", gpus: {vendor: amd}")]), None, stock());
    let stopped = stopped.unwrap();
    assert_eq!((has(&stopped, "b"), has(&stopped, "d")), (Vec::new(), vec![vec![1]]));
}

/// With other GPUs than before it would be another version, which is tried anew and gets a copy of its data.
#[test]
fn a_version_that_comes_back_has_the_gpus_that_it_had() {
    let (mut few, mut later) = (stock(), stock());
    few.there.retain(|at, _| *at != address(1) && *at != address(2));
    later.there.remove(&address(4));
    let text = with(&[("llm", ", gpus: {vendor: nvidia}"), ("paint", ", gpus: {}")]);
    let first = after(&text, None, few).unwrap();
    let second = text.replace("vendor: nvidia", "vendor: nvidia, count: 2");
    let second = after(&second, Some(&first), later).unwrap();
    assert_eq!((has(&first, "llm"), has(&first, "paint")), (vec![vec![3]], vec![vec![4]]));
    assert_eq!((has(&second, "llm"), has(&second, "paint")), (vec![vec![2, 3]], vec![vec![1]]));
    let busy = [(address(3), name("llm"))].into();
    let allocations = Allocations { gpus: Stock { busy, ..stock() }, committed: 1, ..allocations() };
    let ports = document(&text).machine.ports;
    let (portable, lines) = (first.portable.clone(), LineChoices::new());
    let third = return_to(&second, portable, &first.placement, &lines, &allocations, &ports, cause(120)).unwrap();
    assert_eq!(
        (has(&third, "llm"), has(&third, "paint")),
        (vec![vec![3]], vec![vec![1]]),
        "what stays has what it has"
    );
    assert_eq!(third.revision(&name("llm")), first.revision(&name("llm")));
}

#[test]
fn a_gpu_of_another_agent_is_nobodys_here() {
    let text = with(&[("llm", ", gpus: {vendor: amd}")]);
    let first = after(&text, None, stock()).unwrap();
    let others: BTreeMap<PciAddress, String> = [(address(1), "llm of the agent `second`".to_string())].into();
    // Also where it had it, and that one has an application of the same name.
    for previous in [None, Some(&first)] {
        let said = refused(&text, previous, Stock { others: others.clone(), ..stock() });
        assert!(said.contains("0000:01:00.0 (Radeon) by llm of the agent `second`"), "{said}");
    }
    let any = after(&with(&[("llm", ", gpus: {}")]), Some(&first), Stock { others, ..stock() }).unwrap();
    assert_eq!(has(&any, "llm"), [[2]]);
}

#[test]
fn too_few_are_refused_with_their_holders() {
    let llm = with(&[("llm", ", gpus: {}")]);
    let none = refused(&llm, None, Stock::default());
    assert!(none.starts_with("llm: it asks for a GPU, and the machine has none; `openmesh xnode status`"), "{none}");
    let amd = |count: u32| with(&[("llm", &format!(", gpus: {{vendor: amd, count: {count}}}"))]);
    assert_eq!(refused(&amd(2), None, stock()), "llm: it asks for 2 GPUs of amd, and the machine has one");
    let mut busy = stock();
    busy.busy.insert(address(1), name("old"));
    let said = refused(&amd(1), None, busy.clone());
    assert!(said.contains("0000:01:00.0 (Radeon) by old until its instance has ended"), "{said}");
    busy.busy.insert(address(1), name("llm"));
    assert_eq!(has(&after(&amd(1), None, busy).unwrap(), "llm"), [[1]], "its own instance is in nobody's way");
    let four = with(&[("a", ", instances: 4, gpus: {vendor: nvidia}"), ("b", ", gpus: {vendor: intel}")]);
    let said = refused(&four, None, stock());
    assert!(said.contains("a: each of its 4 instances asks for a GPU of nvidia, and of 3 these are held"), "{said}");
    assert!(said.contains("0000:02:00.0 (Card 2) by a"), "{said}");
    assert!(said.contains("b: it asks for a GPU of intel, and the machine has none"), "every reason at once: {said}");
}

#[test]
fn bytes_and_hashes_are_those_of_before_where_nobody_asks_for_one() {
    let plain = after(&with(&[("llm", "")]), None, stock()).unwrap();
    let with_gpu = after(&with(&[("llm", ", gpus: {}")]), None, stock()).unwrap();
    let (before, now) = (canonical::encode(&plain), canonical::encode(&with_gpu));
    assert!(now.len() > before.len() && now.starts_with(&before[..16]));
    for generation in [&plain, &with_gpu] {
        assert_eq!(&canonical::decode::<Generation>(&canonical::encode(generation)).unwrap(), generation);
    }
    assert_ne!(plain.portable.hash(), with_gpu.portable.hash());
    assert_eq!(canonical::encode(&plain.portable), canonical::encode(&with_gpu.portable), "they lie behind everything");
    // Which one it is, is this machine's: the portable part is the same, and the revision another one.
    let mut other = stock();
    other.there.remove(&address(1));
    let other = after(&with(&[("llm", ", gpus: {}")]), None, other).unwrap();
    assert_eq!(with_gpu.portable.hash(), other.portable.hash());
    assert_ne!(with_gpu.revision(&name("llm")), other.revision(&name("llm")));
    let changes: Vec<String> = diff(&with_gpu, &other).iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["~ placement.applications.llm.gpus.0: \"0000:01:00.0\" -> \"0000:02:00.0\""]);
    // What lies behind is read strictly.
    for wrong in [vec![9], vec![1, 0, 0, 0, 0], [&now[before.len()..], &[0]].concat()] {
        assert!(canonical::decode::<Generation>(&[&before[..], &wrong].concat()).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_plan_names_them_and_lets_one_version_have_them_at_a_time() {
    let first = after(&with(&[("llm", ", instances: 2, gpus: {vendor: nvidia}")]), None, stock()).unwrap();
    let mut empty = empty_machine();
    empty.host.gpus = stock().there;
    let text = plan(&empty, &first, None).unwrap().to_string();
    assert!(text.contains("llm has the GPUs 0000:02:00.0 (Card 2), 0000:03:00.0 (Card 3) alone\n"), "{text}");
    let machine = machine(&first);
    let second = after(&with(&[("llm", ":2, instances: 2, gpus: {vendor: nvidia}")]), Some(&first), stock()).unwrap();
    assert_eq!(has(&second, "llm"), has(&first, "llm"));
    let steps = plan(&machine, &second, Some(&first)).unwrap().steps;
    let at = |is: &dyn Fn(&Step) -> bool| steps.iter().position(|planned| is(&planned.step));
    let held = at(&|step| matches!(step, Step::Hold { .. })).unwrap();
    let last_stop = steps.iter().rposition(|planned| matches!(planned.step, Step::Stop { .. })).unwrap();
    let started = at(&|step| matches!(step, Step::Start { .. })).unwrap();
    assert!(held < last_stop && last_stop < started, "{steps:#?}");
}

#[test]
fn one_that_is_gone_holds_its_application_alone() {
    let text = with(&[("llm", ", gpus: {vendor: amd}"), ("web", "")]);
    let first = after(&text, None, stock()).unwrap();
    let mut machine = machine(&first);
    machine.host.gpus.remove(&address(1));
    for found in machine.applications.values_mut() {
        found.instances.values_mut().for_each(|instance| instance.state = InstanceState::Created);
    }
    let repair = plan(&machine, &first, None).unwrap();
    let missing = Refusal::GpuMissing { application: name("llm"), gpu: address(1) };
    assert_eq!(repair.held, std::slice::from_ref(&missing));
    assert!(repair.steps.iter().any(|planned| planned.step.application() == Some(&name("web"))), "{repair}");
    assert!(repair.steps.iter().all(|planned| planned.step.application() != Some(&name("llm"))), "{repair}");
    // It stands in no other application's way, and in its own where a new version wants it.
    let kept = Stock { there: stock().there, ..Stock::default() };
    let changed = after(&text.replace("image: web", "image: web:2"), Some(&first), kept.clone()).unwrap();
    assert_eq!(plan(&machine, &changed, Some(&first)).unwrap().held, std::slice::from_ref(&missing));
    let renewed = after(&text.replace("image: llm", "image: llm:2"), Some(&first), kept).unwrap();
    assert_eq!(plan(&machine, &renewed, Some(&first)).unwrap_err(), [missing]);
}

/// On a machine that cannot keep an instance to its own GPUs no new version gets one, and what has one goes on.
#[test]
fn a_machine_that_gives_none_refuses_new_versions_alone() {
    let text = with(&[("llm", ", gpus: {vendor: amd}"), ("web", "")]);
    let first = after(&text, None, stock()).unwrap();
    let lack = Some("no filter of devices".to_string());
    let mut empty = empty_machine();
    (empty.host.gpus, empty.host.gpu_lack) = (stock().there, lack.clone());
    let refused = Refusal::GpuUnusable { application: name("llm"), lack: "no filter of devices".into() };
    assert_eq!(plan(&empty, &first, None).unwrap_err(), std::slice::from_ref(&refused));
    assert!(refused.to_string().starts_with("llm: its GPUs cannot be given to it: no filter"), "{refused}");
    let mut machine = machine(&first);
    machine.host.gpu_lack = lack;
    let kept = Stock { there: stock().there, ..Stock::default() };
    assert!(plan(&machine, &first, None).unwrap().held.is_empty(), "what serves is attended");
    let changed = after(&text.replace("image: web", "image: web:2"), Some(&first), kept.clone()).unwrap();
    assert!(plan(&machine, &changed, Some(&first)).unwrap().held.is_empty(), "another one is changed");
    let renewed = after(&text.replace("image: llm", "image: llm:2"), Some(&first), kept.clone()).unwrap();
    assert_eq!(plan(&machine, &renewed, Some(&first)).unwrap_err(), [refused]);
    let without = after(&with(&[("llm", ""), ("web", "")]), Some(&first), kept).unwrap();
    assert!(plan(&machine, &without, Some(&first)).is_ok(), "it may always give them up");
}
