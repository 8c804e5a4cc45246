//! Whatever a log holds: no panic, a bounded detail, no secret.

use proptest::prelude::*;

use super::*;

/// Texts that look like logs: parts of real patterns between arbitrary ones.
fn line() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "Traceback (most recent call last):",
        "  File \"a.py\", line 1",
        "KeyError: 'A_B'",
        "Error: Cannot find module '",
        "    at f (a.js:1:1)",
        "Node.js v20.1.0",
        "node:internal:7",
        "panic: ",
        "thread 'main' panicked at a.rs:1:",
        "ECONNREFUSED 127.0.0.1:5432",
        "postgresql://user:pass@host/db",
        "jwt_secret\n  Field required",
        "relation \"",
        "\u{1b}[31",
        "is required",
        "éß�𝄞",
    ]);
    prop::collection::vec(prop_oneof![parts.prop_map(ToOwned::to_owned), any::<String>()], 0..5)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_verdict_is_bounded_and_holds_no_secret(
        log in prop::collection::vec(line(), 0..30),
        secrets in prop::collection::vec("[a-zA-Z0-9 /:@•]{1,12}", 0..4),
        code in prop::option::of(0..=255),
        status in prop::option::of(100_u16..=599),
        place in any::<prop::sample::Index>(),
    ) {
        let mut case = Case::new();
        case.log = log;
        for secret in &secrets {
            if !case.log.is_empty() {
                let index = place.index(case.log.len());
                case.log[index].push_str(&format!(" {secret}"));
            }
        }
        case.secrets = secrets;
        case.exit = code.map(exit);
        case.probe = status.map(|status| ProbeSeen::Unhealthy {
            status,
            body_head: case.log.concat(),
        });
        let problem = case.diagnose();
        prop_assert!(page(&problem.code).is_some());
        let detail = problem.detail.unwrap_or_default();
        prop_assert!(detail.chars().count() <= DETAIL_CHARS_MAX);
        // Shorter ones are flags, not secrets, and are left to be read.
        for secret in case.secrets.iter().filter(|secret| secret.len() >= 4) {
            prop_assert!(!detail.contains(secret.as_str()), "{detail:?} holds {secret:?}");
        }
    }
}

#[test]
fn a_secret_is_hidden_wherever_it_stands() {
    let mut case = Case::crashed(
        "Error: cannot use key s3cr3t-value-1 at postgresql://shop:other-pass@db:5432/shop",
    );
    case.secrets = vec!["s3cr3t-value-1".into()];
    let detail = case.diagnose().detail.unwrap();
    assert_eq!(detail, "Error: cannot use key ••• at postgresql://shop:•••@db:5432/shop");
}

#[test]
fn a_secret_is_no_name_in_a_message() {
    let mut case = Case::crashed("Error: Cannot find module 's3cr3t-value-1'");
    case.secrets = vec!["s3cr3t-value-1".into()];
    let problem = case.diagnose();
    assert_eq!(problem.message, "`api` cannot find the module it imports");
    assert!(!format!("{problem:?}").contains("s3cr3t"), "{problem:?}");
}

#[test]
fn a_long_line_is_cut() {
    let case = Case::crashed(&format!("Error: {}", "x".repeat(100_000)));
    assert!(case.diagnose().detail.unwrap().chars().count() <= DETAIL_CHARS_MAX);
}
