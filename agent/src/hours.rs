//! Hours of the week, such as `Mo-Fr 08:00-18:00`, in the machine's time zone.
//!
//! A window that ends before it begins ends on the next day. Values in, values
//! out: which zone and what time it is comes in as an argument.

use std::str::FromStr;

use jiff::civil::{DateTime, Weekday};
use jiff::{ToSpan, Zoned};
use serde::Deserialize;

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// The days as they are written, from Monday.
const DAYS: [&str; 7] = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"];
/// How far ahead is looked for an end or a beginning, in days.
const HORIZON: i64 = 8;

/// A text that is no hours of the week.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not like \"Mo-Fr 08:00-18:00\", \"Sa,Su 00:00-24:00\" or \"22:00-06:00\"")]
pub struct NoHours {
    /// What was found.
    pub found: String,
}

/// One stretch of time on some days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    /// On which days it begins, from Monday.
    days: [bool; 7],
    /// Minutes after midnight.
    from: u16,
    /// Minutes after that midnight; beyond [`DAY`] on the next day.
    to: u16,
}

/// Some stretches of the week.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Hours(Vec<Window>);

impl TryFrom<Vec<String>> for Hours {
    type Error = NoHours;

    fn try_from(texts: Vec<String>) -> Result<Self, NoHours> {
        texts.iter().map(|text| text.parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Window {
    type Err = NoHours;

    fn from_str(text: &str) -> Result<Self, NoHours> {
        parsed(text).ok_or_else(|| NoHours { found: text.chars().take(80).collect() })
    }
}

fn parsed(text: &str) -> Option<Window> {
    let mut words = text.split_whitespace();
    let (days, times) = match (words.next(), words.next(), words.next()) {
        (Some(times), None, None) => ([true; 7], times),
        (Some(days), Some(times), None) => (days_of(days)?, times),
        _ => return None,
    };
    let (from, to) = times.split_once('-')?;
    let (from, to) = (minutes(from)?, minutes(to)?);
    if from == DAY || from == to {
        return None;
    }
    let to = if to < from { to + DAY } else { to };
    Some(Window { days, from, to })
}

fn days_of(text: &str) -> Option<[bool; 7]> {
    let number = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut days = [false; 7];
    for part in text.split(',') {
        match part.split_once('-') {
            None => days[number(part)?] = true,
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                // Sa-Mo goes over Sunday.
                let count = (last + 7 - first) % 7;
                (0..=count).for_each(|day| days[(first + day) % 7] = true);
            }
        }
    }
    Some(days)
}

fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str| {
        (digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| digits.parse::<u16>().ok())
            .flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= DAY).then_some(hours * 60 + minutes)
}

impl Hours {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Until when these hours last, if it is one of them at `now`; the end of
    /// the horizon if they have no end.
    #[must_use]
    pub fn end(&self, now: &Zoned) -> Option<Zoned> {
        let horizon = now.checked_add(HORIZON.days()).ok()?;
        let mut end = self.end_of_one(now)?;
        // What follows without a gap is the same time of rest.
        while let Some(later) = self.end_of_one(&end)
            && later > end
            && end < horizon
        {
            end = later;
        }
        Some(end)
    }

    /// When these hours begin next, if they are not now and ever will.
    #[must_use]
    pub fn beginning(&self, now: &Zoned) -> Option<Zoned> {
        let starts = self.around(now, 0..=HORIZON).map(|(start, _)| start);
        starts.filter(|start| start > now).min()
    }

    fn end_of_one(&self, now: &Zoned) -> Option<Zoned> {
        let here = self.around(now, -1..=0).filter(|(start, end)| start <= now && now < end);
        here.map(|(_, end)| end).max()
    }

