//! Members on the local network, found by DNS-SD without any configuration.
//!
//! An installation announces the service `_updraft._udp` under a fresh name,
//! with a tag that changes every day: whoever belongs to the workgroup can
//! tell, and nobody else can follow a machine or name its product. What is
//! found is a hint to dial; admission decides.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use manifest::admission::workgroup::WorkgroupId;
use manifest::time::UnixTime;
use mdns_sd::{Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::sync::mpsc;

/// Our own service type: other programs that speak libp2p are left alone.
const SERVICE: &str = "_updraft._udp.local.";

/// Addresses taken from one announcement.
const ADDRESSES: usize = 8;

/// The length of a day, and of a tag's life.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Where an installation listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports {
    /// Its TCP port.
    pub tcp: Option<u16>,
    /// Its QUIC port.
    pub quic: Option<u16>,
}

/// DNS-SD cannot be spoken here.
#[derive(Debug, thiserror::Error)]
#[error("members cannot be sought on the local network by DNS-SD")]
pub struct DnsSdError(#[from] mdns_sd::Error);

/// A running search, and our own announcement once there is one.
pub struct DnsSd {
    daemon: ServiceDaemon,
    workgroup: WorkgroupId,
    told: Option<(Ports, u64)>,
    shared: Arc<Mutex<Shared>>,
}

/// What the search must know of us.
#[derive(Default)]
struct Shared {
    day: u64,
    own_name: Option<String>,
}

impl DnsSd {
    /// Begins to look for members of `workgroup`; the addresses of each that
    /// is found are sent to `found` as multiaddresses. What does not fit into
    /// the channel is dropped, and comes again.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`DnsSdError`] if no socket can be had.
    pub fn start(
        workgroup: WorkgroupId,
        now: UnixTime,
        found: mpsc::Sender<Vec<String>>,
    ) -> Result<Self, DnsSdError> {
        let daemon = ServiceDaemon::new()?;
        let events = daemon.browse(SERVICE)?;
        let shared = Arc::new(Mutex::new(Shared { day: day(now), own_name: None }));
        tokio::spawn(listen(events, workgroup, Arc::clone(&shared), found));
        Ok(Self { daemon, workgroup, told: None, shared })
    }

    /// Announces `ports`, anew whenever they or the day change; `chance` is a
    /// random number, from which the name of the day is made.
    ///
    /// Call it when ports become known and at least once an hour.
    ///
    /// # Errors
    /// [`DnsSdError`]; the next call tries again.
    pub fn announce(&mut self, ports: Ports, now: UnixTime, chance: u64) -> Result<(), DnsSdError> {
        let today = day(now);
        if self.told == Some((ports, today)) || ports == Ports::default() {
            return Ok(());
        }
        let name = format!("{chance:016x}");
        let info = ServiceInfo::new(
            SERVICE,
            &name,
            &format!("{name}.local."),
            (),
            ports.quic.or(ports.tcp).unwrap_or_default(),
            properties(&self.workgroup, today, ports),
        )?
        .enable_addr_auto();
        let old_name = {
            let mut shared = self.shared.lock().expect("nobody panics while holding it");
            shared.day = today;
            shared.own_name.replace(info.get_fullname().to_owned())
        };
        if let Some(old_name) = old_name {
            self.daemon.unregister(&old_name)?;
        }
        self.daemon.register(info)?;
        self.told = Some((ports, today));
        Ok(())
    }
}

impl Drop for DnsSd {
    fn drop(&mut self) {
        // Says goodbye, so that others forget us at once; if not, they do later.
        let _ = self.daemon.shutdown();
    }
}

fn properties(workgroup: &WorkgroupId, day: u64, ports: Ports) -> HashMap<String, String> {
    let mut properties = HashMap::from([("tag".to_owned(), tag(workgroup, day))]);
    properties.extend(ports.tcp.map(|port| ("tcp".to_owned(), port.to_string())));
    properties.extend(ports.quic.map(|port| ("quic".to_owned(), port.to_string())));
    properties
}

/// The number of the day since 1970.
fn day(now: UnixTime) -> u64 {
    now.seconds() / DAY.as_secs()
}

/// What members of a workgroup recognise each other by on one day: the first
/// 16 bytes of a hash, in hex.
#[must_use]
pub fn tag(workgroup: &WorkgroupId, day: u64) -> String {
    let mut hash = blake3::Hasher::new_derive_key("updraft dns-sd 1 tag of the day");
    hash.update(workgroup.as_bytes()).update(&day.to_be_bytes());
    hash.finalize().to_hex()[..32].to_owned()
}

async fn listen(
    events: Receiver<ServiceEvent>,
    workgroup: WorkgroupId,
    shared: Arc<Mutex<Shared>>,
    found: mpsc::Sender<Vec<String>>,
) {
    while let Ok(event) = events.recv_async().await {
        let ServiceEvent::ServiceResolved(service) = event else { continue };
        let (today, own) = {
            let shared = shared.lock().expect("nobody panics while holding it");
            (shared.day, shared.own_name.as_deref() == Some(service.get_fullname()))
        };
        if own {
            continue;
        }
        let ips = service.get_addresses().iter().map(mdns_sd::ScopedIp::to_ip_addr);
        let text = |key: &str| service.get_property_val_str(key);
        let Some(addresses) = invited(text, ips, &workgroup, today) else { continue };
        match found.try_send(addresses) {
            Err(mpsc::error::TrySendError::Closed(_)) => return,
            // Full: it will be resolved again, and members tell of each other.
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => {}
        }
    }
}

/// Where to dial whoever announces itself with such texts, if it belongs to
/// our workgroup: its tag is of today or a day beside it, for clocks disagree.
pub fn invited<'a>(
    text: impl Fn(&str) -> Option<&'a str>,
    ips: impl Iterator<Item = IpAddr>,
    workgroup: &WorkgroupId,
    today: u64,
) -> Option<Vec<String>> {
    let (found, latest) = (text("tag")?, today.saturating_add(1));
    let ours = (today.saturating_sub(1)..=latest).any(|day| tag(workgroup, day) == found);
    let port = |key| text(key).and_then(|port| port.parse().ok());
    ours.then(|| addresses(ips, Ports { tcp: port("tcp"), quic: port("quic") }))
}

