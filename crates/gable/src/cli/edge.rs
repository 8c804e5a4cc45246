//! `gable edge`: the reverse proxy, started by the control plane.

use wire::Problem;

use super::args::{EdgeArgs, LogFormat};
use super::keep;
use super::server;
use super::stop::{DONE, Outcome, Stop, chain};

/// Runs it until it is asked to end.
pub(crate) fn run(args: EdgeArgs) -> Outcome {
    server::start_logging(&args.log, LogFormat::Text)?;
    // Fails only for the leader of a group, which has left the control plane's session already.
    let _ = rustix::process::setsid();
    if let (Some(state_dir), Some(run_dir)) = (args.keep, args.control_socket.parent()) {
        keep::watch(state_dir, run_dir.to_owned());
    }
    let config = edge::Config {
        listen: args.listen,
        control_socket: args.control_socket,
        table_path: args.table,
        dns_port: args.dns_port,
        dns_upstreams: None,
        threads: 0,
        authority: args.authority,
        settings: args.settings,
    };
    edge::run(config).map_err(|error| {
        tracing::error!("{}", chain(&error));
        let problem = Problem::new("edge-failed", error.to_string());
        Stop::failed(problem.detail(chain(&error)))
    })?;
    Ok(DONE)
}
