//! Files of variables, and values given on the command line.

use blueprint::env_file::{self, Named};
use model::text::{NameFault, check_name, check_variable_name};
use wire::Assignment;

/// Reads a file: all its pairs, or all its mistakes as `line:column: what is wrong`.
///
/// Nothing is expanded: these are values as a person gives them, and a `$` is a `$`. Where a line holds
/// the name only, `outside` has the value.
pub(crate) fn parse(
    text: &str,
    outside: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, Vec<String>> {
    let file = env_file::read(text, Named::AsWritten);
    if file.mistakes.is_empty() {
        let pair = |line: env_file::Line| {
            let value = line.value.or_else(|| outside(&line.name))?;
            Some((line.name, value))
        };
        return Ok(file.lines.into_iter().filter_map(pair).collect());
    }
    let told = |it: &env_file::Mistake| format!("{}:{}: {}", it.line, it.column, it.message);
    Err(file.mistakes.iter().map(told).collect())
}

/// A variable's name, with a service before it if one likes; services may have blanks in theirs.
fn check_key(key: &str) -> Result<(), String> {
    let (service, own) = key.rsplit_once('.').unwrap_or(("", key));
    let checked = match service {
        "" => check_variable_name(own),
        service => check_name(service).and_then(|()| check_variable_name(own)),
    };
    match checked {
        Err(NameFault::Empty) if key.is_empty() => {
            Err("there is no name before the `=`".to_owned())
        }
        // Positions are those of the whole word that the person wrote.
        Err(NameFault::Letter { letter, position }) if check_name(service).is_ok() => {
            let before = if service.is_empty() { 0 } else { service.chars().count() + 1 };
            let fault = NameFault::Letter { letter, position: before + position };
            Err(format!("the name before the `=` is none: {fault}"))
        }
        Err(fault) => Err(format!("the name before the `=` is none: {fault}")),
        Ok(()) => Ok(()),
    }
}

/// Reads `[SERVICE.]KEY=VALUE` from the command line.
///
/// # Errors
/// What is wrong with it, without the value.
pub(crate) fn parse_assignment(text: &str) -> Result<Assignment, String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("there is no `=`".to_owned());
    };
    check_key(name)?;
    Ok(assignment(name, value.to_owned()))
}

/// Takes `SERVICE.KEY` apart. Services and keys may both hold dots; a key that follows a service is
/// an identifier. Whether there is such a service is for the server to say.
pub(crate) fn assignment(name: &str, value: String) -> Assignment {
    match name.rsplit_once('.') {
        Some((service, key)) if !service.is_empty() && is_identifier(key) => {
            Assignment { service: Some(service.to_owned()), key: key.to_owned(), value }
        }
        _ => Assignment { service: None, key: name.to_owned(), value },
    }
}

fn is_identifier(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_written_and_names_alone_take_theirs_from_outside() {
        let text = "A='it\\'s # x' # y\nURL=postgres://u:p$w@h/#x\nmy api.KEY=1\nTOKEN\nNONE\n";
        let outside = |name: &str| (name == "TOKEN").then(|| "t".to_owned());
        let pairs = parse(text, &outside).unwrap();
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [
            ("A", "it's # x"),
            ("URL", "postgres://u:p$w@h/#x"),
            ("my api.KEY", "1"),
            ("TOKEN", "t"),
        ];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn all_mistakes_are_told_with_their_places_and_without_values() {
        let told = parse("A=1\nB='x' hunter4\nC=\"hunter6\n", &|_| None).unwrap_err().join("\n");
        insta::assert_snapshot!(told, @r"
        2:7: there is something after the closing quote
        3:3: the quote is never closed
        ");
    }

    #[test]
    fn the_service_is_what_stands_before_the_last_dot() {
        let parts = |text: &str| {
            let assignment = parse_assignment(text).unwrap();
            (assignment.service, assignment.key, assignment.value)
        };
        assert_eq!(parts("KEY=a=b"), (None, "KEY".into(), "a=b".into()));
        assert_eq!(parts("api.KEY="), (Some("api".into()), "KEY".into(), String::new()));
        assert_eq!(parts("my.api.KEY=1"), (Some("my.api".into()), "KEY".into(), "1".into()));
        assert_eq!(parts("a.b-c=1"), (None, "a.b-c".into(), "1".into()));
        assert_eq!(parse_assignment("hunter2").unwrap_err(), "there is no `=`");
    }
}
