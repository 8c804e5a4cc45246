//! Snapshots, checkouts and branches of other repositories.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use build::{Note, Snapshot, Sources};

use crate::repository::{PROJECT, Repository, git_in, store};

async fn snapshot(sources: &Sources, repository: &Repository) -> Snapshot {
    sources.snapshot(PROJECT, repository.path()).await.unwrap()
}

async fn files(sources: &Sources, snapshot: &Snapshot) -> Vec<String> {
    sources.list_files(PROJECT, &snapshot.commit.id).await.unwrap()
}

#[tokio::test]
async fn a_clean_tree_is_the_users_own_commit() {
    let repository = Repository::committed(&[("a", "1"), ("d/b", "2")]);
    repository.git(&["remote", "add", "origin", "https://me:secret@example.com/owner/name.git"]);
    let (_dir, sources) = store();
    let taken = snapshot(&sources, &repository).await;
    assert_eq!(taken.commit.id, repository.git(&["rev-parse", "HEAD"]));
    assert_eq!(taken.commit.tree, repository.git(&["rev-parse", "HEAD^{tree}"]));
    assert_eq!((taken.commit.branch.as_str(), taken.commit.subject.as_str()), ("trunk", "first"));
    assert!(!taken.commit.is_dirty && taken.is_repository && taken.notes.is_empty());
    assert_eq!(taken.origin.as_deref(), Some("https://example.com/owner/name.git"));
    let moved = repository.commit("second, with the same files");
    assert_eq!(snapshot(&sources, &repository).await.commit.id, moved);
}

#[tokio::test]
async fn changes_and_new_files_are_taken_and_ignored_ones_are_not() {
    let repository = Repository::committed(&[
        (".gitignore", "*.log\n/forced\n/node_modules\n"),
        ("kept", "1"),
        ("gone", "2"),
        ("d/.gitignore", "inner\n"),
    ]);
    let (_dir, sources) = store();
    let clean = snapshot(&sources, &repository).await;
    fs::remove_file(repository.path().join("gone")).unwrap();
    repository.write(&[
        ("kept", "changed"),
        ("new file", "3"),
        ("x.log", "ignored"),
        ("d/inner", "ignored below"),
        ("d/other", "4"),
        ("private", "excluded"),
        ("node_modules/m/index.js", "ignored"),
        ("forced", "added by force"),
        (".git/info/exclude", "private\n"),
    ]);
    repository.git(&["add", "--force", "forced"]);
    let dirty = snapshot(&sources, &repository).await;
    assert!(dirty.commit.is_dirty);
    let expect = [".gitignore", "d/.gitignore", "d/other", "forced", "kept", "new file"];
    assert_eq!(files(&sources, &dirty).await, expect);
    let kept = sources.read_file(PROJECT, &dirty.commit.id, "kept").await.unwrap();
    assert_eq!(kept.as_deref(), Some(b"changed".as_slice()));
    let changed = sources.changed_files(PROJECT, &clean.commit.id, &dirty.commit.id).await.unwrap();
    assert_eq!(changed, ["d/other", "forced", "gone", "kept", "new file"]);
    assert_eq!(snapshot(&sources, &repository).await, dirty, "equal files are an equal snapshot");
}

#[tokio::test]
async fn tracked_files_stay_even_where_they_are_ignored() {
    let repository = Repository::committed(&[("dist/app.js", "1")]);
    repository.write(&[(".gitignore", "dist\n")]);
    repository.commit("ignore dist, which stays tracked");
    let (_dir, sources) = store();
    let taken = snapshot(&sources, &repository).await;
    assert!(!taken.commit.is_dirty);
    assert_eq!(files(&sources, &taken).await, [".gitignore", "dist/app.js"]);
}

#[tokio::test]
async fn the_users_repository_is_not_touched() {
    let repository = Repository::committed(&[("a", "1")]);
    repository.git(&["tag", "v1"]);
    repository.write(&[("a", "2"), ("b", "3")]);
    let before = repository.git_state();
    let (_dir, sources) = store();
    snapshot(&sources, &repository).await;
    repository.write(&[("c", "4")]);
    snapshot(&sources, &repository).await;
    assert!(before == repository.git_state(), "something below .git has changed");
}

