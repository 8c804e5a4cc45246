//! Which port a service will probably listen on, before it can be seen.
//!
//! `PORT` is the platform's wish and not a promise: real start commands write ports down. What is
//! said here is a first guess for others' variables; where the service really listens is seen once
//! it runs.

use model::{EnvSource, PortProtocol, Service};

/// Render's port for web services.
pub const DEFAULT_PORT: u16 = 10000;

/// Flags that are followed by a port or by an address with one.
const FLAGS: [&str; 7] = ["--port", "-p", "--bind", "-b", "--listen", "-l", "--http"];

/// The port that the declaration names: for its container, in the command, or in `PORT`.
#[must_use]
pub fn declared(service: &Service) -> Option<u16> {
    let variable = service.env.iter().rev().find(|variable| variable.key == "PORT");
    let literal = variable.and_then(|variable| match &variable.source {
        EnvSource::Literal(text) => text.trim().parse().ok(),
        _ => None,
    });
    let container = &service.container;
    let published = container.ports.iter().filter(|port| port.protocol != PortProtocol::Udp);
    let command = container.command.as_ref().map(|words| words.join(" "));
    published
        .map(|port| port.target)
        .chain(container.expose.iter().copied())
        .next()
        .or_else(|| service.start_command.as_deref().and_then(in_command))
        .or_else(|| command.as_deref().and_then(in_command))
        .or(literal)
}

/// The port to expect: the declared one, or Render's default.
#[must_use]
pub fn expected(service: &Service) -> u16 {
    declared(service).unwrap_or(DEFAULT_PORT)
}

fn in_command(command: &str) -> Option<u16> {
    let words: Vec<&str> = command
        .split(|character: char| character.is_whitespace() || matches!(character, ';' | '&' | '|'))
        .map(|word| word.trim_matches(['"', '\'']))
        .filter(|word| !word.is_empty())
        .collect();
    words.iter().enumerate().find_map(|(position, word)| {
        if let Some(text) = word.strip_prefix("PORT=") {
            return port(text);
        }
        match word.split_once('=') {
            Some((flag, text)) if FLAGS.contains(&flag) => port(text),
            _ if FLAGS.contains(word) => words.get(position + 1).and_then(|text| port(text)),
            _ => word.strip_prefix("0.0.0.0:").and_then(port),
        }
    })
}

fn port(text: &str) -> Option<u16> {
    let digits = text.rsplit(':').next().unwrap_or(text).trim_matches(['"', '\'']);
    digits.parse().ok().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &str, expected: Option<u16>) {
        assert_eq!(in_command(command), expected, "{command}");
    }

    #[test]
    fn ports_of_real_start_commands_are_found() {
        check("cd apps/api && PORT=4000 pnpm start:prod", Some(4000));
        check("uvicorn main:app --host 0.0.0.0 --port 8000", Some(8000));
        check("gunicorn app:app -b 0.0.0.0:5555", Some(5555));
        check("gunicorn --bind=0.0.0.0:8080 app", Some(8080));
        check("next start -p 3000", Some(3000));
        check("python manage.py runserver 0.0.0.0:8001", Some(8001));
    }

    #[test]
    fn what_is_no_port_is_not_taken_for_one() {
        check("npm start", None);
        check("uvicorn main:app --port $PORT", None);
        check("gunicorn -b 0.0.0.0:${PORT:-10000} app", None);
        check("cp -p a b && node server.js", None);
    }
}
