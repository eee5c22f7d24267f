//! Repositories behind HTTPS, and machines without certificates.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use manifest::trust::testing::Files;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::world::World;

/// Runs openssl; false after saying why it cannot be done.
fn openssl(dir: &Path, args: &str) -> bool {
    match Command::new("openssl").current_dir(dir).args(args.split(' ')).output() {
        Ok(output) if output.status.success() => true,
        failed if std::env::var("CI").as_deref() == Ok("true") => {
            panic!("openssl {args}: {failed:?}")
        }
        failed => {
            eprintln!("SKIPPED: openssl {args}: {failed:?}");
            false
        }
    }
}

/// An authority in `ca.pem`, and a certificate of it for 127.0.0.1.
fn certificates(dir: &Path) -> bool {
    fs::write(dir.join("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        .unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(dir, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca"))
        && openssl(dir, &format!("req {key} -keyout leaf.key -out leaf.csr -subj /CN=leaf"))
        && openssl(
            dir,
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile names -out leaf.pem",
        )
}

/// Serves `files` beneath `metadata/` with the certificate in `dir`.
fn serve(dir: &Path, files: Files) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_file(dir.join("leaf.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join("leaf.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/metadata", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            let mut request = [0; 4096];
            // A client that does not like the certificate hangs up.
            let Ok(len) = tls.read(&mut request) else { continue };
            let request = String::from_utf8_lossy(&request[..len]).into_owned();
            let name = request.split(' ').nth(1).and_then(|path| path.strip_prefix("/metadata/"));
            let (status, bytes) = match name.and_then(|name| files.get(name)) {
                Some(bytes) => (200, &bytes[..]),
                None => (404, &b""[..]),
            };
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                bytes.len()
            );
            let _ = tls.write_all(&[head.as_bytes(), bytes].concat());
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    });
    url
}

#[test]
fn a_repository_behind_https_is_read_if_its_certificate_holds() {
    let dir = TempDir::new().unwrap();
    if !certificates(dir.path()) {
        return;
    }
    let world = World::new();
    let url = serve(dir.path(), world.repo.files.clone());
    let run = |url: &str, authorities: &str| {
        let output = world
            .command(&["--metadata-url", url, "refresh"])
            .env("SSL_CERT_FILE", dir.path().join(authorities))
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    // Signed by nobody that this machine trusts: its own is no authority.
    let (code, said) = run(&url, "leaf.pem");
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(run(&url, "ca.pem"), (Some(0), String::new()));
    assert_eq!(world.version("targets"), Some(1));
    // For another name than the certificate's.
    let (code, said) = run(&url.replace("127.0.0.1", "localhost"), "ca.pem");
    assert_eq!(code, Some(1));
    assert!(said.contains("not valid for name"), "{said}");
}

#[test]
fn a_machine_without_certificates_reads_plain_http() {
    let world = World::new();
    let empty = TempDir::new().unwrap();
    let run = |url: &str| {
        world
            .command(&["--metadata-url", url, "refresh"])
            .env("SSL_CERT_FILE", "/dev/null")
            .env("SSL_CERT_DIR", empty.path())
            .output()
            .unwrap()
    };
    let plain = run(&world.server.url("metadata"));
    assert!(plain.status.success(), "{plain:?}");
    assert_eq!(run("https://127.0.0.1:1/").status.code(), Some(1));
}
