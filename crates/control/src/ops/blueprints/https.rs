//! What a person should know about https before and after an apply.

use super::Resolved;
use crate::platform::Platform;

/// Services that seem to take https for granted, as the edge has seen while http was what they got.
pub(super) async fn wanted(platform: &Platform, resolved: &[Resolved]) -> Vec<String> {
    if platform.config.is_https_public() {
        return Vec::new();
    }
    let Ok(status) = platform.publisher.status().await else { return Vec::new() };
    let notes = resolved.iter().filter_map(|service| {
        let seen = status.services.iter().find(|seen| seen.service_id == service.row.id)?;
        note(service.row.name(), seen.https_redirects, seen.forms_refused)
    });
    notes.collect()
}

fn note(name: &str, redirects: u64, forms_refused: u64) -> Option<String> {
    let what = match (redirects, forms_refused) {
        (0, 0) => return None,
        (0, _) => {
            "has answered forms of its own pages with 403 over http, as one that expects https does"
        }
        _ => "redirects http to https of the same host",
    };
    Some(format!("{name} {what}: after `gable trust` https is the scheme of its URL"))
}

/// Why public URLs that begin with `https` lead nowhere, if they do.
pub(super) async fn missing(platform: &Platform) -> Option<String> {
    if !platform.config.is_https_public() {
        return None;
    }
    let status = platform.publisher.status().await.ok()?;
    let failing = status.https.into_iter().find_map(|https| Some((https.address, https.error?)));
    failing
        .map(|(address, why)| format!("https is not served on {address}: {why}; it is tried again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_that_wants_https_is_named_with_what_it_did() {
        assert_eq!(note("web", 0, 0), None);
        assert!(note("web", 3, 0).is_some_and(|note| note.contains("web redirects http to https")));
        assert!(note("web", 0, 1).is_some_and(|note| note.contains("403")));
    }
}
