//! What clients of the edge may do.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use edge::Settings;

/// A day: who waits longer has been forgotten.
const MAX_SECONDS: u64 = 24 * 60 * 60;

/// Settings of the edge. What is not said stays as it was.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Requests from outside")]
pub(crate) struct EdgeFlags {
    /// A proxy in front of Gable whose `X-Forwarded-*` headers are believed: an address or a
    /// network such as 10.0.0.0/8; can be given several times; `none` for nobody, loopback neither
    /// [default: as it was last time, or none]
    #[arg(long, value_name = "NETWORK", value_parser = proxy)]
    pub(crate) trusted_proxy: Vec<TrustedProxy>,
    /// Make https the scheme of public URLs whether or not `gable trust` was run; `--https=false`
    /// takes it back [default: as it was last time, or when it is trusted]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) https: Option<bool>,
    /// Address of https; can be given several times; `none` for no https [default: as it was last
    /// time, or 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address, env = "GABLE_HTTPS_LISTEN")]
    pub(crate) https_listen: Vec<Option<SocketAddr>>,
    /// How long an instance may take to answer, and to pause inside its answer, in seconds; ports
    /// that a compose file publishes have no such limit [default: as it was last time, or 12 hours]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=7 * MAX_SECONDS))]
    pub(crate) answer_timeout: Option<u64>,
    /// How long a connection may be open without a request, in seconds [default: as it was last
    /// time, or 30 before the first one and 75 after it]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    pub(crate) idle_timeout: Option<u64>,
    /// How long the head of a request may take to arrive, in seconds [default: as it was last time,
    /// or 30]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    pub(crate) head_timeout: Option<u64>,
    /// Most connections from clients at once [default: as it was last time, or 20000]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_connections: Option<u32>,
    /// Most connections at once from one address (one /64 of IPv6) [default: as it was last time,
    /// or half of all]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_connections_per_client: Option<u32>,
}

/// A network of proxies; `None` is the word that there is none.
pub(crate) type TrustedProxy = Option<ipnet::IpNet>;

fn proxy(text: &str) -> Result<TrustedProxy, String> {
    if text == "none" {
        return Ok(None);
    }
    let network = text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(Into::into));
    network.map(Some).map_err(|_| {
        "an address, a network such as 10.0.0.0/8 or fd00::/8, or `none` is expected".to_owned()
    })
}

fn address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "none" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| "an address with a port, or `none` is expected".to_owned())
}

impl EdgeFlags {
    /// Changes what was said.
    pub(crate) fn apply(&self, settings: &mut Settings) {
        if !self.trusted_proxy.is_empty() {
            settings.trusted_proxies = self.trusted_proxy.iter().copied().flatten().collect();
        }
        if !self.https_listen.is_empty() {
            settings.https = self.https_listen.iter().copied().flatten().collect();
        }
        let limits = &mut settings.limits;
        if let Some(seconds) = self.answer_timeout {
            limits.upstream_response_timeout = Duration::from_secs(seconds);
        }
        if let Some(seconds) = self.idle_timeout {
            limits.first_request_timeout = Duration::from_secs(seconds);
            limits.keep_alive_timeout = Duration::from_secs(seconds);
        }
        if let Some(seconds) = self.head_timeout {
            limits.header_timeout = Duration::from_secs(seconds);
        }
        if let Some(count) = self.max_connections {
            limits.max_connections = count as usize;
        }
        if let Some(count) = self.max_connections_per_client {
            limits.max_connections_per_source = Some(count as usize);
        }
    }
}

/// What of the settings is not as usual, in words.
pub(crate) fn differences(settings: &Settings) -> Vec<String> {
    let (usual, limits) = (Settings::default(), &settings.limits);
    let list = |items: Vec<String>| match items.is_empty() {
        true => "none".to_owned(),
        false => items.join(", "),
    };
    let mut told = Vec::new();
    let mut tell = |differs: bool, name: &str, value: String| {
        if differs {
            told.push(format!("{name} {value}"));
        }
    };
    let proxies = settings.trusted_proxies.iter().map(ToString::to_string).collect();
    tell(settings.trusted_proxies != usual.trusted_proxies, "trusted proxies", list(proxies));
    let https = settings.https.iter().map(ToString::to_string).collect();
    tell(settings.https != usual.https, "https on", list(https));
    let seconds = |duration: Duration| format!("{} s", duration.as_secs());
    let (own, usual) = (limits, &usual.limits);
    let answer = own.upstream_response_timeout;
    tell(answer != usual.upstream_response_timeout, "answer timeout", seconds(answer));
    let idle = own.keep_alive_timeout;
    tell(idle != usual.keep_alive_timeout, "idle timeout", seconds(idle));
    let head = own.header_timeout;
    tell(head != usual.header_timeout, "head timeout", seconds(head));
    let most = own.max_connections;
    tell(most != usual.max_connections, "connections at most", most.to_string());
    if let Some(share) = own.max_connections_per_source {
        tell(true, "connections per client at most", share.to_string());
    }
    told
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        edge: EdgeFlags,
    }

    fn applied(before: &Settings, arguments: &[&str]) -> Settings {
        let mut settings = before.clone();
        let words = ["edge"].iter().chain(arguments);
        Flags::try_parse_from(words).expect("they are right").edge.apply(&mut settings);
        settings
    }

    #[test]
    fn nobody_is_trusted_unless_named_and_none_takes_it_back() {
        let before = Settings::default();
        assert!(before.trusted_proxies.is_empty());
        let named = applied(&before, &["--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "::1"]);
        let texts: Vec<String> = named.trusted_proxies.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.0/8", "::1/128"]);
        assert_eq!(applied(&named, &[]), named, "what is not said stays");
        assert_eq!(differences(&named), ["trusted proxies 10.0.0.0/8, ::1/128"]);
        assert!(differences(&before).is_empty());
        assert_eq!(applied(&named, &["--trusted-proxy", "none"]), before);
        for wrong in ["10.0.0.0/33", "proxy.example", "", "10.0.0"] {
            assert!(Flags::try_parse_from(["edge", "--trusted-proxy", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_have_units_and_bounds() {
        let limits = applied(
            &Settings::default(),
            &["--answer-timeout", "7200", "--max-connections-per-client", "9"],
        )
        .limits;
        assert_eq!(limits.upstream_response_timeout, Duration::from_secs(7200));
        assert_eq!(limits.max_connections_per_source, Some(9));
        for wrong in ["--answer-timeout=0", "--max-connections=0", "--idle-timeout=forever"] {
            assert!(Flags::try_parse_from(["edge", wrong]).is_err(), "{wrong}");
        }
    }
}
