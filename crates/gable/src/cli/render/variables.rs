//! Environment variables of a service, with where they come from.

use wire::EnvEntry;

use super::table::Table;
use crate::cli::paint::Paint;

/// Columns that a value takes at most, unless secrets are shown.
const VALUE_COLUMNS_MAX: usize = 48;
/// What stands for a secret. Its length says nothing.
const MASK: &str = "••••••••";

/// One line for each variable.
pub(crate) fn variables(entries: &[EnvEntry], is_whole: bool, paint: Paint) -> String {
    let mut table = Table::default();
    table.row(["KEY", "VALUE", "FROM", "READ BY"].map(|word| paint.dim(word)));
    for entry in entries {
        let origin = match (entry.set_by_hand, entry.phase.as_str()) {
            (true, _) => paint.careful("set by hand"),
            (false, "build") => format!("{}, build only", entry.origin),
            (false, "run") => format!("{}, not in the build", entry.origin),
            (false, _) => entry.origin.clone(),
        };
        let key = paint.bold(&entry.key);
        table.row([
            key,
            value(entry, is_whole, paint),
            paint.dim(&origin),
            entry.readers.join(", "),
        ]);
    }
    table.render(0)
}

fn value(entry: &EnvEntry, is_whole: bool, paint: Paint) -> String {
    match (&entry.value, entry.is_set) {
        (_, false) => paint.careful("unset"),
        (None, true) => paint.dim(MASK),
        (Some(value), true) => {
            let line = value.replace('\n', "⏎");
            if is_whole { line } else { paint.clip(&line, VALUE_COLUMNS_MAX) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures;

    #[test]
    fn variables_are_masked_and_say_where_they_come_from() {
        insta::assert_snapshot!(variables(&fixtures::variables(), false, Paint::plain()), @r"
        KEY           VALUE                                             FROM                       READ BY
        API_URL       http://api.localhost:8080                         api, RENDER_EXTERNAL_URL
        DATABASE_URL  ••••••••                                          shop-db, connectionString
        JWT_SECRET    ••••••••                                          generated                  worker, admin
        LOG_LEVEL     debug                                             set by hand
        NODE_ENV      production                                        Gable, not in the build
        RULES         a⏎b and some more text that is much longer than…  render.yaml:14
        STRIPE_KEY    unset                                             sync: false
        ");
    }
}
