//! Text for a screen: hostile text made harmless, widths in columns, figures and times for people.

use std::net::SocketAddr;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The most characters kept of a text from outside.
const LONGEST: usize = 4_096;

/// A text from outside on one line: control characters are shown as `\xNN`, what has no width of its own or turns the writing direction as `?`.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(LONGEST));
    for c in text.chars().take(LONGEST) {
        match c {
            '\t' => out.push(' '),
            '\u{1b}' => out.push_str("\\e"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if is_plain(c) => out.push(c),
            _ => out.push('?'),
        }
    }
    out
}

/// A character that takes one or two columns and changes nothing around it.
pub(crate) fn is_plain(c: char) -> bool {
    let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{ad}' | '\u{61c}' | '\u{180e}');
    !c.is_control() && !turns && c.width().is_some_and(|w| w == 1 || w == 2)
}

/// Columns of a text.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// A text cut to so many columns, with `~` where something is missing.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if used + width + 1 > most {
            break;
        }
        used += width;
        out.push(c);
    }
    if most > 0 {
        out.push('~');
    }
    out
}

/// Lines of at most so many columns, broken at spaces where there are any.
pub(crate) fn wrap(text: &str, most: usize) -> Vec<String> {
    let most = most.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && columns(&line) + 1 + columns(word) > most {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if columns(&line) + c.width().unwrap_or(0) > most && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines
}

/// A rate or an amount in a few digits: `950`, `12.3 k`, `1.25 M`.
pub(crate) fn brief(value: f64) -> String {
    let value = if value.is_finite() {
        value.max(0.0)
    } else {
        0.0
    };
    let short = |v: f64| match v {
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    };
    match value {
        v if v < 10.0 && v.fract() > 0.005 => format!("{v:.1}"),
        v if v < 9_999.5 => format!("{v:.0}"),
        v if v < 999_500.0 => format!("{} k", short(v / 1e3)),
        v if v < 999.5e6 => format!("{} M", short(v / 1e6)),
        v => format!("{} G", short(v / 1e9)),
    }
}

/// Microseconds as milliseconds.
pub(crate) fn millis(us: Option<u64>) -> String {
    us.map_or("-".to_owned(), |us| format!("{:.1}", us as f64 / 1e3))
}

/// A duration: `12 s`, `4 min`, `3 h 12 min`.
pub(crate) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A duration as a clock has it: `0:42`, `1:02:03`.
pub(crate) fn stopwatch(seconds: u64) -> String {
    let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match h {
        0 => format!("{m}:{s:02}"),
        _ => format!("{h}:{m:02}:{s:02}"),
    }
}

/// The time of day of Unix milliseconds, UTC: `12:03:10`.
pub(crate) fn clock(ms: u64) -> String {
    let s = ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60)
}

/// The day and time of Unix milliseconds, UTC: `2026-11-30 12:03:10`.
pub(crate) fn date_time(ms: u64) -> String {
    let days = ms / 86_400_000;
    // Days since 0000-03-01, in eras of 400 years (H. Hinnant's civil calendar).
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {}", clock(ms))
}

/// The host of an address with its port, where that is not SIP's.
pub(crate) fn short_address(address: SocketAddr) -> String {
    if address.port() == 5060 {
        address.ip().to_string()
    } else {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_text_is_one_harmless_line() {
        assert_eq!(clean("a\x1b[2Jb\r\nc\td"), "a\\e[2Jb\\r\\nc d");
        assert_eq!(
            clean("\u{202e}evil\u{301}\u{200d}\u{7f}\u{9b}"),
            "?evil??\\x7f\\x9b"
        );
        assert_eq!(clean("日本 ü"), "日本 ü");
    }

    #[test]
    fn figures_are_short() {
        let all: Vec<String> = [0.0, 0.25, 9.0, 950.0, 12_345.0, 1_250_000.0, 2.5e9]
            .into_iter()
            .map(brief)
            .collect();
        assert_eq!(all, ["0", "0.2", "9", "950", "12.3 k", "1.25 M", "2.50 G"]);
        assert_eq!(brief(f64::NAN), "0");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(date_time(0), "1970-01-01 00:00:00");
        assert_eq!(date_time(1_709_164_799_000), "2024-02-28 23:59:59");
        assert_eq!(date_time(1_709_164_800_000), "2024-02-29 00:00:00");
        assert_eq!(date_time(1_796_040_190_000), "2026-11-30 12:03:10");
        assert_eq!(stopwatch(3_723), "1:02:03");
    }

    #[test]
    fn text_is_cut_and_wrapped_by_columns() {
        assert_eq!(cut("abcdef", 4), "abc~");
        assert_eq!(cut("日本語", 4), "日~");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
    }

    proptest! {
        #[test]
        fn any_text_is_harmless_and_fits(text in any::<String>(), most in 0_usize..40) {
            let clean = clean(&text);
            prop_assert!(clean.chars().all(is_plain));
            prop_assert!(columns(&cut(&clean, most)) <= most.max(1));
            prop_assert!(wrap(&clean, most).iter().all(|l| columns(l) <= most.max(2)));
        }

        #[test]
        fn any_time_can_be_shown(ms in any::<u64>()) {
            let _ = (date_time(ms), clock(ms), stopwatch(ms), age(ms));
        }
    }
}
