//! The unit for systemd, below a root that is not this machine's.

use super::support::run;

#[test]
fn a_unit_is_written_below_a_root_and_taken_away_again_and_nothing_is_started() {
    let root = tempfile::tempdir().unwrap();
    let root_text = root.path().to_str().unwrap();
    let installed = run(&["install", "--root", root_text, "--state-dir", "/srv/gable"]);
    assert_eq!(installed.code, 0, "{}", installed.stderr);
    let path = root.path().join("etc/systemd/system/gable.service");
    let unit = std::fs::read_to_string(&path).unwrap();
    assert!(unit.contains("gable\" server --supervised --state-dir \"/srv/gable\""), "{unit}");
    for _ in 0..2 {
        let removed = run(&["uninstall", "--root", root_text]);
        assert_eq!(removed.code, 0, "{}", removed.stderr);
        assert!(!path.exists());
    }
}
