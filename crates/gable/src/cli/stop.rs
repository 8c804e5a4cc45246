//! How a command ends, well or not.

use wire::Problem;

use super::escape::one_line;
use super::paint::Paint;

/// Everything is as asked.
pub(crate) const DONE: u8 = 0;
/// Something failed or was refused.
pub(crate) const FAILED: u8 = 1;
/// The command line, or a file it names, is wrong.
pub(crate) const USAGE: u8 = 2;
/// Gable itself failed to run the command of `exec`, `run` or `psql`.
pub(crate) const COULD_NOT_RUN: u8 = 125;
/// The person has interrupted it.
pub(crate) const INTERRUPTED: u8 = 130;

/// How a command ends: an exit code, or a reason to stop.
pub(crate) type Outcome = Result<u8, Stop>;

/// A reason to stop.
#[derive(Debug)]
pub(crate) struct Stop {
    /// What the person is told; nothing if everything was said.
    pub(crate) problem: Option<Box<Problem>>,
    /// The process's exit code.
    pub(crate) exit: u8,
}

impl Stop {
    /// Something failed or was refused.
    pub(crate) fn failed(problem: Problem) -> Self {
        Self { problem: Some(Box::new(problem)), exit: FAILED }
    }

    /// The command line, or a file it names, is wrong. It has no code: everything is in the text.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { problem: Some(Box::new(Problem::new("", message))), exit: USAGE }
    }

    /// Everything was said.
    pub(crate) fn quiet(exit: u8) -> Self {
        Self { problem: None, exit }
    }

    /// The same with what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(problem) = self.problem.take() {
            self.problem = Some(Box::new(problem.hint(hint)));
        }
        self
    }

    /// Whether it is not about this.
    pub(crate) fn is_not(&self, code: &str) -> bool {
        self.problem.as_ref().is_none_or(|problem| problem.code != code)
    }

    /// The same with another exit code.
    pub(crate) fn exit(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }
}

impl From<wire::Error> for Stop {
    fn from(error: wire::Error) -> Self {
        let chain = chain(&error);
        Self::failed(match error {
            wire::Error::Unreachable { .. } => {
                Problem::new("server-not-running", "nothing runs here: there is no server")
                    .detail(chain)
                    .hint(
                        "`gable up` starts everything; with another `--state-dir` give it here too",
                    )
            }
            wire::Error::Refused { problem, request_id: Some(id), .. }
                if problem.detail.is_none() =>
            {
                problem.detail(format!("request {id} in the server's log"))
            }
            wire::Error::Refused { problem, .. } => *problem,
            wire::Error::Lost { .. } => {
                Problem::new("server-lost", "the server went away in the middle of an answer")
                    .detail(chain)
                    .hint("what runs goes on; `gable up` starts the server again")
            }
            wire::Error::Unintelligible { .. } => {
                Problem::new("server-version", "the server speaks another version of the language")
                    .detail(chain)
                    .hint("run the same version of `gable` that the server was started with")
            }
        })
    }
}

/// An error and all its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A problem as a person reads it: what, why, and what to do.
pub(crate) fn render_problem(problem: &Problem, paint: Paint) -> String {
    render_with(&paint.bad("error:"), problem, paint)
}

/// The same of what has not failed: the reason for something, or a warning.
pub(crate) fn render_with(label: &str, problem: &Problem, paint: Paint) -> String {
    let code = if problem.code.is_empty() {
        String::new()
    } else {
        paint.dim(&format!(" [{}]", problem.code))
    };
    let mut text = format!("{label} {}{code}\n", one_line(&problem.message));
    for line in problem.detail.iter().flat_map(|detail| detail.lines()) {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
    if let Some(hint) = &problem.hint {
        text.push_str(&format!("\n{} {hint}\n", paint.busy("hint:")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_with_its_cause_and_then_what_to_do() {
        let problem = Problem::new("port-not-open", "api listens on no port")
            .detail("it said: listening on 127.0.0.1:4000\nPORT is 10000")
            .hint("bind 0.0.0.0");
        insta::assert_snapshot!(render_problem(&problem, Paint::plain()), @r"
        error: api listens on no port [port-not-open]
          it said: listening on 127.0.0.1:4000
          PORT is 10000

        hint: bind 0.0.0.0
        ");
    }
}
