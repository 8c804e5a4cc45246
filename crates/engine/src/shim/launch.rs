//! The last steps of a child before it becomes the user's program.

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::execve;

use crate::shim::filter;
use crate::spec::DEFAULT_PATH;
use crate::sys;

/// A program to become.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) command: Vec<String>,
    pub(super) cwd: PathBuf,
    pub(super) env: Vec<(String, String)>,
    /// The capabilities that say which system calls it may make; every one where `None`.
    pub(super) calls: Option<u64>,
}

impl Program {
    /// Becomes the program. Returns only if that is impossible, with the reason for a person.
    pub(super) fn become_it(&self) -> String {
        sys::reset_signals();
        if let Err(error) = std::env::set_current_dir(&self.cwd) {
            return format!("working directory {}: {}", self.cwd.display(), reason(&error));
        }
        let Some(name) = self.command.first().filter(|name| !name.is_empty()) else {
            return "the command is empty".to_owned();
        };
        let env: Vec<CString> =
            self.env.iter().filter_map(|(key, value)| c_string(format!("{key}={value}"))).collect();
        let Some(arguments) = self
            .command
            .iter()
            .map(|argument| c_string(argument.as_str()))
            .collect::<Option<Vec<_>>>()
        else {
            return format!("the command {name} holds a NUL byte");
        };
        let candidates = self.candidates(name);
        if let Some(capabilities) = self.calls
            && let Err(error) = sys::filter_calls(&filter::program(capabilities))
        {
            return format!("the kernel takes no filter of system calls: {}", error.desc());
        }
        let mut refused = None;
        for candidate in candidates {
            match try_execute(&candidate, &arguments, &env) {
                Errno::ENOENT | Errno::ENOTDIR if !candidate.exists() => {}
                Errno::ENOENT => return missing_interpreter(&candidate),
                error => {
                    refused = Some((candidate, error));
                    // As a shell does: a later directory may hold one that can be executed.
                    if error != Errno::EACCES {
                        break;
                    }
                }
            }
        }
        match refused {
            None => format!("command not found: {name}"),
            Some((candidate, Errno::EACCES)) => permission_denied(&candidate),
            Some((candidate, error)) => {
                format!("cannot execute {}: {}", candidate.display(), error.desc())
            }
        }
    }

    fn candidates(&self, name: &str) -> Vec<PathBuf> {
        if name.contains('/') {
            return vec![PathBuf::from(name)];
        }
        let path =
            self.env.iter().rev().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_str());
        path.unwrap_or(DEFAULT_PATH)
            .split(':')
            .map(|directory| {
                Path::new(if directory.is_empty() { "." } else { directory }).join(name)
            })
            .collect()
    }
}

fn try_execute(path: &Path, arguments: &[CString], env: &[CString]) -> Errno {
    let Some(c_path) = c_string(path.as_os_str()) else { return Errno::EINVAL };
    let Err(error) = execve(&c_path, arguments, env);
    if error != Errno::ENOEXEC {
        return error;
    }
    // A script without a first line that names its interpreter: every shell runs it itself.
    let mut with_shell = vec![c"/bin/sh".to_owned(), c_path];
    with_shell.extend(arguments.iter().skip(1).cloned());
    let Err(error) = execve(c"/bin/sh", &with_shell, env);
    error
}

fn missing_interpreter(path: &Path) -> String {
    let first = fs::read(path).ok().and_then(|bytes| {
        let line = bytes.split(|byte| *byte == b'\n').next()?.strip_prefix(b"#!")?;
        Some(String::from_utf8_lossy(line).trim().to_owned())
    });
    match first {
        Some(interpreter) => {
            format!("{} asks for an interpreter that is not there: {interpreter}", path.display())
        }
        None => format!("{} needs a loader or library that is not there", path.display()),
    }
}

fn permission_denied(path: &Path) -> String {
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode());
    match mode {
        Ok(mode) if mode & 0o111 == 0 => {
            format!("permission denied: {} is not executable", path.display())
        }
        _ => format!("permission denied: {}", path.display()),
    }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::NotADirectory => "not a directory".to_owned(),
        _ => error.to_string(),
    }
}

fn c_string(text: impl AsRef<OsStr>) -> Option<CString> {
    CString::new(text.as_ref().as_bytes()).ok()
}
