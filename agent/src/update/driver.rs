//! Does what the machine says, and hands it what came of it.
//!
//! One long job at a time, and a look for something newer beside it; what must
//! be durable before it is done before it.
//! Every decision is the machine's.

use std::sync::Arc;

use manifest::release::plan::Wanted;
use manifest::trust::floor::Floors;
use store::slots::SlotName;
use tokio::task::JoinSet;

use crate::applier::ApplyError;
use crate::clock;
use crate::limits::PROBE_DETAIL_CHARS;
use crate::network::Network;
use crate::network::ahead::Ahead;
use crate::network::assemble::{AssembleError, Blame, assemble};
use crate::network::fetch::cause;
use crate::network::prepare::Prepared;
use crate::probe;
use crate::update::machine::Machine;
use crate::update::messages::{Input, Output};
use crate::update::state::{InSlot, Remembered};

/// What a job brought.
pub struct Done {
    /// What the machine is told.
    pub input: Input,
    /// The floors, if they were looked at.
    pub floors: Option<Floors>,
    /// The plan, if one was made.
    prepared: Option<Arc<Prepared>>,
    /// The release as far as it is written, if objects were fetched for it.
    ahead: Option<Ahead>,
}

impl From<Input> for Done {
    fn from(input: Input) -> Self {
        Self { input, floors: None, prepared: None, ahead: None }
    }
}

/// The driver of one installation's machine.
pub struct Driver {
    network: Arc<Network>,
    jobs: JoinSet<Done>,
    prepared: Option<Arc<Prepared>>,
    ahead: Option<Ahead>,
    /// Whether bytes were counted from nothing for what is under way.
    metered: bool,
}

impl Driver {
    /// A driver that uses `network` and its applier.
    #[must_use]
    pub fn new(network: Arc<Network>) -> Self {
        Self { network, jobs: JoinSet::new(), prepared: None, ahead: None, metered: false }
    }

    /// Does everything that `machine` says now; long jobs are begun.
    pub async fn act(&mut self, machine: &mut Machine) {
        let mut broken = None;
        while let Some(output) = machine.poll() {
            if broken.is_some() {
                // Nothing rests on what could not be made durable.
                continue;
            }
            if let Err(error) = self.take(machine, output).await {
                tracing::error!(error = %cause(&error), "the update cannot go on");
                broken = Some(cause(&error));
            }
        }
        if let Some(reason) = broken {
            machine.handle(std::time::Instant::now(), clock::wall(), Input::Failed { reason });
            // Telling of it fails for the same reason; what can be done is done.
            while let Some(output) = machine.poll() {
                if let Err(error) = self.take(machine, output).await {
                    tracing::error!(error = %cause(&error), "this could not be told or kept");
                }
            }
        }
    }

    /// What the job that ends next brings; waits for ever if there is none.
    pub async fn done(&mut self) -> Done {
        match self.jobs.join_next().await {
            Some(Ok(mut done)) => {
                self.prepared = done.prepared.take().or(self.prepared.take());
                self.ahead = done.ahead.take().or(self.ahead.take());
                done
            }
            Some(Err(error)) => {
                tracing::error!(%error, "a job of the update broke down");
                Input::Failed { reason: "the agent has a fault; its log says more".to_owned() }
                    .into()
            }
            None => std::future::pending().await,
        }
    }

    async fn take(&mut self, machine: &Machine, output: Output) -> Result<(), ApplyError> {
        let network = Arc::clone(&self.network);
        let authority = network.authority.clone();
        match output {
            Output::Keep(kept) => authority.ask(move |applier| applier.keep(&kept)).await?,
            Output::Record { by, event } => {
                authority.ask(move |applier| applier.record(by, event)).await?;
            }
            Output::Refresh => {
                network.meter.reset();
                self.metered = true;
                let kept = machine.remembered();
                self.jobs.spawn(refresh(network, kept));
            }
            Output::Look => {
                let kept = machine.remembered();
                self.jobs.spawn(async move {
                    let found = refresh(network, kept).await;
                    match found.input {
                        Input::Failed { .. } => Input::Unchanged.into(),
                        _ => found,
                    }
                });
            }
            Output::Plan { release, base } => {
                if !std::mem::take(&mut self.metered) {
                    network.meter.reset();
                }
                self.jobs.spawn(async move {
                    match network.prepare(&release, base.as_ref()).await {
                        Ok(prepared) => planned(&network, prepared),
                        Err(error) => failed(&error),
                    }
                });
            }
            Output::Fetch => match self.prepared.clone() {
                Some(prepared) => {
                    self.jobs.spawn(fetch(network, prepared));
                }
                None => self.lost(),
            },
            Output::Stage => match self.ahead.take() {
                Some(ahead) => {
                    self.jobs.spawn(stage(network, ahead));
                }
                None => self.lost(),
            },
            Output::Switch { entry, by, to } => {
                let is_back = machine.state_name() == "rolling-back";
                self.jobs.spawn(async move {
                    let switched =
                        authority.ask(move |applier| applier.switch(by, entry, to.as_ref())).await;
                    match switched {
                        Ok(()) if is_back => Input::RolledBack.into(),
                        Ok(()) => Input::Switched.into(),
                        Err(error) => failed(&error),
                    }
                });
            }
            Output::Probe(slot) => {
                self.jobs.spawn(probe_release(network, slot));
            }
            Output::Discard => {
                // Dropping the jobs ends them.
                self.jobs = JoinSet::new();
                (self.prepared, self.ahead) = (None, None);
                if let Err(error) = authority.ask(|applier| applier.discard_staged()).await {
                    // What stays costs room only, and goes at the next start.
                    tracing::warn!(error = %cause(&error), "half a release could not be removed");
                }
                let gone = network.shelf.need([])?;
                network.peers.withdraw(gone).await;
            }
            Output::Prune { keep } => prune(&network, keep, machine.remembered()).await?,
        }
        Ok(())
    }

