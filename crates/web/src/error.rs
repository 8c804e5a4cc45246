//! Errors as answers.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::Problem;

/// What is said of things that a request names by id or name. Other codes speak of what is missing
/// in somebody's source, such as `path-not-found`.
const NOT_THERE: &[&str] = &[
    "not-found",
    "project-not-found",
    "service-not-found",
    "database-not-found",
    "release-not-found",
    "job-not-found",
];

/// An answer that is an error.
#[derive(Debug)]
pub struct Error {
    status: StatusCode,
    problem: Problem,
}

impl Error {
    pub(crate) fn new(status: StatusCode, problem: Problem) -> Self {
        Self { status, problem }
    }
}

impl From<control::Error> for Error {
    fn from(error: control::Error) -> Self {
        let problem = error.problem();
        let status = match problem.code.as_str() {
            code if NOT_THERE.contains(&code) => StatusCode::NOT_FOUND,
            code => match error {
                control::Error::Problem(_) => StatusCode::UNPROCESSABLE_ENTITY,
                // The source is the person's own, unless this machine is what fails.
                control::Error::Build(_) if !["host-refused", "git-failed"].contains(&code) => {
                    StatusCode::UNPROCESSABLE_ENTITY
                }
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        };
        Self { status, problem }
    }
}

impl From<model::id::InvalidId> for Error {
    fn from(error: model::id::InvalidId) -> Self {
        let problem = Problem::new("id-invalid", error.to_string())
            .hint("ids are listed by `gable status --json`");
        Self { status: StatusCode::BAD_REQUEST, problem }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let request_id = uuid::Uuid::new_v4().simple().to_string();
        if self.status.is_server_error() {
            tracing::error!(
                request.id = request_id,
                detail = self.problem.detail,
                "a request failed: {}",
                self.problem.message
            );
        }
        let failure = wire::Failure {
            problem: crate::convert::problem(&self.problem),
            // Only where the server's log says more than the answer.
            request_id: self.status.is_server_error().then_some(request_id),
        };
        (self.status, Json(failure)).into_response()
    }
}
