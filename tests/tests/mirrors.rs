//! Mirrors as they are: nginx behind TLS, Python's server that knows no
//! ranges, the vendor's own, and servers that break off, lag, lie and confuse.
//!
//! Where nginx or openssl is missing a test says SKIPPED, or fails where
//! `CI=true`.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use updraft_tests::control;
use updraft_tests::programs::wait_for;
use updraft_tests::sample::Health;
use updraft_tests::scene::{Scene, Told, text};
use updraft_tests::watch::Glimpse;
use updraft_tests::webserver::{Conduct, WebServer};

const PATIENCE: Duration = Duration::from_secs(120);

/// A machine that joined, and a vendor that has published 1.0 and seeds it to
/// nobody.
fn scene() -> (Scene, PathBuf) {
    let scene = Scene::new(env!("CARGO_BIN_EXE_updraft-demo"), 1);
    scene.release(1, Health::Good);
    scene.join(&scene.ticket()).well();
    let repository = scene.cast.vendor.join("repository");
    (scene, repository)
}

/// Looks for a release once, at these mirrors and nowhere else.
fn update(scene: &Scene, mirrors: &[&str], more: &[&str]) -> Told {
    let mut args = vec!["run", "--once", "--no-dns-sd"];
    for mirror in mirrors {
        args.extend(["--mirror", mirror]);
    }
    args.extend(more);
    scene.agent(&args)
}

/// Bytes of all objects, as a mirror has them.
fn payload(repository: &Path) -> u64 {
    let files = updraft_tests::folder::files(&repository.join("objects"));
    files.iter().map(|file| fs::metadata(file).unwrap().len()).sum()
}

/// A program that a test runs; killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn waits_for(port: u16) {
    let reached = || std::net::TcpStream::connect(("127.0.0.1", port)).ok();
    wait_for("the server to listen", Duration::from_secs(20), reached).unwrap();
}

/// Says why a test cannot run; fails where it must.
fn skipped(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("SKIPPED: {why}");
}

fn openssl(dir: &Path, args: &str) -> bool {
    let output = Command::new("openssl").current_dir(dir).args(args.split(' ')).output();
    let done = output.as_ref().is_ok_and(|output| output.status.success());
    if !done {
        skipped(&format!("openssl {args}: {output:?}"));
    }
    done
}