    /// The windows that begin on these days, counted from the one of `now`.
    fn around(
        &self,
        now: &Zoned,
        days: std::ops::RangeInclusive<i64>,
    ) -> impl Iterator<Item = (Zoned, Zoned)> {
        days.flat_map(move |offset| {
            self.0.iter().filter_map(move |window| {
                let date = now.date().checked_add(offset.days()).ok()?;
                let place = usize::try_from(weekday(date.weekday())).ok()?;
                let midnight = date.to_datetime(jiff::civil::Time::midnight());
                // A time that the clocks leave out is taken for the one after.
                let at = |minutes: u16| -> Option<Zoned> {
                    let civil: DateTime =
                        midnight.checked_add(i64::from(minutes).minutes()).ok()?;
                    civil.to_zoned(now.time_zone().clone()).ok()
                };
                window.days[place].then(|| Some((at(window.from)?, at(window.to)?))).flatten()
            })
        })
    }
}

fn weekday(day: Weekday) -> i8 {
    day.to_monday_zero_offset()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use jiff::tz::TimeZone;

    use super::*;

    fn hours(texts: &[&str]) -> Hours {
        Hours::try_from(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    /// A time in November 2026, in central Europe; the 2nd is a Monday.
    fn november(day: i8, hour: i8, minute: i8) -> Zoned {
        at(2026, 11, day, hour, minute)
    }

    fn at(year: i16, month: i8, day: i8, hour: i8, minute: i8) -> Zoned {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        date(year, month, day).at(hour, minute, 0, 0).to_zoned(zone).unwrap()
    }

    #[test]
    fn working_hours_hold_on_working_days() {
        let hours = hours(&["Mo-Fr 08:00-18:00"]);
        assert_eq!(hours.end(&november(2, 8, 0)), Some(november(2, 18, 0)));
        assert_eq!(hours.end(&november(6, 17, 59)), Some(november(6, 18, 0)));
        for outside in [november(2, 7, 59), november(2, 18, 0), november(7, 12, 0)] {
            assert_eq!(hours.end(&outside), None);
        }
        assert_eq!(hours.beginning(&november(6, 18, 0)), Some(november(9, 8, 0)));
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let hours = hours(&["Sa 22:00-06:00"]);
        assert_eq!(hours.end(&november(8, 3, 0)), Some(november(8, 6, 0)));
        assert_eq!(hours.end(&november(7, 3, 0)), None);
        assert_eq!(hours.end(&november(9, 3, 0)), None);
    }

    #[test]
    fn hours_without_a_gap_are_one() {
        let daily = hours(&["Mo 20:00-24:00", "Tu 00:00-07:30", "Tu 07:00-08:00"]);
        assert_eq!(daily.end(&november(2, 21, 0)), Some(november(3, 8, 0)));
        // For ever is until the horizon, and no endless loop.
        let always = hours(&["00:00-24:00"]).end(&november(2, 9, 0)).unwrap();
        assert!(always > november(9, 0, 0) && always < november(13, 0, 0));
        assert_eq!(hours(&[]).end(&november(2, 9, 0)), None);
        assert_eq!(hours(&[]).beginning(&november(2, 9, 0)), None);
    }

    #[test]
    fn days_wrap_around_the_week() {
        let hours = hours(&["Sa-Mo,We 10:00-11:00"]);
        let days = (1..=7).filter(|day| hours.end(&november(*day, 10, 30)).is_some());
        assert_eq!(days.collect::<Vec<_>>(), [1, 2, 4, 7]);
    }

    #[test]
    fn clocks_that_are_changed_shift_the_end_with_them() {
        // On 25 October 2026 the hour from two to three comes twice.
        let hours = hours(&["00:00-06:00"]);
        let midnight = at(2026, 10, 25, 0, 0);
        let end = hours.end(&midnight).unwrap();
        assert_eq!(end.timestamp().duration_since(midnight.timestamp()).as_hours(), 7);
        // On 29 March 2026 there is no half past two.
        let window = tests::hours(&["02:30-05:00"]);
        assert_eq!(window.end(&at(2026, 3, 29, 4, 0)), Some(at(2026, 3, 29, 5, 0)));
    }

    #[test]
    fn what_is_no_hours_is_named() {
        for bad in [
            "",
            "08:00",
            "Mo",
            "mo 08:00-09:00",
            "Mo-Fr 8:00-18:00",
            "Mo 08:00-25:00",
            "Mo 08:00-24:01",
            "Mo 08:60-09:00",
            "Mo 09:00-09:00",
            "Mo 24:00-09:00",
            "Mo-Xx 08:00-09:00",
            "Mo 08:00-09:00 UTC",
            "Mo, 08:00-09:00",
            "+8:00-09:00",
        ] {
            let error = bad.parse::<Window>().unwrap_err();
            assert!(error.to_string().contains(bad) && error.to_string().contains("Mo-Fr"));
        }
    }
}