    /// A job without its plan: the machine asks for one again, later.
    fn lost(&mut self) {
        self.jobs.spawn(async { Input::Failed { reason: "the plan was lost".to_owned() }.into() });
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Done {
    Input::Failed { reason: cause(error) }.into()
}

async fn refresh(network: Arc<Network>, kept: Remembered) -> Done {
    match network.refresh().await {
        Ok(_) => decide(&network, kept).await,
        Err(error) => failed(&error),
    }
}

/// What follows from what is believed now.
pub async fn decide(network: &Network, kept: Remembered) -> Done {
    let decided = network.authority.ask(move |applier| applier.decide(&kept, clock::wall())).await;
    match decided {
        Ok((decision, floors)) => Done { floors: Some(floors), ..Input::Decided(decision).into() },
        Err(error) => failed(&error),
    }
}

fn planned(network: &Network, prepared: Prepared) -> Done {
    let missing = |wanted: &Wanted| !network.shelf.has_object(wanted.id);
    let wanted = prepared.plan.wanted();
    let wire_bytes = wanted.iter().filter(|wanted| missing(wanted)).map(|wanted| wanted.len).sum();
    Done { prepared: Some(Arc::new(prepared)), ..Input::Planned { wire_bytes }.into() }
}

async fn fetch(network: Arc<Network>, prepared: Arc<Prepared>) -> Done {
    let ahead = match Ahead::begin(&network, prepared).await {
        Ok(ahead) => ahead,
        Err(error) => return failed(&error),
    };
    match ahead.fetch(&network).await {
        Ok(ahead) => Done { ahead: Some(ahead), ..Input::Fetched.into() },
        Err(error) => failed(&error),
    }
}

async fn stage(network: Arc<Network>, ahead: Ahead) -> Done {
    let (shelf, codec) = (Arc::clone(&network.shelf), Arc::clone(&network.codec));
    let prepared = Arc::clone(ahead.prepared());
    let made = tokio::task::spawn_blocking(move || -> Result<SlotName, AssembleError> {
        assemble(&ahead, &shelf, &*codec)?;
        Ok(ahead.finish()?)
    });
    match made.await.expect("staging does not panic") {
        Ok(slot) => Input::Staged { slot, traffic: network.meter.traffic() }.into(),
        Err(error) => {
            match error.blame() {
                Some(Blame::File(content)) => {
                    tracing::warn!(error = %cause(&error), "that file is fetched as it is");
                    network.distrust(content);
                }
                Some(Blame::Patch) => {
                    tracing::warn!(error = %cause(&error), "the patch is not used again");
                    prepared.patches.iter().for_each(|patch| network.distrust(*patch));
                }
                None => {}
            }
            failed(&error)
        }
    }
}

async fn probe_release(network: Arc<Network>, slot: InSlot) -> Done {
    let installed = network.authority.ask(move |applier| applier.installed(&slot)).await;
    match installed {
        Ok(installed) => {
            let outcome = probe::run(installed.manifest().about(), installed.dir()).await;
            // The end says most; the entry has little room.
            let said = outcome.said.chars().rev().take(PROBE_DETAIL_CHARS);
            let detail = said.collect::<String>().chars().rev().collect();
            Input::Probed { verdict: outcome.verdict, detail }.into()
        }
        Err(error) => failed(&error),
    }
}

async fn prune(network: &Network, keep: Vec<SlotName>, kept: Remembered) -> Result<(), ApplyError> {
    let pruned = kept.clone();
    let pruning = network.authority.ask(move |applier| applier.prune(&keep, &pruned)).await;
    if let Err(error) = pruning {
        // What stays costs room only, and is tried again after the next update.
        tracing::warn!(error = %cause(&error), "an old release could not be removed");
    }
    show_installed(network, &kept).await;
    Ok(())
}

/// Puts what is installed on the shelf, and says what can be served.
pub async fn show_installed(network: &Network, kept: &Remembered) {
    let installed = match kept.installed.clone() {
        None => None,
        Some(slot) => {
            let opened = network.authority.ask(move |applier| applier.installed(&slot)).await;
            opened
                .inspect_err(|error| tracing::warn!(error = %cause(error), "nothing can be served from the installed files"))
                .ok()
        }
    };
    network.shelf.set_installed(installed);
    let shelf = Arc::clone(&network.shelf);
    let dropped = tokio::task::spawn_blocking(move || shelf.drop_installed()).await;
    if let Ok(Err(error)) = dropped {
        tracing::warn!(error = %cause(&error), "objects could not be removed");
    }
    network.peers.hold(network.shelf.held().await).await;
}
