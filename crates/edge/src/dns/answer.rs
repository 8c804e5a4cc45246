//! What to answer to one question. No I/O.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::Names;

/// Instances come and go: nobody should remember an address for longer than this, in seconds.
const TTL: u32 = 1;
/// What fits into a datagram on every network (the DNS flag day's value).
const MAX_UDP_BYTES: u16 = 1232;

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Reply(Vec<u8>),
    /// Ask the machine's name servers.
    Forward,
    /// Not a question, or none that can be answered.
    Drop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// Reads a message and decides.
pub(super) fn answer(
    packet: &[u8],
    names: &mut Names,
    gateway: IpAddr,
    transport: Transport,
) -> Verdict {
    // Bit 7 of the third byte tells an answer from a question. Answering answers makes loops.
    let Some(id) = id(packet).filter(|_| packet[2] & 0x80 == 0) else { return Verdict::Drop };
    let Ok(query) = Message::from_vec(packet) else {
        return reply(&Message::error_msg(id, OpCode::Query, ResponseCode::FormErr));
    };
    if query.metadata.op_code != OpCode::Query {
        return reply(&Message::error_msg(id, query.metadata.op_code, ResponseCode::NotImp));
    }
    let [question] = query.queries.as_slice() else {
        return reply(&Message::error_msg(id, OpCode::Query, ResponseCode::FormErr));
    };
    let name = question.name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let mut response = Message::new(id, MessageType::Response, OpCode::Query);
    response.metadata.recursion_desired = query.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    response.add_query(question.clone());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP_BYTES);
        response.set_edns(edns);
    }
    match find(&name, names, gateway) {
        Found::Elsewhere => return Verdict::Forward,
        Found::Nowhere => response.metadata.response_code = ResponseCode::NXDomain,
        Found::Here(addresses) => {
            response.metadata.authoritative = true;
            let records = addresses
                .iter()
                .filter_map(|address| record(&question.name, question.query_type, *address));
            response.add_answers(records.collect::<Vec<_>>());
            rotate(&mut response.answers, names);
        }
    }
    let Ok(bytes) = response.to_vec() else {
        return reply(&Message::error_msg(id, OpCode::Query, ResponseCode::ServFail));
    };
    let max = query.max_payload().min(MAX_UDP_BYTES);
    if transport == Transport::Udp && bytes.len() > usize::from(max) {
        return reply(&response.truncate());
    }
    Verdict::Reply(bytes)
}

/// The answer when no name server could be asked.
pub(super) fn server_failure(packet: &[u8]) -> Option<Vec<u8>> {
    let mut response = Message::error_msg(id(packet)?, OpCode::Query, ResponseCode::ServFail);
    response.metadata.recursion_available = true;
    if let Ok(query) = Message::from_vec(packet) {
        response.add_queries(query.queries);
    }
    response.to_vec().ok()
}

fn id(packet: &[u8]) -> Option<u16> {
    const HEADER_BYTES: usize = 12;
    (packet.len() >= HEADER_BYTES).then(|| u16::from_be_bytes([packet[0], packet[1]]))
}

fn reply(message: &Message) -> Verdict {
    message.to_vec().map_or(Verdict::Drop, Verdict::Reply)
}

enum Found {
    Here(Vec<IpAddr>),
    Nowhere,
    Elsewhere,
}

