//! Exit codes, as docs/exit-codes.md lists them.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli::main;
use crate::testing::{Machine, Vendor};

fn agent(args: &[&str]) -> ExitCode {
    main(std::iter::once("updraft-agent").chain(args.iter().copied()).map(OsString::from))
}

fn code(code: u8) -> ExitCode {
    ExitCode::from(code)
}

/// `args` for the home of `machine`.
fn at(machine: &Machine, args: &[&str]) -> ExitCode {
    let home = machine.home.dir().to_string_lossy().into_owned();
    agent(&[&["--home", &home][..], args].concat())
}

#[test]
fn a_wrong_use_is_2_and_help_is_0() {
    assert_eq!(agent(&["--no-such-flag"]), code(2));
    assert_eq!(agent(&["join"]), code(2));
    assert_eq!(agent(&["--help"]), code(0));
}

#[test]
fn without_an_installation_every_command_is_4() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home").to_string_lossy().into_owned();
    for verb in ["run", "status", "check", "update", "history", "verify", "rollback", "explain"] {
        assert_eq!(agent(&["--home", &home, verb]), code(4), "{verb}");
    }
}

#[test]
fn a_ticket_that_does_not_hold_is_3_and_a_missing_one_is_2() {
    let vendor = Vendor::new();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (home, ticket, into) = (path("home"), path("ticket.json"), path("into"));
    let join = |extra: &[&str]| {
        agent(&[&["--home", &home, "join", &ticket, "--into", &into][..], extra].concat())
    };
    assert_eq!(join(&[]), code(2));
    std::fs::write(&ticket, "{}").unwrap();
    assert_eq!(join(&[]), code(3));
    std::fs::write(&ticket, vendor.ticket().encode().unwrap()).unwrap();
    assert_eq!(join(&["--root-fingerprint", "00"]), code(3));
    assert_eq!(join(&["--json"]), code(0));
}

#[test]
fn what_needs_no_daemon_works_without_one() {
    let mut vendor = Vendor::new();
    let machine = Machine::new(&vendor);
    for verb in ["status", "history", "explain"] {
        assert_eq!(at(&machine, &[verb]), code(0), "{verb}");
        assert_eq!(at(&machine, &[verb, "--json"]), code(0), "{verb}");
    }
    assert_eq!(at(&machine, &["audit", "verify"]), code(0));
    for verb in ["check", "update", "verify", "rollback"] {
        assert_eq!(at(&machine, &[verb]), code(4), "{verb}");
    }
    let platform = Vendor::subject().platform;
    if crate::config::this_platform() != platform {
        return;
    }
    let once = ["run", "--once", "--no-dns-sd", "--listen", "/ip4/127.0.0.1/tcp/0"];
    vendor.release(1);
    assert_eq!(at(&machine, &once), code(0));
    assert_eq!(at(&machine, &["verify"]), code(0));
    std::fs::write(machine.place().join("current/README"), "edited").unwrap();
    assert_eq!(at(&machine, &["verify", "--json"]), code(3));
    vendor.release(2);
    assert_eq!(at(&machine, &once), code(0));
    assert_eq!(at(&machine, &["rollback"]), code(0));
    assert_eq!(at(&machine, &["rollback"]), code(4));
}

#[test]
fn a_wrong_configuration_is_2() {
    let machine = Machine::new(&Vendor::new());
    std::fs::write(machine.home.config(), "chanel = \"beta\"").unwrap();
    assert_eq!(at(&machine, &["status"]), code(2));
}

#[test]
fn a_changed_log_is_3_and_the_agent_does_not_sign_on() {
    let machine = Machine::new(&Vendor::new());
    let path = machine.home.log().join("entries.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("Test Organisation", "Rest Organisation")).unwrap();
    assert_eq!(at(&machine, &["audit", "verify"]), code(3));
    assert_eq!(at(&machine, &["history"]), code(3));
    assert_eq!(at(&machine, &["run", "--once"]), code(3));
}
