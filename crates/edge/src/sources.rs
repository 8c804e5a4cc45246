//! Who has how many connections open.
//!
//! One client must not be able to keep the others away, however many connections it opens. So each
//! source has a share of all connections, and whoever comes when no place is left takes that of the
//! connection which has been unused for longest, of the source that has most. Nobody waits for a
//! place: what cannot be had is refused at once, and the next one is looked at.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// [`Seat::unused_since`] of a connection that is in use.
const IN_USE: u64 = u64::MAX;

/// Whom a connection counts for. Whoever has one IPv6 address has the 2^64 beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Address(IpAddr),
    /// The first half of an IPv6 address.
    Network([u16; 4]),
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) if address != Ipv6Addr::LOCALHOST => {
                let [a, b, c, d, ..] = address.segments();
                Self::Network([a, b, c, d])
            }
            address => Self::Address(address),
        }
    }
}

/// What of a connection others may see and ask.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Milliseconds since the edge began, or [`IN_USE`].
    unused_since: AtomicU64,
    /// Told when the connection has to make room.
    asked: Notify,
}

impl Seat {
    /// Returns when the connection has to make room.
    pub(crate) async fn asked_to_leave(&self) {
        self.asked.notified().await;
    }
}

/// How many connections are looked at to find one that can make room. It is a limit of what a
/// newcomer costs: somebody may open connections as fast as the kernel lets them.
const MAX_LOOKS: usize = 64;
/// How many sources are tried for one that has a connection to give.
const MAX_SOURCES: usize = 8;

/// The connections of one source.
#[derive(Debug, Default)]
struct Seats {
    by_number: HashMap<u64, Arc<Seat>>,
    /// In the order in which they would make room: number, and when it was put there. Those that
    /// were used since then have another turn; those that ended are left behind for a while.
    turns: VecDeque<(u64, u64)>,
}

impl Seats {
    fn add(&mut self, number: u64, seat: Arc<Seat>) {
        self.turns.push_back((number, seat.unused_since.load(Ordering::Relaxed)));
        self.by_number.insert(number, seat);
        if self.turns.len() > 2 * self.by_number.len() + MAX_LOOKS {
            self.turns.retain(|(number, _)| self.by_number.contains_key(number));
        }
    }

    fn len(&self) -> usize {
        self.by_number.len()
    }

    /// About the one that was unused for longest; `None` when those looked at are in use.
    fn longest_unused(&mut self) -> Option<u64> {
        let mut best: Option<(u64, u64)> = None;
        for _ in 0..self.turns.len().min(MAX_LOOKS) {
            let (number, put_at) = self.turns.pop_front()?;
            let Some(seat) = self.by_number.get(&number) else { continue };
            let since = seat.unused_since.load(Ordering::Relaxed);
            if since <= put_at {
                return Some(number);
            }
            self.turns.push_back((number, if since == IN_USE { put_at } else { since }));
            if since != IN_USE && best.is_none_or(|(earliest, _)| since < earliest) {
                best = Some((since, number));
            }
        }
        best.map(|(_, number)| number)
    }
}

#[derive(Debug, Default)]
struct Open {
    by_source: HashMap<Source, Seats>,
    total: usize,
    next: u64,
}

/// The open connections of all cores. Locked when a connection comes or goes, never for a request.
#[derive(Debug)]
pub(crate) struct Sources {
    began: Instant,
    max: usize,
    max_per_source: usize,
    open: Mutex<Open>,
}

/// What a newcomer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// As much as one source.
    One,
    /// A proxy that speaks for many: as much as there is.
    Any,
}

impl Sources {
    pub(crate) fn new(max: usize, max_per_source: usize) -> Self {
        let open = Mutex::default();
        Self { began: Instant::now(), max: max.max(1), max_per_source: max_per_source.max(1), open }
    }

    /// A place for a connection; `None` when its source has its share in use, or when all places
    /// are in use and nobody has more than this source.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr, share: Share) -> Option<Place> {
        let source = Source::of(address);
        let mut open = self.lock();
        let own = open.by_source.get(&source).map_or(0, Seats::len);
        if share == Share::One && own >= self.max_per_source {
            open.shed_from(source)?;
        } else if open.total >= self.max {
            open.shed(own)?;
        }
        let number = open.next;
        open.next += 1;
        open.total += 1;
        let seat =
            Arc::new(Seat { unused_since: AtomicU64::new(self.now()), asked: Notify::new() });
        open.by_source.entry(source).or_default().add(number, Arc::clone(&seat));
        Some(Place { sources: Arc::clone(self), source, number, seat })
    }

    /// Asks the connection that has been unused for longest, of the source that has most, to make
    /// room. Whether there is one.
    pub(crate) fn shed(&self) -> bool {
        self.lock().shed(0).is_some()
    }

    /// Open connections.
    pub(crate) fn count(&self) -> usize {
        self.lock().total
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(IN_USE - 1)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // What is behind the lock is whole after every statement.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Frees a place of the source that has most, if that is at least `least`.
    fn shed(&mut self, least: usize) -> Option<()> {
        let all = self.by_source.iter().map(|(source, seats)| (seats.len(), *source));
        let mut most: Vec<_> = all.filter(|(count, _)| *count >= least.max(1)).collect();
        most.sort_unstable_by_key(|(count, _)| std::cmp::Reverse(*count));
        most.into_iter().take(MAX_SOURCES).find_map(|(_, source)| self.shed_from(source))
    }

    fn shed_from(&mut self, source: Source) -> Option<()> {
        let number = self.by_source.get_mut(&source)?.longest_unused()?;
        let seat = self.remove(source, number)?;
        seat.asked.notify_one();
        Some(())
    }

    fn remove(&mut self, source: Source, number: u64) -> Option<Arc<Seat>> {
        let seats = self.by_source.get_mut(&source)?;
        let seat = seats.by_number.remove(&number)?;
        if seats.by_number.is_empty() {
            self.by_source.remove(&source);
        }
        self.total -= 1;
        Some(seat)
    }
}

