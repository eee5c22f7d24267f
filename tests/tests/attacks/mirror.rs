//! A mirror over HTTP that answers as it likes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What it answers instead of the file.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status and nothing else.
    Status(u16),
    /// No HTTP at all.
    Noise,
    /// It takes the question and says nothing.
    Nothing,
    /// A body that never ends.
    Endless,
    /// A byte a second.
    Trickle,
}

/// A mirror of a directory; ends with the process.
pub(crate) struct Mirror {
    address: SocketAddr,
    sent: Arc<AtomicU64>,
}

impl Mirror {
    /// Serves `dir`, but for the paths for which `instead` has another answer.
    pub(crate) fn of(
        dir: &Path,
        instead: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (dir, instead, sent) = (dir.to_owned(), Arc::new(instead), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&sent);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (dir, instead) = (dir.clone(), Arc::clone(&instead));
                let sent = Arc::clone(&counted);
                // Whoever hangs up ends the answer, not the mirror.
                std::thread::spawn(move || answer(stream, &dir, &*instead, &sent));
            }
        });
        Self { address, sent }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes of endless bodies that were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

fn answer(
    mut stream: TcpStream,
    dir: &Path,
    instead: &(dyn Fn(&str) -> Option<Answer> + Send + Sync),
    sent: &AtomicU64,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let close = "Connection: close\r\n";
    match instead(&path) {
        Some(Answer::Status(status)) => {
            write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\n{close}\r\n")
        }
        Some(Answer::Noise) => stream.write_all(&[0xFE; 4096]),
        Some(Answer::Nothing) => {
            std::thread::sleep(Duration::from_secs(600));
            Ok(())
        }
        Some(Answer::Endless) => {
            write!(stream, "HTTP/1.1 200 OK\r\n{close}\r\n")?;
            let lump = [b' '; 64 << 10];
            loop {
                stream.write_all(&lump)?;
                sent.fetch_add(lump.len() as u64, Ordering::Relaxed);
            }
        }
        Some(Answer::Trickle) => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n{close}\r\n")?;
            for _ in 0..900 {
                stream.write_all(b" ")?;
                std::thread::sleep(Duration::from_secs(1));
            }
            Ok(())
        }
        None => match fs::read(dir.join(path.trim_start_matches('/'))) {
            Ok(body) => {
                let len = body.len();
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n{close}\r\n")?;
                stream.write_all(&body)
            }
            Err(_) => write!(stream, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n{close}\r\n"),
        },
    }
}
