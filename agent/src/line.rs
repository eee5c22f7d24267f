//! What passes over the machine's line to the world, and what kind of line it
//! is, as Linux tells.
//!
//! Everything is read from files that anybody may read; where they are not
//! there, nothing is known, and nobody is taken to be there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use swarm::courtesy::Passed;

/// Where the system keeps its files; another place in tests.
#[derive(Debug, Clone)]
pub struct Line {
    proc: PathBuf,
    sys: PathBuf,
}

impl Default for Line {
    fn default() -> Self {
        Self { proc: "/proc/self/net".into(), sys: "/sys/class/power_supply".into() }
    }
}

impl Line {
    /// What has passed over the interfaces that lead to the world, since they
    /// were made. Nothing if that cannot be known.
    #[must_use]
    pub fn passed(&self) -> Option<Passed> {
        let ways = self.ways();
        let counters = std::fs::read_to_string(self.proc.join("dev")).ok()?;
        counted(&counters, |name| ways.contains(name))
    }

    /// The interfaces that lead to the world: those of default routes.
    #[must_use]
    pub fn ways(&self) -> BTreeSet<String> {
        let read = |name| std::fs::read_to_string(self.proc.join(name)).unwrap_or_default();
        let mut ways: BTreeSet<String> =
            default_routes(&read("route")).map(str::to_owned).collect();
        ways.extend(default_routes_of_six(&read("ipv6_route")).map(str::to_owned));
        ways
    }

    /// Whether the machine runs on its battery.
    #[must_use]
    pub fn is_on_battery(&self) -> bool {
        let Ok(supplies) = std::fs::read_dir(&self.sys) else { return false };
        let (mut plugged, mut discharging) = (false, false);
        for supply in supplies.flatten() {
            let read = |name: &str| word(&supply.path().join(name));
            match read("type").as_str() {
                // That of a mouse is no power of ours.
                "Battery" if read("scope") != "Device" => {
                    discharging |= read("status") == "Discharging";
                }
                "Mains" | "USB" => plugged |= read("online") == "1",
                _ => {}
            }
        }
        discharging && !plugged
    }
}

fn word(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The bytes of the interfaces in `/proc/net/dev` that are wanted.
fn counted(text: &str, wanted: impl Fn(&str) -> bool) -> Option<Passed> {
    let mut any = false;
    let mut passed = Passed::default();
    for (name, counters) in text.lines().filter_map(|line| line.split_once(':')) {
        if !wanted(name.trim()) {
            continue;
        }
        let mut columns = counters.split_whitespace();
        let received: u64 = columns.next()?.parse().ok()?;
        let sent: u64 = columns.nth(7)?.parse().ok()?;
        any = true;
        passed.received = passed.received.wrapping_add(received);
        passed.sent = passed.sent.wrapping_add(sent);
    }
    any.then_some(passed)
}

/// The interfaces of the default routes in `/proc/net/route`.
fn default_routes(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let mut columns = line.split_whitespace();
        let (name, to) = (columns.next()?, columns.next()?);
        let mask = columns.nth(5)?;
        (to == "00000000" && mask == "00000000").then_some(name)
    })
}

/// The interfaces of the default routes in `/proc/net/ipv6_route`; the kernel
/// lists one that leads nowhere on `lo`.
fn default_routes_of_six(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let to = columns.first()?;
        let is_default = to.bytes().all(|byte| byte == b'0') && columns.get(1) == Some(&"00");
        let name = columns.get(9).copied()?;
        (is_default && name != "lo").then_some(name)
    })
}

/// Whether a connection is paid by the byte, as NetworkManager says of the
/// interfaces that lead to the world; no, where it does not run.
pub async fn is_metered(ways: BTreeSet<String>) -> bool {
    if !Path::new("/run/NetworkManager").exists() {
        return false;
    }
    for way in ways {
        let mut command = tokio::process::Command::new("nmcli");
        command.args(["-g", "GENERAL.METERED", "device", "show", &way]);
        command.stdin(std::process::Stdio::null()).kill_on_drop(true);
        let told = tokio::time::timeout(std::time::Duration::from_secs(5), command.output());
        if let Ok(Ok(output)) = told.await
            && says_metered(&String::from_utf8_lossy(&output.stdout))
        {
            return true;
        }
    }
    false
}

/// `yes` and `yes (guessed)`; not `no`, `no (guessed)` and `unknown`.
fn says_metered(told: &str) -> bool {
    told.trim().starts_with("yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 9000000     100    0    0    0     0          0         0  9000000     100    0    0    0     0       0          0
  eth0:123456789   5000    0    0    0     0          0         0  7654321    4000    0    0    0     0       0          0
docker0:  555      5      0    0    0     0          0         0      777       7    0    0    0     0       0          0
 wlan0: 11      1    0    0    0     0          0         0       22       2    0    0    0     0       0          0
";
    const ROUTE: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
";
    const ROUTE6: &str = "\
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000002 00000000 00000003 wlan0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 docker0
";

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Line) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let line = Line { proc: dir.path().join("net"), sys: dir.path().join("power") };
        (dir, line)
    }

    #[test]
    fn only_the_ways_to_the_world_count() {
        let (_dir, line) =
            machine(&[("net/dev", DEV), ("net/route", ROUTE), ("net/ipv6_route", ROUTE6)]);
        let passed = Passed { received: 123_456_789 + 11, sent: 7_654_321 + 22 };
        assert_eq!(line.passed(), Some(passed));
        assert_eq!(line.ways().into_iter().collect::<Vec<_>>(), ["eth0", "wlan0"]);
    }

    #[test]
    fn where_nothing_is_told_nothing_is_known() {
        for files in [
            &[][..],
            &[("net/dev", DEV)],
            &[("net/dev", "eth0: x y"), ("net/route", ROUTE)],
            &[("net/dev", "eth0:"), ("net/route", ROUTE)],
            &[("net/dev", DEV), ("net/route", "eth0"), ("net/ipv6_route", "0 0\n\n")],
        ] {
            let (_dir, line) = machine(files);
            assert_eq!(line.passed(), None, "{files:?}");
            assert!(!line.is_on_battery());
        }
    }

    #[test]
    fn a_machine_runs_on_its_battery_while_nothing_feeds_it() {
        let battery = [("power/BAT0/type", "Battery\n"), ("power/BAT0/status", "Discharging\n")];
        let mains = [("power/AC/type", "Mains\n"), ("power/AC/online", "1\n")];
        let mouse = [
            ("power/m/type", "Battery\n"),
            ("power/m/status", "Discharging\n"),
            ("power/m/scope", "Device\n"),
        ];
        let of = |parts: &[&[(&str, &str)]]| {
            let (_dir, line) = machine(&parts.concat());
            line.is_on_battery()
        };
        assert!(of(&[&battery]));
        assert!(of(&[&battery, &[("power/AC/type", "Mains\n"), ("power/AC/online", "0\n")]]));
        assert!(!of(&[&battery, &mains]));
        assert!(!of(&[&[battery[0], ("power/BAT0/status", "Charging\n")]]));
        assert!(!of(&[&mouse]));
    }

    #[test]
    fn only_a_yes_is_a_metered_connection() {
        let yes = ["yes\n", "yes (guessed)\n"];
        let no = ["no\n", "no (guessed)\n", "unknown\n", "", "Error: Device 'x' not found.\n"];
        assert!(yes.into_iter().all(says_metered) && !no.into_iter().any(says_metered));
    }
}
