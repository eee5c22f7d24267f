//! Who appears: a vendor, machines, and an auditor, each with a home of its own.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::programs::{Daemon, Program, ProgramError, Programs, wait_for};

/// The vendor and the machines, and where they live.
#[derive(Debug)]
pub struct Cast {
    /// How their programs are started.
    pub programs: Programs,
    /// The folder that everything is under.
    pub stage: PathBuf,
    /// The vendor's home.
    pub vendor: PathBuf,
    /// The machines.
    pub machines: Vec<Machine>,
    /// The vendor's addresses stay the same whenever it comes back.
    listen: Vec<String>,
    /// What each machine may send, in bytes a second.
    upload: Option<u64>,
    /// How long each machine waits before it looks for releases by itself.
    poll: Duration,
}

/// One machine that owns the product.
#[derive(Debug)]
pub struct Machine {
    /// What it is called in tables and file names.
    pub name: String,
    /// Its agent's home.
    pub home: PathBuf,
    /// Where the product is installed: `versions/` and `current`.
    pub into: PathBuf,
    /// Its agent, while it runs.
    pub daemon: Option<Daemon>,
}

impl Machine {
    /// The release that runs.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.into.join("current")
    }
}

impl Cast {
    /// Homes under `stage`, nobody running yet.
    ///
    /// # Errors
    /// If loopback has no free port.
    pub fn new(programs: Programs, stage: PathBuf, machines: u8) -> Result<Self, String> {
        let told = |error: std::io::Error| format!("no free port on loopback: {error}");
        let tcp = TcpListener::bind("127.0.0.1:0").and_then(|s| s.local_addr()).map_err(told)?;
        let udp = UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).map_err(told)?;
        let listen = vec![
            format!("/ip4/127.0.0.1/tcp/{}", tcp.port()),
            format!("/ip4/127.0.0.1/udp/{}/quic-v1", udp.port()),
        ];
        let machines = (1..=machines).map(|number| {
            let name = format!("machine-{number}");
            let place = stage.join(&name);
            Machine { home: place.join("home"), into: place.join("hello"), name, daemon: None }
        });
        let (vendor, machines) = (stage.join("vendor"), machines.collect());
        let poll = Duration::from_secs(5);
        Ok(Self { programs, stage, vendor, machines, listen, upload: None, poll })
    }

    /// Agents that are started from now on look for releases so rarely: five
    /// seconds if nothing is said.
    pub const fn poll_every(&mut self, poll: Duration) {
        self.poll = poll;
    }

    /// Where the vendor's seeder listens, as multiaddresses.
    #[must_use]
    pub fn listen(&self) -> &[String] {
        &self.listen
    }

    /// Runs the vendor's program to its end.
    ///
    /// # Errors
    /// If it fails.
    pub fn vendor(&self, args: &[&str]) -> Result<String, ProgramError> {
        self.programs.run(Program::Publisher, &self.vendor, args)
    }

    /// Starts to seed, at most `upload` bytes a second if that is given, and
    /// returns once the seeder listens.
    ///
    /// # Errors
    /// If it does not within 20 seconds.
    pub fn seed(&self, upload: Option<u64>) -> Result<Daemon, String> {
        let mut args: Vec<String> = vec!["seed".into(), "--no-dns-sd".into()];
        args.extend(self.listen.iter().flat_map(|address| ["--listen".into(), address.clone()]));
        args.extend(
            upload.into_iter().flat_map(|rate| ["--upload-limit".into(), rate.to_string()]),
        );
        let log = self.stage.join("vendor.log");
        let before = fs::read_to_string(&log).unwrap_or_default().len();
        let mut daemon = self
            .programs
            .daemon(Program::Publisher, &self.vendor, &args, &log)
            .map_err(|error| error.to_string())?;
        wait_for("the seeder to listen", Duration::from_secs(20), || {
            let said = daemon.said();
            let listens = said.get(before..).is_some_and(|said| said.contains("listening "));
            (listens || !daemon.is_running()).then_some(listens)
        })?
        .then_some(())
        .ok_or_else(|| format!("the seeder ended: {}", daemon.said()))?;
        Ok(daemon)
    }

    /// Has every machine join with `ticket`, and starts its agent.
    ///
    /// # Errors
    /// If one of them cannot.
    pub fn join_all(&mut self, ticket: &Path) -> Result<(), ProgramError> {
        let ticket = ticket.to_string_lossy();
        for machine in &self.machines {
            let into = machine.into.to_string_lossy();
            let args = ["join", &ticket, "--into", &into];
            self.programs.run(Program::Agent, &machine.home, &args)?;
        }
        (0..self.machines.len()).try_for_each(|index| self.start(index))
    }

    /// Starts every agent anew; from now on each sends at most `upload`
    /// bytes a second.
    ///
    /// # Errors
    /// If one of them cannot be started.
    pub fn restart_all(&mut self, upload: u64) -> Result<(), ProgramError> {
        self.upload = Some(upload);
        for index in 0..self.machines.len() {
            self.stop(index);
        }
        (0..self.machines.len()).try_for_each(|index| self.start(index))
    }

    /// Stops machine number `index`, as a power cut would.
    pub fn stop(&mut self, index: usize) {
        if let Some(daemon) = self.machines[index].daemon.take() {
            daemon.kill();
        }
    }

    /// Starts machine number `index`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&mut self, index: usize) -> Result<(), ProgramError> {
        self.start_with(index, &[])
    }

    /// Starts machine number `index` with these arguments beside the usual.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_with(&mut self, index: usize, more: &[&str]) -> Result<(), ProgramError> {
        let machine = &mut self.machines[index];
        let mut args = vec!["run".to_owned(), "--no-dns-sd".to_owned()];
        for address in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
            args.extend(["--listen".to_owned(), address.to_owned()]);
        }
        args.extend(["--poll".to_owned(), self.poll.as_secs().to_string()]);
        let rate = self.upload.map(|rate| rate.to_string());
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args.extend(rate.into_iter().flat_map(|rate| ["--total-upload-limit".to_owned(), rate]));
        let log = self.stage.join(format!("{}.log", machine.name));
        let daemon = self.programs.daemon(Program::Agent, &machine.home, &args, &log)?;
        machine.daemon = Some(daemon);
        Ok(())
    }
}
