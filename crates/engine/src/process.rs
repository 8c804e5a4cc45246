//! What `/proc` tells about processes.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::driver::Listener;
use crate::stop::Process;

/// When a process began, in clock ticks since boot. Together with its id it names it for ever.
pub(crate) fn started_ticks(pid: i32) -> io::Result<u64> {
    stat_field(pid, 22).and_then(|text| {
        text.parse().map_err(|_| io::Error::other("the start time in /proc is no number"))
    })
}

/// A field of `/proc/<pid>/stat`, counted from 1 as in its manual page. The second, the name, may
/// hold spaces and parentheses; only fields after it can be asked for.
fn stat_field(pid: i32, number: usize) -> io::Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = text.rfind(')').map_or("", |end| &text[end + 1..]);
    after_name
        .split_whitespace()
        .nth(number - 3)
        .map(str::to_owned)
        .ok_or_else(|| io::Error::other("short line in /proc"))
}

/// All processes that descend from `ancestor`, without it.
pub(crate) fn descendants(ancestor: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    for pid in entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok()) {
        let parent = stat_field(pid, 4).ok().and_then(|text| text.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![ancestor];
    while let Some(pid) = open.pop() {
        let of_this = children.remove(&pid).unwrap_or_default();
        open.extend(&of_this);
        found.extend(of_this);
    }
    found
}

/// Most processes that are read one by one. Instances have a limit of their own, which is lower.
const PROCESSES_MAX: usize = 4096;
/// How much of a command line is read: a wrapper is known by its first words.
const COMMAND_LINE_BYTES: u64 = 4096;

/// All processes that descend from `ancestor` and run, without it. Those that end meanwhile are
/// left out.
pub(crate) fn family(ancestor: i32) -> Vec<Process> {
    descendants(ancestor).into_iter().take(PROCESSES_MAX).filter_map(describe).collect()
}

fn describe(pid: i32) -> Option<Process> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    };
    if field("State")?.starts_with(['Z', 'X']) {
        return None;
    }
    let mask = |name| u64::from_str_radix(field(name)?, 16).ok();
    let pipe = |descriptor: u8| {
        let target = fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).ok()?;
        target.to_str()?.strip_prefix("pipe:[")?.strip_suffix(']')?.parse::<u64>().ok()
    };
    let mut line = Vec::new();
    let file = fs::File::open(format!("/proc/{pid}/cmdline")).ok()?;
    file.take(COMMAND_LINE_BYTES).read_to_end(&mut line).ok()?;
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    Some(Process {
        pid,
        parent: field("PPid")?.parse().ok()?,
        words: words.map(|word| String::from_utf8_lossy(word).into_owned()).collect(),
        catches: mask("SigCgt")?,
        ignores: mask("SigIgn")?,
        reads: pipe(0),
        writes: [pipe(1), pipe(2)].into_iter().flatten().collect(),
    })
}

/// A listening socket with the inode that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Socket {
    listener: Listener,
    inode: u64,
}

/// Every TCP socket that listens in the network namespace of a process.
pub(crate) fn listeners(pid: i32) -> io::Result<Vec<Listener>> {
    let mut found: Vec<_> = sockets(pid)?.into_iter().map(|socket| socket.listener).collect();
    found.sort();
    found.dedup();
    Ok(found)
}

/// The listening TCP sockets that one of these processes holds.
pub(crate) fn listeners_of(pids: &[i32]) -> io::Result<Vec<Listener>> {
    let held: BTreeSet<u64> = pids.iter().flat_map(|pid| held_sockets(*pid)).collect();
    let mut found: Vec<_> = sockets(i32::try_from(std::process::id()).unwrap_or_default())?
        .into_iter()
        .filter(|socket| held.contains(&socket.inode))
        .map(|socket| socket.listener)
        .collect();
    found.sort();
    found.dedup();
    Ok(found)
}

/// Who listens on a port of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolder {
    /// Its process.
    pub pid: i32,
    /// The program's name, as the kernel knows it.
    pub name: String,
}

