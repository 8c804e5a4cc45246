//! What to do next for one service.
//!
//! [`plan`] compares what is asked of a service ([`Desired`]) with what is seen of it
//! ([`Observed`]) and returns the next steps, or why there are none and when to look again. It is
//! called on every signal and on a timer, knows nothing of why it is called, and may be called
//! again after a crash at any line of the code that acts: each action is safe to repeat.

mod dependents;
mod observed;
mod plan;
mod supervise;
mod turn;
mod update;

pub use dependents::dependents;
pub use observed::{
    ArtifactState, Desired, Health, JobState, LiveDeploy, NeedState, NextDeploy, Observed, Refusal,
    RolloutMode, RouteState, SeenInstance, Timeouts, rollout_mode,
};
pub use plan::{Action, Because, Plan, Waiting, plan};
pub use supervise::{CRASH_LOOP_EXITS, back_off, may_restart};
pub use turn::{Turn, turn};
