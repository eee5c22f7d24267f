//! What the vendor says of its issuers now.
//!
//! Tickets carry the statement of the day they were written, and live for
//! years. Where the vendor says something newer (signed by a newer workgroup
//! key, narrower, or with a later end), that statement stands in the member
//! `x-updraft` of the delegated role `workgroup`, beside those who are
//! revoked, and counts before any older one.

use serde_json::{Map, Value};

use crate::admission::issuer::SignedIssuer;
use crate::admission::limits::{CHAIN_BYTES, LISTED_ISSUERS};
use crate::admission::list::{self, Unreadable};

/// The member of `x-updraft` that holds the list.
const LIST: &str = "issuers";

/// Statements, one for each issuer, at most [`LISTED_ISSUERS`]. Each is
/// believed only by its own signature.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Issuers(Vec<SignedIssuer>);

/// A list that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuersError {
    /// The signed list has another shape.
    #[error("the list of issuers cannot be read: {why}")]
    Malformed {
        /// What is wrong with it.
        why: String,
    },
    /// It has too many entries, or one that is too long.
    #[error(
        "the list of issuers takes at most {LISTED_ISSUERS} statements of at most {CHAIN_BYTES} bytes"
    )]
    TooLong,
}

impl From<Unreadable> for IssuersError {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Malformed { why } => Self::Malformed { why },
            Unreadable::TooLong => Self::TooLong,
        }
    }
}

impl Issuers {
    /// The list that the extension of the role's file holds.
    ///
    /// # Errors
    /// [`IssuersError`] if it is none.
    pub fn read(extra: &Map<String, Value>) -> Result<Self, IssuersError> {
        let list: Vec<SignedIssuer> = list::read(extra, LIST, LISTED_ISSUERS)?;
        if list.iter().any(|signed| signed.text_len() > CHAIN_BYTES) {
            return Err(IssuersError::TooLong);
        }
        Ok(Self(list))
    }

    /// As much of the list as this program understands, and why not all of it.
    #[must_use]
    pub fn read_known(extra: &Map<String, Value>) -> (Self, Option<String>) {
        let error = match Self::read(extra) {
            Ok(list) => return (list, None),
            Err(error) => error.to_string(),
        };
        let mut known: Vec<SignedIssuer> = list::known(extra, LIST, LISTED_ISSUERS);
        known.retain(|signed| signed.text_len() <= CHAIN_BYTES);
        (Self(known), Some(error))
    }

    /// Writes the list into the extension of the role's file.
    pub fn write(&self, extra: &mut Map<String, Value>) {
        list::set(extra, LIST, &self.0);
    }

    /// Lists a statement in place of what was said of the same issuer before.
    ///
    /// # Errors
    /// [`IssuersError::TooLong`]; nothing has changed then.
    pub fn set(&mut self, signed: SignedIssuer) -> Result<(), IssuersError> {
        let same = self.0.iter().position(|known| known.names() == signed.names());
        match same {
            Some(place) => self.0[place] = signed,
            None if self.0.len() >= LISTED_ISSUERS => return Err(IssuersError::TooLong),
            None => self.0.push(signed),
        }
        Ok(())
    }

    /// Lets go of the statements for which `keep` does not hold.
    pub fn retain(&mut self, keep: impl FnMut(&SignedIssuer) -> bool) {
        self.0.retain(keep);
    }

    /// All statements.
    #[must_use]
    pub fn entries(&self) -> &[SignedIssuer] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::admission::chain::CredentialError;
    use crate::admission::credential::Role;
    use crate::admission::issuer::{IssuerError, IssuerStatement};
    use crate::admission::revocation::Revocations;
    use crate::admission::workgroup::WorkgroupTrust;
    use crate::key::SigningKey;
    use crate::testing::{TestWorkgroup, key};
    use crate::trust::root::EXTENSION;
    use crate::trust::testing::{NOW, day};

    /// What a workgroup says of the issuer of all its tickets, as changed.
    fn said(
        group: &TestWorkgroup,
        by: &SigningKey,
        change: impl FnOnce(&mut IssuerStatement),
    ) -> SignedIssuer {
        let issuer_key = group.ticket(&[Role::Member], NOW).issuer_key;
        let mut statement = group.statement(&issuer_key, &[Role::Member], NOW);
        change(&mut statement);
        SignedIssuer::sign(&statement, by).unwrap()
    }

