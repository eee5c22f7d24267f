//! The machine's clocks, read in this one place.

use std::sync::OnceLock;
use std::time::SystemTime;

use manifest::audit::moment::{BootId, Moment};
use manifest::time::UnixTime;

/// No machine that runs this lives before it was written: a clock that says
/// so is wrong, and this is nearer to the truth.
const WRITTEN: UnixTime = UnixTime::from_seconds(1_735_689_600);

/// The time that judges expiry: the system clock, at least `WRITTEN`.
#[must_use]
pub fn wall() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    UnixTime::from_seconds(since.map_or(0, |since| since.as_secs())).max(WRITTEN)
}

/// Now, where the machine's owner lives.
#[must_use]
pub fn here() -> jiff::Zoned {
    jiff::Zoned::now()
}

/// Now, as an entry of the log says it.
#[must_use]
pub fn moment() -> Moment {
    Moment { wall: wall(), monotonic: uptime(), boot: boot() }
}

/// Whole seconds since the machine started; 0 where the system does not say.
fn uptime() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0)
}

fn boot() -> BootId {
    static BOOT: OnceLock<BootId> = OnceLock::new();
    let read = || {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.trim().parse().unwrap_or_else(|_| "unknown".parse().expect("a plain word"))
    };
    BOOT.get_or_init(read).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_in_the_present() {
        let moment = moment();
        assert!(moment.wall >= WRITTEN);
        assert!(!moment.boot.as_str().is_empty());
    }
}
