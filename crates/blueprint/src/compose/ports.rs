//! `ports` and `expose`.

use std::ops::RangeInclusive;

use model::{PortProtocol, PublishedPort};

use crate::code::Code;

use super::node::View;
use super::reader::Reader;
use super::scalars::written;

/// Most ports of one service.
const COUNT_LIMIT: usize = 1000;

/// What a port counts among the values of a project: a short text may name many.
const PORT_WEIGHT: usize = 10;

/// Ports that are known to speak something else than HTTP.
const NOT_HTTP: &[u16] = &[
    21, 22, 23, 25, 53, 110, 111, 143, 389, 465, 514, 587, 636, 873, 993, 995, 1025, 1080, 1433,
    1521, 1935, 1883, 2049, 2181, 2379, 2380, 2525, 3306, 3307, 3310, 4222, 4317, 5044, 5432, 5433,
    5434, 5672, 5671, 6222, 6379, 6380, 6381, 6432, 7233, 7687, 8883, 9042, 9092, 9160, 9300,
    11211, 14250, 19530, 26257, 26379, 27017, 27018, 27019, 28015, 29092, 33060, 50000, 50051,
    61613, 61616,
];

/// One entry with its parts as text.
#[derive(Debug, Default)]
struct Entry {
    address: Option<String>,
    published: Option<String>,
    target: String,
    protocol: Option<String>,
    spoken: Option<String>,
}

impl Reader<'_> {
    /// The published ports of a service.
    pub(crate) fn ports(
        &mut self,
        service: &View<'_>,
        protocol: Option<PortProtocol>,
    ) -> Vec<PublishedPort> {
        let Some(view) = service.get("ports") else { return Vec::new() };
        let items: Vec<View<'_>> = match view.node.list() {
            Some(_) => view.items().collect(),
            None if view.node.scalar().is_some() => {
                let message = "`ports` has to be a list; read as a list of one".to_owned();
                self.add(Code::NotAList, &view.node.at, &view.path, message);
                vec![view.clone()]
            }
            None => {
                self.shape(&view, "a list");
                return Vec::new();
            }
        };
        let mut ports: Vec<PublishedPort> = Vec::new();
        let mut count = 0;
        for item in items {
            let Some(entry) = self.port_entry(&item) else { continue };
            let Some(found) = expanded(&entry, protocol) else {
                self.bad(&item, format!("`{}` is no port", shown(&item)), "write `\"8080:80\"`, `\"127.0.0.1:8080:80\"`, or a mapping with `target` and `published`");
                continue;
            };
            count += found.len();
            if !self.afford(&item.node.at, found.len() * PORT_WEIGHT, 0) {
                return Vec::new();
            }
            for port in found {
                if !ports.contains(&port) {
                    ports.push(port);
                }
            }
            if count > COUNT_LIMIT {
                self.bad(
                    &item,
                    format!("a service publishes {COUNT_LIMIT} ports at most"),
                    "publish what is reached from outside",
                );
                return Vec::new();
            }
        }
        if ports.iter().any(|port| port.protocol == PortProtocol::Udp) {
            let message = "`ports`: datagrams (UDP) are not passed on yet".to_owned();
            self.group(Code::FieldLater, service.key_at("ports"), &view.path, message);
        }
        ports
    }

    fn port_entry(&mut self, item: &View<'_>) -> Option<Entry> {
        if item.node.map().is_none() {
            let text = self.text(item)?;
            return Some(short(text.trim()));
        }
        let mut part = |key| item.get(key).and_then(|view| self.text(&view));
        let entry = Entry {
            address: part("host_ip"),
            published: part("published").filter(|published| !published.is_empty()),
            target: part("target").unwrap_or_default(),
            protocol: part("protocol"),
            spoken: part("app_protocol"),
        };
        Some(entry)
    }

    /// The ports of `expose`.
    pub(crate) fn expose(&mut self, service: &View<'_>) -> Vec<u16> {
        let Some(view) = service.get("expose") else { return Vec::new() };
        let mut ports: Vec<u16> = Vec::new();
        let mut count = 0;
        let items: Vec<View<'_>> = match view.node.list() {
            Some(_) => view.items().collect(),
            None => vec![view],
        };
        for item in items {
            let Some(text) = self.text(&item) else { continue };
            let text = text.split('/').next().unwrap_or_default().trim();
            match range(text) {
                Some(range) if count + range.len() <= COUNT_LIMIT => {
                    count += range.len();
                    for port in range {
                        if !ports.contains(&port) {
                            ports.push(port);
                        }
                    }
                }
                _ => self.bad(
                    &item,
                    format!("`{}` is no port", written(&item)),
                    "write a number from 1 to 65535",
                ),
            }
        }
        ports
    }
}

