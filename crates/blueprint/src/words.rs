//! Commands as text: the words that a program is started with.

/// Characters that mean something to a shell when they stand outside quotes.
const SHELL_SIGNS: &[char] =
    &['$', '&', '|', ';', '<', '>', '`', '(', ')', '*', '?', '\n', '~', '#'];

/// The program and arguments of a container's command (`dockerCommand`).
///
/// A text that only a shell understands is handed to one, in the container; any other is split
/// into words, so that the program itself gets the signals.
pub(crate) fn of_command(text: &str) -> Vec<String> {
    let is_assignment = text.split_whitespace().next().is_some_and(|word| word.contains('='));
    if !is_assignment
        && !has_shell_signs(text)
        && let Some(words) = shlex::split(text)
        && !words.is_empty()
    {
        return words;
    }
    vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()]
}

/// Whether a shell would do more with it than split it.
fn has_shell_signs(text: &str) -> bool {
    let mut characters = text.chars();
    let (mut is_single, mut is_double) = (false, false);
    while let Some(character) = characters.next() {
        match character {
            '\\' if !is_single => drop(characters.next()),
            '\'' if !is_double => is_single = !is_single,
            '"' if !is_single => is_double = !is_double,
            '$' | '`' if is_double => return true,
            sign if !is_single && !is_double && SHELL_SIGNS.contains(&sign) => return true,
            _ => {}
        }
    }
    false
}

/// The name that was probably meant: the one with the fewest letters to change, if they are few.
#[must_use]
pub fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = text.to_lowercase();
    let most = 1 + wanted.chars().count() / 5;
    let near = names.into_iter().filter_map(|name| {
        let found = name.to_lowercase();
        let is_part = wanted.len() > 2 && (found.contains(&wanted) || wanted.contains(&found));
        let distance = strsim::osa_distance(&found, &wanted);
        (distance <= most || is_part).then_some((distance, name))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_differs_in_few_letters_is_the_one_that_was_meant() {
        let names = ["worker", "web", "shop-db"];
        for (text, meant) in [
            ("wroker", Some("worker")),
            ("wbe", Some("web")),
            ("Shop_db", Some("shop-db")),
            ("shop-db2", Some("shop-db")),
            ("cron", None),
        ] {
            assert_eq!(nearest(text, names), meant, "{text}");
        }
    }

    #[test]
    fn only_what_needs_a_shell_gets_one() {
        assert_eq!(
            of_command("node 'my server.js' --port 80"),
            ["node", "my server.js", "--port", "80"]
        );
        for text in [
            "npm run migrate && npm start",
            "uvicorn app:app --port $PORT",
            "sh -c \"echo $PORT\"",
            "PORT=1 node server.js",
            "it's open",
        ] {
            assert_eq!(of_command(text), ["/bin/sh", "-c", text]);
        }
        assert_eq!(of_command("sh -c 'a && b'"), ["sh", "-c", "a && b"]);
        assert_eq!(of_command("/bin/bash -c \"a && b\""), ["/bin/bash", "-c", "a && b"]);
    }
}
