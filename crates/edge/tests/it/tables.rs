//! Applying tables.

use edge::Error;
use http::Request;
use model::route::{Backend, Generation, RouteTable};

use crate::support::{
    Connection, Edge, RawServer, Server, config, fetch, read_head, route, to, utf8,
};

#[tokio::test]
async fn a_table_is_served_by_every_core_when_it_is_acknowledged() {
    let edge = Edge::start_with(|config| config.threads = 4).await;
    let servers = [Server::named("a").await, Server::named("b").await];
    let mut kept = Vec::new();
    for round in 0..40 {
        let server = &servers[round % 2];
        let expect = ["a", "b"][round % 2];
        edge.apply(vec![to(&[server])]).await;
        if kept.is_empty() {
            for _ in 0..16 {
                kept.push(Connection::open(edge.address).await.unwrap());
            }
        }
        // 16 connections that were open before reach all four cores for certain, new ones too.
        for connection in &mut kept {
            let (_, body) = connection.send(Request::get("/"), "".into()).await.unwrap();
            assert_eq!(utf8(&body), expect, "round {round}");
        }
        assert_eq!(utf8(&edge.get("/").await.1), expect);
    }
}

#[tokio::test]
async fn an_older_table_is_refused_and_the_same_is_acknowledged_again() {
    let edge = Edge::start().await;
    let server = Server::named("new").await;
    let table = |generation, routes| RouteTable {
        generation: Generation(generation),
        routes,
        zones: vec![],
        listeners: vec![],
    };
    let current = table(7, vec![to(&[&server])]);
    edge.client.apply(&current).await.unwrap();
    for old in [table(6, vec![]), table(7, vec![])] {
        let refused = edge.client.apply(&old).await.unwrap_err();
        assert!(
            matches!(refused, Error::Stale { current: Generation(7), offered } if offered == old.generation),
            "{refused:?}"
        );
    }
    assert_eq!(edge.client.apply(&current).await.unwrap().generation, Generation(7));
    assert_eq!(utf8(&edge.get("/").await.1), "new");
}

#[tokio::test]
async fn longest_prefix_wins_and_is_stripped_when_wanted() {
    let edge = Edge::start().await;
    let echo =
        Server::start(|request| async move { crate::support::text(request.uri().to_string()) })
            .await;
    let other = Server::named("root").await;
    let mut api = to(&[&echo]);
    api.path_prefix = "/api".into();
    api.strip_prefix = true;
    edge.apply(vec![to(&[&other]), api]).await;
    for (path, expect) in [
        ("/", "root"),
        ("/apix", "root"),
        ("/api", "/"),
        ("/api/v1?q=a%20b", "/v1?q=a%20b"),
        ("/api/%2e/x", "/%2e/x"),
    ] {
        assert_eq!(utf8(&edge.get(path).await.1), expect, "{path}");
    }
}

#[tokio::test]
async fn hosts_are_found_without_regard_to_case_and_port() {
    let edge = Edge::start().await;
    let server = Server::named("shop").await;
    edge.apply(vec![to(&[&server])]).await;
    for host in ["SHOP.localhost:9999", "shop.localhost."] {
        let (head, _) = fetch(edge.address, Request::get("/").header("host", host)).await;
        assert_eq!(head.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_wildcard_stands_for_one_or_more_labels_and_an_exact_host_wins() {
    let edge = Edge::start().await;
    let servers =
        [Server::named("wild").await, Server::named("inner").await, Server::named("exact").await];
    let on = |server: &Server, host: &str| {
        let mut route = to(&[server]);
        route.hosts = vec![host.into()];
        route
    };
    edge.apply(vec![
        on(&servers[0], "*.wild.example.test"),
        on(&servers[1], "*.inner.wild.example.test"),
        on(&servers[2], "exact.wild.example.test"),
    ])
    .await;
    for (host, expect) in [
        ("a.wild.example.test", "wild"),
        ("A.B.wild.example.test:8080", "wild"),
        ("exact.wild.example.test", "exact"),
        ("x.exact.wild.example.test", "wild"),
        ("inner.wild.example.test", "wild"),
        ("x.inner.wild.example.test", "inner"),
    ] {
        let (head, body) = fetch(edge.address, Request::get("/").header("host", host)).await;
        assert_eq!((head.status.as_u16(), utf8(&body)), (200, expect), "{host}");
    }
    for host in ["wild.example.test", "awild.example.test", ".wild.example.test", "*"] {
        let (head, _) = fetch(edge.address, Request::get("/").header("host", host)).await;
        assert_eq!(head.status, 404, "{host}");
    }
}

#[tokio::test]
async fn which_hosts_there_are_is_told_to_nobody_for_whom_a_proxy_speaks() {
    let edge = Edge::start().await;
    let server = Server::named("shop").await;
    edge.apply(vec![to(&[&server])]).await;
    for header in ["x-forwarded-for", "forwarded", "via", "x-real-ip"] {
        let request = Request::get("/").header("host", "b.example").header(header, "1.2.3.4");
        let (head, body) = fetch(edge.address, request).await;
        assert_eq!(head.status, 404);
        assert!(!utf8(&body).contains("shop"), "{header}: {body:?}");
    }
}

#[tokio::test]
async fn an_unknown_host_is_told_which_local_ones_there_are_and_no_others() {
    let edge = Edge::start().await;
    let server = Server::named("shop").await;
    let mut route = to(&[&server]);
    route.hosts.push("secret.example.com".into());
    edge.apply(vec![route]).await;
    let ask = |accept| Request::get("/").header("host", "<b>.example").header("accept", accept);
    let (head, body) = fetch(edge.address, ask("*/*")).await;
    assert_eq!(head.status, 404);
    assert_eq!(head.headers["content-type"], "text/plain; charset=utf-8");
    assert!(utf8(&body).contains("http://shop.localhost:"), "{body:?}");
    assert!(!utf8(&body).contains("secret"), "{body:?}");
    let (head, body) = fetch(edge.address, ask("text/html,*/*")).await;
    assert_eq!(head.headers["content-type"], "text/html; charset=utf-8");
    assert!(utf8(&body).contains("&lt;b&gt;.example"), "{body:?}");
}

#[tokio::test]
async fn a_redirect_host_answers_with_the_same_path_on_the_other_host() {
    let edge = Edge::start().await;
    edge.apply(vec![route(Backend::RedirectHost("www.example.com".into()))]).await;
    let request = Request::get("/a?b=c").header("host", "shop.localhost:8080");
    let (head, _) = fetch(edge.address, request).await;
    assert_eq!(head.status, 301);
    assert_eq!(head.headers["location"], "http://www.example.com:8080/a?b=c");
}

#[tokio::test]
async fn an_unavailable_service_says_why_and_when_to_come_again() {
    let edge = Edge::start().await;
    edge.apply(vec![route(Backend::Unavailable("shop failed to build.".into()))]).await;
    let (head, body) = edge.get("/").await;
    assert_eq!(head.status, 503);
    assert!(head.headers.contains_key("retry-after"));
    assert!(utf8(&body).starts_with("shop failed to build."));
    let service = edge.service().await;
    assert_eq!((service.requests, service.failed), (1, 1));
}

#[tokio::test]
async fn a_second_edge_is_told_that_the_port_or_the_socket_is_taken() {
    let edge = Edge::start().await;
    let mut same_socket = config(edge.directory.path());
    same_socket.threads = 1;
    let error = tokio::task::spawn_blocking(|| edge::run(same_socket)).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::AlreadyRunning { .. }), "{error}");

    let other = tempfile::tempdir().unwrap();
    let mut same_port = config(other.path());
    same_port.listen = vec![edge.address];
    let error = tokio::task::spawn_blocking(|| edge::run(same_port)).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Bind { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&edge.address.to_string()) && text.contains("--port"), "{text}");
}