    fn listing(trust: WorkgroupTrust, signed: SignedIssuer) -> WorkgroupTrust {
        let mut issuers = Issuers::default();
        issuers.set(signed).unwrap();
        trust.with_issuers(&issuers)
    }

    #[test]
    fn a_list_is_written_and_read_back_beside_the_revoked() {
        let group = TestWorkgroup::new(1);
        let mut list = Issuers::default();
        list.set(said(&group, &group.workgroup_key, |_| ())).unwrap();
        list.set(said(&group, &group.workgroup_key, |s| s.credential_seconds = 60)).unwrap();
        assert_eq!(list.entries().len(), 1, "one for each issuer");
        let mut extra = Map::new();
        Revocations::default().write(&mut extra);
        list.write(&mut extra);
        Revocations::default().write(&mut extra);
        assert_eq!(Issuers::read(&extra).unwrap(), list);
        assert_eq!(Issuers::read(&Map::new()).unwrap(), Issuers::default());
        for broken in [json!(7), json!([7]), json!([{"statement": "x"}])] {
            let extra = Map::from_iter([(EXTENSION.to_owned(), json!({ LIST: broken }))]);
            assert!(matches!(Issuers::read(&extra), Err(IssuersError::Malformed { .. })));
            assert!(Issuers::read_known(&extra).1.is_some());
        }
    }

    #[test]
    fn a_statement_by_the_new_workgroup_key_keeps_everyone_in() {
        let (group, new) = (TestWorkgroup::new(1), key(77));
        let member = group.credential(1, Role::Member, NOW);
        let peer = TestWorkgroup::peer_key(1).public();
        let after = WorkgroupTrust::new(group.trust.id(), vec![new.public()]).unwrap();
        let refused = member.verify(&after, &peer, NOW).unwrap_err();
        assert!(matches!(refused, CredentialError::Issuer(IssuerError::NotSigned(_))));
        let listed = listing(after, said(&group, &new, |_| ()));
        member.verify(&listed, &peer, NOW).unwrap();
        // Whoever signs a credential anew shows the newer statement.
        let ticket = group.ticket(&[Role::Member], NOW);
        let (log_key, peer_key) = (TestWorkgroup::log_key(2), TestWorkgroup::peer_key(2));
        let chain = ticket.admit(&listed, Role::Member, &log_key, &peer_key, NOW).unwrap();
        let plain = WorkgroupTrust::new(group.trust.id(), vec![new.public()]).unwrap();
        chain.verify(&plain, &peer_key.public(), NOW).unwrap();
    }

    #[test]
    fn a_narrower_statement_counts_before_an_older_wider_one() {
        let group = TestWorkgroup::new(1);
        let member = group.credential(1, Role::Member, NOW);
        let peer = TestWorkgroup::peer_key(1).public();
        let narrow = said(&group, &group.workgroup_key, |s| s.credential_seconds = 60);
        let refused = member.verify(&listing(group.trust.clone(), narrow), &peer, NOW).unwrap_err();
        assert!(matches!(refused, CredentialError::Wider { .. }), "{refused}");
        let ended = said(&group, &group.workgroup_key, |s| s.expires = day(1));
        let refused =
            member.verify(&listing(group.trust.clone(), ended), &peer, day(2)).unwrap_err();
        assert!(matches!(refused, CredentialError::Issuer(IssuerError::Expired { .. })));
    }

    #[test]
    fn an_issuer_that_ended_goes_on_when_the_vendor_says_so() {
        let group = TestWorkgroup::new(1);
        let later = NOW.after(Duration::from_secs(6 * 365 * 86_400));
        let ticket = group.ticket(&[Role::Member], NOW);
        let (log_key, peer_key) = (TestWorkgroup::log_key(2), TestWorkgroup::peer_key(2));
        let admit =
            |trust: &WorkgroupTrust| ticket.admit(trust, Role::Member, &log_key, &peer_key, later);
        assert!(admit(&group.trust).is_err());
        let longer = said(&group, &group.workgroup_key, |s| {
            s.expires = later.after(Duration::from_secs(86_400))
        });
        admit(&listing(group.trust.clone(), longer)).unwrap();
    }

    #[test]
    fn a_stranger_s_statement_is_left_out() {
        let (group, stranger) = (TestWorkgroup::new(1), TestWorkgroup::new(2));
        let narrow = said(&group, &stranger.workgroup_key, |s| s.credential_seconds = 60);
        let trust = listing(group.trust.clone(), narrow);
        assert_eq!(trust, group.trust);
    }
}
