//! Keeps the swarm to good manners: tells it what else is on the line, and what
//! may move.
//!
//! A driver: `swarm::courtesy` decides how much is left to others, and
//! [`crate::leave`] what may move at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use swarm::allowance::{Allowance, Rates};
use swarm::courtesy::{Passed, Reading};
use swarm::handle::{Handle, Pacing};
use tokio::sync::watch;

use crate::clock;
use crate::leave::{Leave, Moves, Rules, Surroundings};
use crate::line::{Line, is_metered};
use crate::network::permit::Permit;
use crate::sockets::Sockets;
use crate::throttle::Throttle;

/// How often the line is looked at while something moves.
const GLANCE: Duration = Duration::from_millis(100);
/// How often it is looked at otherwise.
const REST: Duration = Duration::from_secs(1);
/// How often the hours and the power are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How often it is asked what the connection costs.
const ASK: Duration = Duration::from_secs(60);
/// Bytes a second that are nothing worth looking for.
const QUIET: u64 = 1_000;

/// What the owner wants, and where it is told.
pub struct Manners {
    handle: Handle,
    rules: Rules,
    limits: Allowance,
    throttle: Arc<Throttle>,
    line: Line,
    sockets: Sockets,
    /// Whether others on the line come first.
    makes_way: bool,
    permit: Permit,
    leave: watch::Sender<Leave>,
    surroundings: Surroundings,
    asked: Option<Instant>,
    /// What the swarm was last told.
    told: Option<Allowance>,
    /// What had come from mirrors at the last look.
    from_mirrors: u64,
}

impl Manners {
    /// Manners by `rules` and `limits`, making way for others on the line or
    /// not; what fetches follows the permit.
    #[must_use]
    pub fn new(
        handle: Handle,
        (rules, limits, makes_way): (Rules, Allowance, bool),
        throttle: Arc<Throttle>,
    ) -> (Self, Permit) {
        let line = Line::default();
        let surroundings = Surroundings { metered: false, battery: line.is_on_battery() };
        // What comes before the first look must know better.
        let (leave, receiver) = watch::channel(rules.leave(&clock::here(), surroundings));
        let permit = Permit::new(receiver);
        let manners = Self {
            handle,
            rules,
            limits,
            throttle,
            line,
            sockets: Sockets::default(),
            makes_way,
            permit: permit.clone(),
            leave,
            surroundings,
            asked: None,
            told: None,
            from_mirrors: 0,
        };
        (manners, permit)
    }

    /// Works until the swarm has stopped.
    pub async fn run(mut self) {
        let mut look = Instant::now();
        loop {
            let now = Instant::now();
            if now >= look {
                look = now + LOOK;
                self.look(now).await;
            }
            if self.allow().await.is_none() {
                return;
            }
            let Some(pacing) = self.observe().await else { return };
            let Rates { down, .. } = pacing.allowance.all.and(pacing.allowance.far);
            self.throttle.set_rate(down);
            let pace = pacing.pace.received.max(pacing.pace.sent);
            let from_mirrors = self.throttle.received();
            let moves = pace > QUIET || from_mirrors != self.from_mirrors;
            self.from_mirrors = from_mirrors;
            tokio::time::sleep(if moves || pacing.held_back { GLANCE } else { REST }).await;
        }
    }

    /// Tells the swarm what passed over the line; gives what may move, or
    /// nothing if the swarm has stopped.
    async fn observe(&mut self) -> Option<Pacing> {
        let reading = self.makes_way.then(|| self.read()).flatten();
        let pacing = match reading {
            Some(reading) => self.handle.observe_line(reading).await,
            None => self.handle.pacing().await,
        };
        pacing.ok()
    }

    /// What the counters say; all of them at the same moment.
    fn read(&mut self) -> Option<Reading> {
        let tcp = self.sockets.passed()?;
        let line = self.line.passed()?;
        let quic = self.handle.passed_over_quic();
        let own = Passed { received: tcp.received + quic.received, sent: tcp.sent + quic.sent };
        Some(Reading { at: Instant::now(), line, own })
    }

    /// Looks at the clock, at the power and at what the connection costs.
    async fn look(&mut self, now: Instant) {
        self.surroundings.battery = self.line.is_on_battery();
        if self.rules.on_metered != Moves::All && self.asked.is_none_or(|at| now >= at + ASK) {
            self.asked = Some(now);
            self.surroundings.metered = is_metered(self.line.ways()).await;
        }
        let leave = self.rules.leave(&clock::here(), self.surroundings);
        self.leave.send_if_modified(|known| {
            let is_new = *known != leave;
            if is_new {
                let why = leave.why.as_deref().unwrap_or("everything may move");
                tracing::info!(moves = ?leave.moves, "{why}");
                *known = leave;
            }
            is_new
        });
    }

    /// Tells the swarm what may move, if that is new; nothing if it has stopped.
    async fn allow(&mut self) -> Option<()> {
        let allowance = self.permit.leave().of(self.limits, self.permit.is_urgent());
        if self.told != Some(allowance) {
            self.handle.limit(allowance).await.ok()?;
            self.told = Some(allowance);
        }
        Some(())
    }
}
