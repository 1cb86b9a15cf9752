//! Open alerts, those that are over, and messages about them: one state that changes by pure functions and is written as a whole.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};

use crate::words::{Acknowledged, AlertEvent, DroppedMessage, Entry, Finding};

/// Time for which a finding has to be gone before its alert closes: what comes and goes is one alert.
pub const CLEAR_LASTS: Duration = Duration::from_secs(60);
/// Open alerts at once: as many as applications fit on a machine.
pub const OPEN_MAX: usize = 500;
/// Closed alerts that are kept: those of weeks on a machine that has trouble.
pub const CLOSED_MAX: usize = 200;
/// Messages that wait: a day without a receiver, with trouble each minute.
pub const MESSAGES_MAX: usize = 1_000;
/// Messages that were given up and are named.
pub const DROPPED_MAX: usize = 50;
/// First pause after a failure; the next ones double.
const PAUSE: Duration = Duration::from_secs(30);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// Attempts of a message: with their pauses they take a day, after which an alert is no news.
pub const ATTEMPTS_MAX: u32 = 30;

/// Moment by two clocks: that of people, and one that only goes forward, milliseconds since the process began.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For people.
    pub wall: Timestamp,
    /// For what lasts.
    pub steady_ms: u64,
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message<K> {
    /// Number, from 1.
    pub id: u64,
    /// Receiver.
    pub webhook: String,
    /// Event.
    pub event: AlertEvent,
    /// Moment of the event.
    pub at: Timestamp,
    /// The alert as it was then.
    pub alert: Entry<K>,
    /// Failures.
    pub attempts: u32,
    /// Cause of the last one.
    pub cause: Option<String>,
    /// Moment of the next attempt; a new start of the process is one.
    #[serde(skip)]
    pub due_ms: u64,
}

/// The state that outlives the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Book<K> {
    alerts: u64,
    messages: u64,
    /// Open alerts, the oldest first.
    pub open: Vec<Entry<K>>,
    /// Closed ones, the oldest first.
    pub closed: VecDeque<Entry<K>>,
    /// Messages that wait, the oldest first.
    pub waiting: VecDeque<Message<K>>,
    /// Messages that were given up, the oldest first.
    pub dropped: VecDeque<DroppedMessage>,
    /// Number of all that were.
    pub dropped_count: u64,
}

// Derived, it would want a default key.
impl<K> Default for Book<K> {
    fn default() -> Book<K> {
        Book {
            alerts: 0,
            messages: 0,
            open: Vec::new(),
            closed: VecDeque::new(),
            waiting: VecDeque::new(),
            dropped: VecDeque::new(),
            dropped_count: 0,
        }
    }
}

/// The state that a start of the process begins anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch<K> {
    /// Findings without an alert: when they were first seen.
    seen: BTreeMap<K, (Timestamp, u64)>,
    /// Alerts without a finding: since when.
    gone: BTreeMap<K, u64>,
    /// Findings that lasted and have no alert, since too many are open.
    pub suppressed: u64,
    /// Not everything could be looked at: what is not found may be there, and no alert closes.
    pub is_blind: bool,
    /// The book has changes that are not written.
    pub is_unwritten: bool,
}

impl<K> Default for Watch<K> {
    fn default() -> Watch<K> {
        Watch { seen: BTreeMap::new(), gone: BTreeMap::new(), suppressed: 0, is_blind: false, is_unwritten: false }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Pause after so many failures.
pub fn pause(attempts: u32) -> Duration {
    let doubled = PAUSE.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1).min(20)));
    doubled.min(PAUSE_MAX)
}

