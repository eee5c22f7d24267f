//! Where this seeder can be met: what tickets say, and what is noted for them.

use std::net::SocketAddr;

/// The addresses that are worth passing on, of those that we listen on:
/// loopback is of use to this machine alone.
#[must_use]
pub fn worth_noting(listening: &[String]) -> Vec<String> {
    let abroad: Vec<String> =
        listening.iter().filter(|address| !is_loopback(address)).cloned().collect();
    if abroad.is_empty() { listening.to_vec() } else { abroad }
}

/// The mirror's base URLs: the address it is bound to, or, where that is
/// every one of this machine, those that `listening` shows.
#[must_use]
pub fn mirror_urls(bound: SocketAddr, listening: &[String]) -> Vec<String> {
    if !bound.ip().is_unspecified() {
        return vec![format!("http://{bound}/")];
    }
    let mut urls: Vec<String> = worth_noting(listening)
        .iter()
        .filter_map(|address| address.strip_prefix("/ip4/")?.split('/').next())
        .map(|ip| format!("http://{ip}:{}/", bound.port()))
        .collect();
    urls.sort();
    urls.dedup();
    if urls.is_empty() {
        urls.push(format!("http://127.0.0.1:{}/", bound.port()));
    }
    urls
}

fn is_loopback(address: &str) -> bool {
    address.starts_with("/ip4/127.") || address.starts_with("/ip6/::1/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(all: &[&str]) -> Vec<String> {
        all.iter().map(|address| (*address).to_owned()).collect()
    }

    #[test]
    fn loopback_is_noted_only_where_there_is_nothing_else() {
        let local = list(&["/ip4/127.0.0.1/tcp/1/p2p/x", "/ip6/::1/tcp/1/p2p/x"]);
        assert_eq!(worth_noting(&local), local);
        let mut both = local;
        both.push("/ip4/192.0.2.1/tcp/1/p2p/x".to_owned());
        assert_eq!(worth_noting(&both), ["/ip4/192.0.2.1/tcp/1/p2p/x"]);
    }

    #[test]
    fn a_mirror_on_all_addresses_is_named_by_those_that_can_be_reached() {
        let one = "127.0.0.1:8080".parse().unwrap();
        assert_eq!(mirror_urls(one, &[]), ["http://127.0.0.1:8080/"]);
        let all = "0.0.0.0:8080".parse().unwrap();
        let listening =
            list(&["/ip4/127.0.0.1/tcp/1", "/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/udp/1/quic-v1"]);
        assert_eq!(mirror_urls(all, &listening), ["http://192.0.2.1:8080/"]);
        assert_eq!(mirror_urls(all, &[]), ["http://127.0.0.1:8080/"]);
    }
}