/// Who listens where `address` is wanted, as far as this user may see.
#[must_use]
pub fn port_holder(address: SocketAddr) -> Option<PortHolder> {
    let own = i32::try_from(std::process::id()).ok()?;
    let is_in_the_way = |listener: &Listener| {
        let (one, other) = (listener.address, address.ip());
        let is_same = one == other || one.is_unspecified() || other.is_unspecified();
        listener.port == address.port() && is_same
    };
    let wanted: BTreeSet<u64> = sockets(own)
        .ok()?
        .into_iter()
        .filter(|socket| is_in_the_way(&socket.listener))
        .map(|socket| socket.inode)
        .collect();
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut holders =
        pids.filter(|pid| held_sockets(*pid).iter().any(|inode| wanted.contains(inode)));
    let pid = holders.next()?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned();
    Some(PortHolder { pid, name })
}

fn sockets(pid: i32) -> io::Result<Vec<Socket>> {
    let mut found = parse_sockets(&fs::read_to_string(format!("/proc/{pid}/net/tcp"))?);
    // There is no such file where IPv6 is switched off.
    if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/net/tcp6")) {
        found.extend(parse_sockets(&text));
    }
    Ok(found)
}

fn held_sockets(pid: i32) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|target| {
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

/// Reads the format of `/proc/net/tcp` and `/proc/net/tcp6`.
fn parse_sockets(text: &str) -> Vec<Socket> {
    const LISTEN: &str = "0A";
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        if *state != LISTEN {
            return None;
        }
        let (address, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let listener = Listener { address: parse_address(address)?, port };
        Some(Socket { listener, inode: inode.parse().ok()? })
    };
    text.lines().skip(1).filter_map(parse).collect()
}

/// The kernel prints addresses as words of 32 bits in this machine's byte order.
fn parse_address(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for start in (0..text.len()).step_by(8) {
        let word = u32::from_str_radix(text.get(start..start + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(IpAddr::V4(Ipv4Addr::from(bytes)));
    }
    <[u8; 16]>::try_from(bytes.as_slice()).ok().map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)))
}

/// Whether a directory is on a file system in memory.
pub(crate) fn is_in_memory(path: &Path) -> io::Result<bool> {
    use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
    const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);
    let kind = statfs(path)?.filesystem_type();
    Ok(kind == TMPFS_MAGIC || kind == RAMFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_holds_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let holder = port_holder(address).unwrap();
        assert_eq!(holder.pid, i32::try_from(std::process::id()).unwrap());
        assert!(!holder.name.is_empty());
    }

    #[test]
    fn listening_sockets_are_read_and_others_are_not() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:0FA0 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 11 1\n   \
            1: 00000000:2710 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12 1\n   \
            2: 0100007F:0FA0 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 13 1\n   \
            3: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 14 1\n";
        let found: Vec<_> =
            parse_sockets(text).iter().map(|s| (s.listener.to_string(), s.inode)).collect();
        assert_eq!(
            found,
            [
                ("127.0.0.1:4000".to_owned(), 11),
                ("0.0.0.0:10000".to_owned(), 12),
                ("[::1]:8080".to_owned(), 14)
            ]
        );
    }

    #[test]
    fn a_process_is_described_with_its_words_its_signals_and_its_pipes() {
        let script = "trap : TERM; echo ready; read line";
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let found = family(own).into_iter().find(|process| process.pid == pid);
        child.kill().unwrap();
        child.wait().unwrap();
        let found = found.unwrap();
        assert_eq!(
            (found.parent, &found.words[..]),
            (own, &["/bin/sh", "-c", script].map(str::to_owned)[..])
        );
        assert_eq!(found.catches >> (nix::libc::SIGTERM - 1) & 1, 1);
        assert!(found.reads.is_some() && !found.writes.is_empty());
        assert_eq!(describe(pid), None);
    }

    #[test]
    fn a_child_is_found_among_the_descendants() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let found = descendants(own).contains(&i32::try_from(child.id()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found);
    }
}
