//! `gable run`: a one-off job whose exit code is ours.

use std::io::{IsTerminal as _, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use bytes::Bytes;
use wire::{Client, JobQuery, JobRef, JobRequest, JobStatus, LogLine, LogQuery, Problem, Stream};

use super::args::RunArgs;
use super::context::Context;
use super::deploys;
use super::interrupts::Interrupts;
use super::printer::Printer;
use super::stop::{COULD_NOT_RUN, INTERRUPTED, Outcome, Stop};

/// How long one question after a job may take.
const WAIT_SECONDS: u32 = 30;
/// How long the log of a job that has ended may take to arrive.
const LOG_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of the standard input that are sent at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Such pieces that wait to be sent, at most.
const CHUNKS_MAX: usize = 4;

/// Runs it.
pub(crate) async fn run(context: &Context, args: &RunArgs) -> Outcome {
    job(context, args).await.map_err(|stop| match stop.problem {
        Some(_) => stop.exit(COULD_NOT_RUN),
        None => stop,
    })
}

async fn job(context: &Context, args: &RunArgs) -> Outcome {
    let named = deploys::named(context, &args.service).await?;
    let has_input = has_input();
    let request =
        JobRequest { service: named.id.clone(), command: command(&args.command), input: has_input };
    let job = named.client.run_job(&request).await?;
    if has_input {
        let (client, id) = (named.client.clone(), job.id.clone());
        // It ends with the job, whatever more this process is given.
        tokio::spawn(async move { client.job_input(&id, standard_input()).await });
    }
    let mut interrupts = Interrupts::listen().map_err(|error| {
        Stop::failed(
            Problem::new("host-error", "signals cannot be listened to").detail(error.to_string()),
        )
    })?;
    let status = tokio::select! {
        status = follow(context.printer, &named.client, &job) => status?,
        () = interrupts.next() => return stop(context, &named.client, &job, &mut interrupts).await,
    };
    if let Some(problem) = status.failure.filter(|_| status.exit_code.is_none()) {
        return Err(Stop::failed(problem));
    }
    Ok(status.exit_code.and_then(|code| u8::try_from(code).ok()).unwrap_or(COULD_NOT_RUN))
}

/// Whether there may be something to read. A person's keys are for this terminal: a job has none.
fn has_input() -> bool {
    let stdin = rustix::stdio::stdin();
    if stdin.is_terminal() {
        return false;
    }
    // An input that is empty by its nature, and one that is closed, need no way to the job.
    let null = std::fs::metadata("/dev/null").map(|null| null.rdev()).ok();
    rustix::fs::fstat(stdin).is_ok_and(|input| Some(input.st_rdev) != null)
}

/// What this process is given, as it comes. It is read on a thread, which ends with the process.
fn standard_input() -> impl futures::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let (send, chunks) = tokio::sync::mpsc::channel(CHUNKS_MAX);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = match input.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => {
                    chunk.truncate(length);
                    Ok(Bytes::from(chunk))
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            if read.is_err() || send.blocking_send(read).is_err() {
                break;
            }
        }
    });
    futures::stream::unfold(chunks, |mut chunks| async {
        chunks.recv().await.map(|chunk| (chunk, chunks))
    })
}

/// One word is a line for the shell; more are program and arguments.
pub(crate) fn command(words: &[String]) -> Vec<String> {
    match words {
        [line] => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
        words => words.to_vec(),
    }
}

/// Shows the log until the job is over and the log as well.
async fn follow(printer: Printer, client: &Client, job: &JobRef) -> Result<JobStatus, Stop> {
    let query =
        LogQuery { instance: Some(job.instance_id.clone()), follow: true, ..LogQuery::default() };
    let mut lines = client.logs(&query).await?;
    let show = async {
        while let Some(line) = lines.next().await? {
            tell(printer, &line)?;
        }
        Ok::<(), Stop>(())
    };
    tokio::pin!(show);
    let over = over(client, &job.id);
    tokio::pin!(over);
    tokio::select! {
        status = &mut over => {
            let status = status?;
            if let Ok(shown) = tokio::time::timeout(LOG_TIMEOUT, show).await {
                shown?;
            }
            Ok(status)
        }
        shown = &mut show => {
            shown?;
            over.await
        }
    }
}

fn tell(printer: Printer, line: &LogLine) -> Result<(), Stop> {
    if printer.json {
        return printer.json(line);
    }
    match line.stream {
        Stream::Stdout => printer.program_out(&line.text),
        Stream::Stderr => {
            printer.program_err(&line.text);
            Ok(())
        }
        Stream::Gable => {
            printer.say(&printer.err().dim(&format!("gable: {}", line.text)));
            Ok(())
        }
    }
}

/// Waits until the job is over.
async fn over(client: &Client, id: &str) -> Result<JobStatus, Stop> {
    loop {
        let status = client.job(id, &JobQuery { wait: Some(WAIT_SECONDS) }).await?;
        if status.state.is_over() {
            return Ok(status);
        }
    }
}

async fn stop(
    context: &Context,
    client: &Client,
    job: &JobRef,
    interrupts: &mut Interrupts,
) -> Outcome {
    context.printer.say("stopping the job");
    client.cancel_job(&job.id).await?;
    tokio::select! {
        status = over(client, &job.id) => { status?; }
        () = interrupts.next() => {}
    }
    Ok(INTERRUPTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_a_line_for_the_shell() {
        assert_eq!(command(&["a && b".into()]), ["/bin/sh", "-c", "a && b"]);
        assert_eq!(command(&["npm".into(), "run x".into()]), ["npm", "run x"]);
    }
}
