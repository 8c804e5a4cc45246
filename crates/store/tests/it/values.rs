use model::{EnvOwner, ValueOrigin};
use proptest::prelude::*;
use secrecy::ExposeSecret;
use store::Store;
use store::values::Slot;

use crate::{at, environment};

#[test]
fn a_generated_value_never_changes_and_an_operators_value_wins() {
    let store = Store::in_memory().unwrap();
    let environment = environment(&store, "shop", "production");
    let owner = EnvOwner::Service("web".to_owned());
    let slot = Slot { environment_id: &environment.id, owner: &owner, key: "SECRET" };
    let set_if_absent = |value: &str| {
        store::values::set_if_absent(&store, slot, &value.into(), ValueOrigin::Generated, at(1))
            .unwrap()
            .expose_secret()
            .to_owned()
    };
    assert_eq!(set_if_absent("first"), "first");
    assert_eq!(set_if_absent("second"), "first");
    store::values::set(&store, slot, &"mine".into(), ValueOrigin::Operator, at(2)).unwrap();
    assert_eq!(set_if_absent("third"), "mine");
    let value = store::values::get(&store, slot).unwrap().unwrap();
    assert_eq!((value.origin, value.changed_at), (ValueOrigin::Operator, at(2)));
    assert!(store::values::unset(&store, slot).unwrap());
    assert!(!store::values::unset(&store, slot).unwrap());
    assert!(store::values::get(&store, slot).unwrap().is_none());
}

#[test]
fn a_service_and_a_group_of_one_name_do_not_share_values() {
    let store = Store::in_memory().unwrap();
    let environment = environment(&store, "shop", "production");
    for owner in [EnvOwner::Service("a".to_owned()), EnvOwner::Group("a".to_owned())] {
        let slot = Slot { environment_id: &environment.id, owner: &owner, key: "K" };
        let value = format!("{owner:?}").into();
        store::values::set(&store, slot, &value, ValueOrigin::Operator, at(1)).unwrap();
    }
    let values = store::values::list(&store, &environment.id).unwrap();
    assert_eq!(values.len(), 2);
    assert!(values.iter().all(|value| value.value.expose_secret() == format!("{:?}", value.owner)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_survives(owner in ".*", key in ".*", value in ".*") {
        let store = Store::in_memory().unwrap();
        let environment = environment(&store, "shop", "production");
        let owner = EnvOwner::Group(owner);
        let slot = Slot { environment_id: &environment.id, owner: &owner, key: &key };
        store::values::set(&store, slot, &value.clone().into(), ValueOrigin::Operator, at(1)).unwrap();
        let read = store::values::get(&store, slot).unwrap().unwrap();
        prop_assert_eq!(read.value.expose_secret(), value.as_str());
    }
}
