//! What may be thrown away, and when what must not be lost is copied.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use model::{ArtifactId, ReleaseId, ServiceId};

/// What is kept of what is over. Data is never thrown away, and never what runs or serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Of each service, so many releases that have served and can be rolled back to; 1 to 1,000.
    pub releases: usize,
    /// Logs, events, and records of what is over are kept for so many days; 1 to 3,650.
    pub days: i64,
    /// All logs together, in bytes; the oldest go first.
    pub log_bytes: u64,
    /// All caches of builds together, in bytes; those that were used longest ago go first.
    pub cache_bytes: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { releases: 10, days: 30, log_bytes: 2 << 30, cache_bytes: 20 << 30 }
    }
}

impl Keep {
    /// What is older than this may go, if nothing else keeps it.
    #[must_use]
    pub fn before(&self, now: Timestamp) -> Timestamp {
        now.saturating_sub(SignedDuration::from_hours(24 * self.days)).unwrap_or(Timestamp::MIN)
    }
}

/// A release younger than this is about to be used, whatever is known of it.
const YOUNG: SignedDuration = SignedDuration::from_hours(1);

/// What is known of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFacts {
    /// Its id.
    pub id: ReleaseId,
    /// Whose it is.
    pub service_id: ServiceId,
    /// Where it stands among those of its service.
    pub revision: u64,
    /// What it needs, if it has files.
    pub artifact_id: Option<ArtifactId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether a deploy of it is live or under way, or an instance, a job or a run of it is there.
    pub is_used: bool,
    /// Whether it was live once.
    pub has_served: bool,
}

/// Which releases, and so which artifacts, are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Those whose artifact is kept.
    pub releases: BTreeSet<ReleaseId>,
    /// What those need.
    pub artifacts: BTreeSet<ArtifactId>,
    /// Those that may be forgotten altogether.
    pub forgotten: BTreeSet<ReleaseId>,
}

/// Decides which releases can still be used: what is live, under way or running, what was made a
/// moment ago, and of each service the newest that have served.
#[must_use]
pub fn releases(facts: &[ReleaseFacts], keep: &Keep, now: Timestamp) -> Kept {
    let mut newest_first: Vec<&ReleaseFacts> = facts.iter().collect();
    newest_first.sort_by_key(|facts| std::cmp::Reverse(facts.revision));
    let before = keep.before(now);
    let mut served: BTreeMap<&ServiceId, usize> = BTreeMap::new();
    let mut kept = Kept::default();
    for release in newest_first {
        let rank = served.entry(&release.service_id).or_default();
        let can_be_rolled_back_to = release.has_served && *rank < keep.releases;
        *rank += usize::from(release.has_served);
        let is_young = now.duration_since(release.created_at) < YOUNG;
        if release.is_used || can_be_rolled_back_to || is_young {
            kept.releases.insert(release.id.clone());
            kept.artifacts.extend(release.artifact_id.clone());
        } else if release.created_at < before {
            kept.forgotten.insert(release.id.clone());
        }
    }
    kept
}

/// A cache of builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheFacts {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was last written to.
    pub used_at: Timestamp,
}

/// The caches that go: those that were used longest ago, until what is left fits.
#[must_use]
pub fn caches_to_remove(caches: &[CacheFacts], max_bytes: u64) -> Vec<&CacheFacts> {
    let mut oldest_first: Vec<&CacheFacts> = caches.iter().collect();
    oldest_first.sort_by_key(|cache| cache.used_at);
    let mut left: u64 = caches.iter().map(|cache| cache.bytes).sum();
    oldest_first
        .into_iter()
        .take_while(|cache| {
            let is_too_much = left > max_bytes;
            left -= cache.bytes;
            is_too_much
        })
        .collect()
}

/// The newest copies of the control plane's database that are kept, whatever their age.
pub const COPIES_NEWEST: usize = 5;
/// So many days back, the newest copy of each day is kept as well.
pub const COPIES_DAYS: i64 = 7;
/// A change is copied when nothing else has changed for this long …
pub const COPY_QUIET: SignedDuration = SignedDuration::from_secs(20);
/// … or when it is this old, however much changes.
pub const COPY_DELAY_MAX: SignedDuration = SignedDuration::from_mins(5);
/// A copy this old is made again even if nothing is known to have changed.
pub const COPY_AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// How the database stands against its copies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// When the newest copy was made.
    pub newest: Option<Timestamp>,
    /// When the first change came that is in no copy.
    pub changed_first: Option<Timestamp>,
    /// When the last one came.
    pub changed_last: Option<Timestamp>,
}

/// Whether a copy is due.
#[must_use]
pub fn copy_is_due(copied: &Copied, now: Timestamp) -> bool {
    let is_past = |at: Option<Timestamp>, time: SignedDuration| {
        at.is_some_and(|at| now.duration_since(at) >= time)
    };
    is_past(copied.changed_last, COPY_QUIET)
        || is_past(copied.changed_first, COPY_DELAY_MAX)
        || is_past(copied.newest, COPY_AGE_MAX)
}

