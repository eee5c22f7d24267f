//! What can be asked about keys and root.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use manifest::key::PublicKey;

/// Look at keys, make them, and change who signs what
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Show who signs what, whose keys are here, and what expires when
    List {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a key in a file of its own, for somebody who will sign root
    Generate {
        /// The file to make
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Encrypt it under a passphrase
        #[arg(long)]
        encrypt: bool,
    },
    /// Show the public half of a key file
    Show {
        /// The file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Encrypt a key file under a passphrase, in place
    Encrypt {
        /// The file, such as .updraft/keys/root.pem
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Decrypt a key file, in place
    Decrypt {
        /// The file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Let one more key sign a role
    Add {
        /// root, targets, snapshot, timestamp, or PRODUCT.CHANNEL
        role: String,
        /// The key's public half in hex, as `key show` prints it
        public: PublicKey,
    },
    /// Let a key sign a role no more
    #[command(visible_alias = "revoke")]
    Remove {
        /// root, targets, snapshot, timestamp, or PRODUCT.CHANNEL
        role: String,
        /// How the key's id or public half begins, in hex
        key: String,
    },
    /// Change how many of its keys must sign a role
    Threshold {
        /// root, targets, snapshot, timestamp, or PRODUCT.CHANNEL
        role: String,
        /// How many
        signatures: u64,
    },
    /// Replace the key of a role that is here by a new one
    Rotate {
        /// root, targets, snapshot, timestamp, or PRODUCT.CHANNEL
        role: String,
    },
}

/// Have several people sign a new root, each on a machine of their own
#[derive(Debug, Subcommand)]
pub(crate) enum RootCommand {
    /// Write a new root for others to sign; nothing becomes public
    Propose(Propose),
    /// Show what a proposal changes, and whose signatures are missing
    Show {
        /// The proposal
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Sign a proposal, in place; needs no home and no network
    Sign {
        /// The proposal
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// A private key's file; repeat for several
        #[arg(long = "key", value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
        keys: Vec<PathBuf>,
    },
    /// Take the signatures of other copies of a proposal
    Merge {
        /// The proposal that takes them
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The others
        #[arg(required = true, value_hint = ValueHint::FilePath)]
        others: Vec<PathBuf>,
    },
    /// Make a proposal public that enough people have signed
    Publish {
        /// The proposal
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Propose {
    /// The file to write
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) out: PathBuf,
    /// Let a key sign a role; repeat for several
    #[arg(long = "add", value_name = "ROLE=PUBLIC")]
    pub(crate) add: Vec<String>,
    /// Let a key sign a role no more; repeat for several
    #[arg(long = "remove", value_name = "ROLE=KEYID")]
    pub(crate) remove: Vec<String>,
    /// Change how many must sign a role; repeat for several
    #[arg(long = "threshold", value_name = "ROLE=N")]
    pub(crate) threshold: Vec<String>,
}

/// Look after the repository
#[derive(Debug, Subcommand)]
pub(crate) enum Repo {
    /// Sign a new timestamp, and whatever else is due: for a cron job
    Refresh,
    /// Show releases, keys, and what expires when; as `status`
    Status {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}
