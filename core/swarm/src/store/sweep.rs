//! What the store gives up, and when: [`sweep`]. Pure: what there is, what has to stay and the time go in, what goes comes out.

use std::collections::BTreeSet;

use crate::share::Hash;

/// How long content that was used stays, though there is more than the quota: whoever took a pin away by mistake has a day.
pub const GRACE: u64 = 24 * 3600;
/// Bytes of content that are kept, unless the store is told otherwise.
pub const DEFAULT_QUOTA: u64 = 10 << 30;
/// What is left free of a disk, as a share of it; of large disks no more than [`MAX_FLOOR`].
const FLOOR: u64 = 10;
/// The most that is left free, in bytes: a tenth of a disk of many terabytes would be room that nobody needs.
pub const MAX_FLOOR: u64 = 10 << 30;

/// Content in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// Its name.
    pub hash: Hash,
    /// What it takes, or will once all of it is there, in bytes.
    pub bytes: u64,
    /// When it was used last, in seconds since 1970.
    pub used: u64,
}

impl Item {
    /// Of content of so many bytes that was used last at that time.
    #[must_use]
    pub fn new(hash: Hash, bytes: u64, used: u64) -> Self {
        Self { hash, bytes, used }
    }
}

/// Bytes of the disk that the store is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disk {
    /// All.
    pub size: u64,
    /// Those that are free.
    pub free: u64,
}

impl Disk {
    /// Of such a size, of which so much is free.
    #[must_use]
    pub fn new(size: u64, free: u64) -> Self {
        Self { size, free }
    }

    /// What is left free of it.
    #[must_use]
    pub fn floor(&self) -> u64 {
        (self.size / FLOOR).min(MAX_FLOOR)
    }
}

/// How much is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extent {
    /// What is over the quota and was not used for [`GRACE`]; where the disk is nearly full, what was used since as well.
    Tidy,
    /// As much as it takes for so many bytes to have room.
    Room(u64),
    /// All that may.
    All,
}

/// What has to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sweep {
    /// Content, in the order of its last use.
    pub free: Vec<Hash>,
    /// Bytes of it.
    pub bytes: u64,
    /// Bytes that are lacking all the same.
    pub short: u64,
}

