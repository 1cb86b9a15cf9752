//! Plans of many documents, one after the other, broken off anywhere.

use std::fmt::Write;

use openmesh_blueprint::generation::Generation;
use openmesh_blueprint::inventory::Inventory;
use openmesh_blueprint::plan;
use proptest::prelude::*;

use crate::world::{empty_machine, generation, generation_after, reach, step};

/// An application of a random document.
#[derive(Clone, Debug)]
struct App {
    there: bool,
    image: u8,
    variable: u8,
    volume: Option<u8>,
    publish: Option<u8>,
    instances: u8,
    wish: u8,
    links: [bool; 3],
    job: bool,
}

fn app() -> impl Strategy<Value = App> {
    let first = (prop::bool::weighted(0.8), 0u8..2, 0u8..2, prop::option::of(0u8..3), prop::option::of(0u8..4));
    let second = (1u8..3, 0u8..6, prop::array::uniform3(any::<bool>()), any::<bool>());
    (first, second).prop_map(|((there, image, variable, volume, publish), (instances, wish, links, job))| App {
        there,
        image,
        variable,
        volume,
        publish,
        instances,
        wish,
        links,
        job,
    })
}

const NAMES: [&str; 4] = ["d", "b", "c", "a"];

/// The text of applications in this order. Explicit ports are chosen so that no two applications have one.
fn text(apps: &[App; 4], order: [usize; 4], sizes: &[u8; 4]) -> String {
    let mut text = String::from("version: 1\napplications:\n");
    for index in order {
        let app = &apps[index];
        if !app.there {
            continue;
        }
        let mut links: Vec<&str> =
            (0..index).filter(|other| app.links[*other % 3] && apps[*other].there).map(|other| NAMES[other]).collect();
        if order[0] % 2 == 1 {
            links.reverse();
        }
        let publish = match app.publish {
            None => String::new(),
            Some(0) => ", publish: {}".to_string(),
            Some(number) => {
                // The number is the application's place among those with an explicit port, turned by its own wish.
                let taken =
                    apps[..index].iter().filter(|other| other.there && other.publish.is_some_and(|n| n > 0)).count();
                let turn = usize::from(apps.iter().map(|app| app.variable).sum::<u8>());
                let explicit = apps.iter().filter(|other| other.there && other.publish.is_some_and(|n| n > 0)).count();
                let _ = number;
                format!(", publish: {{port: {}}}", 8000 + (taken + turn) % explicit)
            }
        };
        let volume = match app.volume {
            None => String::new(),
            Some(_) => format!(", volumes: {{data: {{path: /data, size: {} GiB}}}}", 1 + u32::from(sizes[index])),
        };
        let wish = ["running", "running", "running", "running", "paused", "stopped"][usize::from(app.wish)];
        let job = if app.job { ", jobs: {up: {command: [up], occasion: switch}}" } else { "" };
        let _ = writeln!(
            text,
            "  {}: {{image: \"i:{}\", variables: {{V: \"{}\"}}, instances: {}, wish: {wish}, links: [{}], ports: {{p: {{port: 80{publish}}}}}{volume}{job}}}",
            NAMES[index],
            app.image,
            app.variable,
            app.instances,
            links.join(", "),
        );
    }
    text
}

