//! Lines of a compose file: what stands in `environment`, `args`, `content` and extensions is hidden.

use std::ops::Range;

use super::State;

/// One line further.
pub(super) fn step(mut state: State, text: &str) -> (State, Option<Range<usize>>) {
    let body = text.trim_start();
    let indent = text.len() - body.len();
    let whole = indent..indent + body.trim_end().len();
    if body.is_empty() {
        return (state, None);
    }
    let is_inside = |column: usize| indent > column || (indent == column && body.starts_with('-'));
    if !body.starts_with('#') && state.block.is_some_and(|column| !is_inside(column)) {
        state = State::default();
    }
    if state.value.is_some_and(|column| indent > column) {
        return (state, Some(whole));
    }
    let inner = body.trim_start_matches(['-', ' ', '#']);
    let column = indent + (body.len() - inner.len());
    let sign = inner.find([':', '=']);
    if state.block.is_some() {
        state.value = Some(column).filter(|_| !body.starts_with('#'));
        return match sign {
            // A text below a key belongs to it, a mapping below it does not.
            Some(at) if inner[at + 1..].trim().is_empty() => (State { value: None, ..state }, None),
            Some(at) => (state, Some(column + behind(inner, at)..whole.end)),
            None => (state, Some(column..whole.end)),
        };
    }
    let Some(at) = sign.filter(|at| inner.as_bytes()[*at] == b':') else { return (state, None) };
    let key = inner[..at].trim_matches(['"', '\'', ' ']);
    let is_extension = indent == 0 && key.starts_with("x-") && key != "x-gable";
    if !is_extension && !matches!(key, "environment" | "args" | "content") {
        return (state, None);
    }
    if !body.starts_with('#') {
        state.block = Some(column);
        state.value = Some(column).filter(|_| key == "content");
    }
    let value = inner[at + 1..].trim();
    let is_anchor = value.starts_with('&') && !value.contains(char::is_whitespace);
    let is_hidden = !value.is_empty() && !is_anchor;
    (state, is_hidden.then(|| column + behind(inner, at)..whole.end))
}

/// Behind a sign and the blanks that follow.
fn behind(text: &str, sign: usize) -> usize {
    let rest = &text[sign + 1..];
    sign + 1 + (rest.len() - rest.trim_start().len())
}

#[cfg(test)]
mod tests {
    use crate::mask::{Dialect, line};
    use crate::source::Source;

    #[test]
    fn values_are_hidden_and_everything_else_is_shown() {
        let text = "x-env: &env\n  KEY: hunter2\nservices:\n  a:\n    image: nginx\n    environment:\n      KEY: hunter2\n      NAME: >\n        hunter2\n      # OLD: hunter2\n    ports: [\"80:80\"]\n  b:\n    build:\n      args:\n      - TOKEN=hun:ter2\n      - A\n    environment: {A: hunter2}\n    command: run\nconfigs:\n  c:\n    content: |\n      hunter2: x\n";
        let source = Source::new(text);
        let shown: Vec<String> = (0..source.line_count())
            .map(|index| line(&source, index, Dialect::Compose).text)
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        x-env: &env
          KEY: ••••••
        services:
          a:
            image: nginx
            environment:
              KEY: ••••••
              NAME: ••••••
                ••••••
              # OLD: ••••••
            ports: ["80:80"]
          b:
            build:
              args:
              - TOKEN=••••••
              - ••••••
            environment: ••••••
            command: run
        configs:
          c:
            content: ••••••
              ••••••
        "#);
    }
}
