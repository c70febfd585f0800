//! Calendar months of Unix milliseconds, in UTC.

use std::fmt;

const DAY_MS: i64 = 86_400_000;

/// A month of the Gregorian calendar: months since January 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month(i64);

impl Month {
    /// The month of a moment, which is kept between the years 1970 and 9999.
    pub(super) fn of(ms: i64) -> Self {
        let days = ms.div_euclid(DAY_MS).clamp(0, 2_932_896);
        // No month has more than 31 days, nor 12 of them more than 366.
        let mut month = Self(days * 12 / 366 - 1);
        while month.plus(1).first_day() <= days {
            month = month.plus(1);
        }
        month
    }

    /// So many months later.
    pub(super) const fn plus(self, months: i64) -> Self {
        Self(self.0 + months)
    }

    /// Its first moment, in Unix milliseconds.
    pub(super) const fn start(self) -> i64 {
        self.first_day() * DAY_MS
    }

    /// Days from 1 January 1970 to its first. Years are counted from March, so that the leap day is
    /// their last.
    const fn first_day(self) -> i64 {
        let march = self.0 - 2;
        let year = 1970 + march.div_euclid(12);
        let months = march.rem_euclid(12);
        // 153 days in five months, from March on.
        let days = (153 * months + 2) / 5;
        let leap = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        // So many days are from 1 March of the year 0 to 1 January 1970.
        365 * year + leap + days - 719_468
    }
}

/// As in a partition's name: `202611`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month) = (1970 + self.0.div_euclid(12), self.0.rem_euclid(12) + 1);
        write!(f, "{year:04}{month:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments() {
        for (ms, name, start) in [
            (0, "197001", 0),
            (1_700_000_000_000, "202311", 1_698_796_800_000),
            (1_709_164_800_000, "202402", 1_706_745_600_000),
            (1_709_251_199_999, "202402", 1_706_745_600_000),
            (1_709_251_200_000, "202403", 1_709_251_200_000),
            (4_107_542_400_000, "210003", 4_107_542_400_000),
            (951_868_799_999, "200002", 949_363_200_000),
        ] {
            let month = Month::of(ms);
            assert_eq!((month.to_string().as_str(), month.start()), (name, start));
        }
    }

    proptest! {
        #[test]
        fn a_moment_lies_in_its_month(ms in 0_i64..253_402_300_799_999) {
            let month = Month::of(ms);
            prop_assert!(month.start() <= ms && ms < month.plus(1).start());
        }

        #[test]
        fn any_number_has_a_month(ms in any::<i64>()) {
            let name = Month::of(ms).to_string();
            prop_assert!(name.as_str() >= "197001" && name.as_str() <= "999912");
        }
    }
}
