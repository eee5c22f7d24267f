//! The commands about keys and root.

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use manifest::key::PublicKey;
use manifest::trust::author::key_edit::KeyEdit;
use manifest::trust::author::proposal::{PROPOSAL_BYTES, Proposal};
use manifest::trust::key::id_of;
use manifest::trust::role::RoleName;
use serde_json::json;
use store::disk::{DiskError, read_bounded};
use store::keyfile;
use store::steps::Steps;
use zeroize::Zeroizing;

use crate::cli::args::Common;
use crate::cli::failure::Failure;
use crate::cli::key_args::{Key, Propose, RootCommand};
use crate::cli::{json, keys, open};
use crate::clock::now;
use crate::keys::{AskPassphrase, KeyName, KeysError, random_key};
use crate::limits::PASSPHRASE_BYTES;
use crate::publish::Session;
use crate::signers::{self, Changed, Signers};

/// Where passphrases come from: the file that was named, or whoever sits at
/// the terminal. Each file's is asked for once.
pub(crate) fn passphrases(common: &Common) -> Arc<AskPassphrase> {
    let given = common.passphrase_file.clone();
    let asked: Mutex<HashMap<PathBuf, Zeroizing<String>>> = Mutex::default();
    Arc::new(move |path: &Path| {
        if let Some(file) = &given {
            return passphrase_in(file).map(Some);
        }
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = asked.get(path) {
            return Ok(Some(known.clone()));
        }
        let prompt = format!("Passphrase of {}: ", path.display());
        let passphrase = Zeroizing::new(rpassword::prompt_password(prompt)?);
        asked.insert(path.to_owned(), passphrase.clone());
        Ok(Some(passphrase))
    })
}

