//! The tools that a build uses, compared with those that its repository asks for.
//!
//! Tools come from the host's userland. For Node.js, where repositories are particular, another
//! version is fetched as a package with the npm client and kept for ever; for everything else a
//! difference is a [`Note`], and an absent tool is a problem before the build begins.

mod asked;
mod host;
mod node;
mod version;

use std::path::PathBuf;

use model::{Commit, Problem, Runtime, Service};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::Error;
use crate::note::Note;
use crate::sources::Sources;

use asked::{Asked, Tool};
pub use host::Host;
pub(crate) use host::{find_program, output};
pub(crate) use node::package as node_package;

/// What a build uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// Tools and their versions, for [`crate::Inputs::toolchain`].
    pub versions: Vec<(String, String)>,
    /// Directory of a fetched Node.js; `None` where the host's is used.
    pub node: Option<PathBuf>,
    /// Python's interpreter on the host, for Python services.
    pub python: Option<PathBuf>,
    /// What the person should know.
    pub notes: Vec<Note>,
}

/// What is to be built, as far as its tools depend on it.
pub struct Request<'a> {
    /// The project whose store holds the commit.
    pub project: &'a str,
    /// The source.
    pub commit: &'a Commit,
    /// The service.
    pub service: &'a Service,
    /// Its resolved environment for the build.
    pub env: &'a [(String, String)],
}

/// Finds the tools for a build, fetching a Node.js if another one is asked for.
///
/// Takes milliseconds when nothing has to be fetched, and works without a network then.
///
/// # Errors
/// When the source cannot be read, and when the language of the service is not installed.
pub async fn resolve(
    config: &Config,
    sources: &Sources,
    request: &Request<'_>,
) -> Result<Toolchain, Error> {
    resolve_on(&Host::default(), config, sources, request).await
}

/// The same for one of many services: what the host has is asked once for all of them.
///
/// # Errors
/// As [`resolve`].
pub async fn resolve_on(
    host: &Host,
    config: &Config,
    sources: &Sources,
    request: &Request<'_>,
) -> Result<Toolchain, Error> {
    let mut toolchain = Toolchain::default();
    if matches!(request.service.runtime, Runtime::Docker | Runtime::Image) {
        return Ok(toolchain);
    }
    let files = asked::read_files(sources, request).await?;
    let asked = |tool| asked::find(tool, &files, request.env);
    match request.service.runtime {
        Runtime::Node | Runtime::Static => {
            let needed = request.service.runtime == Runtime::Node || files.has_package_json();
            node_for((config, host), asked(Tool::Node), needed, &mut toolchain).await?;
        }
        Runtime::Python => {
            python_for(host, asked(Tool::Python), &mut toolchain).await?;
            // Only an explicit wish: many Python repositories have a package.json they never use.
            if let Some(asked) = asked(Tool::Node).filter(|asked| asked.is_explicit) {
                node_for((config, host), Some(asked), false, &mut toolchain).await?;
            }
        }
        Runtime::Ruby => plain(host, asked(Tool::Ruby), (Tool::Ruby, &mut toolchain)).await?,
        Runtime::Go => plain(host, asked(Tool::Go), (Tool::Go, &mut toolchain)).await?,
        Runtime::Rust => plain(host, asked(Tool::Rust), (Tool::Rust, &mut toolchain)).await?,
        Runtime::Elixir => plain(host, asked(Tool::Elixir), (Tool::Elixir, &mut toolchain)).await?,
        Runtime::Docker | Runtime::Image => {}
    }
    Ok(toolchain)
}

/// The files of a commit that decide about the tools of a service: to be read in one go for many.
#[must_use]
pub fn deciding_files(service: &Service) -> Vec<String> {
    match service.runtime {
        Runtime::Image => Vec::new(),
        Runtime::Docker => crate::docker::candidates(service),
        _ => asked::places(&service.root_dir).1,
    }
}

async fn node_for(
    (config, tools): (&Config, &Host),
    asked: Option<Asked>,
    needed: bool,
    toolchain: &mut Toolchain,
) -> Result<(), Error> {
    let host = tools.version_of(Tool::Node, "node").await;
    let Some(asked) = asked else {
        return match host {
            Some(version) => {
                toolchain.versions.push(("node".to_owned(), version));
                Ok(())
            }
            None if needed => Err(Error::Refused(missing(Tool::Node))),
            None => Ok(()),
        };
    };
    let choice = node::choose(config, &asked, (tools, host.as_deref())).await;
    match choice.version {
        Some(version) => toolchain.versions.push(("node".to_owned(), version)),
        None if needed => return Err(Error::Refused(missing(Tool::Node))),
        None => {}
    }
    toolchain.node = choice.directory;
    toolchain.notes.extend(choice.note);
    Ok(())
}

async fn python_for(
    host: &Host,
    asked: Option<Asked>,
    toolchain: &mut Toolchain,
) -> Result<(), Error> {
    let mut program = "python3".to_owned();
    if let Some(wanted) = asked.as_ref().and_then(|asked| version::major_minor(&asked.text)) {
        let exact = format!("python{wanted}");
        if find_program(&exact).is_some() {
            program = exact;
        }
    }
    let Some(path) = find_program(&program) else {
        return Err(Error::Refused(missing(Tool::Python)));
    };
    let Some(found) = host.version_of(Tool::Python, &program).await else {
        return Err(Error::Refused(missing(Tool::Python)));
    };
    if !host.can_make_virtual_environments(&path).await {
        let problem = Problem::new(
            "python-venv-missing",
            format!("{program} on this machine cannot make virtual environments"),
        );
        return Err(Error::Refused(problem.hint("install it: `apt install python3-venv`")));
    }
    if let Some(asked) = asked
        && !version::is_prefix_of(&asked.text, &found, 2)
    {
        toolchain.notes.push(asked.note(Some(&found), format!("Python {found} is used")));
    }
    toolchain.versions.push(("python".to_owned(), found));
    toolchain.python = Some(path);
    Ok(())
}

/// A tool that is taken as it is.
async fn plain(
    host: &Host,
    asked: Option<Asked>,
    (tool, toolchain): (Tool, &mut Toolchain),
) -> Result<(), Error> {
    let Some(found) = host.version_of(tool, tool.program()).await else {
        return Err(Error::Refused(missing(tool)));
    };
    if let Some(asked) = asked {
        let fits = match tool {
            // `go 1.22` in go.mod is the least version, and newer toolchains keep to it.
            Tool::Go => version::is_at_least(&found, &asked.text),
            Tool::Rust => {
                version::is_channel(&asked.text) || version::is_prefix_of(&asked.text, &found, 2)
            }
            _ => version::is_prefix_of(&asked.text, &found, 2),
        };
        if !fits {
            let consequence = format!("{} {found} is used", tool.name());
            toolchain.notes.push(asked.note(Some(&found), consequence));
        }
    }
    toolchain.versions.push((tool.name().to_owned(), found));
    Ok(())
}

fn missing(tool: Tool) -> Problem {
    let program = tool.program();
    Problem::new("tool-missing", format!("{} is not installed on this machine", tool.title()))
        .detail(format!("`{program}` is in none of the system's directories; one below a person's home is not seen"))
        .hint(format!("install it for all users: {}", tool.how_to_install()))
}
