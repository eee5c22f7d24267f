//! Following what is signed about the workgroup.
//!
//! Peers are judged by the workgroup keys that root names, by what the vendor
//! says of their issuers, and by who is revoked. So an auditor follows root,
//! and below it the file of the role `workgroup`; the products' channels are
//! the agents' matter.

use manifest::admission::guide::Guide;
use manifest::admission::workgroup::WorkgroupTrust;
use manifest::time::UnixTime;
use manifest::trust::bundle::Bundle;
use manifest::trust::exchange::MetadataRequest;
use manifest::trust::refresh::{Input, Output, Refresh};
use manifest::trust::role::RoleName;
use manifest::trust::trusted::TrustedSet;

use crate::home::{Home, HomeError};

/// What to ask a peer in order to follow.
///
/// # Errors
/// [`HomeError`] if the trusted root cannot be read.
pub fn request(home: &Home) -> Result<Vec<u8>, HomeError> {
    let trusted = TrustedSet::load(&home.trusted()?.load()?)?;
    Ok(MetadataRequest::of(&trusted).encode())
}

/// Follows the files in a peer's answer as far as they verify, each durable
/// before the next is judged, and gives the trust if it changed. What does
/// not verify is left out: another peer may know better.
///
/// # Errors
/// [`HomeError`] if the home cannot be read or written.
pub fn follow(
    home: &Home,
    files: &Bundle,
    now: UnixTime,
) -> Result<Option<WorkgroupTrust>, HomeError> {
    let kept = home.trusted()?;
    let trusted = TrustedSet::load(&kept.load()?)?;
    let before = (home.trust()?, trusted.root().version);
    let mut refresh =
        Refresh::new(trusted, now, Vec::new()).and_if_delegated(vec![RoleName::WORKGROUP]);
    while let Some(output) = refresh.poll() {
        match output {
            Output::Want { name, max_len } => {
                let file = files.get(&name).filter(|file| file.len() as u64 <= max_len);
                let input = file.map_or(Input::NotFound, |file| Input::File(file.to_vec()));
                if refresh.handle(input).is_err() {
                    break;
                }
            }
            Output::Persist { name, bytes } => {
                if name == RoleName::ROOT.file_name() {
                    // The chain first: without a link, others could not be led here.
                    let version = refresh.trusted().root().version;
                    kept.persist(&RoleName::ROOT.versioned_file_name(version), &bytes)?;
                }
                kept.persist(&name, &bytes)?;
            }
            Output::Forget { name } => kept.forget(&name)?,
            Output::Done => break,
        }
    }
    let after = (home.trust()?, refresh.trusted().root().version);
    Ok((after != before).then_some(after.0))
}

/// What leads those to the present root who know an older one.
///
/// # Errors
/// [`HomeError`] if the home cannot be read.
pub fn guide(home: &Home) -> Result<Guide, HomeError> {
    let kept = home.trusted()?;
    let version = TrustedSet::load(&kept.load()?)?.root().version;
    let root = |version| kept.get(&RoleName::ROOT.versioned_file_name(version)).ok().flatten();
    Ok(Guide::to(version, root))
}
