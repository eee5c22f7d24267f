//! Following the workgroup's root when its keys are replaced.
//!
//! Peers are judged by the workgroup keys that root names, so an auditor that
//! slept through a rotation must follow the chain before it can meet anybody
//! new. Everything below root is the agents' matter.

use manifest::admission::workgroup::WorkgroupTrust;
use manifest::time::UnixTime;
use manifest::trust::bundle::Bundle;
use manifest::trust::exchange::MetadataRequest;
use manifest::trust::limits::BUNDLE_BYTES;
use manifest::trust::refresh::{Input, Output, Refresh};
use manifest::trust::trusted::TrustedSet;

use crate::home::{Home, HomeError};

/// What to ask a peer in order to follow root.
///
/// # Errors
/// [`HomeError`] if the trusted root cannot be read.
pub fn request(home: &Home) -> Result<Vec<u8>, HomeError> {
    let trusted = TrustedSet::load(&home.trusted()?.load()?)?;
    Ok(MetadataRequest::of(&trusted).encode())
}

/// Follows the roots in a peer's answer as far as they verify, each durable
/// before the next is judged, and gives the trust if it changed. What does
/// not verify is left out: another peer may know better.
///
/// # Errors
/// [`HomeError`] if the home cannot be read or written.
pub fn follow(
    home: &Home,
    answer: &[u8],
    now: UnixTime,
) -> Result<Option<WorkgroupTrust>, HomeError> {
    let Ok(files) = Bundle::decode(answer, BUNDLE_BYTES) else { return Ok(None) };
    let kept = home.trusted()?;
    let trusted = TrustedSet::load(&kept.load()?)?;
    let before = trusted.root().version;
    let mut refresh = Refresh::new(trusted, now, Vec::new());
    while let Some(output) = refresh.poll() {
        match output {
            Output::Want { name, max_len } => {
                let file = files.get(&name).filter(|file| file.len() as u64 <= max_len);
                let is_root = name.ends_with("root.json");
                let Some(file) = file.filter(|_| is_root) else { break };
                if refresh.handle(Input::File(file.to_vec())).is_err() {
                    break;
                }
            }
            Output::Persist { name, bytes } => kept.persist(&name, &bytes)?,
            Output::Forget { name } => kept.forget(&name)?,
            Output::Done => break,
        }
    }
    if refresh.trusted().root().version == before {
        return Ok(None);
    }
    home.trust().map(Some)
}
