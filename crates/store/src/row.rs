//! From columns to the types of `model`, and back.

use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Params, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

type Result<T> = rusqlite::Result<T>;

/// All rows of a query.
pub(crate) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    from_row: impl Fn(&Row<'_>) -> std::result::Result<T, Error>,
) -> std::result::Result<Vec<T>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(from_row(row)?);
    }
    Ok(all)
}

/// The first row of a query, if it has any.
pub(crate) fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    from_row: impl Fn(&Row<'_>) -> std::result::Result<T, Error>,
) -> std::result::Result<Option<T>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(from_row).transpose()
}

/// Runs a statement and says how many rows it touched.
pub(crate) fn execute(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> std::result::Result<usize, Error> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}

/// Columns by name. A column that does not hold what it should is an error of SQLite's kind, with
/// the number of the column in it.
pub(crate) trait Columns {
    /// A text that is parsed.
    fn parsed<T>(&self, column: &str) -> Result<T>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>;
    /// A text that is parsed, or NULL.
    fn parsed_option<T>(&self, column: &str) -> Result<Option<T>>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>;
    /// JSON.
    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T>;
    /// JSON, or NULL.
    fn json_option<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>>;
    /// Microseconds since 1970.
    fn time(&self, column: &str) -> Result<Timestamp>;
    /// Microseconds since 1970, or NULL.
    fn time_option(&self, column: &str) -> Result<Option<Timestamp>>;
    /// A number that is never negative.
    fn unsigned(&self, column: &str) -> Result<u64>;
}

impl Columns for Row<'_> {
    fn parsed<T>(&self, column: &str) -> Result<T>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        let text: String = self.get(column)?;
        text.parse().map_err(|error| malformed(self, column, error))
    }

    fn parsed_option<T>(&self, column: &str) -> Result<Option<T>>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        let text: Option<String> = self.get(column)?;
        text.map(|text| text.parse().map_err(|error| malformed(self, column, error))).transpose()
    }

    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        let text: String = self.get(column)?;
        serde_json::from_str(&text).map_err(|error| malformed(self, column, error))
    }

    fn json_option<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| malformed(self, column, error)))
            .transpose()
    }

    fn time(&self, column: &str) -> Result<Timestamp> {
        let micros: i64 = self.get(column)?;
        Timestamp::from_microsecond(micros).map_err(|error| malformed(self, column, error))
    }

    fn time_option(&self, column: &str) -> Result<Option<Timestamp>> {
        let micros: Option<i64> = self.get(column)?;
        micros
            .map(|micros| {
                Timestamp::from_microsecond(micros).map_err(|error| malformed(self, column, error))
            })
            .transpose()
    }

    fn unsigned(&self, column: &str) -> Result<u64> {
        let number: i64 = self.get(column)?;
        u64::try_from(number).map_err(|error| malformed(self, column, error))
    }
}

/// JSON for a column.
pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value)
        .expect("the types of the model have text keys and no failing parts")
}

/// A number for a column; SQLite has no larger ones.
pub(crate) fn to_integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn malformed<E>(row: &Row<'_>, column: &str, error: E) -> rusqlite::Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    let index = row.as_ref().column_index(column).unwrap_or_default();
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
}