#[tokio::test]
async fn only_the_owner_may_open_the_control_socket() {
    use std::os::unix::fs::PermissionsExt;
    let edge = Edge::start().await;
    let mode = std::fs::metadata(edge.client.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A server that says its name, what it was asked and which prefix it was told of.
async fn telling(name: &'static str) -> Server {
    Server::start(move |request| async move {
        let headers = request.headers();
        let prefix = headers.get("x-forwarded-prefix").map(|value| value.to_str().unwrap());
        let told = format!("{name} {} {}", request.uri(), prefix.unwrap_or("-"));
        let mut response = crate::support::text(told);
        if request.uri().path().ends_with("/moved") {
            *response.status_mut() = http::StatusCode::FOUND;
            response.headers_mut().insert("location", "/login?next=/api".parse().unwrap());
        }
        response
    })
    .await
}

#[tokio::test]
async fn several_services_share_a_host_and_are_told_the_prefix_that_was_taken_off() {
    let edge = Edge::start_with(|config| {
        config.settings.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let web = telling("web").await;
    let api = telling("api").await;
    let hooks = telling("hooks").await;
    let below = |server: &Server, prefix: &str, strip_prefix| {
        let mut route = to(&[server]);
        route.path_prefix = prefix.into();
        route.strip_prefix = strip_prefix;
        route
    };
    edge.apply(vec![
        below(&web, "/", true),
        below(&api, "/api", true),
        below(&hooks, "/api/hooks/", false),
    ])
    .await;
    for (path, expect) in [
        ("/", "web / -"),
        ("/apix/y", "web /apix/y -"),
        ("/api", "api / /api"),
        ("/api/", "api / /api"),
        ("/api/v1?q=1", "api /v1?q=1 /api"),
        ("/api//x", "api //x /api"),
        ("/api/hooks", "hooks /api/hooks -"),
        ("/api/hooks/github?x", "hooks /api/hooks/github?x -"),
    ] {
        assert_eq!(utf8(&edge.get(path).await.1), expect, "{path}");
    }
    // A trusted proxy has taken something off before.
    let request = Request::get("/api/v1").header("x-forwarded-prefix", "/shop");
    assert_eq!(utf8(&fetch(edge.address, request).await.1), "api /v1 /shop/api");
    // Where a redirect leads is the service's own business.
    let (head, _) = edge.get("/api/moved").await;
    assert_eq!(
        (head.status.as_u16(), head.headers["location"].to_str().unwrap()),
        (302, "/login?next=/api")
    );
}

#[tokio::test]
async fn a_websocket_below_a_stripped_prefix_is_a_tunnel() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let edge = Edge::start().await;
    let server = RawServer::start(|mut stream| async move {
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        assert!(head.starts_with("get /live?room=1 http/1.1"), "{head}");
        assert!(head.contains("x-forwarded-prefix: /api\r\n"), "{head}");
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let mut route = server.route();
    route.path_prefix = "/api".into();
    route.strip_prefix = true;
    edge.apply(vec![route]).await;
    let mut client = tokio::net::TcpStream::connect(edge.address).await.unwrap();
    client
        .write_all(b"GET /api/live?room=1 HTTP/1.1\r\nhost: shop.localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101"));
    client.write_all(b"words").await.unwrap();
    let mut heard = [0; 5];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"words");
}
