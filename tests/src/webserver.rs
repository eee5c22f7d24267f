//! A web server on loopback for the files of a directory, which behaves as a
//! test says and counts what it sends.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How objects are sent; metadata is always sent as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// As HTTP says, in ranges where they are asked for.
    Honest,
    /// No more than so many bytes an answer, then the connection breaks.
    Cuts(usize),
    /// As `Cuts`, and ranges are unknown.
    CutsAndKnowsNoRanges(usize),
    /// The start of the file as if it were the rest.
    WrongRange,
    /// No rest of any file is to be had, which whoever asks learns as 416.
    NoRest(usize),
    /// With a header that says gzip.
    Encoded,
    /// With no word of its length and no end.
    Endless,
    /// A byte at a time.
    Dribbles,
    /// With nothing, on a connection that stays open.
    Silent,
    /// With a redirection to itself.
    Redirects,
    /// With an error of its own.
    Broken,
    /// With every object's first byte changed.
    Lies,
}

/// A server; it serves until the test ends.
#[derive(Debug)]
pub struct WebServer {
    url: String,
    sent: Arc<AtomicU64>,
    ranges: Arc<AtomicU64>,
}

impl WebServer {
    /// Serves the files of `dir`.
    ///
    /// # Panics
    /// If loopback has no free port.
    #[must_use]
    pub fn new(dir: &Path, conduct: Conduct) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let (sent, ranges) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (dir, counts) = (dir.to_owned(), (Arc::clone(&sent), Arc::clone(&ranges)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (dir, counts) = (dir.clone(), counts.clone());
                // A client that hangs up early is none of the server's concern.
                std::thread::spawn(move || drop(answer(stream, &dir, conduct, &counts)));
            }
        });
        Self { url: format!("http://{address}"), sent, ranges }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Bytes of objects that it sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How often it was asked for the rest of an object.
    #[must_use]
    pub fn ranges(&self) -> u64 {
        self.ranges.load(Ordering::Relaxed)
    }
}

fn answer(
    mut stream: TcpStream,
    dir: &Path,
    conduct: Conduct,
    (sent, ranges): &(Arc<AtomicU64>, Arc<AtomicU64>),
) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut from = None;
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        let line = line.to_ascii_lowercase();
        let range = line.strip_prefix("range: bytes=").and_then(|range| range.strip_suffix('-'));
        from = from.or(range.and_then(|range| range.parse::<usize>().ok()));
    }
    let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let file: PathBuf = dir.join(path);
    let object = path.starts_with("objects/");
    let head =
        |status: &str, more: &str| format!("HTTP/1.1 {status}\r\nconnection: close\r\n{more}\r\n");
    let Some(mut bytes) = fs::read(&file).ok().filter(|_| !path.contains("..")) else {
        return stream.write_all(head("404 x", "content-length: 0\r\n").as_bytes());
    };
    let conduct = if object { conduct } else { Conduct::Honest };
    ranges.fetch_add(u64::from(object && from.is_some()), Ordering::Relaxed);
    let total = bytes.len();
    let most = match conduct {
        Conduct::Cuts(most) | Conduct::CutsAndKnowsNoRanges(most) | Conduct::NoRest(most) => most,
        _ => usize::MAX,
    };
    let whole = format!("content-length: {total}\r\n");
    let part = |from: usize| {
        format!(
            "content-length: {}\r\ncontent-range: bytes {from}-{}/{total}\r\n",
            total - from,
            total - 1
        )
    };
    match conduct {
        Conduct::Silent => return pause(60_000),
        Conduct::Broken => {
            return stream.write_all(head("500 x", "content-length: 0\r\n").as_bytes());
        }
        Conduct::Redirects => {
            let more = format!("location: /{path}\r\ncontent-length: 0\r\n");
            return stream.write_all(head("302 x", &more).as_bytes());
        }
        Conduct::Endless => {
            stream.write_all(head("200 x", "").as_bytes())?;
            // Far more than any bound; the client must hang up before.
            for _ in 0..1_000 {
                stream.write_all(&vec![7; 1 << 20])?;
            }
            return Ok(());
        }
        _ => {}
    }
    let header = match (conduct, from.filter(|from| *from < total)) {
        (Conduct::NoRest(_), Some(_)) => {
            return stream.write_all(head("416 x", "content-length: 0\r\n").as_bytes());
        }
        (Conduct::WrongRange, Some(from)) => {
            let more = format!(
                "content-length: {from}\r\ncontent-range: bytes 0-{}/{total}\r\n",
                from - 1
            );
            head("206 x", &more)
        }
        (Conduct::Encoded, _) => head("200 x", &format!("{whole}content-encoding: gzip\r\n")),
        (Conduct::CutsAndKnowsNoRanges(_), _) | (_, None) => head("200 x", &whole),
        (_, Some(from)) => {
            bytes.drain(..from);
            head("206 x", &part(from))
        }
    };
    if conduct == Conduct::Lies && from.is_none() {
        bytes[0] ^= 1;
    }
    bytes.truncate(most);
    stream.write_all(header.as_bytes())?;
    let step = if conduct == Conduct::Dribbles { 1 } else { 16 << 10 };
    for chunk in bytes.chunks(step) {
        stream.write_all(chunk)?;
        if object {
            sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        if step == 1 {
            pause(20)?;
        }
    }
    Ok(())
}

fn pause(milliseconds: u64) -> io::Result<()> {
    std::thread::sleep(Duration::from_millis(milliseconds));
    Ok(())
}
