//! `gable install` and `gable uninstall`: a unit with which systemd keeps the server and starts it
//! with the machine.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use wire::{Problem, ShutdownRequest};

use super::args::InstallArgs;
use super::connect;
use super::context::Context;
use super::stop::{DONE, Outcome, Stop};

/// The unit's name.
const UNIT: &str = "gable.service";
/// Where units of the machine's administrator lie.
const UNITS: &str = "etc/systemd/system";

/// `gable install`.
pub(crate) async fn install(context: &Context, args: &InstallArgs) -> Outcome {
    let program = std::env::current_exe().map_err(|error| failed("find this program", &error))?;
    let path = unit_path(&args.root);
    write(&path, &unit(&program, &context.paths.state_dir))
        .map_err(|error| failed(&format!("write {}", path.display()), &error))?;
    context.printer.say(&format!("wrote {}", path.display()));
    if !is_this_machine(&args.root) {
        return Ok(DONE);
    }
    // Two servers cannot work on one state; what runs goes on meanwhile.
    if let Ok(connected) = connect::find(&context.paths).await {
        connected.client.shutdown(&ShutdownRequest { only_if_idle: false }).await?;
    }
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", "--now", UNIT])?;
    context.printer.say("systemd keeps the server from now on");
    Ok(DONE)
}

/// `gable uninstall`.
pub(crate) fn uninstall(context: &Context, args: &InstallArgs) -> Outcome {
    let path = unit_path(&args.root);
    if !path.exists() {
        context.printer.say(&format!("{} is not there", path.display()));
        return Ok(DONE);
    }
    if is_this_machine(&args.root) {
        systemctl(&["disable", "--now", UNIT])?;
    }
    std::fs::remove_file(&path)
        .map_err(|error| failed(&format!("remove {}", path.display()), &error))?;
    if is_this_machine(&args.root) {
        systemctl(&["daemon-reload"])?;
    }
    context.printer.say(&format!(
        "removed {}; what runs goes on, and `gable server start` starts the server",
        path.display()
    ));
    Ok(DONE)
}

fn unit_path(root: &Path) -> PathBuf {
    root.join(UNITS).join(UNIT)
}

fn is_this_machine(root: &Path) -> bool {
    root == Path::new("/")
}

/// The unit. A server that ended on purpose is not started again; one that was killed is.
fn unit(program: &Path, state_dir: &Path) -> String {
    format!(
        "\
[Unit]
Description=Gable
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={program} server --supervised --state-dir {state_dir}
Restart=on-failure
RestartSec=1
# The edge and the instances outlive the server.
KillMode=process
Delegate=yes
TasksMax=infinity
LimitNOFILE=1048576

[Install]
WantedBy=multi-user.target
",
        program = word(program),
        state_dir = word(state_dir),
    )
}

/// A path as one word of a command in a unit, where `%` and `$` mean something else.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('%', "%%").replace('$', "$$"))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

fn systemctl(arguments: &[&str]) -> Result<(), Stop> {
    let doing = format!("run `systemctl {}`", arguments.join(" "));
    let output = Command::new("systemctl")
        .args(arguments)
        .output()
        .map_err(|error| failed(&doing, &error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(failed(&doing, &io::Error::other(said)))
}

fn failed(doing: &str, error: &io::Error) -> Stop {
    Stop::failed(
        Problem::new("install-failed", format!("cannot {doing}")).detail(error.to_string()).hint(
            "systemd keeps the server only where systemd runs, as root; elsewhere the edge keeps it",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_starts_a_server_that_systemd_alone_starts_again() {
        insta::assert_snapshot!(
            unit(Path::new("/usr/bin/gable"), Path::new("/var/lib/my $tate")),
            @r#"
        [Unit]
        Description=Gable
        Wants=network-online.target
        After=network-online.target
        StartLimitIntervalSec=0

        [Service]
        Type=exec
        ExecStart="/usr/bin/gable" server --supervised --state-dir "/var/lib/my $$tate"
        Restart=on-failure
        RestartSec=1
        # The edge and the instances outlive the server.
        KillMode=process
        Delegate=yes
        TasksMax=infinity
        LimitNOFILE=1048576

        [Install]
        WantedBy=multi-user.target
        "#
        );
    }
}
