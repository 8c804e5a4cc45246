//! `${…}` in values: what real authors write, although Render replaces nothing.

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    /// What stands between `${` and `}`.
    Expression(String),
}

/// What an expression says, before its name is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expression {
    pub(crate) name: String,
    pub(crate) default: Option<String>,
    pub(crate) slice: Option<(usize, usize)>,
}

/// Longest expression, in bytes. Longer ones are text.
const EXPRESSION_LIMIT: usize = 200;

/// Takes a text apart. `None` when there is no `${…}` in it.
pub(crate) fn split(text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    let mut has_expression = false;
    while let Some(start) = rest.find("${") {
        let inner = &rest[start + 2..];
        let end = inner.find('}').filter(|end| *end <= EXPRESSION_LIMIT && *end > 0);
        // `${{ secrets.X }}` belongs to another language.
        let Some(end) = end.filter(|_| !inner.starts_with('{')) else {
            plain.push_str(&rest[..start + 2]);
            rest = inner;
            continue;
        };
        plain.push_str(&rest[..start]);
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Expression(inner[..end].to_owned()));
        has_expression = true;
        rest = &inner[end + 1..];
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    has_expression.then_some(pieces)
}

/// `X`, `X:-default`, `X-default`, `X:offset:length`, `service.property`.
pub(crate) fn expression(text: &str) -> Option<Expression> {
    let text = text.trim();
    if let Some((name, default)) = text.split_once(":-") {
        let default = default.trim_matches(['"', '\'']).to_owned();
        return named(name).map(|name| Expression { name, default: Some(default), slice: None });
    }
    if let Some((name, bounds)) = text.split_once(':') {
        let (offset, length) = bounds.split_once(':').unwrap_or(("0", bounds));
        let slice = Some((offset.trim().parse().ok()?, length.trim().parse().ok()?));
        return named(name).map(|name| Expression { name, default: None, slice });
    }
    named(text).map(|name| Expression { name, default: None, slice: None })
}

fn named(name: &str) -> Option<String> {
    let is_name = |letter: char| letter.is_alphanumeric() || "_-./".contains(letter);
    (!name.is_empty() && name.chars().all(is_name)).then(|| name.to_owned())
}

/// Whether a text holds something that its author wanted replaced: `$NAME`, or `${` in any form.
pub(crate) fn looks_interpolated(text: &str) -> bool {
    text.contains("${")
        || text.match_indices('$').any(|(at, _)| {
            let rest = &text[at + 1..];
            rest.strip_prefix("RENDER_")
                .is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_uppercase()))
        })
}

#[cfg(test)]
mod tests {
    use super::{Expression, Piece, expression, looks_interpolated, split};

    #[test]
    fn texts_are_taken_apart() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let inner = |text: &str| Piece::Expression(text.to_owned());
        assert_eq!(split("plain"), None);
        assert_eq!(split("$c+bk"), None);
        assert_eq!(split("${{ secrets.X }}"), None);
        assert_eq!(split("${open"), None);
        assert_eq!(split("${}"), None);
        assert_eq!(split("${A}"), Some(vec![inner("A")]));
        assert_eq!(
            split("v${A:-x}-${B:0:7}!"),
            Some(vec![text("v"), inner("A:-x"), text("-"), inner("B:0:7"), text("!")])
        );
    }

    #[test]
    fn expressions_have_a_name_a_default_or_a_slice() {
        let check = |text: &str, name: &str, default: Option<&str>, slice| {
            let expected =
                Expression { name: name.to_owned(), default: default.map(str::to_owned), slice };
            assert_eq!(expression(text), Some(expected), "{text}");
        };
        check("RENDER_GIT_COMMIT", "RENDER_GIT_COMMIT", None, None);
        check("RENDER_GIT_TAG:-preview", "RENDER_GIT_TAG", Some("preview"), None);
        check("RENDER_GIT_COMMIT:0:7", "RENDER_GIT_COMMIT", None, Some((0, 7)));
        check("services.api.url", "services.api.url", None, None);
        assert_eq!(expression("A:x:y"), None);
        assert_eq!(expression("A B"), None);
        assert_eq!(expression("A:99999999999999999999:1"), None);
    }

    #[test]
    fn passwords_with_a_dollar_are_no_templates() {
        assert!(!looks_interpolated("%abc$c+de"));
        assert!(!looks_interpolated("pa$$word$"));
        assert!(looks_interpolated("$RENDER_EXTERNAL_URL/x"));
        assert!(looks_interpolated("${X}"));
    }
}
