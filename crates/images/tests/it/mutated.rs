//! Layers with random changes: whatever comes out, nothing is written outside.

use std::fs;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::files::write_layout;
use crate::layer::{Layer, architecture, assemble};
use crate::world::{World, silent};

/// Parts that strangers are known to combine.
const PATHS: [&str; 16] = [
    "a",
    "b",
    "a/b",
    "a/b/c",
    "link",
    "link/x",
    "link/sub/x",
    "link/sub",
    "..",
    "../x",
    "/etc/x",
    "./a/../b",
    ".wh.a",
    "a/.wh..wh..opq",
    "link/.wh.x",
    "dev/null",
];

/// What to make, in which way, leading where.
type Choice = (usize, usize, usize);
/// A byte to change, and what to.
type Flip = (prop::sample::Index, u8);

/// A header, in parts that are chosen one by one.
fn layer(choices: &[Choice], outside: &str) -> Layer {
    let up = "../".repeat(12) + outside.trim_start_matches('/');
    let targets = [outside, &up, ".", "..", "a", "link", "a/b", "/"];
    let mut layer = Layer::new();
    for (path, kind, target) in choices {
        let (path, target) = (PATHS[path % PATHS.len()], targets[target % targets.len()]);
        layer = match kind % 5 {
            0 => layer.file(path, "x"),
            1 => layer.dir(path),
            2 => layer.symlink(path, target),
            3 => layer.hard_link(path, target),
            _ => layer.hard_link(path, "link/secret"),
        };
    }
    layer
}

#[test]
fn no_mutated_layer_is_written_outside() {
    let Some(world) = World::new() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outside = world.dir.path().join("outside");
    fs::create_dir_all(outside.join("sub")).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    let layout = world.dir.path().join("layout");
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    let choices = prop::collection::vec((0..99_usize, 0..5_usize, 0..99_usize), 1..12);
    // Single bytes are changed with the checksum mended, so that the change is looked at.
    let flips = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let strategy = (choices, flips);
    let check = |(choices, flips): (Vec<Choice>, Vec<Flip>)| {
        let mut layer = layer(&choices, outside.to_str().unwrap());
        for (place, byte) in flips {
            let place = place.index(layer.0.len());
            layer.0[place] = byte;
            mend(&mut layer.0[place / 512 * 512..][..512]);
        }
        let blob = vec![layer.tar()];
        let made = assemble(&[layer], blob, &json!({}), architecture());
        write_layout(&layout, &[&made]);
        let result = runtime.block_on(world.images.import_layout(&layout, &silent));
        let (unfinished, layers, _) = world.counts();
        prop_assert_eq!(unfinished, 0);
        prop_assert_eq!(layers, usize::from(result.is_ok()));
        prop_assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);
        prop_assert_eq!(fs::read_dir(outside.join("sub")).unwrap().count(), 0);
        prop_assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "secret");
        prop_assert_eq!(fs::read_dir(world.dir.path()).unwrap().count(), 3);
        runtime.block_on(world.images.collect_garbage(&[])).unwrap();
        fs::remove_dir_all(&layout).unwrap();
        Ok(())
    };
    TestRunner::new(config).run(&strategy, check).unwrap();
}

fn mend(block: &mut [u8]) {
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    header.set_cksum();
    block.copy_from_slice(header.as_bytes());
}
