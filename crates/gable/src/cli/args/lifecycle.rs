//! Commands about what runs.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable logs                      the last lines of every service
  gable logs -f api worker        two services, as they write
  gable logs api -n 1000          more of the past
  gable logs api --build          the newest build")]
pub(crate) struct LogsArgs {
    /// NAME, ENVIRONMENT/NAME or PROJECT/ENVIRONMENT/NAME [default: all of the project]
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Stay and show what is written
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How many lines of the past; `all` for all that are kept
    #[arg(short = 'n', long, value_name = "LINES", default_value = "100", value_parser = tail)]
    pub(crate) tail: Tail,
    /// What the newest build wrote
    #[arg(short, long)]
    pub(crate) build: bool,
    /// Only this deploy, by id
    #[arg(long, value_name = "ID")]
    pub(crate) deploy: Option<String>,
    /// Only this instance, by id
    #[arg(long, value_name = "ID")]
    pub(crate) instance: Option<String>,
    /// Put the time before each line
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// The project, when there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,
}

/// How many lines; `None` is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tail(pub(crate) Option<u32>);

fn tail(text: &str) -> Result<Tail, String> {
    match text {
        "all" => Ok(Tail(None)),
        number => number
            .parse()
            .map(|lines| Tail(Some(lines)))
            .map_err(|_| "it is a number of lines, or `all`".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable exec api                          a shell
  gable exec api -- env                   one command
  gable exec api -- node -e 'console.log(process.version)'
  pg_dump … | gable exec api -- node import.js

The exit code is the command's.")]
pub(crate) struct ExecArgs {
    /// NAME, ENVIRONMENT/NAME or PROJECT/ENVIRONMENT/NAME; a service or a database
    pub(crate) service: String,
    /// Never make a terminal, even when this is one
    #[arg(short = 'T', long)]
    pub(crate) no_terminal: bool,
    /// The command; a shell if there is none
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable run api -- npm run migrate
  gable run api -- 'rake db:seed && rake stats'    one word is a line for the shell

It runs with the files and variables of the service's newest release, in an instance of its own.
The exit code is the command's.")]
pub(crate) struct RunArgs {
    /// NAME, ENVIRONMENT/NAME or PROJECT/ENVIRONMENT/NAME
    pub(crate) service: String,
    /// The command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable restart api
  gable restart api --no-wait")]
pub(crate) struct RestartArgs {
    /// NAME, ENVIRONMENT/NAME or PROJECT/ENVIRONMENT/NAME
    pub(crate) service: String,
    /// Return at once
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable deploy api
  gable deploy api --clear-cache     build again, from nothing
  gable deploy api --commit v1.4     what a commit holds, with the Blueprint of that commit")]
pub(crate) struct DeployArgs {
    /// NAME, ENVIRONMENT/NAME or PROJECT/ENVIRONMENT/NAME
    pub(crate) service: String,
    /// Build again, without caches
    #[arg(long)]
    pub(crate) clear_cache: bool,
    /// A commit of the project's repository in place of its working tree: an id, a branch, a tag …
    #[arg(long, value_name = "REVISION")]
    pub(crate) commit: Option<String>,
    /// Return at once
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable rollback api        to the release before the live one
  gable rollback api v3     to a certain one")]
pub(crate) struct RollbackArgs {
    /// NAME, ENVIRONMENT/NAME or PROJECT/ENVIRONMENT/NAME
    pub(crate) service: String,
    /// Number of the release, such as v3 [default: the one before the live one]
    #[arg(value_parser = revision)]
    pub(crate) revision: Option<u32>,
    /// Return at once
    #[arg(long)]
    pub(crate) no_wait: bool,
}

fn revision(text: &str) -> Result<u32, String> {
    text.trim_start_matches('v').parse().map_err(|_| "it is a number such as `v3`".to_owned())
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  gable cancel api")]
pub(crate) struct CancelArgs {
    /// NAME, ENVIRONMENT/NAME or PROJECT/ENVIRONMENT/NAME
    pub(crate) service: String,
}

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  gable env api                          every variable, and where it comes from
  gable env api --reveal                 with secrets
  gable env set api LOG_LEVEL=debug      set by hand, and deploy
  gable env set api STRIPE_KEY           ask for the value, unseen
  gable env unset api LOG_LEVEL          what the file says again"
)]
pub(crate) struct EnvArgs {
    #[command(flatten)]
    pub(crate) list: Option<EnvListArgs>,
    #[command(subcommand)]
    pub(crate) command: Option<EnvCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EnvCommand {
    /// Show each variable, where it comes from and who reads it
    List(EnvListArgs),
    /// Set variables by hand, and deploy what sees them
    Set(EnvSetArgs),
    /// Take back what was set by hand
    Unset(EnvUnsetArgs),
}

#[derive(Debug, Args)]
pub(crate) struct EnvListArgs {
    /// NAME, ENVIRONMENT/NAME or PROJECT/ENVIRONMENT/NAME
    pub(crate) service: String,
    /// Show secrets
    #[arg(long)]
    pub(crate) reveal: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EnvSetArgs {
    /// NAME, ENVIRONMENT/NAME or PROJECT/ENVIRONMENT/NAME
    pub(crate) service: String,
    /// Variables; with KEY alone the value is asked for, or read from stdin
    #[arg(required = true, value_name = "KEY[=VALUE]")]
    pub(crate) assignments: Vec<String>,
    #[command(flatten)]
    pub(crate) change: EnvChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EnvUnsetArgs {
    /// NAME, ENVIRONMENT/NAME or PROJECT/ENVIRONMENT/NAME
    pub(crate) service: String,
    /// Names of variables
    #[arg(required = true, value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    #[command(flatten)]
    pub(crate) change: EnvChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EnvChangeArgs {
    /// Keep the values for the next deploy
    #[arg(long)]
    pub(crate) no_deploy: bool,
    /// Return at once
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable psql shop-db
  gable psql shop-db -c 'select count(*) from orders'
  gable psql shop-db --url            print the internal URL
  gable psql cache                    a Key Value instance opens its own client")]
pub(crate) struct PsqlArgs {
    /// NAME, ENVIRONMENT/NAME or PROJECT/ENVIRONMENT/NAME [default: the only database]
    #[arg(allow_hyphen_values = true)]
    pub(crate) database: Option<String>,
    /// Print the URL that services use, and connect to nothing
    #[arg(long)]
    pub(crate) url: bool,
    /// Arguments for the client
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub(crate) arguments: Vec<String>,
}

impl PsqlArgs {
    /// The database, and everything that is for its client: no name begins with a hyphen.
    pub(crate) fn parts(&self) -> (Option<&str>, Vec<String>) {
        match self.database.as_deref() {
            Some(option) if option.starts_with('-') => {
                (None, [&[option.to_owned()], self.arguments.as_slice()].concat())
            }
            database => (database, self.arguments.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::PsqlArgs;

    #[derive(Parser)]
    struct Psql {
        #[command(flatten)]
        args: PsqlArgs,
    }

    #[test]
    fn what_follows_the_database_is_for_its_client() {
        let check = |words: &[&str], database: Option<&str>, arguments: &[&str], url: bool| {
            let words = ["psql"].iter().chain(words);
            let args = Psql::try_parse_from(words.clone()).expect("it is understood").args;
            let (found, rest) = args.parts();
            let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
            assert_eq!((found, rest.as_slice(), args.url), (database, arguments, url), "{words:?}");
        };
        check(&[], None, &[], false);
        check(&["db"], Some("db"), &[], false);
        check(&["db", "--url"], Some("db"), &[], true);
        check(&["--url"], None, &[], true);
        check(&["db", "-c", "select 1"], Some("db"), &["-c", "select 1"], false);
        check(&["db", "-At", "-c", "--x"], Some("db"), &["-At", "-c", "--x"], false);
        check(&["db", "-c", "x", "--url"], Some("db"), &["-c", "x", "--url"], false);
        check(&["db", "--", "-c", "select 1"], Some("db"), &["-c", "select 1"], false);
        check(&["-c", "select 1"], None, &["-c", "select 1"], false);
        check(&["--", "-c", "select 1"], None, &["-c", "select 1"], false);
    }
}