fn find(name: &str, names: &Names, gateway: IpAddr) -> Found {
    if let Some(addresses) = names.private.get(name) {
        return Found::Here(addresses.clone());
    }
    if name == "localhost" {
        return Found::Here(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    if name.ends_with(".localhost") {
        // RFC 6761 forbids to ask anybody else for these.
        return match names.local_hosts.binary_search_by(|host| host.as_str().cmp(name)) {
            Ok(_) => Found::Here(vec![gateway]),
            Err(_) => Found::Nowhere,
        };
    }
    // Other name servers know nothing about private addresses (RFC 6303), and an app that logs who
    // called it should not wait for them to say so.
    let is_private_reverse = name.ends_with(".10.in-addr.arpa");
    if (!name.is_empty() && !name.contains('.')) || is_private_reverse {
        return Found::Nowhere;
    }
    Found::Elsewhere
}

fn record(name: &Name, wanted: RecordType, address: IpAddr) -> Option<Record> {
    let data = match (wanted, address) {
        (RecordType::A | RecordType::ANY, IpAddr::V4(address)) => RData::A(A(address)),
        (RecordType::AAAA | RecordType::ANY, IpAddr::V6(address)) => RData::AAAA(AAAA(address)),
        _ => return None,
    };
    Some(Record::from_rdata(name.clone(), TTL, data))
}

fn rotate(answers: &mut [Record], names: &mut Names) {
    if answers.len() > 1 {
        names.turn = names.turn.wrapping_add(1);
        let by = names.turn % answers.len();
        answers.rotate_left(by);
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use proptest::prelude::*;

    use super::*;

    const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 1, 1));

    fn names() -> Names {
        let address = |last| IpAddr::V4(Ipv4Addr::new(10, 77, 1, last));
        Names {
            private: [
                ("api".to_owned(), vec![address(2)]),
                ("api-discovery".to_owned(), vec![address(2), address(3)]),
                ("order_service".to_owned(), vec![address(4)]),
                ("many".to_owned(), (1..=200).map(address).collect()),
            ]
            .into(),
            local_hosts: vec!["api.localhost".to_owned()],
            turn: 0,
        }
    }

    fn ask(name: &str, wanted: RecordType) -> Result<Message, Verdict> {
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        query.metadata.recursion_desired = true;
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), wanted));
        match answer(&query.to_vec().unwrap(), &mut names(), GATEWAY, Transport::Udp) {
            Verdict::Reply(bytes) => Ok(Message::from_vec(&bytes).unwrap()),
            other => Err(other),
        }
    }

    fn check(name: &str, wanted: RecordType, code: ResponseCode, addresses: &[&str]) {
        let response = ask(name, wanted).unwrap();
        let got: Vec<String> =
            response.answers.iter().map(|answer| answer.data.to_string()).collect();
        assert_eq!(response.metadata.response_code, code, "{name}");
        assert_eq!(got, addresses, "{name}");
        assert_eq!(response.metadata.id, 7);
        assert!(response.answers.iter().all(|answer| answer.ttl == TTL));
    }

    #[test]
    fn names_are_answered_for_and_others_refused_or_forwarded() {
        check("api.", RecordType::A, ResponseCode::NoError, &["10.77.1.2"]);
        check("API.", RecordType::A, ResponseCode::NoError, &["10.77.1.2"]);
        check("Order_Service.", RecordType::A, ResponseCode::NoError, &["10.77.1.4"]);
        check("api.", RecordType::AAAA, ResponseCode::NoError, &[]);
        check("api.", RecordType::MX, ResponseCode::NoError, &[]);
        check("nobody.", RecordType::A, ResponseCode::NXDomain, &[]);
        check("api.localhost.", RecordType::A, ResponseCode::NoError, &["10.77.1.1"]);
        check("other.localhost.", RecordType::A, ResponseCode::NXDomain, &[]);
        check("2.1.77.10.in-addr.arpa.", RecordType::PTR, ResponseCode::NXDomain, &[]);
        assert_eq!(ask("example.com.", RecordType::A), Err(Verdict::Forward));
        assert_eq!(ask(".", RecordType::NS), Err(Verdict::Forward));
    }

    #[test]
    fn several_addresses_take_turns() {
        let mut names = names();
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        query.add_query(Query::query(Name::from_ascii("api-discovery.").unwrap(), RecordType::A));
        let query = query.to_vec().unwrap();
        let mut first = || match answer(&query, &mut names, GATEWAY, Transport::Udp) {
            Verdict::Reply(bytes) => Message::from_vec(&bytes).unwrap().answers[0].data.to_string(),
            other => panic!("{other:?}"),
        };
        assert_ne!(first(), first());
    }

    #[test]
    fn an_answer_that_does_not_fit_asks_for_tcp() {
        let response = ask("many.", RecordType::A).unwrap();
        assert!(response.metadata.truncation);
        assert!(response.answers.is_empty());
    }

    proptest! {
        #[test]
        fn no_packet_makes_it_panic(packet in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = answer(&packet, &mut names(), GATEWAY, Transport::Udp);
            let _ = server_failure(&packet);
        }

        #[test]
        fn a_damaged_question_does_not_make_it_panic(at in 0usize..40, byte in any::<u8>()) {
            let mut query = Message::new(7, MessageType::Query, OpCode::Query);
            query.add_query(Query::query(Name::from_ascii("api-discovery.x.").unwrap(), RecordType::A));
            let mut packet = query.to_vec().unwrap();
            let at = at % packet.len();
            packet[at] = byte;
            let _ = answer(&packet, &mut names(), GATEWAY, Transport::Tcp);
        }
    }
}
