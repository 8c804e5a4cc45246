//! The two things that are asked of a Key Value server, after its password where it wants one.

use std::io;
use std::net::SocketAddr;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// An answer is one short line, or the text of `INFO server`.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

pub(super) enum Answer {
    Ready,
    /// It runs, but reads its data, or has no memory left to answer with.
    NotYet(String),
    /// It wants another password, or has none and was given one.
    Refused(String),
}

pub(super) async fn ping(
    address: SocketAddr,
    password: Option<&SecretString>,
) -> io::Result<Answer> {
    let line = ask(address, password, "PING").await?.0;
    Ok(match line.as_str() {
        "+PONG" => Answer::Ready,
        _ if is_refusal(&line) => Answer::Refused(line),
        _ => Answer::NotYet(line),
    })
}

/// What servers say to a wrong password, a missing one and a needless one. Those before Redis 6
/// have no word of their own for the first and the last.
fn is_refusal(line: &str) -> bool {
    [
        "-NOAUTH",
        "-WRONGPASS",
        "-ERR invalid password",
        "-ERR AUTH <password> called without any password",
        "-ERR Client sent AUTH, but no password is set",
    ]
    .iter()
    .any(|words| line.starts_with(words))
}

/// `Valkey 9.1.2` or `Redis 7.0.15`.
pub(super) async fn version(
    address: SocketAddr,
    password: Option<&SecretString>,
) -> io::Result<String> {
    let (_, text) = ask(address, password, "INFO server").await?;
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    Ok(match (field("valkey_version"), field("redis_version")) {
        (Some(version), _) => format!("Valkey {version}"),
        (None, Some(version)) => format!("Redis {version}"),
        (None, None) => "unknown".to_owned(),
    })
}

/// The first line of the answer, and the body if the line announces one. A password that is not
/// taken is answered too.
async fn ask(
    address: SocketAddr,
    password: Option<&SecretString>,
    command: &str,
) -> io::Result<(String, String)> {
    let mut stream = TcpStream::connect(address).await?;
    if let Some(password) = password {
        // Counted, not inline: a password may hold anything.
        let password = password.expose_secret();
        let login = format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{password}\r\n", password.len());
        stream.write_all(login.as_bytes()).await?;
    }
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut reader = BufReader::new(stream.take(ANSWER_BYTES_MAX));
    if password.is_some() {
        let line = next_line(&mut reader).await?;
        if line != "+OK" {
            return Ok((line, String::new()));
        }
    }
    let line = next_line(&mut reader).await?;
    let length = line.strip_prefix('$').and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; usize::min(length, ANSWER_BYTES_MAX as usize / 2)];
    reader.read_exact(&mut body).await?;
    Ok((line, String::from_utf8_lossy(&body).into_owned()))
}

async fn next_line(reader: &mut BufReader<tokio::io::Take<TcpStream>>) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}