#[tokio::test]
async fn a_repository_of_another_user_is_read() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can make a repository of another user's");
        return;
    }
    let repository = Repository::committed(&[("a", "1")]);
    let owner = "4242:4242";
    let path = repository.path().to_string_lossy().into_owned();
    let status = std::process::Command::new("chown").args(["-R", owner, &path]).status().unwrap();
    assert!(status.success());
    let (_dir, sources) = store();
    let taken = snapshot(&sources, &repository).await;
    assert!(!taken.commit.is_dirty && taken.notes.is_empty(), "{taken:?}");
}

#[tokio::test]
async fn nothing_that_a_repository_configures_is_run() {
    let repository = Repository::committed(&[("a", "1"), (".gitattributes", "* filter=evil\n")]);
    let witness = repository.path().with_extension("witness");
    let touch = format!("touch {}", witness.display());
    let hook = repository.path().join(".git/hooks/post-checkout");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    for name in ["post-checkout", "post-commit", "post-index-change", "reference-transaction"] {
        let hook = hook.with_file_name(name);
        fs::write(&hook, format!("#!/bin/sh\n{touch}\n")).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let hooks = hook.parent().unwrap().display().to_string();
    for (key, value) in [
        ("filter.evil.clean", touch.as_str()),
        ("filter.evil.smudge", &touch),
        ("filter.evil.required", "true"),
        ("core.fsmonitor", &touch),
        ("core.hooksPath", &hooks),
        ("diff.external", &touch),
        ("uploadpack.packObjectsHook", &touch),
        ("core.sshCommand", &touch),
        ("core.pager", &touch),
    ] {
        repository.git(&["config", key, value]);
    }
    let _ = fs::remove_file(&witness);
    repository.write(&[("a", "2")]);
    let (dir, sources) = store();
    let taken = snapshot(&sources, &repository).await;
    sources.checkout(PROJECT, &taken.commit, &dir.path().join("out")).await.unwrap();
    assert!(!witness.exists(), "something of the user's repository was run");
    assert_eq!(fs::read_to_string(dir.path().join("out/a")).unwrap(), "2");
}

#[tokio::test]
async fn a_directory_inside_a_repository_means_the_whole_repository() {
    let repository = Repository::committed(&[("apps/web/a", "1"), ("data/b", "2")]);
    let (_dir, sources) = store();
    let taken = sources.snapshot(PROJECT, &repository.path().join("apps/web")).await.unwrap();
    assert_eq!(taken.sub_path, "apps/web");
    assert_eq!(taken.commit.id, repository.git(&["rev-parse", "HEAD"]));
    repository.write(&[("data/c", "3")]);
    let taken = sources.snapshot(PROJECT, &repository.path().join("apps/web")).await.unwrap();
    assert_eq!(files(&sources, &taken).await, ["apps/web/a", "data/b", "data/c"]);
}

#[tokio::test]
async fn a_plain_directory_is_a_source_too() {
    let repository = Repository::plain(&[("a", "1"), (".gitignore", "b\n"), ("b", "2")]);
    let (dir, sources) = store();
    let taken = snapshot(&sources, &repository).await;
    assert!(!taken.is_repository && taken.origin.is_none());
    assert_eq!(files(&sources, &taken).await, [".gitignore", "a"]);
    assert_eq!(snapshot(&sources, &repository).await, taken);
    sources.checkout(PROJECT, &taken.commit, &dir.path().join("out")).await.unwrap();
    assert_eq!(git_in(&dir.path().join("out"), &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn a_directory_that_an_outer_repository_ignores_is_its_own() {
    let outer = Repository::committed(&[(".gitignore", "/inner\n"), ("a", "1")]);
    outer.write(&[("inner/b", "2")]);
    let (_dir, sources) = store();
    let taken = sources.snapshot(PROJECT, &outer.path().join("inner")).await.unwrap();
    assert!(!taken.is_repository);
    assert_eq!(files(&sources, &taken).await, ["b"]);
}

#[tokio::test]
async fn a_repository_without_a_commit_is_a_source_too() {
    let repository = Repository::plain(&[("a", "1")]);
    repository.git(&["init", "--quiet", "--initial-branch=trunk"]);
    let (_dir, sources) = store();
    let taken = snapshot(&sources, &repository).await;
    assert!(taken.commit.is_dirty);
    assert_eq!(taken.commit.branch, "trunk");
    assert_eq!(files(&sources, &taken).await, ["a"]);
}

#[tokio::test]
async fn a_checkout_has_its_branch_its_tags_its_history_and_no_remote() {
    let repository = Repository::committed(&[("a", "1"), ("run.sh", "#!/bin/sh\n")]);
    repository.git(&["tag", "-a", "v1.2.0", "-m", "release"]);
    symlink("a", repository.path().join("link")).unwrap();
    let script = repository.path().join("run.sh");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let head = repository.commit("second");
    let (dir, sources) = store();
    let taken = snapshot(&sources, &repository).await;
    let out = dir.path().join("out");
    sources.checkout(PROJECT, &taken.commit, &out).await.unwrap();
    let described = git_in(&out, &["describe", "--tags", "--dirty"]);
    assert_eq!(described, format!("v1.2.0-1-g{}", &head[..7]));
    assert_eq!(git_in(&out, &["rev-parse", "--abbrev-ref", "HEAD"]), "trunk");
    assert_eq!(git_in(&out, &["rev-list", "--count", "HEAD"]), "2");
    assert_eq!(git_in(&out, &["remote"]), "");
    assert_eq!(fs::read_link(out.join("link")).unwrap().to_str(), Some("a"));
    assert!(fs::metadata(out.join("run.sh")).unwrap().permissions().mode() & 0o100 != 0);
    git_in(&out, &["fsck", "--no-dangling"]);
}

#[tokio::test]
async fn worktrees_and_shallow_clones_are_read_too() {
    let repository = Repository::committed(&[("a", "1")]);
    repository.commit("second");
    let dir = tempfile::tempdir().unwrap();
    let shallow = dir.path().join("shallow");
    let url = format!("file://{}", repository.path().display());
    repository.git(&["clone", "--quiet", "--depth=1", &url, &shallow.to_string_lossy()]);
    let worktree = dir.path().join("worktree");
    repository.git(&["worktree", "add", "--quiet", "-b", "side", &worktree.to_string_lossy()]);
    for (place, branch) in [(&shallow, "trunk"), (&worktree, "side")] {
        let (dir, sources) = store();
        let taken = sources.snapshot(PROJECT, place).await.unwrap();
        assert_eq!(taken.commit.id, repository.git(&["rev-parse", "HEAD"]));
        assert_eq!(taken.commit.branch, branch);
        assert_eq!(taken.notes, []);
        let out = dir.path().join("out");
        sources.checkout(PROJECT, &taken.commit, &out).await.unwrap();
        assert_eq!(git_in(&out, &["log", "-1", "--format=%s"]), "second");
    }
}

#[tokio::test]
async fn submodules_that_are_not_there_and_lfs_pointers_are_reported() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    let repository = Repository::committed(&[
        (".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n"),
        ("big.bin", pointer),
    ]);
    let inner = Repository::committed(&[("x", "1")]);
    let url = inner.path().to_string_lossy().into_owned();
    repository.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        &url,
        "vendor/inner",
    ]);
    repository.commit("a submodule");
    repository.git(&["submodule", "--quiet", "deinit", "--all"]);
    let (_dir, sources) = store();
    let taken = snapshot(&sources, &repository).await;
    assert!(!taken.commit.is_dirty);
    let expect = [
        Note::Submodule { path: "vendor/inner".to_owned() },
        Note::LfsPointers { paths: vec!["big.bin".to_owned()], count: 1 },
    ];
    assert_eq!(taken.notes, expect);
}

#[tokio::test]
async fn links_that_lead_out_of_the_source_are_not_followed() {
    let repository = Repository::committed(&[("render.yaml", "services: []")]);
    symlink("/etc/passwd", repository.path().join("passwd")).unwrap();
    symlink("render.yaml", repository.path().join("other.yaml")).unwrap();
    let (_dir, sources) = store();
    let id = snapshot(&sources, &repository).await.commit.id;
    let read = async |path: &str| sources.read_file(PROJECT, &id, path).await.unwrap();
    assert_eq!(read("./other.yaml").await.as_deref(), Some(b"services: []".as_slice()));
    assert_eq!(read("passwd").await, None);
    assert_eq!(read("none").await, None);
    assert_eq!(read("../../etc/passwd").await, None);
}

#[tokio::test]
async fn branches_of_other_repositories_are_fetched() {
    let other = Repository::committed(&[("a", "1")]);
    other.git(&["checkout", "--quiet", "-b", "feature/x"]);
    other.write(&[("a", "2")]);
    let feature = other.commit("on the branch");
    other.git(&["checkout", "--quiet", "trunk"]);
    let url = format!("file://{}", other.path().display());
    let (dir, sources) = store();
    let commit = sources.fetch_remote(PROJECT, &url, Some("feature/x")).await.unwrap();
    assert_eq!((commit.id.as_str(), commit.branch.as_str()), (feature.as_str(), "feature/x"));
    let out = dir.path().join("out");
    sources.checkout(PROJECT, &commit, &out).await.unwrap();
    assert_eq!(fs::read_to_string(out.join("a")).unwrap(), "2");
    let trunk = sources.fetch_remote(PROJECT, &url, None).await.unwrap();
    assert_eq!((trunk.branch.as_str(), trunk.subject.as_str()), ("trunk", "first"));
}

#[tokio::test]
async fn a_repository_that_cannot_be_had_is_a_clear_problem() {
    let other = Repository::committed(&[("a", "1")]);
    let url = format!("file://{}", other.path().display());
    let (_dir, sources) = store();
    let code = async |url: &str, branch: Option<&str>| {
        sources.fetch_remote(PROJECT, url, branch).await.unwrap_err().problem().code
    };
    assert_eq!(code(&url, Some("none")).await, "branch-missing");
    assert_eq!(code("file:///nowhere/at/all", Some("main")).await, "repository-missing");
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://me:geheim@{}/o/n", listener.local_addr().unwrap())
    };
    let error = sources.fetch_remote(PROJECT, &closed, Some("main")).await.unwrap_err().problem();
    assert_eq!(error.code, "repository-unreachable");
    assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
    assert_eq!(code("ext::sh -c id", None).await, "repository-refused");
}

