//! New ids.

use model::InstanceId;
use uuid::Uuid;

/// Version 7: later ones sort after earlier ones.
pub(crate) fn new_uuid() -> Uuid {
    Uuid::now_v7()
}

/// An id for an instance that is not remembered here, such as a check that a person asked for.
#[must_use]
pub fn new_instance_id() -> InstanceId {
    InstanceId::from_uuid(new_uuid())
}
