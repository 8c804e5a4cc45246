//! Private DNS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::LazyLock;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use http::Request;
use model::EnvironmentId;
use model::route::Zone;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{Edge, Server, fetch, to, utf8};

/// All of 127/8 is this machine, so each zone gets an address of its own without privileges.
/// Other processes of tests have others.
fn gateway(last: u8) -> IpAddr {
    static OWN: LazyLock<[u8; 2]> = LazyLock::new(|| {
        let [a, b, ..] = *Uuid::new_v4().as_bytes();
        [1 + a % 99, b]
    });
    let [a, b] = *OWN;
    Ipv4Addr::new(127, a, b, last).into()
}

fn zone(last: u8, names: &[(&str, &[&str])]) -> Zone {
    Zone {
        environment_id: EnvironmentId::from_uuid(Uuid::from_u128(last.into())),
        gateway: gateway(last),
        names: names
            .iter()
            .map(|(name, to)| {
                ((*name).to_owned(), to.iter().map(|address| address.parse().unwrap()).collect())
            })
            .collect(),
    }
}

/// The port of every zone here. The addresses are the test's own, and the kernel gives this port to
/// nobody who asks for any.
const PORT: u16 = 5053;

fn question(name: &str, wanted: RecordType) -> Message {
    let mut query = Message::new(0x1234, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), wanted));
    query
}

async fn ask(server: SocketAddr, name: &str) -> Message {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let query = question(name, RecordType::A).to_vec().unwrap();
    socket.send_to(&query, server).await.unwrap();
    let mut buffer = [0; 4096];
    let (length, from) =
        timeout(Duration::from_secs(10), socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(from, server);
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(answer.metadata.id, 0x1234);
    answer
}

async fn ask_tcp(stream: &mut TcpStream, name: &str) -> Message {
    let query = question(name, RecordType::A).to_vec().unwrap();
    let length = u16::try_from(query.len()).unwrap();
    stream.write_all(&[&length.to_be_bytes(), query.as_slice()].concat()).await.unwrap();
    let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

fn addresses(message: &Message) -> Vec<String> {
    message.answers.iter().map(|answer| answer.data.to_string()).collect()
}

/// A name server that knows `example.com`, and says that `large.example` does not fit.
async fn outside() -> SocketAddr {
    // TCP first: its ports are those that other tests' connections have as well.
    let tcp = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).await.unwrap();
    let answer = |packet: &[u8], whole: bool| {
        let query = Message::from_vec(packet).unwrap();
        let mut answer = query.clone().into_response();
        let name = query.queries[0].name.clone();
        if name.to_ascii().starts_with("large") && !whole {
            answer.metadata.truncation = true;
        } else {
            let data = RData::A(A(Ipv4Addr::new(192, 0, 2, 1)));
            answer.add_answer(Record::from_rdata(name, 60, data));
        }
        answer.to_vec().unwrap()
    };
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, client) = udp.recv_from(&mut buffer).await.unwrap();
            let reply = answer(&buffer[..length], false);
            // A forged answer with another id comes first and must not be believed.
            let mut forged = reply.clone();
            forged[0] ^= 0xff;
            udp.send_to(&forged, client).await.unwrap();
            udp.send_to(&reply, client).await.unwrap();
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut packet = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut packet).await.unwrap();
            let reply = answer(&packet, true);
            let length = u16::try_from(reply.len()).unwrap();
            stream.write_all(&[&length.to_be_bytes(), reply.as_slice()].concat()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn each_zone_answers_for_its_own_names_only() {
    let port = PORT;
    let edge = Edge::start_with(|config| config.dns_port = port).await;
    let applied = edge
        .apply_zones(
            vec![],
            vec![
                zone(11, &[("api", &["10.77.1.2"]), ("both", &["10.77.1.3", "10.77.1.4"])]),
                zone(12, &[("db", &["10.77.2.2"])]),
            ],
        )
        .await;
    assert_eq!(applied.failing_zones, vec![]);
    let (first, second) = (SocketAddr::new(gateway(11), port), SocketAddr::new(gateway(12), port));
    assert_eq!(addresses(&ask(first, "API.").await), ["10.77.1.2"]);
    assert_eq!(addresses(&ask(second, "db.").await), ["10.77.2.2"]);
    for (server, name) in [(first, "db."), (second, "api."), (first, "nobody.")] {
        let answer = ask(server, name).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name}");
        assert!(answer.answers.is_empty());
    }
    let mut both = addresses(&ask(first, "both.").await);
    both.sort();
    assert_eq!(both, ["10.77.1.3", "10.77.1.4"]);

    // Names change with the table, and a zone that left is silent.
    edge.apply_zones(vec![], vec![zone(11, &[("api", &["10.77.1.9"])])]).await;
    assert_eq!(addresses(&ask(first, "api.").await), ["10.77.1.9"]);
    assert_eq!(edge.status().await.zones.len(), 1);
    UdpSocket::bind(second).await.expect("the address is free again");
}