#[tokio::test]
async fn garbage_is_collected_and_kept_snapshots_stay() {
    let repository = Repository::committed(&[("a", "1")]);
    let (dir, sources) = store();
    repository.write(&[("a", "2")]);
    let old = snapshot(&sources, &repository).await.commit;
    repository.write(&[("a", "3")]);
    let kept = snapshot(&sources, &repository).await.commit;
    sources.collect_garbage(PROJECT, std::slice::from_ref(&kept.id)).await.unwrap();
    let refs = git_in(&dir.path().join(format!("repos/{PROJECT}.git")), &["for-each-ref"]);
    assert!(refs.contains(&kept.id) && !refs.contains(&old.id), "{refs}");
    assert!(sources.has_commit(PROJECT, &kept.id).await);
    sources.checkout(PROJECT, &kept, &dir.path().join("out")).await.unwrap();
    sources.remove_project(PROJECT).await.unwrap();
    assert!(!sources.has_commit(PROJECT, &kept.id).await);
}

#[tokio::test]
async fn a_commit_is_taken_by_any_name_that_git_understands() {
    let repository = Repository::committed(&[("a", "1")]);
    let first = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["tag", "v1"]);
    repository.write(&[("a", "2"), ("b", "3")]);
    let second = repository.commit("second");
    repository.git(&["checkout", "--quiet", "-b", "side", "v1"]);
    repository.write(&[("c", "4")]);
    let side = repository.commit("aside");
    repository.git(&["checkout", "--quiet", "trunk"]);
    repository.write(&[("a", "changed and not committed")]);
    let before = repository.git_state();
    let (_dir, sources) = store();
    let take = async |revision: &str| {
        sources.revision(PROJECT, repository.path(), revision).await.unwrap().commit
    };
    for (revision, id, branch) in [
        ("v1", &first, "trunk"),
        (&first[..10], &first, "trunk"),
        ("HEAD~1", &first, "trunk"),
        ("HEAD", &second, "trunk"),
        ("side", &side, "side"),
        (":/second", &second, "trunk"),
    ] {
        let commit = take(revision).await;
        assert_eq!((&commit.id, commit.branch.as_str()), (id, branch), "{revision}");
        assert!(!commit.is_dirty && sources.has_commit(PROJECT, id).await);
    }
    let commit = take("side").await;
    assert_eq!((commit.subject.as_str(), commit.tree.len()), ("aside", 40));
    assert_eq!(sources.list_files(PROJECT, &side).await.unwrap(), ["a", "c"]);
    let text = sources.read_file(PROJECT, &second, "a").await.unwrap();
    assert_eq!(text.as_deref(), Some(b"2".as_slice()));
    assert!(before == repository.git_state(), "something below .git has changed");
}

