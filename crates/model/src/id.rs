//! Identifiers. Each noun has its own type, with the prefix that Render's API uses for it where
//! there is one, so that a deploy's id can never be passed for a service's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id that starts with `{prefix}`")]
pub struct InvalidId {
    text: String,
    prefix: &'static str,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 26 characters of 5 bits hold the 128 bits of a UUID.
const BODY_LENGTH: usize = 26;

fn encode(uuid: Uuid) -> String {
    let bits = uuid.as_u128();
    (0..BODY_LENGTH)
        .map(|position| {
            let shift = 5 * (BODY_LENGTH - 1 - position);
            char::from(ALPHABET[((bits >> shift) & 31) as usize])
        })
        .collect()
}

fn is_body(text: &str) -> bool {
    text.len() == BODY_LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// What every id of this kind starts with.
            pub const PREFIX: &'static str = $prefix;

            /// The id that stands for this UUID. Version 7 makes ids sort by age.
            #[must_use]
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(format!("{}{}", $prefix, encode(uuid)))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                match text.strip_prefix($prefix) {
                    Some(body) if is_body(body) => Ok(Self(text.to_owned())),
                    _ => Err(InvalidId { text: text.to_owned(), prefix: $prefix }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

id!(/** A [`crate::Project`]. */ ProjectId, "prj-");
id!(/** An [`crate::Environment`]. */ EnvironmentId, "evm-");
id!(/** A [`crate::Service`] in one environment. */ ServiceId, "srv-");
id!(/** A PostgreSQL [`crate::Database`] in one environment. */ DatabaseId, "dpg-");
id!(/** A [`crate::KeyValue`] in one environment. */ KeyValueId, "red-");
id!(/** A [`crate::Deploy`]. */ DeployId, "dep-");
id!(/** A [`crate::Build`]. */ BuildId, "bld-");
id!(/** A [`crate::Release`]. */ ReleaseId, "rel-");
id!(/** An [`crate::Instance`]. */ InstanceId, "ins-");

/// The address of an [`crate::Artifact`]: a hash of everything that went into its build.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArtifactId(String);

impl ArtifactId {
    /// Length of the hexadecimal text: 256 bits.
    pub const LENGTH: usize = 64;

    /// The id as text: 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for ArtifactId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() == Self::LENGTH && is_hex {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId { text: text.to_owned(), prefix: "" })
        }
    }
}

impl TryFrom<String> for ArtifactId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<ArtifactId> for String {
    fn from(id: ArtifactId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_way_through_text() {
        let id = ServiceId::from_uuid(Uuid::from_u128(0x0192_f0c1_7a4e_7000_8000_0000_0000_0001));
        assert_eq!(id.as_str().parse::<ServiceId>(), Ok(id.clone()));
        assert_eq!(id.as_str().len(), 4 + BODY_LENGTH);
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let id = ServiceId::from_uuid(Uuid::from_u128(7));
        assert!(id.as_str().parse::<DeployId>().is_err());
        assert!("srv-UPPERCASE".parse::<ServiceId>().is_err());
        assert!("srv-../../../../../etc/passwd0".parse::<ServiceId>().is_err());
    }

    #[test]
    fn ids_sort_by_age() {
        let older = DeployId::from_uuid(Uuid::from_u128(1 << 100));
        let newer = DeployId::from_uuid(Uuid::from_u128(2 << 100));
        assert!(older < newer);
    }
}
