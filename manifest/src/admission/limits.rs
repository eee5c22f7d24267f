//! Bounds on everything that a stranger may hand us before he is admitted.

use std::time::Duration;

/// A whole chain as sent: it must fit the one frame of 4 KiB before admission.
pub const CHAIN_BYTES: usize = 3 * 1024;

/// A ticket file; most of it is root.
pub const TICKET_BYTES: usize = 1024 * 1024;

/// Workgroup keys in root: two, so that a rotation can overlap.
pub const WORKGROUP_KEYS: usize = 2;

/// Products that one issuer may serve.
pub const PRODUCTS: usize = 8;

/// Characters of an organisation's name.
pub const ORGANISATION_CHARS: usize = 64;

/// Addresses, and likewise mirrors, that a ticket may name.
pub const TICKET_ADDRESSES: usize = 64;

/// How far ahead of ours the clock may run that dated a credential.
pub const CLOCK_SKEW: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a credential lives when nothing shorter is asked for.
pub const CREDENTIAL_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long an issuer lives when nothing else is asked for: tickets are printed and shipped.
pub const ISSUER_LIFE: Duration = Duration::from_secs(5 * 365 * 24 * 60 * 60);

/// Entries of a list of revocations: with their reasons at most 64 KiB.
pub const REVOCATIONS: usize = 200;

/// Characters of a revocation's reason.
pub const REVOCATION_CHARS: usize = 100;

/// What is handed to one who cannot be admitted, in bytes: dozens of roots.
pub const GUIDE_BYTES: usize = 256 * 1024;

/// Issuers that the vendor may say something newer of.
pub const LISTED_ISSUERS: usize = 100;