#[tokio::test]
async fn a_commit_that_is_not_there_is_told_so() {
    let repository = Repository::committed(&[("a", "1")]);
    let plain = Repository::plain(&[("a", "1")]);
    let (_dir, sources) = store();
    for revision in ["nowhere", "--help", "", "HEAD~9", "a\nb", "HEAD^{tree}", &"f".repeat(40)] {
        let error = sources.revision(PROJECT, repository.path(), revision).await.unwrap_err();
        assert_eq!(error.problem().code, "revision-not-found", "{revision}");
    }
    let error = sources.revision(PROJECT, plain.path(), "HEAD").await.unwrap_err();
    assert!(error.problem().detail.unwrap().contains("is in no git repository"));
}

#[tokio::test]
async fn a_clone_that_lacks_objects_is_named_and_its_files_are_taken_all_the_same() {
    let repository = Repository::committed(&[("a", "first text")]);
    let blob = repository.git(&["rev-parse", "HEAD:a"]);
    repository.write(&[("a", "second text")]);
    repository.commit("second");
    let object = format!(".git/objects/{}/{}", &blob[..2], &blob[2..]);
    fs::remove_file(repository.path().join(object)).unwrap();
    let (_dir, sources) = store();
    let taken = snapshot(&sources, &repository).await;
    assert_eq!(files(&sources, &taken).await, ["a"]);
    let [note] = taken.notes.as_slice() else { panic!("{:?}", taken.notes) };
    let said = note.to_string();
    assert!(said.starts_with("this clone lacks objects of its own history"), "{said}");
    assert!(said.contains("git fsck") && said.contains("git fetch --unshallow"), "{said}");
}