/// Of copies made at these times, the ones that may go.
#[must_use]
pub fn copies_to_remove(copies: &[Timestamp], now: Timestamp) -> BTreeSet<Timestamp> {
    let mut newest_first: Vec<Timestamp> = copies.to_vec();
    newest_first.sort_unstable();
    newest_first.reverse();
    let mut days = BTreeSet::new();
    let mut doomed = BTreeSet::new();
    for (index, at) in newest_first.into_iter().enumerate() {
        // Days of the machine's own making: 24 hours back from now, and so on.
        let day = now.duration_since(at).as_secs().div_euclid(86_400);
        let is_first_of_day = (0..COPIES_DAYS).contains(&day) && days.insert(day);
        if index >= COPIES_NEWEST && !is_first_of_day {
            doomed.insert(at);
        }
    }
    doomed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn release(revision: u64, day: i64, is_used: bool, has_served: bool) -> ReleaseFacts {
        ReleaseFacts {
            id: ReleaseId::from_uuid(uuid::Uuid::from_u128(revision.into())),
            service_id: ServiceId::from_uuid(uuid::Uuid::from_u128(1)),
            revision,
            artifact_id: Some(format!("{revision:064x}").parse().unwrap()),
            created_at: at(day * 86_400),
            is_used,
            has_served,
        }
    }

    fn revisions<'a>(ids: impl IntoIterator<Item = &'a ReleaseId>) -> Vec<u64> {
        let of = |id: &ReleaseId| {
            (1..100).find(|revision| release(*revision, 0, false, false).id == *id)
        };
        let mut revisions: Vec<u64> = ids.into_iter().filter_map(of).collect();
        revisions.sort_unstable();
        revisions
    }

    #[test]
    fn what_is_live_and_what_can_be_rolled_back_to_is_kept_however_old() {
        let keep = Keep { releases: 2, days: 30, ..Keep::default() };
        let facts = [
            release(1, 1, true, true),
            release(2, 2, false, true),
            release(3, 3, false, true),
            release(4, 4, false, false),
            release(5, 5, false, true),
            release(6, 90, false, false),
        ];
        let kept = releases(&facts, &keep, at(100 * 86_400));
        assert_eq!(revisions(&kept.releases), [1, 3, 5]);
        assert_eq!(kept.artifacts.len(), 3);
        assert_eq!(revisions(&kept.forgotten), [2, 4], "6 has not served, and is young enough");
    }

    #[test]
    fn a_release_that_was_made_a_moment_ago_keeps_its_artifact() {
        let kept = releases(&[release(1, 100, false, false)], &Keep::default(), at(100 * 86_400));
        assert_eq!(revisions(&kept.releases), [1]);
    }

    #[test]
    fn caches_that_were_used_longest_ago_go_until_the_rest_fits() {
        let cache =
            |name: &str, bytes, used| CacheFacts { path: name.into(), bytes, used_at: at(used) };
        let caches = [cache("npm", 5, 30), cache("pip", 4, 10), cache("go", 3, 20)];
        let names = |max_bytes| -> Vec<&str> {
            caches_to_remove(&caches, max_bytes)
                .iter()
                .map(|cache| cache.path.to_str().unwrap())
                .collect()
        };
        assert!(names(12).is_empty());
        assert_eq!(names(11), ["pip"]);
        assert_eq!(names(7), ["pip", "go"]);
        assert_eq!(names(0), ["pip", "go", "npm"]);
    }

    #[test]
    fn a_change_is_copied_when_it_is_quiet_or_when_it_has_waited_long_enough() {
        let changed = |first, last| Copied {
            newest: Some(at(0)),
            changed_first: Some(at(first)),
            changed_last: Some(at(last)),
        };
        assert!(!copy_is_due(&changed(100, 100), at(119)));
        assert!(copy_is_due(&changed(100, 100), at(120)));
        assert!(!copy_is_due(&changed(100, 390), at(399)));
        assert!(copy_is_due(&changed(100, 390), at(400)));
    }

    #[test]
    fn what_did_not_change_is_copied_once_a_day() {
        let copied = Copied { newest: Some(at(0)), ..Copied::default() };
        assert!(!copy_is_due(&copied, at(86_399)));
        assert!(copy_is_due(&copied, at(86_400)));
        assert!(!copy_is_due(&Copied::default(), at(86_400)), "nothing was ever written");
    }

    #[test]
    fn the_newest_copies_and_one_of_each_day_are_kept() {
        let now = at(100 * 86_400);
        // One each hour for ten days.
        let copies: Vec<Timestamp> =
            (0..240).map(|hour| now - SignedDuration::from_hours(hour)).collect();
        let doomed = copies_to_remove(&copies, now);
        let kept: Vec<Timestamp> =
            copies.into_iter().filter(|copy| !doomed.contains(copy)).collect();
        let ages: Vec<i64> = kept.iter().map(|copy| now.duration_since(*copy).as_hours()).collect();
        assert_eq!(ages, [0, 1, 2, 3, 4, 24, 48, 72, 96, 120, 144]);
    }

    #[test]
    fn a_clock_that_went_back_removes_no_new_copy() {
        assert!(copies_to_remove(&[at(10), at(20)], at(5)).is_empty());
    }
}
