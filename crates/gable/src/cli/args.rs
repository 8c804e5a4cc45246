//! The words of the command line. Help texts are part of the product: one line each, with examples.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

mod lifecycle;
mod roles;
mod source;
mod traffic;

pub(crate) use lifecycle::{
    CancelArgs, DeployArgs, EnvArgs, EnvChangeArgs, EnvCommand, EnvListArgs, EnvSetArgs,
    EnvUnsetArgs, ExecArgs, LogsArgs, PsqlArgs, RestartArgs, RollbackArgs, RunArgs,
};
pub(crate) use roles::{
    BuildArgs, DiskArgs, DiskCommand, EdgeArgs, InstallArgs, LogFormat, ServerArgs, ServerCommand,
    ServerCommandArgs, ServerRestoreArgs, ServerStartArgs,
};
pub(crate) use source::{
    BlueprintArgs, BlueprintCommand, ExplainFieldArgs, FixArgs, PlanArgs, ReadingArgs, SourceArgs,
    UpArgs, ValidateArgs,
};
pub(crate) use traffic::differences as edge_differences;

const STYLES: Styles = Styles::styled()
    .header(Style::new().bold())
    .usage(Style::new().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(Style::new());

const EXAMPLES: &str = "\
Examples:
  gable up                      run the render.yaml or compose.yaml here, until Ctrl-C
  gable up ~/shop --detach      run it in the background and print the URLs
  gable status                  how everything stands
  gable logs -f api             what the api says
  gable down                    stop everything; data is kept

Exit codes:
  0  done      1  something failed or was refused      2  the command line is wrong
  130  interrupted      run, exec, psql: the command's own, or 125 when Gable itself failed

`gable COMMAND --help` has examples for each command.";

/// Gable runs your Blueprint under your own roof: all of a render.yaml or compose.yaml, on this
/// machine
#[derive(Debug, Parser)]
#[command(
    name = "gable",
    version,
    styles = STYLES,
    after_help = EXAMPLES,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Where Gable keeps its state and your data [default: /var/lib/gable, or below ~/.local/state]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "GABLE_STATE_DIR",
        hide_env_values = true
    )]
    pub(crate) state_dir: Option<PathBuf>,
    /// Write JSON to stdout, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours; NO_COLOR is respected
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub(crate) color: Colour,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a Blueprint or compose files: build, start, follow, until Ctrl-C
    Up(UpArgs),
    /// Show what `up` would do, and change nothing
    Plan(PlanArgs),
    /// Show how everything stands
    Status(StatusArgs),
    /// Show what services wrote
    Logs(LogsArgs),
    /// Run a command inside a running instance
    Exec(ExecArgs),
    /// Run a command as a one-off job, in an instance of its own
    Run(RunArgs),
    /// Start a service again, without a build
    Restart(RestartArgs),
    /// Deploy a service again, as it is declared now
    Deploy(DeployArgs),
    /// Make an earlier release live again, without a build
    Rollback(RollbackArgs),
    /// Give up a deploy that is under way
    Cancel(CancelArgs),
    /// Show and change environment variables
    Env(EnvArgs),
    /// Open a database's own client
    Psql(PsqlArgs),
    /// Stop a project; data is kept
    Down(DownArgs),
    /// Check, mend and explain render.yaml and compose files
    Blueprint(BlueprintArgs),
    /// Show what this machine can do, and what is missing
    Doctor,
    /// Have this machine's programs and browsers believe the https of local URLs
    Trust(TrustArgs),
    /// Explain a problem code
    Explain(ExplainArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Show who holds what of the disk, and clean
    Disk(DiskArgs),
    /// Start, stop or look at the server (`up` starts it by itself)
    Server(ServerCommandArgs),
    /// Let systemd keep the server and start it with the machine
    Install(InstallArgs),
    /// Take that unit away again
    Uninstall(InstallArgs),
    /// Run the edge (the control plane starts it by itself)
    #[command(hide = true)]
    Edge(EdgeArgs),
    /// Hold instances (the control plane starts it by itself)
    #[command(hide = true)]
    Shim,
    /// Make room for a builder of images (the control plane starts it by itself)
    #[command(hide = true)]
    Builder,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable status
  gable status shop
  gable status --json | jq '.projects[].environments[].services[] | {name, state, urls}'")]
pub(crate) struct StatusArgs {
    /// Only this project
    pub(crate) project: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable down                stop the project of this folder, or the only one
  gable down ~/code/shop    stop the one of another folder
  gable down shop --purge   remove its databases, disks, values and history as well")]
pub(crate) struct DownArgs {
    /// The project, or the folder that it runs from [default: the one of this folder, or the only
    /// one]
    #[arg(value_name = "PROJECT|PATH")]
    pub(crate) project: Option<String>,
    /// Remove databases, disks, values and history as well
    #[arg(long)]
    pub(crate) purge: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable explain port-not-open
  gable explain               list all codes")]
pub(crate) struct ExplainArgs {
    /// The code that stands beside an error
    pub(crate) code: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable trust               then https://SERVICE.localhost:8443 opens without a warning
  gable trust --remove      take it back

The authority is made on this machine, its key stays here, and its certificate limits it to
.localhost and loopback addresses.")]
pub(crate) struct TrustArgs {
    /// Take it back
    #[arg(long)]
    pub(crate) remove: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable completions bash > ~/.local/share/bash-completion/completions/gable
  gable completions zsh > ~/.zfunc/_gable
  gable completions fish > ~/.config/fish/completions/gable.fish")]
pub(crate) struct CompletionsArgs {
    /// Which shell
    pub(crate) shell: clap_complete::Shell,
}

/// Where the edge listens.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListenArgs {
    /// Port of the public URLs on 127.0.0.1 [default: 8080]
    #[arg(long, value_name = "PORT", conflicts_with = "listen")]
    pub(crate) port: Option<u16>,
    /// Address of the public URLs, in place of --port; can be given several times
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
}

impl ListenArgs {
    /// The addresses that were asked for; empty if none was.
    pub(crate) fn asked(&self) -> Vec<SocketAddr> {
        let port = self.port.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        self.listen.iter().copied().chain(port).collect()
    }
}