#[tokio::test]
async fn files_of_submodules_are_part_of_the_source_at_the_recorded_commits() {
    let deepest = Repository::committed(&[("deep.txt", "deep")]);
    let inner = Repository::committed(&[("hello.txt", "recorded")]);
    let add = |to: &Repository, of: &Repository, path: &str| {
        let url = of.path().to_string_lossy().into_owned();
        let allow = "protocol.file.allow=always";
        to.git(&["-c", allow, "submodule", "--quiet", "add", &url, path]);
        to.commit("a submodule");
    };
    add(&inner, &deepest, "deepest");
    let outer = Repository::committed(&[("render.yaml", "services: []"), ("app/x", "1")]);
    add(&outer, &inner, "app/lib");
    let allow = "protocol.file.allow=always";
    outer.git(&["-c", allow, "submodule", "--quiet", "update", "--init", "--recursive"]);
    // Somebody works in the submodule; what is recorded counts.
    let head = outer.git(&["rev-parse", "HEAD"]);
    fs::write(outer.path().join("app/lib/hello.txt"), "being written").unwrap();

    let (dir, sources) = store();
    let taken = snapshot(&sources, &outer).await;
    assert_eq!((taken.notes.as_slice(), &taken.commit.id), (&[][..], &head));
    assert!(!taken.commit.is_dirty);
    let listed = sources.list_files(PROJECT, &head).await.unwrap();
    assert!(listed.contains(&"app/lib/deepest/deep.txt".to_owned()), "{listed:?}");
    let read = sources.read_file(PROJECT, &head, "app/lib/hello.txt").await.unwrap();
    assert_eq!(read.as_deref(), Some(&b"recorded"[..]));

    let out = dir.path().join("out");
    sources.checkout(PROJECT, &taken.commit, &out).await.unwrap();
    assert_eq!(fs::read_to_string(out.join("app/lib/hello.txt")).unwrap(), "recorded");
    assert_eq!(fs::read_to_string(out.join("app/lib/deepest/deep.txt")).unwrap(), "deep");
    assert_eq!(git_in(&out, &["rev-parse", "HEAD"]), head);
    assert_eq!(git_in(&out, &["status", "--short", "--ignore-submodules=all"]), "");

    let part = sources.part(PROJECT, &taken.commit, "app").await.unwrap();
    let listed = sources.list_files(PROJECT, &part.id).await.unwrap();
    assert!(listed.contains(&"lib/hello.txt".to_owned()), "{listed:?}");

    // A commit by its name has them too.
    let named = sources.revision(PROJECT, outer.path(), "HEAD").await.unwrap();
    assert_eq!((named.commit.id, named.notes), (head, Vec::new()));
}

