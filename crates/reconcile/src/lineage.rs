//! Whether a database of the control plane is the one that what lies beside it belongs to.
//!
//! The database counts a generation up before the edge is given it. So an edge that was given a
//! newer one than the database has counted to proves that the database is older than it was; and
//! data that an empty database knows nothing of was made under another one.

use std::collections::BTreeSet;

use model::Generation;

/// What is found beside a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The newest generation that the database has counted to; 0 when it is new.
    pub counted: Generation,
    /// The newest that the edge was given, as far as it is known.
    pub served: Generation,
    /// Ids that the database knows.
    pub known: BTreeSet<String>,
    /// Ids of what is served, of what runs and of data on the disk.
    pub found: BTreeSet<String>,
}

/// What a database is to what lies beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lineage {
    /// It is theirs.
    Same,
    /// It knows all of them, and only its count is behind: it goes on after this one.
    CountOn(Generation),
    /// It is empty or older, and does not know these.
    Older(BTreeSet<String>),
}

/// Judges a database by what lies beside it.
#[must_use]
pub fn judge(evidence: &Evidence) -> Lineage {
    let is_new = evidence.counted == Generation(0);
    // What a sound database does not know is what a removal that was cut short has left.
    if !is_new && evidence.served <= evidence.counted {
        return Lineage::Same;
    }
    let unknown: BTreeSet<String> = evidence.found.difference(&evidence.known).cloned().collect();
    if !unknown.is_empty() {
        Lineage::Older(unknown)
    } else if evidence.served > evidence.counted {
        Lineage::CountOn(evidence.served)
    } else {
        Lineage::Same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(counted: u64, served: u64, known: &[&str], found: &[&str]) -> Evidence {
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Evidence {
            counted: Generation(counted),
            served: Generation(served),
            known: set(known),
            found: set(found),
        }
    }

    #[test]
    fn a_new_database_beside_nothing_is_a_beginning() {
        assert_eq!(judge(&evidence(0, 0, &[], &[])), Lineage::Same);
    }

    #[test]
    fn an_empty_database_beside_data_is_none_of_its() {
        let older = Lineage::Older(["dpg-1".to_owned()].into());
        assert_eq!(judge(&evidence(0, 0, &[], &["dpg-1"])), older);
        assert_eq!(judge(&evidence(0, 6, &[], &["dpg-1"])), older);
    }

    #[test]
    fn an_older_database_is_known_by_the_edge_and_by_what_it_does_not_know() {
        let older = Lineage::Older(["srv-2".to_owned()].into());
        assert_eq!(judge(&evidence(3, 6, &["srv-1"], &["srv-1", "srv-2"])), older);
    }

    #[test]
    fn a_database_that_knows_everything_only_counts_on() {
        let judged = judge(&evidence(3, 6, &["srv-1", "srv-2"], &["srv-1"]));
        assert_eq!(judged, Lineage::CountOn(Generation(6)));
        assert_eq!(judge(&evidence(0, 6, &[], &[])), Lineage::CountOn(Generation(6)));
    }

    #[test]
    fn what_a_removal_left_behind_does_not_make_a_sound_database_older() {
        assert_eq!(judge(&evidence(6, 6, &[], &["dpg-1"])), Lineage::Same);
        assert_eq!(judge(&evidence(7, 6, &["srv-1"], &["dpg-1"])), Lineage::Same);
    }
}
