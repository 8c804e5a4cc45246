//! The values of `plan`, and how much of the machine each stands for.
//!
//! Sources: Render's pages "Instance types", "Render Postgres" and "Key Value", with the sizes that
//! the flexible names (`2c-4g`) spell out. Legacy names stay valid.

use model::InstanceType;

use crate::catalog::normalized;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// What a plan is for: the same word means different sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Service,
    Postgres,
    KeyValue,
}

/// (name, thousandths of a core, MiB of memory)
type Row = (&'static str, u32, u64);

const SERVICE: &[Row] = &[
    ("free", 100, 512),
    ("starter", 500, 512),
    ("standard", 1000, 2048),
    ("pro", 2000, 4096),
    ("pro plus", 4000, 8192),
    ("pro max", 4000, 16_384),
    ("pro ultra", 8000, 32_768),
];

/// Names that Render once had; real files still use them.
const SERVICE_OLD: &[Row] = &[("starter plus", 1000, 1024), ("standard plus", 1500, 3072)];

const POSTGRES: &[Row] = &[
    ("free", 100, 256),
    ("starter", 100, 256),
    ("standard", 500, 1024),
    ("pro", 1000, 4096),
    ("pro plus", 2000, 8192),
    ("basic-256mb", 100, 256),
    ("basic-1gb", 500, 1024),
    ("basic-4gb", 2000, 4096),
];

const KEY_VALUE: &[Row] = &[
    ("free", 100, 25),
    ("starter", 100, 256),
    ("standard", 250, 1024),
    ("pro", 500, 5120),
    ("pro plus", 1000, 10_240),
    ("256mb", 100, 256),
    ("1g", 250, 1024),
    ("5g", 500, 5120),
    ("10g", 1000, 10_240),
    ("20g", 2000, 20_480),
    ("40g", 4000, 40_960),
];

impl Family {
    /// What a resource gets that names no plan (Render: Blueprint YAML reference).
    pub(crate) fn default_plan(self) -> InstanceType {
        match self {
            Self::Service => row(&("0.5c-512mb", 500, 512)),
            Self::Postgres => row(&("0.1c-256mb", 100, 256)),
            Self::KeyValue => row(&("256mb", 100, 256)),
        }
    }

    fn rows(self) -> impl Iterator<Item = &'static Row> {
        match self {
            Self::Service => SERVICE.iter().chain(SERVICE_OLD),
            Self::Postgres => POSTGRES.iter().chain(&[]),
            Self::KeyValue => KEY_VALUE.iter().chain(&[]),
        }
    }

    /// Some names, for a hint.
    pub(crate) fn examples(self) -> &'static str {
        match self {
            Self::Service => {
                "free, starter, standard, pro, pro plus, pro max, pro ultra, or sizes such as 1c-2g"
            }
            Self::Postgres => {
                "free, basic-256mb, basic-1gb, basic-4gb, pro-4gb …, accelerated-16gb …, or sizes such as 1c-2g"
            }
            Self::KeyValue => {
                "free, starter, standard, pro, pro plus, or 256mb, 1g, 5g, 10g, 20g, 40g"
            }
        }
    }
}

fn row((name, cpu_millis, mib): &Row) -> InstanceType {
    InstanceType { name: (*name).to_owned(), cpu_millis: *cpu_millis, memory_bytes: mib * MIB }
}

/// How a plan was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// As Render spells it.
    Exact(InstanceType),
    /// In another spelling.
    Spelled(InstanceType),
    /// Not at all.
    Unknown,
}

/// Finds the size that a plan stands for.
pub(crate) fn find(family: Family, text: &str) -> Found {
    let known = |text: &str| {
        family
            .rows()
            .find(|(name, ..)| *name == text)
            .map(row)
            .or_else(|| sized(family, text))
            .or_else(|| flexible(text))
    };
    if let Some(size) = known(text) {
        return Found::Exact(size);
    }
    let plain = normalized(text);
    if let Some(found) = family.rows().find(|(name, ..)| normalized(name) == plain) {
        return Found::Spelled(row(found));
    }
    let dashed = text.trim().to_lowercase().replace(['_', ' '], "-");
    if let Some(size) = known(&dashed) {
        return Found::Spelled(size);
    }
    if let Some(size) = memory_only(family, &dashed) {
        return Found::Spelled(size);
    }
    let alias = match (family, plain.as_str()) {
        (Family::Postgres, "basic" | "hobby" | "flexible") => "basic-256mb",
        (Family::Postgres, "basic1g") => "basic-1gb",
        (Family::Service, "hobby" | "basic") | (Family::KeyValue, "hobby" | "basic") => "starter",
        (_, "freetier" | "freeplan" | "trial") => "free",
        _ => return Found::Unknown,
    };
    known(alias).map_or(Found::Unknown, Found::Spelled)
}