#[tokio::test]
async fn other_names_are_asked_for_outside() {
    let port = PORT;
    let outside = outside().await;
    let edge = Edge::start_with(|config| {
        config.dns_port = port;
        config.dns_upstreams = Some(vec![outside]);
    })
    .await;
    edge.apply_zones(vec![], vec![zone(21, &[("api", &["10.77.1.2"])])]).await;
    let server = SocketAddr::new(gateway(21), port);
    assert_eq!(addresses(&ask(server, "example.com.").await), ["192.0.2.1"]);
    let cut = ask(server, "large.example.").await;
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let mut stream = TcpStream::connect(server).await.unwrap();
    assert_eq!(addresses(&ask_tcp(&mut stream, "large.example.").await), ["192.0.2.1"]);
    assert_eq!(addresses(&ask_tcp(&mut stream, "api.").await), ["10.77.1.2"]);
}

#[tokio::test]
async fn nonsense_does_not_stop_a_zone() {
    let port = PORT;
    let edge = Edge::start_with(|config| config.dns_port = port).await;
    edge.apply_zones(vec![], vec![zone(31, &[("api", &["10.77.1.2"])])]).await;
    let server = SocketAddr::new(gateway(31), port);
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    for length in [0, 1, 11, 12, 100, 1400] {
        socket.send_to(&vec![0x7f; length], server).await.unwrap();
        socket.send_to(&vec![0xff; length], server).await.unwrap();
    }
    let mut half = TcpStream::connect(server).await.unwrap();
    half.write_all(&[0xff, 0xff, 1, 2, 3]).await.unwrap();
    assert_eq!(addresses(&ask(server, "api.").await), ["10.77.1.2"]);
    let failure = ask(server, "example.com.").await;
    assert_eq!(failure.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn a_zone_whose_address_is_taken_is_reported_and_comes_up_later() {
    let port = PORT;
    let edge = Edge::start_with(|config| config.dns_port = port).await;
    let server = SocketAddr::new(gateway(41), port);
    let taken = StdUdpSocket::bind(server).unwrap();
    let applied = edge.apply_zones(vec![], vec![zone(41, &[("api", &["10.77.1.2"])])]).await;
    assert!(applied.failing_zones[0].error.as_ref().unwrap().contains("in use"), "{applied:?}");
    drop(taken);
    edge.until("it listens", |status| status.zones[0].error.is_none()).await;
    assert_eq!(addresses(&ask(server, "api.").await), ["10.77.1.2"]);
}

#[tokio::test]
async fn a_zone_may_be_told_before_its_bridge_exists() {
    let edge = Edge::start_with(|config| config.dns_port = PORT).await;
    let mut early = zone(51, &[]);
    early.gateway = "10.199.77.1".parse().unwrap();
    let applied = edge.apply_zones(vec![], vec![early]).await;
    assert_eq!(applied.failing_zones, vec![]);
}

#[tokio::test]
async fn public_urls_work_inside_private_networks() {
    let port = PORT;
    let edge = Edge::start_with(|config| config.dns_port = port).await;
    let server = Server::named("shop").await;
    edge.apply_zones(vec![to(&[&server])], vec![zone(61, &[])]).await;
    let answer = ask(SocketAddr::new(gateway(61), port), "shop.localhost.").await;
    assert_eq!(addresses(&answer), [gateway(61).to_string()]);
    let inside = SocketAddr::new(gateway(61), edge.address.port());
    assert_eq!(utf8(&fetch(inside, Request::get("/")).await.1), "shop");
    edge.apply_zones(vec![to(&[&server])], vec![]).await;
    edge.until("it is closed", |_| std::net::TcpStream::connect(inside).is_err()).await;
}
