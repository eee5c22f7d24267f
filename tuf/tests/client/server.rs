//! A web server on loopback that answers as a test says, and writes down what
//! it was asked for.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How a request is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    /// With this file.
    File(Vec<u8>),
    /// With this status and nothing else.
    Status(u16),
    /// With a redirection to another address.
    Elsewhere(String),
    /// With bytes that never end, and no word of how many.
    Endless,
    /// With this file, a byte every few milliseconds.
    Slow(Vec<u8>),
    /// With a connection that stays open and silent.
    Silence,
    /// With a length, then fewer bytes.
    Cut(Vec<u8>),
    /// With something that is not HTTP.
    Noise,
}

type Rule = dyn Fn(&str) -> Answer + Send + Sync;

/// A server; it stops answering when the test ends.
pub(crate) struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    rule: Arc<Mutex<Arc<Rule>>>,
}

impl Server {
    /// Answers a path, without its leading slash, by `rule`.
    pub(crate) fn new(rule: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let rule: Arc<Mutex<Arc<Rule>>> = Arc::new(Mutex::new(Arc::new(rule)));
        let (log, rules) = (Arc::clone(&asked), Arc::clone(&rule));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let rule = Arc::clone(&rules.lock().unwrap_or_else(PoisonError::into_inner));
                let log = Arc::clone(&log);
                // A client that hangs up early is none of the server's concern.
                std::thread::spawn(move || drop(answer(stream, &*rule, &log)));
            }
        });
        Self { address, asked, rule }
    }

    pub(crate) fn set(&self, rule: impl Fn(&str) -> Answer + Send + Sync + 'static) {
        *self.rule.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rule);
    }

    pub(crate) fn url(&self, below: &str) -> String {
        format!("{}/{below}", self.address)
    }

    /// What was asked for since the last call.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn answer(mut stream: TcpStream, rule: &Rule, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    log.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
    let head = |status: u16, length: usize| {
        format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n")
    };
    match rule(&path) {
        Answer::File(bytes) => {
            write!(stream, "{}\r\n", head(200, bytes.len()))?;
            stream.write_all(&bytes)
        }
        Answer::Status(status) => write!(stream, "{}\r\n", head(status, 0)),
        Answer::Elsewhere(url) => write!(stream, "{}location: {url}\r\n\r\n", head(302, 0)),
        Answer::Endless => {
            write!(stream, "HTTP/1.1 200 x\r\nconnection: close\r\n\r\n")?;
            // Far more than any bound; the client must hang up before.
            for _ in 0..64 {
                stream.write_all(&vec![b' '; 1 << 20])?;
            }
            Ok(())
        }
        Answer::Slow(bytes) => {
            write!(stream, "{}\r\n", head(200, bytes.len()))?;
            for byte in bytes {
                stream.write_all(&[byte])?;
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        }
        Answer::Silence => {
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        }
        Answer::Cut(bytes) => {
            write!(stream, "{}\r\n", head(200, bytes.len()))?;
            stream.write_all(&bytes[..bytes.len() / 2])
        }
        Answer::Noise => stream.write_all(b"\x16\x03\x01 this is not HTTP\r\n\r\n"),
    }
}
