//! Lives of instances: single stories, and hundreds of random ones in a small world of one helper and one first process.

use proptest::prelude::*;

use super::*;
use crate::restart::RestartPolicy;

const TERM: StopRule = StopRule { signal: 15, grace_ms: 1_000 };

fn rules(policy: RestartPolicy) -> Rules {
    let restart = RestartRule::new(policy);
    Rules { has_start: true, has_delete: true, held: false, helper_ms_max: 10_000, restart }
}

fn machine(policy: RestartPolicy) -> Machine {
    Machine::new(rules(policy), 0, 0)
}

#[test]
fn a_life_from_creation_to_the_next_one() {
    let mut m = machine(RestartPolicy::Always);
    assert_eq!(m.on(Input::Start, 0), [Effect::Create]);
    assert_eq!(m.on(Input::HelperEnded { ok: true }, 10), [Effect::Start]);
    assert_eq!(m.on(Input::HelperEnded { ok: true }, 20), []);
    assert_eq!(m.phase(), Phase::Running);
    assert_eq!(m.on(Input::FirstEnded { failed: true }, 30), [Effect::Sweep]);
    assert_eq!(m.on(Input::Swept, 31), [Effect::Delete]);
    assert_eq!(m.on(Input::HelperEnded { ok: true }, 40), []);
    assert_eq!((m.phase(), m.deadline()), (Phase::Waiting { until: 140 }, Some(140)));
    assert_eq!(m.on(Input::Tick, 139), []);
    assert_eq!(m.on(Input::Tick, 140), [Effect::Create]);
    assert_eq!((m.runs(), m.restarts()), (2, 1));
}

fn running(policy: RestartPolicy) -> Machine {
    let mut m = machine(policy);
    m.on(Input::Start, 0);
    m.on(Input::HelperEnded { ok: true }, 0);
    m.on(Input::HelperEnded { ok: true }, 0);
    m
}

#[test]
fn whoever_ignores_the_signal_is_killed_after_the_grace_and_not_restarted() {
    let mut m = running(RestartPolicy::Always);
    assert_eq!(m.on(Input::Stop(TERM), 100), [Effect::Signal(15)]);
    assert_eq!(m.on(Input::Tick, 1_099), []);
    assert_eq!(m.on(Input::Tick, 1_100), [Effect::Kill]);
    assert_eq!(m.on(Input::Tick, 9_999), []);
    assert_eq!(m.on(Input::FirstEnded { failed: true }, 1_101), [Effect::Sweep]);
    m.on(Input::Swept, 1_102);
    m.on(Input::HelperEnded { ok: true }, 1_103);
    assert_eq!((m.phase(), m.wanted()), (Phase::Stopped, false));
}

#[test]
fn a_second_stop_can_hasten_and_never_delay() {
    let mut m = running(RestartPolicy::Always);
    m.on(Input::Stop(TERM), 0);
    m.on(Input::Stop(StopRule { signal: 2, grace_ms: 60_000 }), 10);
    assert_eq!(m.deadline(), Some(1_000));
    m.on(Input::Stop(StopRule { signal: 2, grace_ms: 100 }), 20);
    assert_eq!(m.deadline(), Some(120));
    assert_eq!(m.on(Input::Stop(StopRule { signal: 15, grace_ms: 0 }), 30), [Effect::Kill]);
}

#[test]
fn a_start_while_stopping_starts_again_after_it() {
    let mut m = running(RestartPolicy::Never);
    m.on(Input::Stop(TERM), 0);
    m.on(Input::Start, 1);
    m.on(Input::FirstEnded { failed: false }, 2);
    m.on(Input::Swept, 3);
    assert_eq!(m.on(Input::HelperEnded { ok: true }, 4), [Effect::Create]);
}

#[test]
fn a_stop_before_the_start_kills_what_was_created() {
    let mut m = machine(RestartPolicy::Always);
    m.on(Input::Start, 0);
    assert_eq!(m.on(Input::Stop(TERM), 1), []);
    assert_eq!(m.on(Input::HelperEnded { ok: true }, 2), [Effect::Kill]);
    assert_eq!(m.on(Input::FirstEnded { failed: true }, 3), [Effect::Sweep]);
}

#[test]
fn a_first_process_that_ends_before_its_helper_waits_for_it() {
    let mut m = machine(RestartPolicy::OnFailure);
    m.on(Input::Start, 0);
    m.on(Input::HelperEnded { ok: true }, 1);
    assert_eq!(m.on(Input::FirstEnded { failed: false }, 2), []);
    assert_eq!(m.on(Input::HelperEnded { ok: true }, 3), [Effect::Sweep]);
    m.on(Input::Swept, 4);
    m.on(Input::HelperEnded { ok: true }, 5);
    assert_eq!(m.phase(), Phase::Stopped, "it ended well");
}

#[test]
fn a_helper_that_hangs_is_killed_and_its_failure_counts_as_an_end() {
    let mut m = machine(RestartPolicy::Always);
    m.on(Input::Start, 0);
    assert_eq!(m.on(Input::Tick, 10_000), [Effect::KillHelper]);
    assert_eq!(m.on(Input::HelperEnded { ok: false }, 10_001), [Effect::Sweep]);
    m.on(Input::Swept, 10_002);
    m.on(Input::HelperEnded { ok: true }, 10_003);
    assert_eq!(m.phase(), Phase::Waiting { until: 10_103 });
}