fn shown(item: &View<'_>) -> String {
    if item.node.map().is_some() { "target".to_owned() } else { written(item) }
}

/// `[[address:]published:]target[/protocol]`.
fn short(text: &str) -> Entry {
    let (text, protocol) = match text.rsplit_once('/') {
        Some((text, protocol)) => (text, Some(protocol.to_owned())),
        None => (text, None),
    };
    let (rest, target) = match text.rsplit_once(':') {
        Some((rest, target)) => (Some(rest), target),
        None => (None, text),
    };
    let (address, published) = match rest.map(|rest| rest.rsplit_once(':').ok_or(rest)) {
        None => (None, None),
        Some(Err(published)) => (None, Some(published)),
        Some(Ok((address, published))) => (Some(address), Some(published)),
    };
    let address = address.map(|address| address.trim_matches(['[', ']']).to_owned());
    Entry {
        address: address.filter(|address| !address.is_empty()),
        published: published.filter(|port| !port.is_empty()).map(str::to_owned),
        target: target.to_owned(),
        protocol,
        spoken: None,
    }
}

/// The ports of an entry; ranges pair up. `None` where it cannot be understood.
fn expanded(entry: &Entry, protocol: Option<PortProtocol>) -> Option<Vec<PublishedPort>> {
    if let Some(address) = &entry.address
        && address.parse::<std::net::IpAddr>().is_err()
        && address != "localhost"
    {
        return None;
    }
    let host_address = entry.address.clone().map(|address| match address.as_str() {
        "localhost" => "127.0.0.1".to_owned(),
        _ => address,
    });
    let targets = range(&entry.target)?;
    let published = entry.published.as_deref().map(range);
    let published = match published {
        None => None,
        Some(range) => Some(range?),
    };
    if targets.len() > COUNT_LIMIT {
        return None;
    }
    let pairs_up = published
        .as_ref()
        .is_none_or(|published| published.len() == targets.len() || targets.len() == 1);
    if !pairs_up {
        return None;
    }
    let is_udp = match entry.protocol.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("tcp") => false,
        Some("udp") => true,
        Some(_) => return None,
    };
    let first = published.map(|published| *published.start());
    let mut ports = Vec::new();
    for (index, target) in targets.enumerate() {
        let index = u16::try_from(index).ok()?;
        let published = first
            .map(|first| first.checked_add(index))
            .map_or(Some(None), |port| port.map(Some))?;
        let protocol = match (is_udp, protocol, entry.spoken.as_deref()) {
            (true, ..) => PortProtocol::Udp,
            (_, Some(protocol), _) => protocol,
            (.., Some("http" | "https" | "http2" | "h2c" | "ws" | "wss" | "grpc")) => {
                PortProtocol::Http
            }
            (.., Some(_)) => PortProtocol::Tcp,
            (.., None) if NOT_HTTP.contains(&target) => PortProtocol::Tcp,
            (.., None) => PortProtocol::Http,
        };
        ports.push(PublishedPort {
            target,
            published,
            host_address: host_address.clone(),
            protocol,
        });
    }
    Some(ports)
}

/// `80` or `8000-8010`.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    match text.split_once('-') {
        None => port(text).map(|port| port..=port),
        Some((first, last)) => {
            let range = port(first)?..=port(last)?;
            (!range.is_empty()).then_some(range)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{expanded, short};

    fn check(text: &str, expected: &str) {
        let shown = match expanded(&short(text), None) {
            None => "?".to_owned(),
            Some(ports) => ports
                .iter()
                .map(|port| {
                    let address = port.host_address.as_deref().unwrap_or("*");
                    let published =
                        port.published.map_or("any".to_owned(), |port| port.to_string());
                    format!("{address}:{published}>{}/{}", port.target, port.protocol)
                })
                .collect::<Vec<_>>()
                .join(" "),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn every_short_form_is_understood() {
        check("3000", "*:any>3000/http");
        check("8080:80", "*:8080>80/http");
        check("127.0.0.1:8080:80", "127.0.0.1:8080>80/http");
        check("127.0.0.1::80", "127.0.0.1:any>80/http");
        check("[::1]:8080:80", "::1:8080>80/http");
        check("localhost:8080:80", "127.0.0.1:8080>80/http");
        check("5432:5432", "*:5432>5432/tcp");
        check("15432:5432/tcp", "*:15432>5432/tcp");
        check("53:53/udp", "*:53>53/udp");
        check("3000-3001", "*:any>3000/http *:any>3001/http");
        check("9000-9001:80-81", "*:9000>80/http *:9001>81/http");
        check("8000-9000:80", "*:8000>80/http");
        for text in
            ["", "a:b", "0", "70000:80", "80:70000", "9000-9002:80-81", "5-3", "80/sctp", "x:1:2"]
        {
            check(text, "?");
        }
    }
}
