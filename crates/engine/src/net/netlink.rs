//! Bridges, virtual cables, addresses and routes, by netlink: no process is started for any of it.
//!
//! Synchronous, because the shim, which has no runtime, makes most of the calls. A socket works on
//! the network namespace that it was opened in, whatever namespace its process joins later.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;

use crate::order::Link;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Longest answer: one link with all its statistics.
const ANSWER_BYTES_MAX: usize = 32 * 1024;
/// The kernel's main routing table.
const MAIN_TABLE: u8 = 254;

/// A conversation with the network namespace that it was opened in.
pub(crate) struct Netlink {
    socket: Socket,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket })
    }

    /// The index of a link; `None` if there is none of this name.
    pub(crate) fn index(&self, name: &str) -> io::Result<Option<u32>> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.ask(RouteNetlinkMessage::GetLink(message), 0) {
            Ok(Some(RouteNetlinkMessage::NewLink(link))) => Ok(Some(link.header.index)),
            Ok(_) => Ok(None),
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a bridge for a gateway, if it is not there, and returns its index.
    ///
    /// It has a hardware address of its own. One without takes the lowest of its ports', which
    /// changes as instances come and go: whoever talks to the gateway then talks to an address
    /// that is gone, until the neighbour entry expires.
    pub(crate) fn ensure_bridge(&self, name: &str, mtu: u32, gateway: Ipv4Addr) -> io::Result<u32> {
        let address = LinkAttribute::Address(hardware_address(gateway));
        if let Some(index) = self.index(name)? {
            let mut message = LinkMessage::default();
            message.header.index = index;
            message.attributes = vec![address];
            self.ask(RouteNetlinkMessage::SetLink(message), NLM_F_ACK)?;
            return Ok(index);
        }
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            address,
            LinkAttribute::Mtu(mtu),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        self.create(RouteNetlinkMessage::NewLink(message))?;
        self.index(name)?.ok_or_else(|| io::Error::other(format!("bridge {name} is not there")))
    }

    /// Makes a pair of virtual cables: one end here on a bridge, the other, `eth0`, in `namespace`.
    ///
    /// A pair of the same name is that of an earlier start of the same instance. The kernel takes
    /// a namespace apart some time after its last process has ended, so it may still be there.
    pub(crate) fn add_pair(&self, link: &Link, bridge: u32, namespace: &File) -> io::Result<()> {
        self.remove(&link.host_end)?;
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(INSIDE.to_owned()),
            // The same for the same address: no neighbour's entry is ever wrong.
            LinkAttribute::Address(hardware_address(link.address)),
            LinkAttribute::Mtu(link.mtu),
            LinkAttribute::NetNsFd(namespace.as_raw_fd()),
        ];
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes = vec![
            LinkAttribute::IfName(link.host_end.clone()),
            LinkAttribute::Mtu(link.mtu),
            LinkAttribute::Controller(bridge),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        self.create(RouteNetlinkMessage::NewLink(message))
    }

    pub(crate) fn set_up(&self, index: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.ask(RouteNetlinkMessage::SetLink(message), NLM_F_ACK).map(drop)
    }

    /// Gives a link an address. That it has it already is fine.
    pub(crate) fn add_address(
        &self,
        index: u32,
        address: Ipv4Addr,
        prefix_length: u8,
    ) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = prefix_length;
        message.header.index = index;
        message.attributes = vec![
            AddressAttribute::Address(IpAddr::V4(address)),
            AddressAttribute::Local(IpAddr::V4(address)),
        ];
        match self.create(RouteNetlinkMessage::NewAddress(message)) {
            Err(error) if error.raw_os_error() == Some(nix::libc::EEXIST) => Ok(()),
            result => result,
        }
    }

    pub(crate) fn add_default_route(&self, gateway: Ipv4Addr) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.table = MAIN_TABLE;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
        self.create(RouteNetlinkMessage::NewRoute(message))
    }

    /// Removes a link, if it is there.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let Some(index) = self.index(name)? else { return Ok(()) };
        let mut message = LinkMessage::default();
        message.header.index = index;
        match self.ask(RouteNetlinkMessage::DelLink(message), NLM_F_ACK) {
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(()),
            result => result.map(drop),
        }
    }

    fn create(&self, message: RouteNetlinkMessage) -> io::Result<()> {
        self.ask(message, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// One question, one answer: what was asked for, or nothing but a confirmation.
    fn ask(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Option<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answer = Vec::with_capacity(ANSWER_BYTES_MAX);
        self.socket.recv(&mut answer, 0)?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        match answer.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
            _ => Ok(None),
        }
    }
}

/// Name of an instance's end of the pair.
pub(crate) const INSIDE: &str = "eth0";
/// Every network namespace has its loopback at index 1.
pub(crate) const LOOPBACK_INDEX: u32 = 1;

/// A locally administered hardware address that belongs to an IPv4 address.
fn hardware_address(address: Ipv4Addr) -> Vec<u8> {
    let [a, b, c, d] = address.octets();
    vec![0x0a, 0x4d, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use std::thread;

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn a_pair_replaces_the_one_an_earlier_start_left() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        let gateway = Ipv4Addr::new(10, 1, 2, 1);
        let link = Link {
            bridge: "gable-test".to_owned(),
            host_end: "gv-test".to_owned(),
            address: Ipv4Addr::new(10, 1, 2, 3),
            prefix_length: 24,
            gateway,
            mtu: 1500,
        };
        // A namespace belongs to a thread: what the thread makes ends with it.
        let host = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let outside = Netlink::open().unwrap();
            let bridge = outside.ensure_bridge(&link.bridge, link.mtu, gateway).unwrap();
            let namespace = || {
                unshare(CloneFlags::CLONE_NEWNET).unwrap();
                File::open("/proc/thread-self/ns/net").unwrap()
            };
            let (first, second) = (namespace(), namespace());
            outside.add_pair(&link, bridge, &first).unwrap();
            let before = outside.index(&link.host_end).unwrap();
            outside.add_pair(&link, bridge, &second).unwrap();
            assert!(before.is_some());
            assert_ne!(outside.index(&link.host_end).unwrap(), before);
        };
        thread::scope(|scope| scope.spawn(host).join()).unwrap();
    }
}
