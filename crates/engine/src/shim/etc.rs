//! The made-up `/etc` of an instance: a few files of its own, and of the host's only what programs
//! need and everybody may know.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::spec::{HOST_GATEWAY, User};

/// Names in the host's `/etc` that an instance sees. A name that ends with `*` stands for all that
/// begin so. None holds secrets: no `shadow`, no `ssh`, no private keys of TLS servers.
pub(super) const SHARED: &[&str] = &[
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "ethertypes",
    "fonts",
    "gai.conf",
    "host.conf",
    "ImageMagick*",
    "inputrc",
    "java*",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "localtime",
    "lsb-release",
    "magic",
    "magic.mime",
    "maven",
    "mime.types",
    "networks",
    "os-release",
    "papersize",
    "perl",
    "pki/ca-trust",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "protocols",
    "python*",
    "redhat-release",
    "rpc",
    "services",
    "shells",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
    "vulkan",
    "xattr.conf",
];

/// What the instance's own files say.
pub(super) struct Own<'a> {
    pub(super) hostname: &'a str,
    pub(super) user: &'a User,
    pub(super) address: Ipv4Addr,
    pub(super) gateway: Ipv4Addr,
    /// Names and addresses besides.
    pub(super) extra_hosts: &'a [(String, String)],
}

impl Own<'_> {
    /// Name and text of each file that differs from instance to instance.
    pub(super) fn network_files(&self) -> [(&'static str, String); 3] {
        let Self { hostname, address, gateway, .. } = self;
        let mut hosts = format!(
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{address}\t{hostname}\n"
        );
        for (name, address) in self.extra_hosts {
            let _ = match address.as_str() {
                HOST_GATEWAY => writeln!(hosts, "{gateway}\t{name}"),
                address => writeln!(hosts, "{address}\t{name}"),
            };
        }
        // Two seconds: the asked one is on this machine, or does not run for the moment.
        let resolv = format!("nameserver {gateway}\noptions timeout:2 attempts:3\n");
        [("hosts", hosts), ("resolv.conf", resolv), ("hostname", format!("{hostname}\n"))]
    }

    /// Writes everything that is not the host's.
    pub(super) fn write(&self, etc: &Path) -> io::Result<()> {
        for (name, text) in self.network_files() {
            fs::write(etc.join(name), text)?;
        }
        let (passwd, group) = self.accounts();
        fs::write(etc.join("passwd"), passwd)?;
        fs::write(etc.join("group"), group)?;
        fs::write(
            etc.join("nsswitch.conf"),
            "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n\
             protocols: files\nservices: files\nethers: files\nrpc: files\n",
        )?;
        std::os::unix::fs::symlink("/proc/mounts", etc.join("mtab"))
    }

    fn accounts(&self) -> (String, String) {
        let User { uid, gid, name, home, .. } = self.user;
        let mut passwd = String::from("root:x:0:0:root:/root:/bin/sh\n");
        let mut group = String::from("root:x:0:\ntty:x:5:\n");
        if *uid != 0 {
            let _ = writeln!(passwd, "{name}:x:{uid}:{gid}:{name}:{}:/bin/bash", home.display());
            let _ = writeln!(group, "{name}:x:{gid}:");
        }
        passwd.push_str("nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
        group.push_str("nogroup:x:65534:\n");
        (passwd, group)
    }
}