/// `pro-8gb` and `accelerated-16gb`: the memory stands in the name, the cores follow from it.
fn sized(family: Family, text: &str) -> Option<InstanceType> {
    if family != Family::Postgres {
        return None;
    }
    let (kind, size) = text.split_once('-')?;
    let gib: u64 = size.strip_suffix("gb")?.parse().ok()?;
    let gib_per_core = match kind {
        "pro" if (4..=512).contains(&gib) => 4,
        "accelerated" if (16..=1024).contains(&gib) => 8,
        _ => return None,
    };
    let cpu_millis = u32::try_from(gib * 1000 / gib_per_core).ok()?;
    Some(InstanceType { name: text.to_owned(), cpu_millis, memory_bytes: gib * GIB })
}

/// `1g` for PostgreSQL: the memory alone, as Key Value's plans are called. The cores follow from it.
fn memory_only(family: Family, text: &str) -> Option<InstanceType> {
    if family != Family::Postgres {
        return None;
    }
    let size = flexible(&format!("1c-{text}"))?;
    let cores = match size.memory_bytes.div_ceil(GIB) {
        0..=1 if size.memory_bytes < GIB => "0.1".to_owned(),
        0..=1 => "0.5".to_owned(),
        gib => gib.div_ceil(4).to_string(),
    };
    flexible(&format!("{cores}c-{text}"))
}

/// `0.5c-512mb`, `2c-4g`: cores and memory.
fn flexible(text: &str) -> Option<InstanceType> {
    let (cores, memory) = text.split_once('-')?;
    let cores = cores.strip_suffix('c')?;
    let (whole, tenths) = cores.split_once('.').unwrap_or((cores, "0"));
    let is_digits = |text: &str| {
        (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_digits(whole) || !is_digits(tenths) {
        return None;
    }
    let thousandths: u32 = format!("{tenths:0<3}").parse().ok()?;
    let cpu_millis = whole.parse::<u32>().ok()? * 1000 + thousandths;
    let (amount, unit) = memory.split_at(memory.find(|letter: char| !letter.is_ascii_digit())?);
    let unit = match unit {
        "mb" | "m" => MIB,
        "g" | "gb" => GIB,
        _ => return None,
    };
    if !(1..=5).contains(&amount.len()) || cpu_millis == 0 {
        return None;
    }
    let memory_bytes = amount.parse::<u64>().ok()? * unit;
    (memory_bytes > 0).then(|| InstanceType { name: text.to_owned(), cpu_millis, memory_bytes })
}

#[cfg(test)]
mod tests {
    use super::{Family, Found, find};

    fn check(family: Family, text: &str, expected: &str) {
        let shown = match find(family, text) {
            Found::Exact(size) => {
                format!("= {} {}m {}M", size.name, size.cpu_millis, size.memory_bytes >> 20)
            }
            Found::Spelled(size) => {
                format!("~ {} {}m {}M", size.name, size.cpu_millis, size.memory_bytes >> 20)
            }
            Found::Unknown => "?".to_owned(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn legacy_and_new_names_and_their_spellings_give_sizes() {
        check(Family::Service, "starter", "= starter 500m 512M");
        check(Family::Service, "Starter", "~ starter 500m 512M");
        check(Family::Service, "pro_plus", "~ pro plus 4000m 8192M");
        check(Family::Service, "standardPlus", "~ standard plus 1500m 3072M");
        check(Family::Service, "Starter Plus", "~ starter plus 1000m 1024M");
        check(Family::Service, "0.5c-512mb", "= 0.5c-512mb 500m 512M");
        check(Family::Service, "2C-4G", "~ 2c-4g 2000m 4096M");
        check(Family::Service, "12c-96g", "= 12c-96g 12000m 98304M");
        check(Family::Postgres, "Basic-1gb", "~ basic-1gb 500m 1024M");
        check(Family::Postgres, "basic_256mb", "~ basic-256mb 100m 256M");
        check(Family::Postgres, "basic", "~ basic-256mb 100m 256M");
        check(Family::Postgres, "flexible", "~ basic-256mb 100m 256M");
        check(Family::Postgres, "pro-8gb", "= pro-8gb 2000m 8192M");
        check(Family::Postgres, "accelerated-64gb", "= accelerated-64gb 8000m 65536M");
        check(Family::Postgres, "2c-8g", "= 2c-8g 2000m 8192M");
        check(Family::Postgres, "0.1c-256mb", "= 0.1c-256mb 100m 256M");
        check(Family::Postgres, "1g", "~ 0.5c-1g 500m 1024M");
        check(Family::Postgres, "8G", "~ 2c-8g 2000m 8192M");
        check(Family::KeyValue, "1g", "= 1g 250m 1024M");
        check(Family::KeyValue, "2c-8g", "= 2c-8g 2000m 8192M");
        check(Family::KeyValue, "256MB", "~ 256mb 100m 256M");
        check(Family::KeyValue, "free", "= free 100m 25M");
        check(Family::KeyValue, "5g", "= 5g 500m 5120M");
        check(Family::Service, "gigantic", "?");
        check(Family::Service, "9999999999999999c-4g", "?");
        check(Family::Service, "0c-4g", "?");
        check(Family::Postgres, "pro-99999999999999999999gb", "?");
    }
}
