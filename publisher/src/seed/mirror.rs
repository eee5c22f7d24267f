//! The repository over HTTP, file by file, as any static server would.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

/// Listens on `address` and serves the files of `repository` until `stop`
/// ends; gives the address it listens on and what to wait for.
///
/// # Errors
/// If nothing can listen there.
pub async fn serve(
    repository: &Path,
    address: SocketAddr,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<(SocketAddr, impl Future<Output = io::Result<()>> + Send + 'static)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let files = ServeDir::new(repository).append_index_html_on_directories(false);
    let router = Router::new().fallback_service(files);
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop);
    Ok((bound, async move { serving.await }))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn get(address: SocketAddr, path: &str, more: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn files_are_served_in_ranges_and_nothing_outside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        let repository = dir.path().join("repository");
        std::fs::create_dir_all(repository.join("metadata")).unwrap();
        std::fs::write(repository.join("metadata/timestamp.json"), "0123456789").unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async move {
            let _ = stopped.await;
        };
        let address = "127.0.0.1:0".parse().unwrap();
        let (bound, serving) = serve(&repository, address, stopped).await.unwrap();
        let serving = tokio::spawn(serving);
        let whole = get(bound, "/metadata/timestamp.json", "").await;
        assert!(whole.starts_with("HTTP/1.1 200") && whole.ends_with("0123456789"), "{whole}");
        let part = get(bound, "/metadata/timestamp.json", "range: bytes=2-4\r\n").await;
        assert!(part.starts_with("HTTP/1.1 206") && part.ends_with("\r\n\r\n234"), "{part}");
        for bad in ["/../secret", "/%2e%2e/secret", "/metadata", "/metadata/", "/nothing"] {
            let answer = get(bound, bad, "").await;
            assert!(!answer.starts_with("HTTP/1.1 200") && !answer.contains("\r\nsecret"), "{bad}");
        }
        stop.send(()).unwrap();
        serving.await.unwrap().unwrap();
    }
}
