//! Rewrites that lead to a URL.

use http::header::HeaderValue;
use http::uri::PathAndQuery;
use http::{StatusCode, Uri};

use super::{Step, Visit};
use crate::pages::Page;
use crate::proxy;
use crate::table::{Route, host_key};
use crate::worker::Served;

/// Rewrites from one of the own hosts to the next; more are a circle.
const MAX_HOPS: usize = 4;

impl Visit {
    /// A rewrite to a URL: another host of the table, or any that speaks plain HTTP.
    pub(super) async fn external(&mut self, served: &Served, route: &Route, url: &str) -> Step {
        let parsed = url.parse::<Uri>().ok();
        let Some((uri, authority)) =
            parsed.as_ref().and_then(|uri| Some((uri, uri.authority()?.clone())))
        else {
            let sentence = format!("A rewrite of {} leads to {url}, which is no URL.", route.name);
            let page = Page::new(StatusCode::BAD_GATEWAY, &sentence, "");
            return Step::Done(self.failed(&page));
        };
        let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let key = host_key(authority.as_str());
        if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
            self.outgoing.set_host(host);
        }
        if served.table.has_host(&key) {
            self.hops += 1;
            if self.hops > MAX_HOPS {
                let sentence = format!("The rewrites of {} lead in a circle.", route.name);
                let page = Page::new(StatusCode::LOOP_DETECTED, &sentence, "");
                return Step::Done(page.answer(&self.outgoing.head().headers));
            }
            self.key = key.into_owned();
            self.published = None;
            self.path = path;
            return Step::Again;
        }
        if uri.scheme_str() != Some("http") {
            let sentence = format!(
                "A rewrite of {} leads to {}, but requests can only be passed on to http:// URLs.",
                route.name, authority
            );
            let hint = "Use a redirect, or let the page call that address itself.";
            return Step::Done(self.failed(&Page::new(StatusCode::BAD_GATEWAY, &sentence, hint)));
        }
        self.outgoing.set_path(path);
        let host = authority.host().trim_matches(['[', ']']);
        let port = authority.port_u16().unwrap_or(80);
        let address = match tokio::net::lookup_host((host, port)).await {
            Ok(mut addresses) => addresses.next(),
            Err(_) => None,
        };
        let Some(address) = address else {
            let sentence = format!("A rewrite of {} leads to an unknown host, {host}.", route.name);
            return Step::Done(self.failed(&Page::new(StatusCode::BAD_GATEWAY, &sentence, "")));
        };
        let outgoing = &mut self.outgoing;
        match proxy::forward_to(&self.worker, address, &route.service, outgoing).await {
            Ok(response) => Step::Done(response),
            Err(failure) => Step::Done(self.failure(route, failure)),
        }
    }
}
