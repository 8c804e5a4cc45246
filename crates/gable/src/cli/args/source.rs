//! Commands about a Blueprint and its source.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ListenArgs;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable up                                  this folder, until Ctrl-C
  gable up ~/code/shop --detach             in the background; stdout is `SERVICE URL` lines
  gable up --set api.STRIPE_KEY=sk_test_1   a value that the file leaves open
  gable up --env-file .env --yes            values from a file, and no questions
  gable up --file deploy/render.yaml        another file
  gable up -f compose.yaml -f prod.yaml     compose files, the later over the earlier
  gable up --operator-env proxy.env         proxies, CA and mirrors for all builds and instances")]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Return when everything is live, and leave it running
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Ask nothing: leave missing values unset, and agree to what the plan says
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable plan
  gable plan ~/code/shop --strict
  gable plan --json | jq '.changes[] | select(.action != \"keep\")'

Exits with 1 when the file is refused.")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

/// What is to be run, and with which values.
#[derive(Debug, Clone, Args)]
pub(crate) struct SourceArgs {
    /// A repository, a folder in it, or a Blueprint or compose file
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// The Blueprint, or compose files in their order, relative to PATH [default: render.yaml, or
    /// compose.yaml and its override]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) compose: ComposeArgs,
    /// Read the file as Render does, without repairs
    #[arg(long)]
    pub(crate) strict: bool,
    /// Name of the project [default: from the file, or the folder]; the name of one that runs from
    /// another folder takes that one over, with its data
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,
    /// A value that the file leaves open; it is kept
    #[arg(long, value_name = "[SERVICE.]KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// A file of such values
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// A file of variables that every build and instance gets
    #[arg(long, value_name = "FILE")]
    pub(crate) operator_env: Option<PathBuf>,
    /// Only this service and what it needs; can be given several times
    #[arg(long, value_name = "SERVICE")]
    pub(crate) only: Vec<String>,
    /// Ask registries what the names of images mean now
    #[arg(long)]
    pub(crate) pull: bool,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
}

/// How compose files are read. A Blueprint has nothing of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct ComposeArgs {
    /// A profile of the compose files; `*` is all of them
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Vec<String>,
    /// Run data images of compose files as they are, not as managed databases
    #[arg(long)]
    pub(crate) images: bool,
    /// Let compose files mount paths of the host outside the project
    #[arg(long)]
    pub(crate) allow_host_paths: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BlueprintArgs {
    #[command(subcommand)]
    pub(crate) command: BlueprintCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BlueprintCommand {
    /// Check a file: every problem with line, column and what to do
    Validate(ValidateArgs),
    /// Write the repairs down; comments and layout stay
    Fix(FixArgs),
    /// Say how each field is treated here, and why
    Explain(ExplainFieldArgs),
}

/// Which files are read, and how.
#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    /// A Blueprint, or compose files in their order; - is stdin [default: render.yaml, or
    /// compose.yaml and its override]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The same, spelled as for `up`
    #[arg(short = 'f', long = "file", value_name = "FILE", conflicts_with = "files")]
    pub(crate) named_files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
}

impl FilesArgs {
    /// The files, however they were named.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        if self.files.is_empty() { &self.named_files } else { &self.files }
    }
}

/// What else decides how compose files are understood.
#[derive(Debug, Args)]
pub(crate) struct ReadingArgs {
    #[command(flatten)]
    pub(crate) compose: ComposeArgs,
    /// A variable that compose files name
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// A file of such variables, over the `.env` beside the compose file
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable blueprint validate
  gable blueprint validate deploy/render.yaml --strict
  gable blueprint validate compose.yaml prod.yaml   compose files, the later over the earlier
  gable blueprint validate - < render.yaml

Exits with 0 when it can be run as understood, 1 when it is refused, 2 when it cannot be read.")]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub(crate) files: FilesArgs,
    /// Render's verdict, or that of the compose specification: no repairs
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable blueprint fix               print the mended file
  gable blueprint fix --diff        print what would change
  gable blueprint fix --write       change the file, or each of several compose files")]
pub(crate) struct FixArgs {
    #[command(flatten)]
    pub(crate) files: FilesArgs,
    /// Print a unified diff in place of the file
    #[arg(long)]
    pub(crate) diff: bool,
    /// Change the file in place
    #[arg(long)]
    pub(crate) write: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable blueprint explain                             every field that a Blueprint can have
  gable blueprint explain services.disk               those of disks
  gable blueprint explain render.yaml                 every field of a file, with its value
  gable blueprint explain render.yaml services.disk   those of its disks
  gable blueprint explain compose.yaml ports          the ports of a compose file")]
pub(crate) struct ExplainFieldArgs {
    /// The file, or compose files in their order, and then a part of the paths of fields; - is
    /// stdin. What is no file and does not end in .yaml or .yml is a field
    #[arg(value_name = "FILE|FIELD")]
    pub(crate) words: Vec<String>,
    /// The file, where its name could be taken for a field
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) named_files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
}