impl<K: Clone + Ord> Book<K> {
    /// Goes on with what is found now. Returns true where something has changed that is to be kept; a message for each change waits then for every receiver.
    pub fn step(
        &mut self,
        watch: &mut Watch<K>,
        findings: &BTreeMap<K, Finding>,
        webhooks: &BTreeSet<String>,
        now: Now,
    ) -> bool {
        let mut events = Vec::new();
        self.go_on(watch, findings, now, &mut events);
        self.open_new(watch, findings, now, &mut events);
        for (event, alert) in &events {
            for webhook in webhooks {
                self.send(webhook, *event, alert, now);
            }
        }
        let gone = self.forget(webhooks, now);
        !events.is_empty() || gone
    }

    /// Open alerts become more severe, or close.
    fn go_on(
        &mut self,
        watch: &mut Watch<K>,
        findings: &BTreeMap<K, Finding>,
        now: Now,
        events: &mut Vec<(AlertEvent, Entry<K>)>,
    ) {
        let mut open = Vec::with_capacity(self.open.len());
        for mut alert in std::mem::take(&mut self.open) {
            let key = alert.key.clone();
            if let Some(finding) = findings.get(&key) {
                watch.gone.remove(&key);
                (alert.cause, alert.remedy) = (finding.cause.clone(), finding.remedy.clone());
                if finding.severity > alert.severity {
                    // Whoever knew of it did not know that.
                    (alert.severity, alert.acknowledged) = (finding.severity, None);
                    events.push((AlertEvent::Raised, alert.clone()));
                }
                open.push(alert);
                continue;
            }
            if watch.is_blind {
                open.push(alert);
                continue;
            }
            let since = *watch.gone.entry(key.clone()).or_insert(now.steady_ms);
            if now.steady_ms.saturating_sub(since) < millis(CLEAR_LASTS) {
                open.push(alert);
                continue;
            }
            watch.gone.remove(&key);
            alert.closed = Some(now.wall);
            events.push((AlertEvent::Closed, alert.clone()));
            self.closed.push_back(alert);
        }
        self.open = open;
        while self.closed.len() > CLOSED_MAX {
            self.closed.pop_front();
        }
    }

    /// Findings that have lasted become alerts.
    fn open_new(
        &mut self,
        watch: &mut Watch<K>,
        findings: &BTreeMap<K, Finding>,
        now: Now,
        events: &mut Vec<(AlertEvent, Entry<K>)>,
    ) {
        watch.suppressed = 0;
        watch.seen.retain(|key, _| findings.contains_key(key));
        let open: BTreeSet<K> = self.open.iter().map(|alert| alert.key.clone()).collect();
        for (key, finding) in findings.iter().filter(|(key, _)| !open.contains(key)) {
            let (begin, since) = *watch.seen.entry(key.clone()).or_insert((now.wall, now.steady_ms));
            if now.steady_ms.saturating_sub(since) < millis(finding.lasts) {
                continue;
            }
            if self.open.len() >= OPEN_MAX {
                watch.suppressed += 1;
                continue;
            }
            watch.seen.remove(key);
            self.alerts += 1;
            let alert = Entry {
                id: self.alerts,
                key: key.clone(),
                severity: finding.severity,
                cause: finding.cause.clone(),
                remedy: finding.remedy.clone(),
                begin,
                opened: now.wall,
                closed: None,
                acknowledged: None,
            };
            events.push((AlertEvent::Opened, alert.clone()));
            self.open.push(alert);
        }
    }

