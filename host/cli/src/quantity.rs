//! Sizes and lengths of time as options and the configuration have them: `64MiB`, `10s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Period(pub(crate) Duration);

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        inquisitor_manifest::duration(text)
            .map(|nanoseconds| Self(Duration::from_nanos(nanoseconds)))
            .ok_or_else(|| format!("`{text}` is no length of time; write it as `10s`, `500ms` or `1h30min`"))
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        inquisitor_manifest::size(text)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no size; write it as `64MiB`, `500kB` or `100B`"))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        let units = [("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("min", 60_000_000_000)];
        let smaller = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];
        let unit = units
            .into_iter()
            .chain(smaller)
            .find(|(_, length)| nanoseconds > 0 && nanoseconds.is_multiple_of(*length));
        match unit {
            Some((name, length)) => write!(formatter, "{}{name}", nanoseconds / length),
            None if nanoseconds == 0 => formatter.write_str("0s"),
            None => write!(formatter, "{nanoseconds}ns"),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.into_iter().find(|(_, length)| self.0 > 0 && self.0.is_multiple_of(*length)) {
            Some((name, length)) => write!(formatter, "{}{name}", self.0 / length),
            None => write!(formatter, "{}B", self.0),
        }
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        for text in ["0s", "1500ms", "10s", "90min", "2d", "7us", "3ns"] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.to_string().parse::<Period>(), Ok(period), "{text}");
        }
        for text in ["0B", "64MiB", "1023B", "500kB", "3GiB"] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.to_string().parse::<Size>(), Ok(size), "{text}");
        }
        assert_eq!("90min".parse::<Period>().unwrap().to_string(), "90min");
        assert_eq!("65536KiB".parse::<Size>().unwrap().to_string(), "64MiB");
    }

    #[test]
    fn what_has_no_unit_is_refused_with_an_example() {
        assert!("10".parse::<Period>().unwrap_err().contains("`10s`"));
        assert!("64".parse::<Size>().unwrap_err().contains("`64MiB`"));
    }
}
