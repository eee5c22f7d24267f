//! A member that lies to every machine it is told of, for as long as it runs:
//!
//!     cargo run --release -p updraft-tests --example liar -- TICKET REPOSITORY ADDRESS...
//!
//! Joins with the ticket, comes to every ADDRESS with a credential that holds,
//! says that it has all that is wanted, and sends false blocks of it, beside
//! true block lists of the objects in the vendor's REPOSITORY. Comes again as
//! soon as it is let go. Prints the name by which the agents' logs know it.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use manifest::admission::ticket::Ticket;
use store::repository::Repository;
use store::steps::Steps;
use swarm::options::Options;
use swarm::testing::liar::{Lie, lie};
use swarm::testing::raw::Raw;
use swarm::testing::{join, unix_now};

/// Which member of its ticket it is: one that no agent happens to be.
const WHO: u64 = 0x11A5;

/// Between two tries to be let in.
const PAUSE: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [ticket, repository, addresses @ ..] = &args[..] else {
        eprintln!("usage: liar TICKET REPOSITORY ADDRESS...");
        std::process::exit(2);
    };
    if let Err(why) = run(Path::new(ticket), Path::new(repository), addresses).await {
        eprintln!("{why}");
        std::process::exit(1);
    }
}

async fn run(ticket: &Path, repository: &Path, addresses: &[String]) -> Result<(), String> {
    let told = |what: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", what.display());
    let bytes = std::fs::read(ticket).map_err(|error| told(ticket, &error))?;
    let parsed = Ticket::parse(&bytes).map_err(|error| told(ticket, &error))?;
    let (options, installation) = join(&parsed, WHO, unix_now());
    println!("machine {}", installation.short());
    let mut lying = tokio::task::JoinSet::new();
    for address in addresses {
        let objects =
            Repository::open(repository, Steps::free()).map_err(|e| told(repository, &e))?;
        lying.spawn(lie_to(options.clone(), address.clone(), objects));
    }
    while lying.join_next().await.is_some() {}
    Ok(())
}

/// Lies to one machine, whenever it lets us in.
async fn lie_to(options: Options, address: String, objects: Repository) {
    loop {
        if let Ok(mut raw) = Raw::try_connect(&options, &address).await {
            let object = |id| objects.object(id).ok().flatten().map(Bytes::from);
            // However it ends, it comes again.
            let _ = lie(&mut raw, Lie::Blocks, object).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
