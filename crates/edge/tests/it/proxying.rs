//! What passes through, and how.

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::service::{RouteRule, RouteRuleKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::{Edge, RawServer, Server, fetch, fetch_with, read_head, text, to, utf8};

type Frames = mpsc::UnboundedSender<Result<Frame<Bytes>, std::convert::Infallible>>;

fn channel_body()
-> (Frames, StreamBody<impl futures::Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>>>)
{
    let (sender, receiver) = mpsc::unbounded_channel();
    let stream = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    (sender, StreamBody::new(stream))
}

async fn seen_headers() -> Server {
    Server::start(|request: Request<Incoming>| async move {
        let mut lines: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        text(lines.join("\n"))
    })
    .await
}

#[tokio::test]
async fn a_target_is_told_who_asked_for_which_host() {
    let edge = Edge::start().await;
    let server = seen_headers().await;
    edge.apply(vec![to(&[&server])]).await;
    let request = Request::get("/")
        .header("host", "Shop.localhost:1234")
        .header("connection", "x-private")
        .header("x-private", "1");
    let (_, body) = fetch(edge.address, request).await;
    let lines = utf8(&body);
    for line in [
        "host: Shop.localhost:1234".to_owned(),
        "x-forwarded-for: 127.0.0.1".to_owned(),
        "x-forwarded-host: Shop.localhost:1234".to_owned(),
        format!("x-forwarded-port: {}", edge.address.port()),
        "x-forwarded-proto: http".to_owned(),
    ] {
        assert!(lines.contains(&line), "{line} is not in\n{lines}");
    }
    assert!(lines.contains("x-request-id: "), "{lines}");
    assert!(!lines.contains("x-private"), "{lines}");
}

#[tokio::test]
async fn bytes_that_a_strict_url_would_escape_reach_the_target_escaped() {
    let edge = Edge::start().await;
    let server = Server::start(|request| async move { text(request.uri().to_string()) }).await;
    edge.apply(vec![to(&[&server])]).await;
    let mut client = TcpStream::connect(edge.address).await.unwrap();
    // On one connection, with bodies between: only targets are touched.
    for (target, expect) in [
        ("/?filter={\"a\":1}", "/?filter={%22a%22:1}"),
        ("/\u{17e}/`<b>?q=\u{17e}#x", "/%C5%BE/%60%3Cb%3E?q=%C5%BE%23x"),
        ("/plain?a=%22[]", "/plain?a=%22[]"),
    ] {
        let request = format!(
            "POST {target} HTTP/1.1\r\nhost: shop.localhost\r\ncontent-length: 16\r\n\r\n\
             GET \"<>\" HTTP/1.1"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let head = read_head(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{target}: {head}");
        let mut body = vec![0; expect.len()];
        client.read_exact(&mut body).await.unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), expect);
    }
    // In pieces, and so long that escaping makes it longer than what is read at once.
    let long = "\"".repeat(9_000);
    client.write_all(b"GET /?q=").await.unwrap();
    client.write_all(long.as_bytes()).await.unwrap();
    let rest = " HTTP/1.1\r\nhost: shop.localhost\r\nconnection: close\r\n\r\n";
    client.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with(&format!("/?q={}", "%22".repeat(9_000))), "{}", answer.len());
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_words() {
    let edge = Edge::start().await;
    let server = Server::named("ok").await;
    edge.apply(vec![to(&[&server])]).await;
    for (request, status) in [
        ("GET /\x01 HTTP/1.1\r\nhost: shop.localhost\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost : shop.localhost\r\n\r\n", "400"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let mut client = TcpStream::connect(edge.address).await.unwrap();
        // Also when it is not the first on its connection.
        client.write_all(b"GET / HTTP/1.1\r\nhost: shop.localhost\r\n\r\n").await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200 "));
        client.read_exact(&mut [0; 2]).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.contains("This request cannot be read"), "{request}: {answer}");
    }
    assert_eq!(edge.service().await.failed, 0);
}

#[tokio::test]
async fn bodies_stream_both_ways_at_the_same_time() {
    let edge = Edge::start().await;
    let server =
        Server::start(
            |request: Request<Incoming>| async move { Response::new(request.into_body()) },
        )
        .await;
    edge.apply(vec![to(&[&server])]).await;
    let stream = TcpStream::connect(edge.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (frames, body) = channel_body();
    let request = Request::post("/").header("host", "shop.localhost").body(Box::pin(body)).unwrap();
    let answer = tokio::spawn(sender.send_request(request));
    frames.send(Ok(Frame::data("first".into()))).unwrap();
    let mut body = answer.await.unwrap().unwrap().into_body();
    for text in ["first", "second", "third"] {
        if text != "first" {
            frames.send(Ok(Frame::data(text.into()))).unwrap();
        }
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(utf8(&frame), text);
    }
    drop(frames);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn large_bodies_arrive_whole() {
    let edge = Edge::start().await;
    let server =
        Server::start(
            |request: Request<Incoming>| async move { Response::new(request.into_body()) },
        )
        .await;
    edge.apply(vec![to(&[&server])]).await;
    let sent = Bytes::from((0..24 * 1024 * 1024u32).map(|at| (at % 251) as u8).collect::<Vec<_>>());
    let (head, got) = fetch_with(edge.address, Request::post("/"), sent.clone()).await;
    assert_eq!(head.status, 200);
    assert!(got == sent);
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_understood() {
    let edge = Edge::start().await;
    let server = Server::start(|request: Request<Incoming>| async move {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        text([host.as_bytes(), b" ", &body].concat())
    })
    .await;
    edge.apply(vec![to(&[&server])]).await;
    let stream = TcpStream::connect(edge.address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let ask = |number: usize| {
        let mut sender = sender.clone();
        async move {
            let request = Request::post("http://shop.localhost/x")
                .body(Full::new(Bytes::from(number.to_string())))
                .unwrap();
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(utf8(&body), format!("shop.localhost {number}"));
        }
    };
    futures::future::join_all((0..50).map(ask)).await;
    let mut sender = sender.clone();
    let request = Request::head("http://unknown.localhost/").body(Full::default()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 404);
    assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    // The edge would wait for this client, which cannot answer any more when the test has ended.
    connection.abort();
    assert!(connection.await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let edge = Edge::start().await;
    let server = Server::start(|request: Request<Incoming>| async move {
        let collected = request.into_body().collect().await.unwrap();
        let sum = collected.trailers().unwrap()["x-sum"].clone();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", sum);
        let frames = stream::iter([
            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from("ok"))),
            Ok(Frame::trailers(trailers)),
        ]);
        Response::builder()
            .header("trailer", "x-sum")
            .body(StreamBody::new(frames.boxed()))
            .unwrap()
    })
    .await;
    edge.apply(vec![to(&[&server])]).await;
    let stream = TcpStream::connect(edge.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (frames, body) = channel_body();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("42"));
    frames.send(Ok(Frame::data("body".into()))).unwrap();
    frames.send(Ok(Frame::trailers(trailers))).unwrap();
    drop(frames);
    let request = Request::post("/")
        .header("host", "shop.localhost")
        .header("trailer", "x-sum")
        .header("te", "trailers")
        .body(Box::pin(body))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["x-sum"], "42");
}

#[tokio::test]
async fn head_keeps_the_length_and_has_no_body() {
    let edge = Edge::start().await;
    let server = Server::named("four").await;
    edge.apply(vec![to(&[&server])]).await;
    for _ in 0..3 {
        let (head, body) = fetch(edge.address, Request::head("/")).await;
        assert_eq!(head.headers["content-length"], "4");
        assert!(body.is_empty());
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let edge = Edge::start().await;
    let server = Server::start(|request: Request<Incoming>| async move {
        assert!(!request.headers().contains_key("expect"));
        text(request.into_body().collect().await.unwrap().to_bytes())
    })
    .await;
    edge.apply(vec![to(&[&server])]).await;
    let mut client = TcpStream::connect(edge.address).await.unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nhost: shop.localhost\r\ncontent-length: 4\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 100 "));
    client.write_all(b"body").await.unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 ") && rest.ends_with("\r\n\r\nbody"), "{rest}");
}

#[tokio::test]
async fn a_request_without_a_host_is_answered_400() {
    let edge = Edge::start().await;
    edge.apply(vec![]).await;
    for (request, expect) in [
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 404 "),
        ("CONNECT shop.localhost:80 HTTP/1.1\r\nhost: shop.localhost\r\n\r\n", "HTTP/1.1 400 "),
        ("PRO / HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 404 "),
    ] {
        let mut client = TcpStream::connect(edge.address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let head = read_head(&mut client).await;
        assert!(head.starts_with(expect), "{request}{head}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_counts_as_failed() {
    let edge = Edge::start().await;
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let before = edge.status().await.services.first().map_or(0, |service| service.failed);
        let server = RawServer::start(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        edge.apply(vec![server.route()]).await;
        let got = crate::support::try_fetch(edge.address, Request::get("/"), Bytes::new()).await;
        assert!(got.is_err(), "the client must see that it is not whole: {got:?}");
        let status = edge.status().await;
        assert_eq!(status.services[0].failed, before + 1);
        let target = status.targets.iter().find(|target| target.id == server.id).unwrap();
        assert_eq!((target.failed, target.in_flight), (1, 0));
    }
}

#[tokio::test]
async fn a_target_that_does_not_speak_http_is_answered_for_with_502() {
    let edge = Edge::start().await;
    let server = RawServer::start(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"SSH-2.0-nonsense\r\n").await.unwrap();
    })
    .await;
    edge.apply(vec![server.route()]).await;
    let (head, body) = edge.get("/").await;
    assert_eq!(head.status, 502);
    assert!(utf8(&body).contains("not HTTP"), "{body:?}");
}

#[tokio::test]
async fn a_client_that_leaves_is_no_failure_and_frees_the_target() {
    let edge = Edge::start().await;
    let (left, mut has_left) = mpsc::unbounded_channel();
    let server = RawServer::start(move |mut stream| {
        let left = left.clone();
        async move {
            read_head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
                .await
                .unwrap();
            let _ = stream.read_u8().await;
            left.send(()).unwrap();
        }
    })
    .await;
    edge.apply(vec![server.route()]).await;
    let mut client = TcpStream::connect(edge.address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: shop.localhost\r\n\r\n").await.unwrap();
    read_head(&mut client).await;
    drop(client);
    has_left.recv().await.unwrap();
    let status = edge.until("nothing in flight", |status| status.targets[0].in_flight == 0).await;
    assert_eq!((status.services[0].failed, status.targets[0].failed), (0, 0));
}

fn rule(kind: RouteRuleKind, source: &str, destination: &str) -> RouteRule {
    RouteRule { kind, source: source.into(), destination: destination.into() }
}

#[tokio::test]
async fn rules_and_headers_apply_to_services_too() {
    let edge = Edge::start().await;
    let server = Server::start(|request| async move { text(request.uri().to_string()) }).await;
    let mut route = to(&[&server]);
    route.rules = vec![
        rule(RouteRuleKind::Redirect, "/old/*", "/new/*"),
        rule(RouteRuleKind::Rewrite, "/user/:id", "/users?id=:id"),
    ];
    route.headers = vec![model::HeaderRule {
        path: "/*".into(),
        name: "x-frame-options".into(),
        value: "DENY".into(),
    }];
    edge.apply(vec![route]).await;
    let (head, _) = edge.get("/old/a?b").await;
    assert_eq!(
        (head.status.as_u16(), head.headers["location"].to_str().unwrap()),
        (301, "/new/a?b")
    );
    let (head, body) = edge.get("/user/7").await;
    assert_eq!(utf8(&body), "/users?id=7");
    assert_eq!(head.headers["x-frame-options"], "DENY");
}

#[tokio::test]
async fn a_rewrite_to_a_url_is_passed_on() {
    let edge = Edge::start().await;
    let outside = Server::start(|request: Request<Incoming>| async move {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        text(format!("outside {host} {}", request.uri()))
    })
    .await;
    let inside = Server::start(|request: Request<Incoming>| async move {
        text(format!("inside {}", request.uri()))
    })
    .await;
    let mut api = to(&[&inside]);
    api.hosts = vec!["api.localhost".into()];
    let mut shop = to(&[&inside]);
    shop.rules = vec![
        rule(RouteRuleKind::Rewrite, "/out/*", &format!("http://{}/x/*", outside.address)),
        rule(RouteRuleKind::Rewrite, "/api/*", "https://api.localhost/v1/*"),
        rule(RouteRuleKind::Rewrite, "/tls/*", "https://example.com/*"),
        rule(RouteRuleKind::Rewrite, "/loop/*", "http://shop.localhost/loop/*"),
    ];
    edge.apply(vec![shop, api]).await;
    let (_, body) = edge.get("/out/a?q=1").await;
    assert_eq!(utf8(&body), format!("outside {} /x/a?q=1", outside.address));
    assert_eq!(utf8(&edge.get("/api/a").await.1), "inside /v1/a");
    let (head, body) = edge.get("/tls/a").await;
    assert_eq!(head.status, 502);
    assert!(utf8(&body).contains("only be passed on to http://"), "{body:?}");
    assert_eq!(edge.get("/loop/a").await.0.status, 508);
}

#[tokio::test]
async fn connections_to_targets_are_used_again() {
    let edge = Edge::start_with(|config| config.threads = 1).await;
    let (opened, mut connections) = mpsc::unbounded_channel();
    let server = RawServer::start(move |mut stream| {
        opened.send(()).unwrap();
        async move {
            while !read_head(&mut stream).await.is_empty() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    edge.apply(vec![server.route()]).await;
    for method in [Method::GET, Method::POST, Method::DELETE] {
        for _ in 0..10 {
            fetch(edge.address, Request::builder().method(method.clone()).uri("/")).await;
        }
    }
    let mut count = 0;
    while connections.try_recv().is_ok() {
        count += 1;
    }
    assert_eq!(count, 1);
}

#[tokio::test]
async fn an_answer_without_a_body_ends_its_request() {
    let edge = Edge::start().await;
    let server = Server::start(|_| async {
        Response::builder().status(204).body(Empty::<Bytes>::new()).unwrap()
    })
    .await;
    edge.apply(vec![to(&[&server])]).await;
    for _ in 0..5 {
        assert_eq!(edge.get("/").await.0.status, 204);
    }
    edge.until("nothing in flight", |status| status.targets[0].in_flight == 0).await;
}
