//! The order of jobs: the longest first, as many at once as keep the cores busy, and those that are told by the clock alone at the end.

use std::cmp::Reverse;

use super::jobs::Job;

/// Puts jobs into their order. Those of the same time keep theirs.
pub fn sort(jobs: &mut [Job]) {
    jobs.sort_by_key(|job| (job.alone, Reverse(job.seconds)));
}

/// The next job to begin, of those that wait in their order; none where all that run have to be waited for first.
///
/// Whatever a job keeps busy, it begins where nothing else runs.
pub fn next<'a>(waiting: &[Job], running: impl Iterator<Item = &'a Job>, cores: u32) -> Option<usize> {
    let (mut count, mut load, mut is_alone) = (0, 0_u32, false);
    for job in running {
        (count, load, is_alone) = (count + 1, load.saturating_add(job.load), is_alone || job.alone);
    }
    if count == 0 {
        return (!waiting.is_empty()).then_some(0);
    }
    let left = (cores * 100).saturating_sub(load);
    waiting.iter().position(|job| !is_alone && !job.alone && job.load <= left)
}
