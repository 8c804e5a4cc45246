//! What is read from a request. Whatever is wrong with it is answered as any other error is.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::StatusCode;
use http::request::Parts;
use model::Problem;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// The body, as JSON.
pub(crate) struct Body<T>(pub(crate) T);

/// The query of the address.
pub(crate) struct Asked<T>(pub(crate) T);

/// The one part of the path that is not fixed.
pub(crate) struct Named(pub(crate) String);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let Json(body) = Json::from_request(request, state)
            .await
            .map_err(|rejection: JsonRejection| malformed(rejection.status(), "body", rejection))?;
        Ok(Self(body))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Query(query) = Query::from_request_parts(parts, state).await.map_err(
            |rejection: QueryRejection| malformed(rejection.status(), "query", rejection),
        )?;
        Ok(Self(query))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Path(name) = Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection: PathRejection| malformed(rejection.status(), "path", rejection))?;
        Ok(Self(name))
    }
}

fn malformed(status: StatusCode, part: &str, why: impl std::error::Error) -> Error {
    // What exactly is wrong stands at the end of the chain.
    let mut detail = why.to_string();
    let mut source = why.source();
    while let Some(cause) = source {
        detail = cause.to_string();
        source = cause.source();
    }
    let message = format!("the {part} of the request cannot be understood");
    Error::new(status, Problem::new("query-invalid", message).detail(detail))
}

/// Answers for addresses that nobody serves.
pub(crate) async fn nowhere(uri: http::Uri) -> Error {
    let message = format!("nothing is served at {}", uri.path());
    Error::new(StatusCode::NOT_FOUND, Problem::new("not-found", message))
}

/// Answers for methods that an address does not have.
pub(crate) async fn wrong_method(method: http::Method, uri: http::Uri) -> Error {
    let message = format!("{} does not take {method}", uri.path());
    Error::new(StatusCode::METHOD_NOT_ALLOWED, Problem::new("query-invalid", message))
}
