//! Numbers as people read them.

/// With commas: `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// With a prefix, for axes and progress: `1.25 M`, `300 k`, `0.5`.
pub(super) fn brief(number: f64) -> String {
    let (value, prefix) = match number.abs() {
        n if n >= 1e9 => (number / 1e9, " G"),
        n if n >= 1e6 => (number / 1e6, " M"),
        n if n >= 1e3 => (number / 1e3, " k"),
        _ => (number, ""),
    };
    let text = match value.abs() {
        n if n >= 100.0 => format!("{value:.0}"),
        n if n >= 10.0 => trim(format!("{value:.1}")),
        _ => trim(format!("{value:.2}")),
    };
    text + prefix
}

/// Without zeros behind the point that say nothing.
fn trim(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Nanoseconds as microseconds.
pub(super) fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

/// Nanoseconds with a unit that fits: `1.23 µs`, `4.5 ms`.
pub(super) fn time(nanos: u64) -> String {
    let value = nanos as f64;
    let (value, unit) = match value {
        n if n >= 1e9 => (value / 1e9, "s"),
        n if n >= 1e6 => (value / 1e6, "ms"),
        n if n >= 1e3 => (value / 1e3, "µs"),
        _ => (value, "ns"),
    };
    let text = match value {
        n if n >= 100.0 => format!("{value:.0}"),
        n if n >= 10.0 => trim(format!("{value:.1}")),
        _ => trim(format!("{value:.2}")),
    };
    format!("{text} {unit}")
}

/// Seconds since 1970 as date and time in UTC (the proleptic Gregorian calendar of RFC 3339).
pub(super) fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days in eras of 400 years that begin on the first of March: leap days are at their ends.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, more) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!(
        "{:04}-{month:02}-{of_month:02} {:02}:{:02}:{:02} UTC",
        era * 400 + year + more,
        rest / 3_600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_right() {
        assert_eq!(
            [0, 12, 123, 1_234, 1_234_567].map(count),
            ["0", "12", "123", "1,234", "1,234,567"]
        );
        assert_eq!(
            [0.0, 0.5, 99.94, 1_000.0, 1_254_000.0, 2e9].map(brief),
            ["0", "0.5", "99.9", "1 k", "1.25 M", "2 G"]
        );
        assert_eq!(
            [0, 999, 1_230, 45_600_000, 2_000_000_000].map(time),
            ["0 ns", "999 ns", "1.23 µs", "45.6 ms", "2 s"]
        );
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_796_030_000, "2026-11-30 09:13:20 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }
}