/// Whether the kernel has no more file descriptors for this process, or for any.
pub(crate) fn is_out_of_files(cause: &io::Error) -> bool {
    let code = cause.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}

/// The place of one connection, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Place {
    sources: Arc<Sources>,
    source: Source,
    number: u64,
    seat: Arc<Seat>,
}

impl Place {
    pub(crate) fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.seat)
    }

    /// From here on it is in use, and nobody else can have the place.
    pub(crate) fn used(&self) {
        self.seat.unused_since.store(IN_USE, Ordering::Relaxed);
    }

    /// From here on it waits for something to do.
    pub(crate) fn unused(&self) {
        self.seat.unused_since.store(self.sources.now(), Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // One that was asked to make room was taken out of the count then.
        self.sources.lock().remove(self.source, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_asked(place: &Place) -> bool {
        let asked = std::pin::pin!(place.seat.asked_to_leave());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        Future::poll(asked, &mut context).is_ready()
    }

    #[test]
    fn a_source_that_has_its_share_replaces_its_own_connections_only() {
        let sources = Arc::new(Sources::new(10, 3));
        let other = sources.admit(address("10.0.0.2"), Share::One).unwrap();
        let own: Vec<Place> =
            (0..3).map(|_| sources.admit(address("10.0.0.1"), Share::One).unwrap()).collect();
        own[0].used();
        let fourth = sources.admit(address("10.0.0.1"), Share::One).unwrap();
        assert_eq!(sources.count(), 4);
        let asked: Vec<bool> = own.iter().map(is_asked).collect();
        assert_eq!(asked, [false, true, false], "the one that was unused for longest leaves");
        assert!(!is_asked(&other));
        own.iter().for_each(Place::used);
        fourth.used();
        assert!(sources.admit(address("10.0.0.1"), Share::One).is_none());
        assert!(sources.admit(address("10.0.0.1"), Share::Any).is_some(), "a proxy's share is all");
        assert!(sources.admit(address("10.0.0.3"), Share::One).is_some());
    }

    #[test]
    fn a_newcomer_takes_a_place_of_the_source_that_has_most() {
        let sources = Arc::new(Sources::new(4, 3));
        let few = sources.admit(address("10.0.0.2"), Share::One).unwrap();
        let many: Vec<Place> =
            (0..3).map(|_| sources.admit(address("10.0.0.1"), Share::One).unwrap()).collect();
        let newcomer = sources.admit(address("10.0.0.3"), Share::One).unwrap();
        assert_eq!(many.iter().filter(|place| is_asked(place)).count(), 1);
        assert!(!is_asked(&few) && !is_asked(&newcomer));
        // All that is left is in use: the next one is refused, and nobody is cut off for it.
        [&few, &newcomer].into_iter().chain(&many).for_each(Place::used);
        assert!(sources.admit(address("10.0.0.4"), Share::One).is_none());
        drop(few);
        assert!(sources.admit(address("10.0.0.4"), Share::One).is_some());
    }

    #[test]
    fn room_is_found_at_once_among_many_connections_and_those_that_ended_are_forgotten() {
        let sources = Arc::new(Sources::new(20_000, 5_000));
        let mut places: Vec<Place> =
            (0..5_000).map(|_| sources.admit(address("10.0.0.1"), Share::One).unwrap()).collect();
        // All but the last were used once and wait again.
        places[..4_999].iter().for_each(|place| {
            place.used();
            place.unused();
        });
        for _ in 0..20_000 {
            places.push(sources.admit(address("10.0.0.1"), Share::One).unwrap());
        }
        assert_eq!(sources.count(), 5_000);
        let asked = places.iter().filter(|place| is_asked(place)).count();
        assert_eq!(asked, 20_000);
        let turns = sources.lock().by_source.values().map(|seats| seats.turns.len()).sum::<usize>();
        assert!(turns <= 2 * 5_000 + MAX_LOOKS, "{turns}");
        drop(places);
        assert_eq!(sources.count(), 0);
        assert!(sources.lock().by_source.is_empty());
    }

    #[test]
    fn whoever_has_an_ipv6_network_is_one_source() {
        let of = |text| Source::of(address(text));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("::1"), of("::2"));
    }
}