/// nginx with the files of `repository` behind TLS at so many bytes a second
/// and connection, and a certificate of the authority in `ca.pem`.
fn nginx(dir: &Path, repository: &Path, rate: &str) -> Option<(Running, u16)> {
    fs::create_dir_all(dir).unwrap();
    let found = Command::new("nginx").arg("-v").stderr(Stdio::null()).status();
    if found.is_err() {
        skipped("nginx is not installed");
        return None;
    }
    fs::write(dir.join("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        .unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let made =
        openssl(dir, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca"))
            && openssl(dir, &format!("req {key} -keyout leaf.key -out leaf.csr -subj /CN=leaf"))
            && openssl(
                dir,
                "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile names -out leaf.pem",
            );
    if !made {
        return None;
    }
    let (port, at) = (free_port(), dir.display());
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
        .concat();
    let config = format!(
        "{user}\ndaemon off; master_process off;\npid {at}/pid;\nerror_log {at}/error.log;\n\
         events {{}}\nhttp {{\n\
         log_format counted '$status $body_bytes_sent $uri';\naccess_log {at}/access.log counted;\n\
         {temporary}\
         server {{\nlisten 127.0.0.1:{port} ssl;\nssl_certificate {at}/leaf.pem;\n\
         ssl_certificate_key {at}/leaf.key;\nroot {};\nlimit_rate {rate};\n}}\n}}\n",
        repository.display()
    );
    fs::write(dir.join("nginx.conf"), config).unwrap();
    let running = Command::new("nginx").arg("-c").arg(dir.join("nginx.conf")).spawn().unwrap();
    let running = Running(running);
    waits_for(port);
    Some((running, port))
}

/// What nginx wrote down: for each answer with an object its status and bytes.
fn answers(dir: &Path) -> Vec<(u16, u64)> {
    let log = fs::read_to_string(dir.join("access.log")).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split(' ');
        let (status, bytes) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        words.next()?.starts_with("/objects/").then_some((status, bytes))
    };
    log.lines().filter_map(line).collect()
}

#[test]
fn nginx_behind_tls_is_a_mirror_and_a_killed_machine_goes_on_where_it_was() {
    let (mut scene, repository) = scene();
    let place = scene.path("nginx");
    let Some((_nginx, port)) = nginx(&place, &repository, "100k") else { return };
    let (url, ca) = (format!("https://127.0.0.1:{port}"), text(&place.join("ca.pem")));
    // Signed by nobody that this machine trusts.
    update(&scene, &[&url], &[]).refused(&["certificate"]);
    // For another name than the certificate's.
    let other = url.replace("127.0.0.1", "localhost");
    update(&scene, &[&other], &["--ca", &ca]).refused(&["not valid for name"]);
    assert_eq!(answers(&place), []);

    let heads = scene.cast.machines[0].home.join("heads");
    let begun = || -> u64 {
        let files = fs::read_dir(&heads).into_iter().flatten().flatten();
        files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
    };
    let (kills, worth) = (3, 1_500_000);
    for _ in 0..kills {
        scene.cast.start_with(0, &["--mirror", &url, "--ca", &ca]).unwrap();
        wait_for("much to be under way", PATIENCE, || (begun() > worth).then_some(())).unwrap();
        scene.cast.stop(0);
    }
    assert!(begun() > worth);
    scene.cast.start_with(0, &["--mirror", &url, "--ca", &ca]).unwrap();
    scene.wait_for_version("1.0");
    scene.assert_runs(1);
    scene.cast.stop(0);
    let (answers, payload) = (answers(&place), payload(&repository));
    let sent: u64 = answers.iter().map(|(_, bytes)| bytes).sum();
    let rest = answers.iter().filter(|(status, _)| *status == 206).count();
    let twice = sent.saturating_sub(payload);
    println!(
        "{kills} kills: nginx sent {sent} bytes of objects that have {payload}: {twice} twice, \
         {} a kill; {rest} answers were the rest of a file",
        twice / kills
    );
    // Of four answers at a time what had not reached the disk, and what was on
    // its way.
    assert!(rest > 0 && twice < kills * 4 * (64 << 10) + kills * 4 * 150_000, "{twice}");
    assert!(twice < kills * worth, "{twice}");
    assert_eq!(begun(), 0, "nothing is left over");
}

#[test]
fn a_server_that_knows_no_ranges_is_a_mirror() {
    let (scene, repository) = scene();
    let port = free_port();
    let python = Command::new("python3")
        .args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"])
        .args([&text(&repository), &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(python) = python else { return skipped("python3 is not installed") };
    let _python = Running(python);
    waits_for(port);
    update(&scene, &[&format!("http://127.0.0.1:{port}")], &[]).well();
    scene.assert_runs(1);
}

#[test]
fn answers_that_break_off_are_continued_at_another_mirror_too() {
    let (scene, repository) = scene();
    // Neither of the two ever sends a piece whole.
    let one = WebServer::new(&repository, Conduct::Cuts(150_000));
    let two = WebServer::new(&repository, Conduct::Cuts(100_000));
    update(&scene, &[one.url(), two.url()], &[]).well();
    scene.assert_runs(1);
    let (sent, payload) = (one.sent() + two.sent(), payload(&repository));
    println!("{sent} bytes of objects that have {payload}");
    assert!(one.ranges() > 0 && two.ranges() > 0, "both went on with what the other began");
    assert!(sent < payload * 11 / 10, "{sent} of {payload}");
}

#[test]
fn confusing_mirrors_cost_no_more_than_time() {
    for conduct in [
        Conduct::CutsAndKnowsNoRanges(100_000),
        Conduct::WrongRange,
        Conduct::NoRest(100_000),
        Conduct::Encoded,
        Conduct::Endless,
        Conduct::Dribbles,
        Conduct::Silent,
        Conduct::Redirects,
        Conduct::Broken,
        Conduct::Lies,
    ] {
        let (scene, repository) = scene();
        let begun = Instant::now();
        let bad = WebServer::new(&repository, conduct);
        let also = WebServer::new(&repository, Conduct::Cuts(200_000));
        let good = WebServer::new(&repository, Conduct::Honest);
        update(&scene, &[bad.url(), also.url(), good.url()], &[]).well();
        scene.assert_runs(1);
        let status = scene.agent(&["status", "--json"]).well().text;
        println!("{conduct:?}: {:.1} s, {} bytes", begun.elapsed().as_secs_f64(), good.sent());
        assert!(begun.elapsed() < Duration::from_secs(60), "{conduct:?}: {status}");
    }
}

#[test]
fn what_is_wrong_with_a_mirror_is_said_in_its_own_words() {
    for (conduct, words) in [
        (Conduct::Encoded, "came encoded as \"gzip\""),
        (Conduct::Endless, "longer than the"),
        (Conduct::Redirects, "redirect"),
        (Conduct::Broken, "500"),
        (Conduct::Lies, "is not the object that its name says"),
    ] {
        let (scene, repository) = scene();
        let bad = WebServer::new(&repository, conduct);
        println!("{}", update(&scene, &[bad.url()], &[]).refused(&["objects/", words]).text.trim());
    }
}

#[test]
fn the_vendors_own_server_is_a_mirror() {
    let (mut scene, _) = scene();
    let port = free_port();
    let args = ["seed", "--no-dns-sd", "--http", &format!("127.0.0.1:{port}")];
    let args = [&args[..], &["--listen", "/ip4/127.0.0.1/tcp/0"]].concat();
    let program = updraft_tests::programs::Program::Publisher;
    let log = scene.path("seed.log");
    let _seeder = scene.cast.programs.daemon(program, &scene.cast.vendor, &args, &log).unwrap();
    waits_for(port);
    scene.cast.start_with(0, &["--mirror", &format!("http://127.0.0.1:{port}")]).unwrap();
    wait_for("1.0 to run", PATIENCE, || {
        let glimpse = Glimpse::of(&scene.cast.machines[0]);
        (glimpse.version.as_deref() == Some("1.0")).then_some(())
    })
    .unwrap();
    scene.assert_runs(1);
    let status = control::get(&scene.cast.machines[0].home, "/status").unwrap();
    assert!(status["bytes"]["mirror"].as_u64() > Some(1_000_000), "{status}");
}
