//! Which environment has which addresses, and which instance has which of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A range of addresses, such as `10.77.0.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Subnet {
    base: u32,
    prefix_length: u8,
}

/// Prefix length of an environment's network: 253 instances.
const ENVIRONMENT_PREFIX: u8 = 24;

impl Subnet {
    pub(crate) fn prefix_length(self) -> u8 {
        self.prefix_length
    }

    /// The first address that is a host's: the bridge's own.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base + 1)
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix_length)).unwrap_or(0)
    }

    fn size(self) -> u32 {
        !self.mask()
    }

    pub(crate) fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask() == self.base
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        let mask = self.mask() & other.mask();
        self.base & mask == other.base & mask
    }

    /// The networks for environments in this pool.
    fn parts(self) -> impl Iterator<Item = Self> {
        let step = 1_u32 << (32 - ENVIRONMENT_PREFIX);
        let count = (self.size() / step).saturating_add(1);
        (0..count).map(move |part| Self {
            base: self.base + part * step,
            prefix_length: ENVIRONMENT_PREFIX,
        })
    }
}

/// Text that is no IPv4 range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no IPv4 address range such as 10.77.0.0/16")]
pub(crate) struct InvalidSubnet(String);

impl FromStr for Subnet {
    type Err = InvalidSubnet;

    fn from_str(text: &str) -> Result<Self, InvalidSubnet> {
        let invalid = || InvalidSubnet(text.to_owned());
        let (address, length) = text.split_once('/').ok_or_else(invalid)?;
        let base = address.parse::<Ipv4Addr>().map_err(|_| invalid())?.to_bits();
        let prefix_length = length.parse().map_err(|_| invalid())?;
        if prefix_length > 32 {
            return Err(invalid());
        }
        let subnet = Self { base, prefix_length };
        if base & subnet.mask() == base { Ok(subnet) } else { Err(invalid()) }
    }
}

impl TryFrom<String> for Subnet {
    type Error = InvalidSubnet;

    fn try_from(text: String) -> Result<Self, InvalidSubnet> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", Ipv4Addr::from_bits(self.base), self.prefix_length)
    }
}

/// A range that the host routes already, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) interface: String,
    pub(crate) subnet: Subnet,
}

/// Reads the format of `/proc/net/route`, without default routes.
pub(crate) fn parse_routes(text: &str) -> Vec<Taken> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // The kernel prints the bytes of the address as one number of this machine's byte order.
        let number = |index: usize| {
            u32::from_str_radix(fields.get(index)?, 16)
                .ok()
                .map(|n| u32::from_be_bytes(n.to_ne_bytes()))
        };
        let (base, mask) = (number(1)?, number(7)?);
        let prefix_length = u8::try_from(mask.count_ones()).ok()?;
        let interface = (*fields.first()?).to_owned();
        (mask != 0).then_some(Taken { interface, subnet: Subnet { base, prefix_length } })
    };
    text.lines().skip(1).filter_map(parse).collect()
}

/// The interface of the default route in the format of `/proc/net/route`.
pub(crate) fn default_interface(text: &str) -> Option<String> {
    text.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let interface = fields.next()?;
        (fields.next()? == "00000000").then(|| interface.to_owned())
    })
}

/// A part of `pool` that neither the host nor another environment has.
pub(crate) fn free_subnet(
    pool: Subnet,
    taken: &[Taken],
    allotted: &BTreeMap<String, Subnet>,
) -> Option<Subnet> {
    pool.parts().find(|part| {
        !taken.iter().any(|range| range.subnet.overlaps(*part))
            && !allotted.values().any(|range| range.overlaps(*part))
    })
}

/// The addresses of one environment's instances. An address that was given back is the last to be
/// given out again, so that whoever still has it in mind does not reach a stranger.
#[derive(Debug)]
pub(crate) struct Addresses {
    subnet: Subnet,
    used: BTreeSet<Ipv4Addr>,
    next: u32,
}

impl Addresses {
    /// First address that an instance may have, counted from the base.
    const FIRST: u32 = 2;

    pub(crate) fn new(subnet: Subnet, used: impl IntoIterator<Item = Ipv4Addr>) -> Self {
        let used: BTreeSet<_> = used.into_iter().filter(|a| subnet.contains(*a)).collect();
        let next = used.last().map_or(Self::FIRST, |last| last.to_bits() - subnet.base + 1);
        Self { subnet, used, next }
    }

    pub(crate) fn subnet(&self) -> Subnet {
        self.subnet
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    /// Takes an address; `None` when all are in use.
    pub(crate) fn take(&mut self) -> Option<Ipv4Addr> {
        let count = self.subnet.size() - Self::FIRST;
        for offset in 0..count {
            let place = Self::FIRST + (self.next.max(Self::FIRST) - Self::FIRST + offset) % count;
            let address = Ipv4Addr::from_bits(self.subnet.base + place);
            if self.used.insert(address) {
                self.next = place + 1;
                return Some(address);
            }
        }
        None
    }

    pub(crate) fn give_back(&mut self, address: Ipv4Addr) {
        self.used.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_survives_the_way_through_text() {
        assert_eq!(subnet("10.77.3.0/24").to_string(), "10.77.3.0/24");
        assert_eq!(subnet("10.77.3.0/24").gateway(), Ipv4Addr::new(10, 77, 3, 1));
        assert!("10.77.3.1/24".parse::<Subnet>().is_err());
        assert!("10.77.3.0/33".parse::<Subnet>().is_err());
        assert!("ten".parse::<Subnet>().is_err());
    }

    #[test]
    fn ranges_of_the_host_and_of_other_environments_are_skipped() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n\
            tun0\t00004D0A\t00000000\t0001\t0\t0\t0\t00FEFFFF\n";
        let taken = parse_routes(routes);
        assert_eq!(taken.len(), 1, "{taken:?}");
        assert_eq!(taken[0].subnet, subnet("10.77.0.0/23"));
        assert_eq!(default_interface(routes).as_deref(), Some("eth0"));
        let allotted = BTreeMap::from([("evm-a".to_owned(), subnet("10.77.2.0/24"))]);
        let found = free_subnet(subnet("10.77.0.0/16"), &taken, &allotted);
        assert_eq!(found, Some(subnet("10.77.3.0/24")));
    }

    #[test]
    fn a_returned_address_is_the_last_to_be_given_out_again() {
        let mut addresses = Addresses::new(subnet("10.77.0.0/24"), []);
        let first = addresses.take().unwrap();
        assert_eq!(first, Ipv4Addr::new(10, 77, 0, 2));
        addresses.give_back(first);
        let others: Vec<_> = (0..252).map(|_| addresses.take().unwrap()).collect();
        assert!(!others.contains(&first));
        assert_eq!(addresses.take(), Some(first));
        assert_eq!(addresses.take(), None);
    }

    #[test]
    fn addresses_that_were_found_in_use_are_not_given_out() {
        let used = Ipv4Addr::new(10, 77, 0, 9);
        let mut addresses = Addresses::new(subnet("10.77.0.0/24"), [used]);
        assert_eq!(addresses.take(), Some(Ipv4Addr::new(10, 77, 0, 10)));
        assert!((0..251).all(|_| addresses.take() != Some(used)));
    }
}
