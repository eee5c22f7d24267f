//! Quantities as people read them.

use std::time::Duration;

/// `bytes` in the largest decimal unit that leaves at least one whole digit.
///
/// Decimal, as the wire and the vendors' download pages count.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)];
    for (unit, size) in UNITS {
        if bytes >= size {
            let tenths = bytes / (size / 10);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// `count` with `noun`, which takes an `s` where there is not one.
#[must_use]
pub fn count(count: u64, noun: &str) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + noun.len() + 2);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text.push(' ');
    text.push_str(noun);
    if count != 1 {
        text.push('s');
    }
    text
}

/// How long something took, to a tenth of a second below a minute.
#[must_use]
pub fn took(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// How far ahead something lies, in the one unit that matters.
#[must_use]
pub fn ahead(time: Duration) -> String {
    let hours = time.as_secs() / 3600;
    match hours {
        0 => "under an hour".to_owned(),
        1..48 => count(hours, "hour"),
        _ => count(hours / 24, "day"),
    }
}

/// `part` of `whole` as a share, to a hundredth of a percent below one.
#[must_use]
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs two digits")]
    let percent = part as f64 * 100.0 / whole as f64;
    if percent < 1.0 { format!("{percent:.2} %") } else { format!("{percent:.1} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_000), "1.0 KB");
        assert_eq!(bytes(4_742_321), "4.7 MB");
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(4_012, "file"), "4,012 files");
        assert_eq!(count(0, "piece"), "0 pieces");
        assert_eq!(count(1_234_567, "byte"), "1,234,567 bytes");
        assert_eq!(took(Duration::from_millis(1_250)), "1.2 s");
        assert_eq!(took(Duration::from_secs(62)), "1 min 02 s");
        assert_eq!(ahead(Duration::from_secs(3 * 86_400)), "3 days");
        assert_eq!(share(1, 1_000), "0.10 %");
        assert_eq!(share(1, 0), "–");
    }
}
