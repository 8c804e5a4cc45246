//! Replies of the server as a person reads them. Everything here is pure: data in, text out.

mod plan;
mod status;
mod table;
mod units;
mod unset;
mod variables;

pub(crate) use plan::{plan, which_project};
pub(crate) use status::{status, urls};
pub(crate) use table::{Table, clip, width};
pub(crate) use units::{bytes, elapsed, moment, since};
pub(crate) use unset::{ANY_KEY, full_key};
pub(crate) use variables::variables;

/// Text with every line moved to the right.
pub(crate) fn indent(text: &str, columns: usize) -> String {
    let blanks = " ".repeat(columns);
    text.lines()
        .map(|line| if line.is_empty() { String::from("\n") } else { format!("{blanks}{line}\n") })
        .collect()
}

/// `1 repair`, `2 repairs`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