/// Documents one after the other, each with where its execution is broken off, and whether it is left for the next one then.
fn history() -> impl Strategy<Value = Vec<([App; 4], Vec<usize>, bool)>> {
    let one = (prop::array::uniform4(app()), prop::collection::vec(0usize..8, 0..4), prop::bool::weighted(0.3));
    prop::collection::vec(one, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever was there, in whatever state it was left: planning and doing reaches the generation, and then nothing is left to do. On the way
    /// nothing happens that must not (see `world::step`).
    #[test]
    fn every_generation_is_reached(history in history()) {
        let mut machine = empty_machine();
        let mut latest: Option<Generation> = None;
        let mut served: Option<Generation> = None;
        let mut sizes = [0u8; 4];
        for (index, (apps, prefixes, left)) in history.iter().enumerate() {
            // Volumes only grow, and seldom.
            sizes.iter_mut().zip(apps).for_each(|(size, app)| *size += app.volume.unwrap_or(0) / 2);
            let text = text(apps, [0, 1, 2, 3], &sizes);
            let next = generation_after(&text, latest.as_ref(), machine.current, index as i64 * 60).unwrap();
            let last = index + 1 == history.len();
            if *left && !last {
                broken_off(&mut machine, &next, served.as_ref(), prefixes);
            } else {
                reach(&mut machine, &next, served.as_ref(), prefixes);
                served = Some(next.clone());
            }
            if machine.current == next.number {
                served = Some(next.clone());
            }
            latest = Some(next);
        }
    }

    /// The order in which a document says things changes neither generation nor plan.
    #[test]
    fn order_does_not_matter(apps in prop::array::uniform4(app()), order in Just([0usize, 1, 2, 3]).prop_shuffle()) {
        let sizes = [1, 2, 0, 1];
        let straight = generation(&text(&apps, [0, 1, 2, 3], &sizes), None, 0).unwrap();
        let mixed = generation(&text(&apps, order, &sizes), None, 0).unwrap();
        prop_assert_eq!(&straight, &mixed);
        let machine = empty_machine();
        let plans = [plan(&machine, &straight, None).unwrap(), plan(&machine, &mixed, None).unwrap()];
        prop_assert_eq!(plans[0].to_string(), plans[1].to_string());
        prop_assert_eq!(&plans[0], &plans[1]);
    }

    /// Everything is fetched before anything is stopped, and everything that ends for good does so after the commit.
    #[test]
    fn the_order_of_a_plan(before in prop::array::uniform4(app()), after in prop::array::uniform4(app())) {
        let sizes = [0; 4];
        let first = generation(&text(&before, [0, 1, 2, 3], &sizes), None, 0).unwrap();
        let second = generation(&text(&after, [0, 1, 2, 3], &sizes), Some(&first), 60).unwrap();
        let mut machine = empty_machine();
        reach(&mut machine, &first, None, &[]);
        let plan = plan(&machine, &second, Some(&first)).unwrap();
        let words: Vec<String> = plan.steps.iter().map(|planned| planned.step.to_string()).collect();
        let first_of = |word: &str| words.iter().position(|step| step.starts_with(word)).unwrap_or(words.len());
        let last_of = |word: &str| words.iter().rposition(|step| step.starts_with(word)).map_or(0, |at| at + 1);
        prop_assert!(last_of("unpack") <= first_of("stop"));
        prop_assert!(last_of("unpack") <= first_of("hold"));
        prop_assert!(last_of("admit") <= first_of("watch"));
        prop_assert!(last_of("watch") <= first_of("commit"));
        prop_assert!(first_of("commit") < words.len());
        prop_assert!(first_of("commit") <= first_of("collect"));
    }
}

/// Plans and does some steps, and leaves it there.
fn broken_off(machine: &mut Inventory, generation: &Generation, previous: Option<&Generation>, prefixes: &[usize]) {
    for prefix in prefixes {
        let plan = plan(machine, generation, previous).unwrap();
        for planned in plan.steps.iter().take(*prefix) {
            step(&planned.step, machine, generation);
        }
    }
}

const ONE: &str = "version: 1\napplications:\n  a: {image: i:1, volumes: {data: {path: /data, size: 1 GiB}}}\n";
const NONE: &str = "version: 1\n";

/// A volume of a generation that was given up before it was made is no missing volume when its application comes back.
#[test]
fn a_volume_that_was_never_made() {
    let mut machine = empty_machine();
    let first = generation_after(ONE, None, 0, 0).unwrap();
    let second = generation_after(NONE, Some(&first), 0, 60).unwrap();
    reach(&mut machine, &second, None, &[]);
    let third = generation_after(ONE, Some(&second), 2, 120).unwrap();
    reach(&mut machine, &third, Some(&second), &[]);
    assert_eq!(machine.volumes.len(), 1);
}

/// A line of a generation that was given up before it was cloned is cloned when its application comes back.
#[test]
fn a_line_that_was_never_made() {
    let mut machine = empty_machine();
    let first = generation_after(ONE, None, 0, 0).unwrap();
    reach(&mut machine, &first, None, &[]);
    let second = generation_after(&ONE.replace("i:1", "i:2"), Some(&first), 1, 60).unwrap();
    let third = generation_after(NONE, Some(&second), 1, 120).unwrap();
    reach(&mut machine, &third, Some(&first), &[]);
    let fourth = generation_after(&ONE.replace("i:1", "i:2"), Some(&third), 3, 180).unwrap();
    reach(&mut machine, &fourth, Some(&third), &[]);
    let volume = machine.volumes.values().next().unwrap();
    assert_eq!((volume.in_use, volume.lines.len()), (2, 2));
}
