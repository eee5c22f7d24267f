//! Answers the owner, by asking the daemon's one loop.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use axum::extract::{ConnectInfo, State, connect_info::Connected};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use serde::Serialize;
use store::disk::DiskError;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use crate::control::SocketPath;
use crate::control::api::{CheckRequest, Refusal, Status, TransferView, Verified};
use crate::control::peers::PeersView;

/// What the owner asks of the daemon.
#[derive(Debug)]
pub enum Command {
    /// How things are.
    Status(oneshot::Sender<Status>),
    /// How far the transfer is.
    Transfer(oneshot::Sender<TransferView>),
    /// Who gives and takes what.
    Peers(oneshot::Sender<PeersView>),
    /// Look for releases now.
    Check(CheckRequest, oneshot::Sender<Status>),
    /// Go back to the release before.
    RollBack {
        /// Who asks.
        uid: u32,
        /// Whether it was begun.
        reply: oneshot::Sender<Result<Status, Refusal>>,
    },
    /// Compare the installed files with the manifest.
    Verify(oneshot::Sender<Result<Verified, Refusal>>),
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
}

impl Connected<IncomingStream<'_, UnixListener>> for Owner {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        // A peer whose user the system does not tell is nobody.
        let uid = stream.io().peer_cred().map_or(u32::MAX, |cred| cred.uid());
        Self { uid }
    }
}

/// Listens at `socket`, which only this user may open.
///
/// # Errors
/// [`DiskError`] if the socket cannot be made.
pub fn listen(socket: &Path) -> Result<UnixListener, DiskError> {
    // Whoever holds the home's lock may remove what a killed daemon left.
    store::disk::remove_file(socket)?;
    let fail = |error| DiskError::new("listen at", socket, error);
    let path = SocketPath::to(socket).map_err(fail)?;
    let listener = UnixListener::bind(path.path()).map_err(fail)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
    Ok(listener)
}

/// Answers until the process ends.
pub async fn serve(listener: UnixListener, commands: mpsc::Sender<Command>) {
    let app = Router::new()
        .route("/status", get(status))
        .route("/transfer", get(transfer))
        .route("/peers", get(peers))
        .route("/check", post(check))
        .route("/rollback", post(roll_back))
        .route("/verify", post(verify))
        .with_state(commands);
    let app = app.into_make_service_with_connect_info::<Owner>();
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "the owner's socket broke down");
    }
}

type Commands = State<mpsc::Sender<Command>>;

/// Hands a command to the loop and waits for its answer.
async fn ask<T>(
    State(commands): Commands,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    let stopping = || Refusal::new("failed", "the agent is stopping");
    commands.send(command(reply)).await.map_err(|_| stopping())?;
    answer.await.map_err(|_| stopping())
}

fn respond<T: Serialize>(answer: Result<T, Refusal>) -> Response {
    match answer {
        Ok(value) => Json(value).into_response(),
        Err(refusal) => {
            let status = match refusal.code.as_str() {
                "busy" | "nothing-to-do" => StatusCode::CONFLICT,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, Json(refusal)).into_response()
        }
    }
}

async fn status(commands: Commands) -> Response {
    respond(ask(commands, Command::Status).await)
}

async fn transfer(commands: Commands) -> Response {
    respond(ask(commands, Command::Transfer).await)
}

async fn peers(commands: Commands) -> Response {
    respond(ask(commands, Command::Peers).await)
}

async fn check(commands: Commands, request: Option<Json<CheckRequest>>) -> Response {
    let request = request.map(|Json(request)| request).unwrap_or_default();
    respond(ask(commands, |reply| Command::Check(request, reply)).await)
}

async fn roll_back(ConnectInfo(owner): ConnectInfo<Owner>, commands: Commands) -> Response {
    let Owner { uid } = owner;
    let answer = ask(commands, |reply| Command::RollBack { uid, reply }).await;
    respond(answer.and_then(|answer| answer))
}

async fn verify(commands: Commands) -> Response {
    respond(ask(commands, Command::Verify).await.and_then(|answer| answer))
}
