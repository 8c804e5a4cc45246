//! Whether there is room to work: what is left of the disk that holds the state, judged.

/// What is left of a file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Bytes of all of it.
    pub total_bytes: u64,
    /// Files that may still be made.
    pub free_inodes: u64,
    /// Files that it can hold; 0 where that has no limit.
    pub total_inodes: u64,
}

/// How much has to stay free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// Work that fills the disk ends below this.
    pub bytes: u64,
    /// The same in files.
    pub inodes: u64,
}

/// The floor of a large disk, unless the operator says otherwise. Builds end before instances do,
/// which leave less to others.
pub const FLOOR_BYTES_MAX: u64 = 2560 << 20;
/// The floor of a small one: its total divided by this.
const FLOOR_PART: u64 = 16;
/// The floor in files of a large disk.
const FLOOR_INODES_MAX: u64 = 2_000;
/// The largest reserve.
const RESERVE_BYTES_MAX: u64 = 64 << 20;
/// The reserve's part of a small disk.
const RESERVE_PART: u64 = 50;
/// There is enough again when so many times the floor is free.
const ENOUGH_FACTOR: u64 = 2;

impl Floor {
    /// The floor of a disk: what the operator says, or a part of it.
    #[must_use]
    pub fn of(space: &Space, asked_bytes: Option<u64>) -> Self {
        Self {
            bytes: asked_bytes.unwrap_or((space.total_bytes / FLOOR_PART).min(FLOOR_BYTES_MAX)),
            inodes: (space.total_inodes / FLOOR_PART).min(FLOOR_INODES_MAX),
        }
    }
}

/// How large the reserve is: a file that is given back when nothing else is left, so that the end of
/// what filled the disk can be written down.
#[must_use]
pub fn reserve_bytes(space: &Space) -> u64 {
    (space.total_bytes / RESERVE_PART).min(RESERVE_BYTES_MAX)
}

/// Whether there is room to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Enough,
    /// Work goes on, and what nobody needs should be thrown away before there is none.
    Low(Space),
    /// What fills the disk has to end, and the reserve is given back.
    Full(Space),
}

/// Judges what is left. What was full stays so until there is clearly enough, so that nothing begins
/// and ends again and again at the border.
#[must_use]
pub fn judge(space: &Space, floor: &Floor, was_full: bool) -> Room {
    let has = |factor: u64| {
        let inodes =
            space.total_inodes == 0 || space.free_inodes >= floor.inodes.saturating_mul(factor);
        inodes && space.free_bytes >= floor.bytes.saturating_mul(factor)
    };
    match (has(ENOUGH_FACTOR), has(1)) {
        (true, _) => Room::Enough,
        (false, true) if !was_full => Room::Low(*space),
        _ => Room::Full(*space),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn space(free_bytes: u64, total_bytes: u64) -> Space {
        Space { free_bytes, total_bytes, free_inodes: 1_000_000, total_inodes: 2_000_000 }
    }

    #[test]
    fn a_floor_is_a_part_of_a_small_disk_and_has_a_limit_on_a_large_one() {
        assert_eq!(Floor::of(&space(0, 160 * MIB), None).bytes, 10 * MIB);
        assert_eq!(Floor::of(&space(0, 4_000_000 * MIB), None).bytes, FLOOR_BYTES_MAX);
        assert_eq!(Floor::of(&space(0, 100 * MIB), Some(7)).bytes, 7);
        assert_eq!(reserve_bytes(&space(0, 100 * MIB)), 2 * MIB);
        assert_eq!(reserve_bytes(&space(0, 4_000_000 * MIB)), RESERVE_BYTES_MAX);
    }

    #[test]
    fn a_disk_that_was_full_is_so_until_there_is_clearly_enough() {
        let floor = Floor { bytes: 10 * MIB, inodes: 0 };
        let judge_at = |free, was_full| judge(&space(free * MIB, 100 * MIB), &floor, was_full);
        assert_eq!(judge_at(20, false), Room::Enough);
        assert_eq!(judge_at(20, true), Room::Enough);
        assert!(matches!(judge_at(15, false), Room::Low(_)));
        assert!(matches!(judge_at(15, true), Room::Full(_)));
        assert!(matches!(judge_at(9, false), Room::Full(_)));
    }

    #[test]
    fn a_disk_without_inodes_is_full_however_many_bytes_are_free() {
        let mut left = space(90 * MIB, 100 * MIB);
        left.free_inodes = 100;
        let floor = Floor::of(&left, None);
        assert!(matches!(judge(&left, &floor, false), Room::Full(_)));
        left.total_inodes = 0;
        assert_eq!(judge(&left, &Floor::of(&left, None), false), Room::Enough, "it has no limit");
    }
}