#[test]
fn a_held_start_waits_for_a_word_once() {
    let mut m = Machine::new(Rules { held: true, ..rules(RestartPolicy::Always) }, 0, 0);
    assert_eq!(m.on(Input::Begin, 0), [Effect::Create]);
    assert_eq!(m.on(Input::HelperEnded { ok: true }, 1), []);
    assert_eq!(m.phase(), Phase::Created);
    assert_eq!(m.on(Input::Start, 2), [Effect::Start]);
    m.on(Input::HelperEnded { ok: true }, 3);
    m.on(Input::FirstEnded { failed: true }, 4);
    m.on(Input::Swept, 5);
    m.on(Input::HelperEnded { ok: true }, 6);
    m.on(Input::Tick, 106);
    assert_eq!(m.on(Input::HelperEnded { ok: true }, 107), [Effect::Start], "restarts need nobody");
}

#[test]
fn what_an_earlier_shim_left_is_removed_first() {
    let mut m = machine(RestartPolicy::Never);
    assert_eq!(m.on(Input::Clear, 0), [Effect::Delete]);
    assert_eq!(m.on(Input::HelperEnded { ok: false }, 1), [Effect::Create]);
    let mut m = Machine::new(Rules { has_delete: false, ..rules(RestartPolicy::Never) }, 7, 3);
    assert_eq!((m.on(Input::Clear, 0), m.runs()), (vec![Effect::Create], 8));
}

#[test]
fn a_paused_instance_is_not_started_by_policy() {
    let mut m = running(RestartPolicy::Always);
    m.on(Input::Pause, 0);
    m.on(Input::FirstEnded { failed: true }, 1);
    m.on(Input::Swept, 2);
    m.on(Input::HelperEnded { ok: true }, 3);
    assert_eq!((m.on(Input::Tick, 99_999), m.deadline()), (vec![], None));
    assert_eq!(m.on(Input::Resume, 100_000), [Effect::Create]);
}

/// A world that does what the machine asks, and ends processes at random.
#[derive(Default)]
struct World {
    helper: Option<Effect>,
    helper_killed: bool,
    first: bool,
    first_killed: bool,
    sweeping: bool,
    left: bool,
}

impl World {
    fn apply(&mut self, effects: &[Effect]) {
        for effect in effects {
            assert!(!self.left, "{effect:?} after the shim left");
            match effect {
                Effect::Create | Effect::Start | Effect::Delete => {
                    assert_eq!(self.helper, None, "two helpers at once");
                    assert_eq!(*effect == Effect::Start, self.first, "{effect:?} with first process: {}", self.first);
                    (self.helper, self.helper_killed) = (Some(*effect), false);
                }
                Effect::Signal(_) | Effect::Kill => {
                    assert!(self.first, "{effect:?} without a first process");
                    self.first_killed |= *effect == Effect::Kill;
                }
                Effect::KillHelper => {
                    assert!(self.helper.is_some());
                    self.helper_killed = true;
                }
                Effect::Sweep => {
                    assert_eq!(self.helper, None, "a helper is waited for");
                    (self.sweeping, self.first) = (true, false);
                }
                Effect::Leave => {
                    assert!(!self.first && self.helper.is_none());
                    self.left = true;
                }
            }
        }
    }

    /// The helper ends, well or not.
    fn helper_ends(&mut self, well: bool) -> Option<Input> {
        let ended = self.helper.take()?;
        let ok = well && !self.helper_killed;
        if ended == Effect::Create && ok {
            (self.first, self.first_killed) = (true, false);
        }
        Some(Input::HelperEnded { ok })
    }

    fn first_ends(&mut self, failed: bool) -> Option<Input> {
        // During creation the driver reports the helper first.
        if !self.first || self.helper == Some(Effect::Create) {
            return None;
        }
        self.first = false;
        Some(Input::FirstEnded { failed })
    }

    fn swept(&mut self) -> Option<Input> {
        std::mem::take(&mut self.sweeping).then_some(Input::Swept)
    }

    /// One thing that must happen by itself, if there is any.
    fn settle(&mut self) -> Option<Input> {
        if self.helper.is_some() {
            return self.helper_ends(true);
        }
        if self.first && self.first_killed {
            return self.first_ends(true);
        }
        self.swept()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn never_two_processes_and_a_stop_always_stops(
        steps in prop::collection::vec((0u8..14, any::<bool>(), 0u64..20_000), 0..80),
        (has_start, has_delete, held) in any::<(bool, bool, bool)>(),
    ) {
        let rules = Rules { has_start, has_delete, held, ..rules(RestartPolicy::Always) };
        let (mut m, mut world, mut now) = (Machine::new(rules, 0, 0), World::default(), 0);
        for (kind, flag, pause) in steps {
            now += pause;
            let input = match kind {
                0 => Some(Input::Start),
                1 => Some(Input::Stop(TERM)),
                2 => Some(Input::Restart(TERM)),
                3 => Some(if flag { Input::Pause } else { Input::Resume }),
                4..=6 => world.helper_ends(flag),
                7 | 8 => world.first_ends(flag),
                9 => world.swept(),
                10 => Some(if flag { Input::Begin } else { Input::Clear }),
                _ => Some(Input::Tick),
            };
            if let Some(input) = input {
                world.apply(&m.on(input, now));
            }
        }
        world.apply(&m.on(Input::Leave(TERM), now));
        for _ in 0..50 {
            now = m.deadline().map_or(now, |due| due.max(now));
            world.apply(&m.on(Input::Tick, now));
            if let Some(input) = world.settle() {
                world.apply(&m.on(input, now));
            }
        }
        prop_assert!(world.left, "it did not come to rest: {m:?}");
        prop_assert_eq!(m.phase(), Phase::Stopped);
    }
}
