//! The rules that keep environments apart and let instances reach the internet.
//!
//! One table per state directory, replaced as a whole in one transaction of the kernel's. It is
//! written by the `nft` program: the rules change once per environment, not per instance, and the
//! text is what a person sees in `nft list ruleset`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use crate::net::addresses::Subnet;

/// Every bridge of Gable's, of every state directory on the machine.
pub(crate) const ANY_BRIDGE: &str = "gable*";

/// Where clouds tell a machine who it is, with keys that are the machine's: link-local addresses,
/// and those that Alibaba, Azure and Oracle chose. Those of IPv6 need no mention: no IPv6 leaves a
/// private network.
const METADATA: [&str; 4] = ["169.254.0.0/16", "100.100.100.200", "168.63.129.16", "192.0.0.192"];

/// The rules of one environment's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) bridge: String,
    pub(crate) subnet: Subnet,
    /// Whether it may ask the host for names and for what the edge serves.
    pub(crate) sees_host: bool,
}

/// The whole table as text. `host_ports` are ports of the gateway that instances may reach, on top
/// of private DNS.
pub(crate) fn table(name: &str, zones: &[Zone], host_ports: &[u16]) -> String {
    let mut forward = format!(
        "    iifname \"{ANY_BRIDGE}\" meta nfproto ipv6 drop\n    \
         oifname \"{ANY_BRIDGE}\" meta nfproto ipv6 drop\n    \
         iifname \"{ANY_BRIDGE}\" ip daddr {{ {} }} drop\n    \
         ct state established,related accept\n",
        METADATA.join(", ")
    );
    let mut input = String::new();
    // Of the host, only what is root's own comes to instances: Gable, and who may look into them anyway.
    let output = format!("    oifname \"{ANY_BRIDGE}\" meta skuid != 0 ct state new drop\n");
    let mut postrouting = String::new();
    let tcp_ports = std::iter::once(53)
        .chain(host_ports.iter().copied())
        .map(|port| port.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    for Zone { bridge, subnet, sees_host } in zones {
        let gateway = subnet.gateway();
        let _ = write!(
            forward,
            "    iifname \"{bridge}\" oifname \"{bridge}\" accept\n    \
             iifname \"{bridge}\" oifname \"{ANY_BRIDGE}\" drop\n    \
             iifname \"{bridge}\" ip saddr != {subnet} drop\n    \
             oifname \"{bridge}\" drop\n"
        );
        let _ =
            writeln!(postrouting, "    ip saddr {subnet} oifname != \"{ANY_BRIDGE}\" masquerade");
        if !sees_host {
            // Not even what is bound to every address of the host.
            let _ = writeln!(input, "    iifname \"{bridge}\" drop");
            continue;
        }
        let own = format!("iifname \"{bridge}\" ip saddr {subnet} ip daddr {gateway}");
        let _ = write!(
            input,
            "    iifname \"{bridge}\" ct state established,related accept\n    \
             {own} udp dport 53 accept\n    \
             {own} tcp dport {{ {tcp_ports} }} accept\n    \
             {own} icmp type echo-request accept\n    \
             iifname \"{bridge}\" drop\n"
        );
    }
    // `add` makes the `delete` valid when there is no table yet.
    format!(
        "add table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n  \
         chain forward {{\n    type filter hook forward priority filter - 5; policy accept;\n\
         {forward}  }}\n  \
         chain input {{\n    type filter hook input priority filter - 5; policy accept;\n\
         {input}  }}\n  \
         chain output {{\n    type filter hook output priority filter - 5; policy accept;\n\
         {output}  }}\n  \
         chain postrouting {{\n    type nat hook postrouting priority srcnat; policy accept;\n\
         {postrouting}  }}\n}}\n"
    )
}

/// Puts a table in force.
pub(crate) fn apply(table: &str) -> io::Result<()> {
    run(&["-f", "-"], table)
}

/// Removes a table, if it is there.
pub(crate) fn remove(name: &str) -> io::Result<()> {
    run(&["-f", "-"], &format!("add table inet {name}\ndelete table inet {name}\n"))
}

fn run(arguments: &[&str], input: &str) -> io::Result<()> {
    let mut child = Command::new("nft")
        .args(arguments)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or("no reason given").to_owned();
    Err(io::Error::other(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_each_environment_and_drops_what_crosses() {
        let zone = |bridge: &str, text: &str| Zone {
            bridge: bridge.to_owned(),
            subnet: text.parse().unwrap(),
            sees_host: true,
        };
        let zones = [zone("gableaaaa", "10.77.0.0/24"), zone("gablebbbb", "10.77.1.0/24")];
        let text = table("gable_0", &zones, &[8080]);
        assert!(text.contains("iifname \"gableaaaa\" oifname \"gable*\" drop"));
        assert!(text.contains("ip daddr 10.77.1.1 tcp dport { 53, 8080 } accept"));
        assert!(text.contains("ip saddr 10.77.1.0/24 oifname != \"gable*\" masquerade"));
        assert!(text.contains("oifname \"gable*\" meta skuid != 0 ct state new drop"), "{text}");
        let metadata = text.find("ip daddr { 169.254.0.0/16, ").unwrap();
        assert!(
            metadata < text.find("related accept").unwrap(),
            "nothing comes before it:\n{text}"
        );
        let inside = text.find("oifname \"gableaaaa\" accept").unwrap();
        let crossing = text.find("oifname \"gable*\" drop").unwrap();
        assert!(inside < crossing, "an environment reaches itself before the drop:\n{text}");
    }

    #[test]
    fn a_network_that_does_not_see_the_host_has_a_way_out_and_nothing_else() {
        let subnet = "10.77.2.0/24".parse().unwrap();
        let zone = Zone { bridge: "gablecccc".to_owned(), subnet, sees_host: false };
        let text = table("gable_0", &[zone], &[8080]);
        let of_input = text.split("chain input").nth(1).unwrap().split('}').next().unwrap();
        assert!(of_input.contains("iifname \"gablecccc\" drop"), "{text}");
        assert!(!of_input.contains("accept\n"), "{text}");
        assert!(text.contains("iifname \"gablecccc\" oifname \"gable*\" drop"), "{text}");
        assert!(text.contains("ip saddr 10.77.2.0/24 oifname != \"gable*\" masquerade"), "{text}");
    }
}