/// What has to go so that what is left keeps to the quota and leaves some of the disk free. Of what is in `stays`, as it is pinned or
/// used just now, nothing ever goes; of the rest that first whose last use is the longest ago.
#[must_use]
pub fn sweep(
    items: &[Item],
    stays: &BTreeSet<Hash>,
    (quota, disk): (u64, Option<Disk>),
    extent: Extent,
    now: u64,
) -> Sweep {
    let need = match extent {
        Extent::Room(need) => need,
        Extent::Tidy | Extent::All => 0,
    };
    let total = items
        .iter()
        .fold(need, |sum, it| sum.saturating_add(it.bytes));
    let over = total.saturating_sub(quota);
    let lacking = disk.map_or(0, |disk| {
        need.saturating_add(disk.floor()).saturating_sub(disk.free)
    });
    let mut goes: Vec<_> = items
        .iter()
        .filter(|it| !stays.contains(&it.hash))
        .collect();
    goes.sort_by_key(|it| (it.used, it.hash));
    let mut sweep = Sweep::default();
    for item in goes {
        let is_idle = item.used.saturating_add(GRACE) <= now;
        let wanted = match extent {
            Extent::All => u64::MAX,
            Extent::Tidy if !is_idle => lacking,
            Extent::Tidy | Extent::Room(_) => over.max(lacking),
        };
        if sweep.bytes >= wanted {
            break;
        }
        sweep.bytes = sweep.bytes.saturating_add(item.bytes);
        sweep.free.push(item.hash);
    }
    sweep.short = over.max(lacking).saturating_sub(sweep.bytes);
    sweep
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_000_000_000;
    const DAY: u64 = 24 * 3600;

    fn item(name: u8, bytes: u64, days_ago: u64) -> Item {
        Item::new(Hash::of(&[name]), bytes, NOW - days_ago * DAY)
    }

    fn names(sweep: &Sweep) -> Vec<u8> {
        let name = |hash| (0..=255).find(|name| Hash::of(&[*name]) == hash);
        sweep.free.iter().filter_map(|hash| name(*hash)).collect()
    }

    fn pinned(names: &[u8]) -> BTreeSet<Hash> {
        names.iter().map(|name| Hash::of(&[*name])).collect()
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first_and_no_more_than_is_over() {
        let items = [item(1, 40, 3), item(2, 40, 9), item(3, 40, 5)];
        let tidy = |quota| {
            let swept = sweep(&items, &pinned(&[]), (quota, None), Extent::Tidy, NOW);
            (names(&swept), swept.short)
        };
        assert_eq!(tidy(120), (vec![], 0));
        assert_eq!(tidy(119), (vec![2], 0));
        assert_eq!(tidy(50), (vec![2, 3], 0));
        assert_eq!(tidy(0), (vec![2, 3, 1], 0));
    }

    #[test]
    fn what_was_used_within_a_day_stays_unless_its_room_is_needed() {
        let items = [item(1, 40, 0), item(2, 40, 2)];
        let swept = |extent, disk| {
            let swept = sweep(&items, &pinned(&[]), (50, disk), extent, NOW);
            (names(&swept), swept.short)
        };
        assert_eq!(swept(Extent::Tidy, None), (vec![2], 0));
        assert_eq!(swept(Extent::Room(20), None), (vec![2, 1], 0));
        assert_eq!(swept(Extent::Room(60), None), (vec![2, 1], 10));
        assert_eq!(swept(Extent::All, None), (vec![2, 1], 0));
        // Ten bytes more have to be free than the first gives.
        let full = Disk::new(1000, 50);
        assert_eq!(swept(Extent::Tidy, Some(full)), (vec![2, 1], 0));
        assert_eq!(
            swept(Extent::Tidy, Some(Disk::new(1000, 100))),
            (vec![2], 0)
        );
    }

    #[test]
    fn of_a_large_disk_ten_gibibytes_are_left_free_and_of_a_small_one_a_tenth() {
        assert_eq!(Disk::new(8 << 40, 0).floor(), 10 << 30);
        assert_eq!(Disk::new(64_000_000_000, 0).floor(), 6_400_000_000);
    }

    fn items() -> impl Strategy<Value = Vec<Item>> {
        let item = (0..40u8, 0..1000u64, 0..2 * GRACE);
        prop::collection::vec(item, 0..30).prop_map(|items| {
            let mut seen = BTreeSet::new();
            let item = |(name, bytes, ago)| Item::new(Hash::of(&[name]), bytes, NOW - ago);
            let new = items.into_iter().filter(|(name, ..)| seen.insert(*name));
            new.map(item).collect()
        })
    }

    fn extents() -> impl Strategy<Value = Extent> {
        prop_oneof![
            Just(Extent::Tidy),
            (0..5000u64).prop_map(Extent::Room),
            Just(Extent::All)
        ]
    }

    proptest! {
        #[test]
        fn nothing_that_is_pinned_or_in_transfer_ever_goes(items in items(), stays in prop::collection::btree_set(0..40u8, 0..20),
            quota in 0..20_000u64, disk in prop::option::of((0..20_000u64, 0..20_000u64)), extent in extents()) {
            let stays = pinned(&stays.into_iter().collect::<Vec<_>>());
            let disk = disk.map(|(size, free)| Disk::new(size, free));
            let swept = sweep(&items, &stays, (quota, disk), extent, NOW);
            prop_assert!(swept.free.iter().all(|hash| !stays.contains(hash)));
            let of = |hash: &Hash| *items.iter().find(|it| it.hash == *hash).unwrap();
            let gone: Vec<_> = swept.free.iter().map(of).collect();
            prop_assert!(gone.is_sorted_by_key(|it| it.used));
            prop_assert_eq!(gone.iter().map(|it| it.bytes).sum::<u64>(), swept.bytes);
            // What is left keeps to the limits, or nothing more could go.
            let need = if let Extent::Room(need) = extent { need } else { 0 };
            let left: Vec<_> = items.iter().filter(|it| !swept.free.contains(&it.hash)).collect();
            let total = left.iter().map(|it| it.bytes).sum::<u64>() + need;
            let free = disk.is_none_or(|disk| disk.free + swept.bytes >= disk.floor() + need);
            let is_within = total <= quota && free;
            prop_assert_eq!(swept.short == 0, is_within);
            let may_go = left.iter().filter(|it| !stays.contains(&it.hash));
            let spared = may_go.filter(|it| extent != Extent::Tidy || it.used + GRACE <= NOW || !free);
            prop_assert!(is_within || spared.count() == 0);
            // The last that went had to.
            if let (Some(last), true) = (gone.last(), extent != Extent::All) {
                let before = swept.bytes - last.bytes;
                prop_assert!(total + last.bytes > quota || disk.is_some_and(|disk| disk.free + before < disk.floor() + need));
            }
        }
    }
}
