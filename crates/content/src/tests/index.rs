//! The stock against a plain list of blocks.

use openmesh_primitives::ContentId;
use proptest::prelude::*;

use crate::Reason;
use crate::index::Index;

#[derive(Clone, Debug)]
enum Step {
    Insert { n: u8, bytes: u64, reason: Reason, kept: i64 },
    Take(u8),
    Hold(u8, bool),
    Since(i64),
}

fn cid(n: u8) -> ContentId {
    ContentId::of(&[n])
}

fn step() -> impl Strategy<Value = Step> {
    let reason = prop_oneof![Just(Reason::Cached), Just(Reason::Segment), Just(Reason::Window)];
    prop_oneof![
        4 => (0..12u8, 1..9u64, reason, 0..20i64).prop_map(|(n, bytes, reason, kept)| Step::Insert { n, bytes, reason, kept }),
        1 => (0..12u8).prop_map(Step::Take),
        2 => (0..12u8, any::<bool>()).prop_map(|(n, more)| Step::Hold(n, more)),
        1 => (0..20i64).prop_map(Step::Since),
    ]
}

/// A block of the plain list: number, bytes, reason, time, holds.
type Block = (u8, u64, Reason, i64, u32);

proptest! {
    #[test]
    fn sums_and_victims_are_those_of_a_plain_list(steps in proptest::collection::vec(step(), 1..60)) {
        let (mut index, mut list, mut since) = (Index::default(), Vec::<Block>::new(), i64::MIN);
        for step in steps {
            match step {
                Step::Insert { n, bytes, reason, kept } => {
                    index.insert(cid(n), bytes, reason, kept);
                    let holds = list.iter().find(|b| b.0 == n).map_or(0, |b| b.4);
                    list.retain(|b| b.0 != n);
                    list.push((n, bytes, reason, kept, holds));
                }
                Step::Take(n) => {
                    let found = index.take(&cid(n)).is_some();
                    prop_assert_eq!(found, list.iter().any(|b| b.0 == n));
                    list.retain(|b| b.0 != n);
                }
                Step::Hold(n, more) => {
                    for block in list.iter_mut().filter(|b| b.0 == n && (more || b.4 > 0)) {
                        index.hold(&cid(n), if more { 1 } else { -1 });
                        block.4 = block.4.saturating_add_signed(if more { 1 } else { -1 });
                    }
                }
                Step::Since(time) => {
                    index.retain_since(time);
                    since = time;
                }
            }
            let recent = |b: &&Block| b.2 == Reason::Window && b.3 >= since;
            prop_assert_eq!(index.bytes(), list.iter().map(|b| b.1).sum::<u64>());
            prop_assert_eq!(index.recent_bytes(), list.iter().filter(recent).map(|b| b.1).sum::<u64>());
            let held = list.iter().filter(|b| b.4 > 0 && !recent(b)).map(|b| b.1).sum::<u64>();
            prop_assert_eq!(index.held_bytes(), held);
            let loose = list.iter().filter(|b| b.4 == 0 && !recent(b)).map(|b| (b.2, b.3, cid(b.0))).min();
            prop_assert_eq!(index.loose(Reason::Window, i64::MAX), loose.map(|(.., cid)| cid));
            for reason in [Reason::Cached, Reason::Segment, Reason::Window] {
                let oldest = list.iter().filter(|b| b.2 == reason).map(|b| b.3).min();
                prop_assert_eq!(index.oldest(reason), oldest);
            }
        }
    }
}
