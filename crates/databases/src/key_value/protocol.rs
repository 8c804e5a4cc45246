//! The two things that are asked of a Key Value server, as inline commands.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// An answer is one short line, or the text of `INFO server`.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

pub(super) enum Answer {
    Ready,
    /// It runs, but reads its data, or has no memory left to answer with.
    NotYet(String),
}

pub(super) async fn ping(address: SocketAddr) -> io::Result<Answer> {
    let line = ask(address, "PING").await?.0;
    Ok(match line.as_str() {
        "+PONG" => Answer::Ready,
        _ => Answer::NotYet(line),
    })
}

/// `Valkey 9.1.2` or `Redis 7.0.15`.
pub(super) async fn version(address: SocketAddr) -> io::Result<String> {
    let (_, text) = ask(address, "INFO server").await?;
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    Ok(match (field("valkey_version"), field("redis_version")) {
        (Some(version), _) => format!("Valkey {version}"),
        (None, Some(version)) => format!("Redis {version}"),
        (None, None) => "unknown".to_owned(),
    })
}

/// The first line of the answer, and the body if the line announces one.
async fn ask(address: SocketAddr, command: &str) -> io::Result<(String, String)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut reader = BufReader::new(stream.take(ANSWER_BYTES_MAX));
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    let line = line.trim_end().to_owned();
    let length = line.strip_prefix('$').and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; usize::min(length, ANSWER_BYTES_MAX as usize / 2)];
    reader.read_exact(&mut body).await?;
    Ok((line, String::from_utf8_lossy(&body).into_owned()))
}
