//! Moments: as people write them, and as programs read them (RFC 3339, UTC).

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_S: i64 = 86_400;

/// A moment as a person writes it, in Unix milliseconds.
pub(crate) fn parse_now(text: &str) -> Result<i64, String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
    parse(text, now_ms).ok_or_else(|| {
        "write Unix seconds, 2026-11-30, 2026-11-30T05:00:00Z, or how long ago: 90s, 90m, 24h, 7d".to_owned()
    })
}

fn parse(text: &str, now_ms: i64) -> Option<i64> {
    if let Some((last, unit)) = text.char_indices().last() {
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => DAY_S,
            _ => 0,
        };
        if seconds > 0 {
            let ago: i64 = text.get(..last)?.parse().ok().filter(|n| *n >= 0)?;
            return now_ms.checked_sub(ago.checked_mul(seconds)?.checked_mul(1_000)?);
        }
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1_000);
    }
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, time.strip_suffix('Z').unwrap_or(time)),
        None => (text, "00:00:00"),
    };
    let numbers = |text: &str, separator, widths: [usize; 3]| -> Option<[i64; 3]> {
        let mut parts = text.split(separator);
        let mut read = |width| {
            let part = parts.next()?;
            let is_number = part.len() == width && part.bytes().all(|b| b.is_ascii_digit());
            part.parse::<i64>().ok().filter(|_| is_number)
        };
        let [a, b, c] = widths;
        let found = [read(a)?, read(b)?, read(c)?];
        parts.next().is_none().then_some(found)
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let days = days_of(year, month, day);
    let is_date = civil(days) == (year, month, day);
    let is_time = hour < 24 && minute < 60 && second < 61;
    (is_date && is_time).then(|| (days * DAY_S + hour * 3_600 + minute * 60 + second) * 1_000)
}

/// A moment in Unix milliseconds, as `2026-11-30T05:00:00.123Z`.
pub(crate) fn rfc3339(ms: i64) -> String {
    // The years 0 to 9999.
    let ms = ms.clamp(-62_167_219_200_000, 253_402_300_799_999);
    let (seconds, millis) = (ms.div_euclid(1_000), ms.rem_euclid(1_000));
    let (year, month, day) = civil(seconds.div_euclid(DAY_S));
    let second = seconds.rem_euclid(DAY_S);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

/// Days from 1 January 1970 to a day of the Gregorian calendar. Years are counted from March, so that the leap day is their last.
const fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let months = month - 3;
    let year = year + months.div_euclid(12);
    let days = (153 * months.rem_euclid(12) + 2) / 5 + day - 1;
    let leap = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap + days - 719_468
}

/// The day that is so many days after 1 January 1970: year, month, day.
fn civil(days: i64) -> (i64, i64, i64) {
    // Off by the leap days: a few years at most.
    let mut year = 1970 + days.div_euclid(365);
    while days_of(year, 1, 1) > days {
        year -= 1;
    }
    while days_of(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12)
        .rev()
        .find(|month| days_of(year, *month, 1) <= days)
        .unwrap_or(1);
    (year, month, days - days_of(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let now = 1_700_000_000_000;
        for (text, expected) in [
            ("0", Some(0)),
            ("1700000000", Some(now)),
            ("90m", Some(now - 5_400_000)),
            ("24h", Some(now - 86_400_000)),
            ("7d", Some(now - 7 * 86_400_000)),
            ("2023-11-14", Some(1_699_920_000_000)),
            ("2023-11-14T22:13:20Z", Some(now)),
            ("2023-11-14 22:13:20", Some(now)),
            ("2024-02-29", Some(1_709_164_800_000)),
            ("2023-02-29", None),
            ("2023-13-01", None),
            ("2023-11-14T24:00:00Z", None),
            ("2023-11-14T22:13Z", None),
            ("yesterday", None),
            ("-1d", None),
            ("99999999999999999999d", None),
            ("", None),
            ("\u{1f600}", None),
        ] {
            assert_eq!(parse(text, now), expected, "{text}");
        }
    }

    #[test]
    fn moments_are_written_and_read_again() {
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(i64::MIN), "0000-01-01T00:00:00.000Z");
        for day in -700_000..1_000_000 {
            let (year, month, date) = civil(day);
            assert_eq!(days_of(year, month, date), day);
        }
    }
}
