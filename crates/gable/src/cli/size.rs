//! Sizes as people write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes, or no limit: `10GB`, `512MB`, `1.5g`, `none`. A gigabyte is 2³⁰ bytes, as the
/// plans of Blueprints have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Size(Option<u64>);

impl Size {
    /// So many bytes.
    pub(crate) const fn of_bytes(bytes: u64) -> Self {
        Self(Some(bytes))
    }

    /// Bytes; `None` for no limit.
    pub(crate) const fn bytes(self) -> Option<u64> {
        self.0
    }
}

/// From the largest: what divides a size is what it is written in.
const UNITS: [(&str, u64); 4] =
    [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        let wrong = || format!("`{text}` is no size; write `10GB`, `512MB` or `none`");
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = unit.trim().to_ascii_uppercase();
        let factor = match unit.trim_end_matches('B').trim_end_matches('I') {
            "" if unit.is_empty() || unit == "B" => 1,
            letter => {
                let known = UNITS.iter().find(|(name, _)| name.strip_suffix('B') == Some(letter));
                known.ok_or_else(wrong)?.1
            }
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let bytes = number * factor as f64;
        // What a file system can have at most, and what is not even a page.
        if !(4096.0..=9e18).contains(&bytes) {
            return Err(format!("`{text}` is no sensible size; write `10GB`, `512MB` or `none`"));
        }
        Ok(Self(Some(bytes as u64)))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.0 else { return formatter.write_str("none") };
        match UNITS.iter().find(|(_, factor)| bytes.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(formatter, "{}{unit}", bytes / factor),
            None => write!(formatter, "{bytes}B"),
        }
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them_and_written_so_that_they_are_read_again() {
        for (text, bytes) in [
            ("10GB", Some(10 << 30)),
            ("512 mb", Some(512 << 20)),
            ("1.5g", Some(3 << 29)),
            ("2GiB", Some(2 << 30)),
            ("8192", Some(8192)),
            ("none", None),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes, "{text}");
            assert_eq!(size.to_string().parse(), Ok(size), "{text}");
        }
        for text in ["", "GB", "ten", "-1GB", "1XB", "0", "1e99GB", "10G B", "99999999TB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