/// Multiaddresses to dial, QUIC first.
fn addresses(ips: impl Iterator<Item = IpAddr>, ports: Ports) -> Vec<String> {
    let of = |ip: IpAddr| {
        let ip = match ip {
            IpAddr::V4(ip) => format!("/ip4/{ip}"),
            // Link-local addresses mean nothing without the interface.
            IpAddr::V6(ip) if ip.is_unicast_link_local() => return Vec::new(),
            IpAddr::V6(ip) => format!("/ip6/{ip}"),
        };
        let quic = ports.quic.map(|port| format!("{ip}/udp/{port}/quic-v1"));
        let tcp = ports.tcp.map(|port| format!("{ip}/tcp/{port}"));
        quic.into_iter().chain(tcp).collect()
    };
    ips.flat_map(of).take(ADDRESSES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::is_address;
    use crate::dice::Dice;
    use crate::testing::seed;
    use mdns_sd::ResolvedService;

    const MONDAY: UnixTime = UnixTime::from_seconds(1_800_000_000);

    fn service(workgroup: &WorkgroupId, day: u64) -> ResolvedService {
        let ports = Ports { tcp: Some(4001), quic: Some(4002) };
        let properties = properties(workgroup, day, ports);
        ServiceInfo::new(SERVICE, "name", "name.local.", "192.0.2.7", 4002, properties)
            .unwrap()
            .as_resolved_service()
    }

    fn is_member(service: &ResolvedService, workgroup: &WorkgroupId, today: u64) -> bool {
        let text = |key: &str| service.get_property_val_str(key);
        invited(text, std::iter::empty(), workgroup, today).is_some()
    }

    #[test]
    fn members_recognise_each_other_today_and_nobody_follows_them() {
        let ours = WorkgroupId::of_first_root(b"ours");
        let theirs = WorkgroupId::of_first_root(b"theirs");
        let today = day(MONDAY);
        assert!(is_member(&service(&ours, today), &ours, today));
        assert!(is_member(&service(&ours, today - 1), &ours, today), "a clock is behind");
        assert!(!is_member(&service(&ours, today - 2), &ours, today), "an old tag, played back");
        assert!(!is_member(&service(&theirs, today), &ours, today));
        assert_ne!(tag(&ours, today), tag(&ours, today + 1));
    }

    /// Texts that begin as good ones and are changed at random.
    fn changed(good: &str, dice: &mut Dice) -> String {
        let mut text: Vec<char> = good.chars().collect();
        for _ in 0..dice.below(3) {
            let at = dice.below(text.len() as u64 + 1) as usize;
            let drawn = ['0', '7', 'f', '-', '+', ' ', '/', '\u{0}', 'é', '9'];
            let drawn = drawn[dice.below(10) as usize];
            match dice.below(3) {
                0 => text.insert(at, drawn),
                1 if at < text.len() => text[at] = drawn,
                _ => text.truncate(at),
            }
        }
        text.into_iter().collect()
    }

    #[test]
    fn whatever_is_announced_leads_to_few_addresses_or_to_none() {
        let ours = WorkgroupId::of_first_root(b"ours");
        let today = day(MONDAY);
        let good = tag(&ours, today);
        let mut dice = Dice::new(seed(42));
        let (mut invitations, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let texts = [&good, "4001", "65535"].map(|text| changed(text, &mut dice));
            let missing = dice.below(8);
            let text = |key: &str| match key {
                "tag" => Some(&*texts[0]),
                "tcp" => (missing != 1).then_some(&*texts[1]),
                _ => (missing != 2).then_some(&*texts[2]),
            };
            let ips: Vec<IpAddr> = (0..dice.below(300))
                .map(|_| match dice.below(2) {
                    0 => IpAddr::from((dice.roll() as u32).to_be_bytes()),
                    _ => IpAddr::from((u128::from(dice.roll()) << 64 | 1).to_be_bytes()),
                })
                .collect();
            match invited(text, ips.into_iter(), &ours, today) {
                Some(found) => {
                    invitations += 1;
                    assert_eq!(texts[0], good);
                    assert!(found.len() <= ADDRESSES);
                    assert!(found.iter().all(|address| is_address(address)), "{found:?}");
                }
                None => {
                    refused += 1;
                    assert_ne!(texts[0], good);
                }
            }
        }
        assert!(invitations > 1_000 && refused > 1_000, "{invitations} {refused}");
    }

    #[test]
    fn an_announcement_becomes_addresses_to_dial() {
        let ips = ["192.0.2.7".parse().unwrap(), "fe80::1".parse().unwrap()];
        let both = Ports { tcp: Some(1), quic: Some(2) };
        assert_eq!(
            addresses(ips.into_iter(), both),
            ["/ip4/192.0.2.7/udp/2/quic-v1", "/ip4/192.0.2.7/tcp/1"]
        );
        let many = (0..255).map(|last| IpAddr::from([192, 0, 2, last]));
        assert_eq!(addresses(many, both).len(), ADDRESSES);
        assert!(addresses(ips.into_iter(), Ports::default()).is_empty());
    }
}