#[tokio::test]
async fn a_clone_that_lacks_old_files_keeps_the_id_of_its_newest_commit() {
    let repository = Repository::committed(&[("old", "first"), ("kept", "1")]);
    let old = repository.git(&["rev-parse", "HEAD:old"]);
    repository.write(&[("old", "second")]);
    let head = repository.commit("second");
    fs::remove_file(repository.path().join(format!(".git/objects/{}/{}", &old[..2], &old[2..])))
        .unwrap();
    let (dir, sources) = store();
    let taken = snapshot(&sources, &repository).await;
    assert_eq!((&taken.commit.id, taken.commit.is_dirty), (&head, false));
    assert!(matches!(&taken.notes[..], [Note::Incomplete { .. }]), "{:?}", taken.notes);
    let out = dir.path().join("out");
    sources.checkout(PROJECT, &taken.commit, &out).await.unwrap();
    assert_eq!(fs::read_to_string(out.join("old")).unwrap(), "second");
    assert_eq!(git_in(&out, &["rev-parse", "HEAD"]), head);
    // A second time, the commit is there already.
    assert_eq!(snapshot(&sources, &repository).await.commit.id, head);
    repository.write(&[("kept", "2")]);
    let changed = snapshot(&sources, &repository).await;
    assert!(changed.commit.is_dirty && changed.commit.id != head);
}

#[tokio::test]
async fn a_branch_is_taken_by_its_name_here_or_at_its_origin() {
    let repository = Repository::committed(&[("a", "1")]);
    let first = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["branch", "release"]);
    repository.git(&["update-ref", "refs/remotes/origin/theirs", "HEAD"]);
    repository.write(&[("a", "2")]);
    repository.commit("second");
    let (_dir, sources) = store();
    for branch in ["release", "theirs"] {
        let taken = sources.branch(PROJECT, repository.path(), branch).await.unwrap().unwrap();
        assert_eq!((taken.commit.id, taken.commit.branch.as_str()), (first.clone(), branch));
    }
    for none in ["no", "", "HEAD~1", first.as_str(), "x; rm"] {
        let taken = sources.branch(PROJECT, repository.path(), none).await.unwrap();
        assert_eq!(taken, None, "{none}");
    }
}
