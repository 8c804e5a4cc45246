//! The process runs, and is not healthy: why.

use super::{Facts, ProbeSeen, Verdict, log, text};

/// So much of a body is shown.
const BODY_CHARS_MAX: usize = 160;

pub(super) fn judge(facts: &Facts<'_>, lines: &[String]) -> Verdict {
    let waits_for = log::read(lines, facts.env_keys).before;
    match facts.last_probe {
        Some(ProbeSeen::Unhealthy { status, body_head }) => {
            answered(facts, Answer { status: *status, body_head }, waits_for)
        }
        _ if facts.service.has_port() && !answers_elsewhere(facts) => {
            unreachable(facts, waits_for).line(log::last_telling(lines))
        }
        Some(ProbeSeen::Timeout) => with_cause(
            Verdict::new("health-check-timeout").what(path(facts)).line(waited(facts)),
            waits_for,
        )
        .line(log::last_telling(lines)),
        Some(ProbeSeen::Error(error)) => {
            Verdict::new("health-check-not-http").what(path(facts)).line(error)
        }
        _ => with_cause(Verdict::new("not-healthy-in-time").line(waited(facts)), waits_for)
            .line(log::last_telling(lines)),
    }
}

struct Answer<'a> {
    status: u16,
    body_head: &'a str,
}

/// Something answered, and not with 2xx or 3xx.
fn answered(facts: &Facts<'_>, answer: Answer<'_>, logged: Option<Verdict>) -> Verdict {
    let said = said(facts, &answer);
    let in_body = log::read(&[answer.body_head.to_owned()], facts.env_keys).before;
    let is_host = |verdict: &Verdict| verdict.cause.code == "host-not-allowed";
    let speaks_of_host = in_body.as_ref().is_some_and(is_host)
        || logged.as_ref().is_some_and(is_host)
        || super::allowed_hosts_setting(facts.env_keys).is_some();
    match answer.status {
        400 | 403 if speaks_of_host => {
            let verdict = Verdict::new("host-not-allowed").what(answer.status.to_string());
            with_lines(verdict.line(said), logged)
        }
        401 | 403 => Verdict::new("health-path-unauthorized").what(path(facts)).line(said),
        404 | 410 => Verdict::new("health-path-not-found").what(path(facts)).line(said),
        500..=599 => {
            // The log says more than the status, when it speaks of a known cause.
            let verdict = Verdict::new("health-check-error").what(answer.status.to_string());
            match logged.or(in_body) {
                Some(cause) => Verdict { lines: [vec![said], cause.lines].concat(), ..cause },
                None => verdict.line(said),
            }
        }
        status => Verdict::new("health-check-refused").what(status.to_string()).line(said),
    }
}

fn said(facts: &Facts<'_>, answer: &Answer<'_>) -> String {
    let body = text::clean(&[answer.body_head.replace(['\n', '\r'], " ")]).concat();
    let body: String = body.chars().take(BODY_CHARS_MAX).collect();
    let said = format!("GET {} answered {}", path(facts), answer.status);
    if body.trim().is_empty() { said } else { format!("{said}: {}", body.trim()) }
}

/// Whether a port is open to others: then port detection has found it.
fn answers_elsewhere(facts: &Facts<'_>) -> bool {
    facts.listeners.iter().any(|(address, _)| !address.is_loopback())
        && !matches!(facts.last_probe, Some(ProbeSeen::Refused))
}

fn unreachable(facts: &Facts<'_>, logged: Option<Verdict>) -> Verdict {
    let open = |(address, port): &(std::net::IpAddr, u16)| format!("{address}:{port}");
    let ports: Vec<String> = facts.listeners.iter().map(open).collect();
    if facts.listeners.is_empty() {
        let verdict = Verdict::new("port-not-open").what(facts.expected_port.to_string());
        return with_cause(verdict.line(waited(facts)), logged);
    }
    if facts.listeners.iter().all(|(address, _)| address.is_loopback()) {
        return Verdict::new("listens-on-loopback").what(ports.join(", "));
    }
    let verdict = Verdict::new("port-not-answering").what(ports.join(", "));
    verdict.line(format!("PORT is {}", facts.expected_port))
}

/// What the log speaks of explains why nothing is heard, if it is a known cause.
fn with_cause(verdict: Verdict, logged: Option<Verdict>) -> Verdict {
    match logged {
        Some(cause) => Verdict { lines: [cause.lines, verdict.lines].concat(), ..cause },
        None => verdict,
    }
}

fn with_lines(verdict: Verdict, logged: Option<Verdict>) -> Verdict {
    let more = logged.map(|cause| cause.lines).unwrap_or_default();
    Verdict { lines: [verdict.lines, more].concat(), ..verdict }
}

fn path(facts: &Facts<'_>) -> String {
    facts.service.health_check_path.clone().unwrap_or_else(|| "/".to_owned())
}

fn waited(facts: &Facts<'_>) -> String {
    format!("waited {} s", facts.waited.as_secs())
}
