//! Times and sizes in words.

use std::time::Duration;

use jiff::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// `0.4s`, `12s`, `1m 03s`, `2h 05m`, `3d 4h`.
pub(crate) fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", duration.as_secs_f64()),
        10..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m {:02}s", seconds / MINUTE, seconds % MINUTE),
        HOUR..DAY => format!("{}h {:02}m", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{}d {}h", seconds / DAY, seconds % DAY / HOUR),
    }
}

/// How long ago, in the largest unit: `now`, `12s`, `5m`, `2h`, `3d`.
pub(crate) fn since(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0).unsigned_abs();
    match seconds {
        0 => "now".to_owned(),
        1..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m", seconds / MINUTE),
        HOUR..DAY => format!("{}h", seconds / HOUR),
        _ => format!("{}d", seconds / DAY),
    }
}

/// A moment in UTC, as short as it can be understood: `14:05:09` today, else with the date.
pub(crate) fn moment(at: Timestamp, now: Timestamp) -> String {
    let day = |timestamp: Timestamp| timestamp.strftime("%Y-%m-%d").to_string();
    if day(at) == day(now) {
        at.strftime("%H:%M:%S").to_string()
    } else {
        at.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}

/// `512 B`, `61 MB`, `1.4 GB`; powers of 1000.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    for (size, unit) in UNITS {
        if bytes >= size {
            let tenths = bytes / (size / 10);
            return if tenths < 100 && size > 1_000_000 {
                format!("{}.{} {unit}", tenths / 10, tenths % 10)
            } else {
                format!("{} {unit}", tenths / 10)
            };
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_exact_as_they_are_useful() {
        let texts: Vec<_> = [0.44, 9.96, 12.0, 63.0, 7500.0, 273_600.0]
            .map(|seconds| elapsed(Duration::from_secs_f64(seconds)))
            .to_vec();
        assert_eq!(texts, ["0.4s", "10.0s", "12s", "1m 03s", "2h 05m", "3d 4h"]);
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let then: Timestamp = "2026-11-21T09:57:01Z".parse().unwrap();
        assert_eq!(since(then, now), "2m");
        assert_eq!(since(now, then), "now");
        assert_eq!(moment(then, now), "09:57:01");
        assert_eq!(moment("2026-11-20T09:57:01Z".parse().unwrap(), now), "2026-11-20 09:57:01");
    }

    #[test]
    fn sizes_have_two_digits_at_least_where_it_matters() {
        let texts: Vec<_> = [0, 999, 61_400_000, 1_440_000_000, 12_000_000_000].map(bytes).to_vec();
        assert_eq!(texts, ["0 B", "999 B", "61 MB", "1.4 GB", "12 GB"]);
    }
}
