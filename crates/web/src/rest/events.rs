use axum::extract::State;
use axum::response::Response;
use control::ops::events::Reader;

use crate::App;
use crate::convert;
use crate::request::Asked;
use crate::stream::{Gone, HEARTBEAT, Lines, ended, ndjson};

pub(crate) async fn list(
    State(app): State<App>,
    Asked(query): Asked<wire::EventQuery>,
) -> Response {
    let since = query.since.unwrap_or(0);
    let mut reader = Reader::new(&app.platform, &app.feed, since, query.project);
    ndjson(move |lines| async move {
        let mut shutdown = app.shutdown.subscribe();
        forward(&mut reader, &lines).await?;
        if !query.follow {
            return Ok(());
        }
        loop {
            tokio::select! {
                () = reader.changed() => forward(&mut reader, &lines).await?,
                () = tokio::time::sleep(HEARTBEAT) => lines.heartbeat().await?,
                () = ended(&mut shutdown) => return Ok(()),
            }
        }
    })
}

/// Passes on everything that was written since. When it cannot be read, the next change is another
/// chance.
pub(crate) async fn forward(reader: &mut Reader, lines: &Lines) -> Result<(), Gone> {
    loop {
        let events = match reader.read() {
            Ok(events) => events,
            Err(error) => {
                tracing::error!("cannot read the timeline: {error}");
                return Ok(());
            }
        };
        if events.is_empty() {
            return Ok(());
        }
        for event in events {
            lines.send(&convert::event(event)).await?;
        }
    }
}