/// The first line of a file that holds a passphrase.
fn passphrase_in(file: &Path) -> io::Result<Zeroizing<String>> {
    let bytes = read_bounded(file, PASSPHRASE_BYTES).map_err(io::Error::other)?;
    let bytes = bytes.ok_or_else(|| io::Error::other(format!("{} is missing", file.display())))?;
    let text = Zeroizing::new(String::from_utf8(bytes).map_err(io::Error::other)?);
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// A passphrase for something new: asked for twice.
fn new_passphrase(common: &Common) -> io::Result<Zeroizing<String>> {
    let chosen = match &common.passphrase_file {
        Some(file) => passphrase_in(file)?,
        None if !io::stdin().is_terminal() => {
            return Err(io::Error::other("there is no terminal to ask at: --passphrase-file FILE"));
        }
        None => {
            let first = Zeroizing::new(rpassword::prompt_password("New passphrase: ")?);
            let again = Zeroizing::new(rpassword::prompt_password("The same again: ")?);
            if *first != *again {
                return Err(io::Error::other("the two passphrases differ"));
            }
            first
        }
    };
    if chosen.is_empty() {
        return Err(io::Error::other("an empty passphrase protects nothing"));
    }
    Ok(chosen)
}

pub(crate) fn run_key(common: &Common, command: Key) -> Result<(), Failure> {
    match command {
        Key::List { json } => list(common, json),
        Key::Generate { file, encrypt } => {
            let failed =
                |error: &(dyn std::error::Error + 'static)| Failure::new("make a key", error);
            let passphrase = match encrypt {
                true => Some(new_passphrase(common).map_err(|error| failed(&error))?),
                false => None,
            };
            let key = random_key().map_err(|error| failed(&error))?;
            keyfile::create_with(&file, &key, passphrase.as_ref().map(|text| text.as_str()))
                .map_err(|error| failed(&error))?;
            println!("{} is a new key: keep it secret, and keep a copy.", file.display());
            tell_public(&key.public());
            Ok(())
        }
        Key::Show { file } => {
            let key = read(common, &file).map_err(|error| Failure::new("show the key", &error))?;
            tell_public(&key.public());
            Ok(())
        }
        Key::Encrypt { file } => {
            let failed =
                |error: &(dyn std::error::Error + 'static)| Failure::new("encrypt the key", error);
            let key = keyfile::read(&file).map_err(|error| failed(&error))?;
            let passphrase = new_passphrase(common).map_err(|error| failed(&error))?;
            keyfile::replace(&file, &key, Some(&passphrase)).map_err(|error| failed(&error))?;
            println!("{} opens with its passphrase only.", file.display());
            println!("Copies that were made before, and the disk's free blocks, hold it in plain.");
            Ok(())
        }
        Key::Decrypt { file } => {
            let failed =
                |error: &(dyn std::error::Error + 'static)| Failure::new("decrypt the key", error);
            let key = read(common, &file).map_err(|error| failed(&error))?;
            keyfile::replace(&file, &key, None).map_err(|error| failed(&error))?;
            println!("{} is in plain now.", file.display());
            Ok(())
        }
        Key::Add { role, public } => change(common, &role, &[KeyEdit::Add(public)]),
        Key::Remove { role, key } => change(common, &role, &[KeyEdit::Remove(key)]),
        Key::Threshold { role, signatures } => {
            change(common, &role, &[KeyEdit::Threshold(signatures)])
        }
        Key::Rotate { role } => rotate(common, &role),
    }
}

fn tell_public(key: &PublicKey) {
    println!("  public  {key}");
    println!("  key id  {}", id_of(key));
}

/// A key in any file.
fn read(common: &Common, file: &Path) -> Result<manifest::key::SigningKey, KeysError> {
    let keys = crate::keys::Keys::new(PathBuf::new(), common.allow_example_keys);
    // The example keys are refused whatever they are called.
    keys.asking(passphrases(common)).read_file(&KeyName::Root, file)
}

fn list(common: &Common, as_json: bool) -> Result<(), Failure> {
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::new("list the keys", error);
    let home = open(common, "list the keys")?;
    let repository = home.repository(Steps::free()).map_err(|error| failed(&error))?;
    let metadata = crate::publish::read_metadata(&repository).map_err(|error| failed(&error))?;
    // Listing asks nobody for passphrases.
    let keys = crate::keys::Keys::new(home.keys_dir(), common.allow_example_keys);
    let found = signers::list(&home, &keys, &metadata, now()).map_err(|error| failed(&error))?;
    if as_json {
        json(&found);
        return Ok(());
    }
    found.iter().for_each(show);
    Ok(())
}

fn show(signers: &Signers) {
    let expires = signers.expires.map_or("never signed".to_owned(), |at| at.to_string());
    let due = if signers.due { ", due" } else { "" };
    let Signers { role, threshold, keys, .. } = signers;
    println!("{role}: {threshold} of {} sign; until {expires}{due}", keys.len());
    for key in keys {
        let here = key.file.as_ref().map(|file| file.display().to_string());
        let here = here.unwrap_or_else(|| "not here".to_owned());
        println!("  {:.16}  {here}", key.id);
    }
    for other in &signers.others {
        println!("  {:16}  {}: {}", "", other.file.display(), other.what);
    }
}

fn change(common: &Common, role: &str, edits: &[KeyEdit]) -> Result<(), Failure> {
    let doing = "change who signs";
    let home = open(common, doing)?;
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::new(doing, error);
    let role = signers::role_called(&home, role).map_err(|error| failed(&error))?;
    let mut session = Session::open(&home, &keys(common, &home), &Steps::free())
        .map_err(|error| failed(&error))?;
    refuse_pending(doing, &session, &role)?;
    let changed = signers::change(&mut session, &role, edits, now());
    settled(changed.map_err(|error| failed(&error))?, &role)
}

fn rotate(common: &Common, role: &str) -> Result<(), Failure> {
    let doing = "rotate the key";
    let home = open(common, doing)?;
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::new(doing, error);
    let role = signers::role_called(&home, role).map_err(|error| failed(&error))?;
    let mut session = Session::open(&home, &keys(common, &home), &Steps::free())
        .map_err(|error| failed(&error))?;
    refuse_pending(doing, &session, &role)?;
    let rotated = signers::rotate(&mut session, &role, now());
    let (changed, file) = rotated.map_err(|error| failed(&error))?;
    println!("{} is the new key of {role}.", file.display());
    if matches!(changed, Changed::Published) {
        println!("The old one is in keys/retired/ and signs nothing any more.");
    }
    settled(changed, &role)
}

/// Says what became of a change; a proposal is written for others to sign.
fn settled(changed: Changed, role: &RoleName) -> Result<(), Failure> {
    match changed {
        Changed::Published => {
            println!("It is public: every machine follows when it next asks.");
            Ok(())
        }
        Changed::Proposed(proposal) => {
            println!("Not all keys of root that must sign are here, so {role} is as it was.");
            hand_out(&proposal)
        }
    }
}

/// Where the proposal of a root goes that others are to sign.
fn proposal_file(version: u64) -> PathBuf {
    PathBuf::from(format!("root-{version}.proposal"))
}

/// Refuses to begin another change of root while one waits for signatures.
pub(super) fn refuse_pending(
    doing: &'static str,
    session: &Session,
    role: &RoleName,
) -> Result<(), Failure> {
    let file = proposal_file(session.metadata().root().version.get() + 1);
    if !role.is_top_level() || !file.exists() {
        return Ok(());
    }
    let why = format!("{} waits for signatures: publish it, or remove it first", file.display());
    Err(Failure::new(doing, &io::Error::other(why)))
}

/// Writes a proposal for others to sign, and says how that goes.
pub(super) fn hand_out(proposal: &Proposal) -> Result<(), Failure> {
    let out = proposal_file(proposal.after().version.get());
    write(&out, proposal).map_err(|error| Failure::new("write the proposal", &error))?;
    tell(&out, proposal);
    Ok(())
}

pub(crate) fn run_root(common: &Common, command: RootCommand) -> Result<(), Failure> {
    match command {
        RootCommand::Propose(args) => propose(common, &args),
        RootCommand::Show { file, json: as_json } => {
            let proposal = read_proposal("show the proposal", &file)?;
            if as_json {
                json(&described(&proposal));
            } else {
                tell(&file, &proposal);
            }
            Ok(())
        }
        RootCommand::Sign { file, keys } => sign(common, &file, &keys),
        RootCommand::Merge { file, others } => {
            let doing = "merge the proposals";
            let mut proposal = read_proposal(doing, &file)?;
            for other in &others {
                let copy = read_proposal(doing, other)?;
                let new = proposal.merge(&copy).map_err(|error| Failure::new(doing, &error))?;
                println!("{}: {new} new signatures", other.display());
            }
            write(&file, &proposal).map_err(|error| Failure::new(doing, &error))?;
            tell(&file, &proposal);
            Ok(())
        }
        RootCommand::Publish { file } => {
            let doing = "publish the root";
            let proposal = read_proposal(doing, &file)?;
            let version = proposal.after().version.get();
            let home = open(common, doing)?;
            let mut session = Session::open(&home, &keys(common, &home), &Steps::free())
                .map_err(|error| Failure::new(doing, &error))?;
            let retired = signers::publish_root(&mut session, proposal, now())
                .map_err(|error| Failure::new(doing, &error))?;
            println!("Root version {version} is public: every machine follows when it next asks.");
            for file in retired {
                println!("{} signs nothing any more.", file.display());
            }
            Ok(())
        }
    }
}

fn propose(common: &Common, args: &Propose) -> Result<(), Failure> {
    let doing = "propose a root";
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::new(doing, error);
    let home = open(common, doing)?;
    let mut session = Session::open(&home, &keys(common, &home), &Steps::free())
        .map_err(|error| failed(&error))?;
    // All changes of one role are made together: a key may take another's place.
    let mut edits: Vec<(RoleName, Vec<KeyEdit>)> = Vec::new();
    let mut edit = |text: &str, of: &dyn Fn(&str) -> Result<KeyEdit, String>| {
        let wrong = |why: String| failed(&io::Error::other(why));
        let (role, what) = text
            .split_once('=')
            .ok_or_else(|| wrong(format!("expected ROLE=…, found {text:.80}")))?;
        let role = signers::role_called(&home, role).map_err(|error| failed(&error))?;
        if !role.is_top_level() {
            return Err(wrong(format!(
                "root does not name who signs {role}, targets does: updraft-publisher key add {role} …"
            )));
        }
        let edit = of(what).map_err(wrong)?;
        match edits.iter_mut().find(|(of, _)| *of == role) {
            Some((_, edits)) => edits.push(edit),
            None => edits.push((role, vec![edit])),
        }
        Ok(())
    };
    for text in &args.add {
        edit(text, &|key| {
            key.parse().map(KeyEdit::Add).map_err(|_| format!("{key:.80} is no public key in hex"))
        })?;
    }
    for text in &args.remove {
        edit(text, &|key| Ok(KeyEdit::Remove(key.to_owned())))?;
    }
    for text in &args.threshold {
        edit(text, &|n| {
            n.parse().map(KeyEdit::Threshold).map_err(|_| format!("{n:.80} is no number"))
        })?;
    }
    for (role, edits) in &edits {
        session.metadata_mut().edit_keys(role, edits).map_err(|error| failed(&error))?;
    }
    let proposal = session
        .metadata()
        .propose_root(now(), &Default::default())
        .map_err(|error| failed(&error))?;
    if args.out.exists() {
        let why = format!("{} exists, and may hold signatures", args.out.display());
        return Err(failed(&io::Error::other(why)));
    }
    write(&args.out, &proposal).map_err(|error| failed(&error))?;
    tell(&args.out, &proposal);
    Ok(())
}

fn sign(common: &Common, file: &Path, keys: &[PathBuf]) -> Result<(), Failure> {
    let doing = "sign the proposal";
    let mut proposal = read_proposal(doing, file)?;
    for path in keys {
        let key = read(common, path).map_err(|error| Failure::new(doing, &error))?;
        let new = proposal.sign(&key).map_err(|error| Failure::new(doing, &error))?;
        let how = if new { "signed with" } else { "was signed before with" };
        println!("{} {how} {}", file.display(), id_of(&key.public()));
    }
    write(file, &proposal).map_err(|error| Failure::new(doing, &error))?;
    tell(file, &proposal);
    Ok(())
}

fn read_proposal(doing: &'static str, file: &Path) -> Result<Proposal, Failure> {
    let bytes = read_bounded(file, PROPOSAL_BYTES).map_err(|error| Failure::new(doing, &error))?;
    let missing = || io::Error::other(format!("there is no {}", file.display()));
    let bytes = bytes.ok_or_else(|| Failure::new(doing, &missing()))?;
    Proposal::parse(&bytes).map_err(|error| Failure::new(doing, &error))
}

fn write(file: &Path, proposal: &Proposal) -> Result<(), DiskError> {
    store::atomic::write(file, &proposal.encode(), 0o644, &Steps::free())
}

fn described(proposal: &Proposal) -> serde_json::Value {
    let [present, new] = proposal.quorums();
    json!({
        "follows": proposal.before().version.get(),
        "version": proposal.after().version.get(),
        "expires": proposal.after().expires,
        "changes": proposal.changes(),
        "present_root": present,
        "new_root": new,
        "ready": present.is_met() && new.is_met(),
    })
}

/// What a proposal changes, who has signed it, and what to do next.
fn tell(file: &Path, proposal: &Proposal) {
    let (before, after) = (proposal.before().version.get(), proposal.after().version.get());
    println!("{} leads from root version {before} to {after}:", file.display());
    for change in proposal.changes() {
        println!("  - {change}");
    }
    let quorums = proposal.quorums();
    for (quorum, whose) in quorums.iter().zip(["present", "new"]) {
        let (has, takes) = (quorum.signed.len(), quorum.threshold);
        println!("  {whose:8} root: {has} of the {takes} signatures it takes");
        for id in &quorum.signed {
            println!("    signed   {id}");
        }
        for id in quorum.missing.iter().filter(|_| !quorum.is_met()) {
            println!("    missing  {id}");
        }
    }
    let next = match quorums.iter().all(|quorum| quorum.is_met()) {
        true => format!("updraft-publisher root publish {}", file.display()),
        false => format!(
            "updraft-publisher root sign {} --key KEY.pem, where a missing key lies",
            file.display()
        ),
    };
    println!("Next: {next}");
}