    fn send(&mut self, webhook: &str, event: AlertEvent, alert: &Entry<K>, now: Now) {
        self.messages += 1;
        self.waiting.push_back(Message {
            id: self.messages,
            webhook: webhook.into(),
            event,
            at: now.wall,
            alert: alert.clone(),
            attempts: 0,
            cause: None,
            due_ms: now.steady_ms,
        });
        while self.waiting.len() > MESSAGES_MAX
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.drop_message(oldest, format!("{MESSAGES_MAX} newer messages wait"), now);
        }
    }

    fn drop_message(&mut self, message: Message<K>, cause: String, now: Now) {
        let Message { webhook, event, alert, .. } = message;
        self.dropped.push_back(DroppedMessage { webhook, alert: alert.id, event, at: now.wall, cause });
        self.dropped_count = self.dropped_count.saturating_add(1);
        while self.dropped.len() > DROPPED_MAX {
            self.dropped.pop_front();
        }
    }

    /// Gives up messages to receivers that are no more. Returns true where there were some.
    fn forget(&mut self, webhooks: &BTreeSet<String>, now: Now) -> bool {
        let (kept, gone): (VecDeque<Message<K>>, VecDeque<Message<K>>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|message| webhooks.contains(&message.webhook));
        self.waiting = kept;
        let any = !gone.is_empty();
        for message in gone {
            self.drop_message(message, "the webhook is not configured any more".into(), now);
        }
        any
    }

    /// Messages whose next attempt is due, the oldest first.
    pub fn due(&self, steady_ms: u64, most: usize) -> Vec<Message<K>> {
        self.waiting.iter().filter(|message| message.due_ms <= steady_ms).take(most).cloned().collect()
    }

    /// Notes an attempt: the message is taken, tried again later, or given up.
    pub fn settle(&mut self, id: u64, result: Result<(), String>, now: Now) {
        let Some(at) = self.waiting.iter().position(|message| message.id == id) else { return };
        let Some(mut message) = self.waiting.remove(at) else { return };
        let Err(cause) = result else { return };
        message.attempts += 1;
        if message.attempts >= ATTEMPTS_MAX {
            let cause = format!("{ATTEMPTS_MAX} attempts over a day have failed, the last one: {cause}");
            return self.drop_message(message, cause, now);
        }
        message.due_ms = now.steady_ms.saturating_add(millis(pause(message.attempts)));
        message.cause = Some(cause);
        self.waiting.insert(at, message);
    }

    /// Notes that somebody knows of an open alert; whoever was first stays. None where there is no such alert.
    pub fn acknowledge(&mut self, id: u64, by: &str, at: Timestamp) -> Option<Entry<K>> {
        let alert = self.open.iter_mut().find(|alert| alert.id == id)?;
        alert.acknowledged.get_or_insert_with(|| Acknowledged { by: by.into(), at });
        Some(alert.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::words::Severity;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    enum Kind {
        Down,
        Disk,
        Machine,
        Late,
        Certificate,
        Update,
    }

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Key {
        kind: Kind,
        application: Option<String>,
    }

    fn at(s: u64) -> Now {
        Now { wall: Timestamp::from_millis(i64::try_from(s * 1_000).unwrap()), steady_ms: s * 1_000 }
    }

    fn finding(kind: Kind, severity: Severity) -> (Key, Finding) {
        let finding =
            Finding { severity, cause: "cause".into(), remedy: "remedy".into(), lasts: Duration::from_secs(30) };
        (Key { kind, application: Some("web".into()) }, finding)
    }

    fn hooks() -> BTreeSet<String> {
        ["ops".to_string()].into()
    }

    fn events(book: &Book<Key>) -> Vec<AlertEvent> {
        book.waiting.iter().map(|message| message.event).collect()
    }

    #[test]
    fn an_alert_opens_after_it_has_lasted_and_closes_after_it_is_gone() {
        let (mut book, mut watch) = (Book::default(), Watch::default());
        let down = BTreeMap::from([finding(Kind::Down, Severity::Critical)]);
        let none = BTreeMap::new();
        assert!(!book.step(&mut watch, &down, &hooks(), at(100)));
        assert!(!book.step(&mut watch, &down, &hooks(), at(129)));
        assert!(!book.step(&mut watch, &none, &hooks(), at(130)), "a finding that has gone begins anew");
        assert!(!book.step(&mut watch, &down, &hooks(), at(131)));
        assert!(book.step(&mut watch, &down, &hooks(), at(161)));
        assert_eq!((book.open.len(), book.open[0].begin), (1, at(131).wall));
        assert!(!book.step(&mut watch, &none, &hooks(), at(170)));
        assert!(!book.step(&mut watch, &down, &hooks(), at(200)), "one that comes and goes is one alert");
        assert!(!book.step(&mut watch, &none, &hooks(), at(210)));
        assert!(!book.step(&mut watch, &none, &hooks(), at(269)));
        assert!(book.step(&mut watch, &none, &hooks(), at(270)));
        assert!(book.open.is_empty() && book.closed[0].closed == Some(at(270).wall));
        assert_eq!(events(&book), [AlertEvent::Opened, AlertEvent::Closed]);
    }

    #[test]
    fn nothing_closes_while_not_everything_is_seen() {
        let (mut book, mut watch) = (Book::default(), Watch::default());
        let down = BTreeMap::from([finding(Kind::Down, Severity::Critical)]);
        book.step(&mut watch, &down, &hooks(), at(0));
        book.step(&mut watch, &down, &hooks(), at(30));
        watch.is_blind = true;
        book.step(&mut watch, &BTreeMap::new(), &hooks(), at(40));
        assert!(!book.step(&mut watch, &BTreeMap::new(), &hooks(), at(1_000)));
        watch.is_blind = false;
        assert!(!book.step(&mut watch, &BTreeMap::new(), &hooks(), at(1_001)), "the time begins with the first look");
        assert!(book.step(&mut watch, &BTreeMap::new(), &hooks(), at(1_061)));
    }

    #[test]
    fn more_severe_is_told_again_and_is_no_longer_known() {
        let (mut book, mut watch) = (Book::default(), Watch::default());
        let warning = BTreeMap::from([finding(Kind::Disk, Severity::Warning)]);
        let critical = BTreeMap::from([finding(Kind::Disk, Severity::Critical)]);
        book.step(&mut watch, &warning, &hooks(), at(0));
        book.step(&mut watch, &warning, &hooks(), at(30));
        assert_eq!(book.acknowledge(1, "alice", at(31).wall).unwrap().acknowledged.unwrap().by, "alice");
        assert_eq!(book.acknowledge(1, "bob", at(32).wall).unwrap().acknowledged.unwrap().by, "alice");
        assert_eq!(book.acknowledge(2, "bob", at(32).wall), None);
        assert!(book.step(&mut watch, &critical, &hooks(), at(40)));
        assert_eq!((book.open[0].severity, &book.open[0].acknowledged), (Severity::Critical, &None));
        assert!(!book.step(&mut watch, &warning, &hooks(), at(50)), "it does not become less severe");
        assert_eq!(events(&book), [AlertEvent::Opened, AlertEvent::Raised]);
    }

    #[test]
    fn messages_are_tried_for_a_day_and_then_named() {
        let pauses: Duration = (1..ATTEMPTS_MAX).map(pause).sum();
        assert!(pauses <= Duration::from_secs(86_400) && pauses > Duration::from_secs(22 * 3_600), "{pauses:?}");
        let (mut book, mut watch) = (Book::default(), Watch::default());
        let down = BTreeMap::from([finding(Kind::Down, Severity::Critical)]);
        book.step(&mut watch, &down, &hooks(), at(0));
        book.step(&mut watch, &down, &hooks(), at(30));
        let mut now = 30;
        for attempt in 1..=ATTEMPTS_MAX {
            let due = book.due(now * 1_000, 10);
            assert_eq!(due.len(), 1, "attempt {attempt}");
            book.settle(due[0].id, Err("no answer".into()), at(now));
            assert!(book.due(now * 1_000, 10).is_empty());
            now += pause(attempt).as_secs();
        }
        assert!(book.waiting.is_empty() && book.dropped_count == 1);
        assert!(book.dropped[0].cause.ends_with("no answer"));
        book.settle(99, Ok(()), at(now));
    }

    #[test]
    fn a_message_that_is_taken_is_gone_and_one_without_a_receiver_is_named() {
        let (mut book, mut watch) = (Book::default(), Watch::default());
        let down = BTreeMap::from([finding(Kind::Down, Severity::Critical)]);
        let two = BTreeSet::from(["a".to_string(), "b".to_string()]);
        book.step(&mut watch, &down, &two, at(0));
        book.step(&mut watch, &down, &two, at(30));
        assert_eq!(book.waiting.len(), 2);
        book.settle(book.waiting[0].id, Ok(()), at(31));
        assert!(book.step(&mut watch, &down, &BTreeSet::new(), at(32)));
        assert!(book.waiting.is_empty() && book.dropped[0].webhook == "b");
    }

    #[test]
    fn what_is_written_is_read_again_and_tried_at_once() {
        let (mut book, mut watch) = (Book::default(), Watch::default());
        let down = BTreeMap::from([finding(Kind::Down, Severity::Critical)]);
        book.step(&mut watch, &down, &hooks(), at(0));
        book.step(&mut watch, &down, &hooks(), at(30));
        book.settle(1, Err("no answer".into()), at(30));
        let read: Book<Key> = serde_json::from_slice(&serde_json::to_vec(&book).unwrap()).unwrap();
        assert_eq!((&read.open, read.waiting[0].attempts), (&book.open, 1));
        assert_eq!(read.due(0, 10).len(), 1);
        assert!(serde_json::from_str::<Book<Key>>("{}").unwrap() == Book::default());
    }

    proptest! {
        /// Whatever is found in whatever order: bounds hold, no key is open twice, each alert that opened is open or closed once.
        #[test]
        fn any_run_of_findings_is_bounded(steps in prop::collection::vec((0_u64..200, 0_u16..64), 1..60)) {
            let (mut book, mut watch, mut now) = (Book::default(), Watch::default(), 0);
            for (passed, bits) in steps {
                now += passed;
                let kinds = [
                    Kind::Down, Kind::Disk, Kind::Machine,
                    Kind::Late, Kind::Certificate, Kind::Update,
                ];
                let findings = kinds.into_iter().enumerate().filter(|(at, _)| (bits >> at) & 1 == 1);
                let findings = findings.map(|(_, kind)| finding(kind, Severity::Warning)).collect();
                book.step(&mut watch, &findings, &hooks(), at(now));
                let keys: BTreeSet<Key> = book.open.iter().map(|alert| alert.key.clone()).collect();
                prop_assert_eq!(keys.len(), book.open.len());
                prop_assert!(book.waiting.len() <= MESSAGES_MAX && book.closed.len() <= CLOSED_MAX);
                let opened = events(&book).into_iter().filter(|event| *event == AlertEvent::Opened).count();
                prop_assert_eq!(opened, book.open.len() + book.closed.len());
            }
        }
    }

    #[test]
    fn too_many_alerts_and_messages_drop_the_oldest_by_name() {
        let (mut book, mut watch) = (Book::default(), Watch::default());
        let many = |count: usize| -> BTreeMap<Key, Finding> {
            let one = |index: usize| {
                let (key, finding) = finding(Kind::Down, Severity::Critical);
                (Key { application: Some(format!("a{index}")), ..key }, finding)
            };
            (0..count).map(one).collect()
        };
        let three = BTreeSet::from(["a", "b", "c"].map(String::from));
        book.step(&mut watch, &many(OPEN_MAX + 3), &three, at(0));
        book.step(&mut watch, &many(OPEN_MAX + 3), &three, at(30));
        assert_eq!((book.open.len(), watch.suppressed), (OPEN_MAX, 3));
        assert_eq!(book.waiting.len(), MESSAGES_MAX);
        assert_eq!(book.dropped_count, (3 * OPEN_MAX - MESSAGES_MAX) as u64);
        assert_eq!(book.dropped.len(), DROPPED_MAX);
    }
}
