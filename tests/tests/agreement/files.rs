//! A directory behind HTTP on loopback, with nothing in between.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use manifest::trust::quote::unquoted;

/// A server of plain files; it runs until the process ends.
pub(crate) struct Files {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Files {
    pub(crate) fn serve(dir: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let dir = dir.to_owned();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (dir, noted) = (dir.clone(), Arc::clone(&noted));
                // A client that hangs up is no failure of the server.
                std::thread::spawn(move || drop(answer(stream, &dir, &noted)));
            }
        });
        Self { url, asked }
    }

    /// The paths that were asked for since this was last called.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }
}

/// Answers requests on one connection until the client closes it.
fn answer(mut stream: TcpStream, dir: &Path, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(request) = lines.next().transpose()? {
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let path = request.split(' ').nth(1).unwrap_or_default();
        asked.lock().unwrap().push(path.trim_start_matches('/').to_owned());
        let (status, bytes) = match std::fs::read(file(dir, path)) {
            Ok(bytes) => (200, bytes),
            Err(_) => (404, Vec::new()),
        };
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", bytes.len());
        // In one write, or each small file waits for an acknowledgement.
        stream.write_all(&[head.as_bytes(), &bytes].concat())?;
    }
    Ok(())
}

/// The file at a URL's path: the names of metadata are encoded on disk, too.
fn file(dir: &Path, path: &str) -> PathBuf {
    let path = path.trim_start_matches('/');
    if path.contains("/metadata/") {
        return dir.join(path);
    }
    dir.join(unquoted(path).unwrap_or_default())
}
