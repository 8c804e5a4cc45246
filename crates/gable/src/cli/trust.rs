//! `gable trust`: have this machine's programs and browsers believe the authority by which Gable
//! serves https.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use wire::Problem;

use super::args::TrustArgs;
use super::paths::Paths;
use super::printer::Printer;
use super::stop::{DONE, FAILED, Outcome, Stop};

/// What the authority is called in the databases of browsers.
const NICKNAME: &str = "Gable local authority";
/// Stores of the system that are files of their own, and the program that makes them count.
const SYSTEM_STORES: [(&str, &str); 2] = [
    ("/usr/local/share/ca-certificates", "update-ca-certificates"),
    ("/etc/pki/ca-trust/source/anchors", "update-ca-trust"),
];
/// Where browsers keep whom they trust, below the home directory. A `*` stands for every profile.
const BROWSERS: [&str; 5] = [
    ".pki/nssdb",
    "snap/chromium/current/.pki/nssdb",
    ".mozilla/firefox/*",
    "snap/firefox/common/.mozilla/firefox/*",
    ".var/app/org.mozilla.firefox/.mozilla/firefox/*",
];

/// What became of one place.
enum Done {
    Yes(String),
    /// Why not, and what to do.
    No(String),
}

/// Runs it.
pub(crate) fn run(paths: &Paths, printer: Printer, args: &TrustArgs) -> Outcome {
    paths.make().map_err(|error| failed("the state directory cannot be made", &error))?;
    let directory = control::config::authority_dir(&paths.state_dir);
    edge::Authority::ensure(&directory).map_err(|error| {
        Stop::failed(Problem::new("authority-failed", super::stop::chain(&error)))
    })?;
    let certificate = directory.join(edge::CERTIFICATE_FILE);
    let mut done = vec![system(&certificate, &name(&certificate)?, args.remove)];
    done.extend(browsers(&certificate, args.remove));
    let is_any = done.iter().any(|one| matches!(one, Done::Yes(_)));
    let marker = control::config::trusted_marker(&paths.state_dir);
    let marked = match args.remove {
        true => fs::remove_file(&marker).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        }),
        false if is_any => fs::write(&marker, ""),
        false => Ok(()),
    };
    marked.map_err(|error| failed("it cannot be written down", &error))?;
    tell(printer, args, &certificate, &done)?;
    Ok(if is_any || args.remove { DONE } else { FAILED })
}

fn tell(printer: Printer, args: &TrustArgs, certificate: &Path, done: &[Done]) -> Result<(), Stop> {
    if printer.json {
        let places = done.iter().map(|one| match one {
            Done::Yes(what) => json!({ "done": true, "text": what }),
            Done::No(why) => json!({ "done": false, "text": why }),
        });
        let places: Vec<_> = places.collect();
        return printer.json_pretty(&json!({ "certificate": certificate, "places": places }));
    }
    let paint = printer.err();
    for one in done {
        printer.say(&match one {
            Done::Yes(what) => format!("{} {what}", paint.good("✓")),
            Done::No(why) => format!("{} {why}", paint.busy("–")),
        });
    }
    printer.say(&match args.remove {
        true => "\nhttp is the scheme of public URLs again, from the next `gable up` on".to_owned(),
        false => format!(
            "\nthe authority ({}) can speak for .localhost and loopback addresses only\n\
             https is the scheme of public URLs from the next `gable up` on; browsers that run \
             have to be started again",
            certificate.display()
        ),
    });
    Ok(())
}

/// A name of this authority's own: several state directories have several authorities.
fn name(certificate: &Path) -> Result<String, Stop> {
    use sha2::Digest as _;
    let bytes = fs::read(certificate)
        .map_err(|error| failed("the authority's certificate cannot be read", &error))?;
    let digest = sha2::Sha256::digest(bytes);
    let short: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("gable-{short}.crt"))
}

/// Programs of this machine.
fn system(certificate: &Path, name: &str, remove: bool) -> Done {
    let store = SYSTEM_STORES.iter().find(|(directory, _)| Path::new(directory).is_dir());
    let Some((directory, program)) = store else {
        let [(first, _), ..] = SYSTEM_STORES;
        return Done::No(format!("programs: {first} is not there (install `ca-certificates`)"));
    };
    let target = Path::new(directory).join(name);
    if remove && !target.exists() {
        return Done::Yes("programs of this machine did not trust it".to_owned());
    }
    let changed = match remove {
        true => fs::remove_file(&target),
        false => copy(certificate, &target),
    };
    if let Err(error) = changed {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let file = certificate.display();
                match remove {
                    true => format!("; as root: rm {} && {program}", target.display()),
                    false => format!("; as root: cp {file} {} && {program}", target.display()),
                }
            }
            _ => String::new(),
        };
        return Done::No(format!("programs: {}: {error}{hint}", target.display()));
    }
    match run_program(Command::new(program)) {
        Ok(()) if remove => Done::Yes("programs of this machine no longer trust it".to_owned()),
        Ok(()) => Done::Yes(format!("programs of this machine trust it ({})", target.display())),
        Err(why) => Done::No(format!("programs: {program}: {why}")),
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let new = to.with_extension("new");
    fs::copy(from, &new)?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(&new, to)
}

/// Browsers of this user.
fn browsers(certificate: &Path, remove: bool) -> Vec<Done> {
    let Some(home) = std::env::var_os("HOME").map(PathBuf::from) else {
        return vec![Done::No("browsers: there is no home directory".to_owned())];
    };
    if !remove {
        // Chromium reads it, and makes it only when a person adds something there.
        make_database(&home);
    }
    let databases = databases(&home);
    if databases.is_empty() {
        return vec![Done::No(
            "browsers: this user has none that has kept whom it trusts (start it once before; \
             `certutil` comes with `libnss3-tools`)"
                .to_owned(),
        )];
    }
    databases.iter().map(|database| browser(database, certificate, remove)).collect()
}

/// Browsers that read the database of the user, and do not make it by themselves.
const CHROMIUMS: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome", "brave-browser", "microsoft-edge"];

/// Makes the database that Chromium and its kin read, where one of them is installed. What cannot
/// be made is found missing afterwards.
fn make_database(home: &Path) {
    let [place, ..] = BROWSERS;
    let directory = home.join(place);
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let is_installed = std::env::split_paths(&search_path)
        .any(|folder| CHROMIUMS.iter().any(|name| folder.join(name).is_file()));
    if !is_installed || directory.join("cert9.db").exists() {
        return;
    }
    let made = fs::create_dir_all(&directory).map_err(|error| error.to_string()).and_then(|()| {
        let mut command = Command::new("certutil");
        command.arg("-d").arg(format!("sql:{}", directory.display()));
        command.args(["-N", "--empty-password"]);
        run_program(command)
    });
    if let Err(why) = made {
        tracing::debug!("no database for Chromium: {why}");
    }
}

/// Directories with a database of a browser's.
fn databases(home: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for place in BROWSERS {
        match place.strip_suffix("/*") {
            None => found.push(home.join(place)),
            Some(profiles) => {
                let entries = fs::read_dir(home.join(profiles)).into_iter().flatten().flatten();
                found.extend(entries.map(|entry| entry.path()));
            }
        }
    }
    found.retain(|directory| directory.join("cert9.db").is_file());
    found.sort();
    found
}

fn browser(database: &Path, certificate: &Path, remove: bool) -> Done {
    let shown = database.display();
    let certutil = || {
        let mut command = Command::new("certutil");
        command.arg("-d").arg(format!("sql:{shown}")).args(["-n", NICKNAME]);
        command
    };
    // What has the name already is another state directory's, or an older one: one is enough.
    let mut delete = certutil();
    delete.arg("-D");
    let deleted = run_program(delete);
    if remove {
        return match deleted {
            Err(why) if why.contains("install") => Done::No(format!("browser {shown}: {why}")),
            _ => Done::Yes(format!("the browser with {shown} does not trust it")),
        };
    }
    let mut add = certutil();
    add.args(["-A", "-t", "C,,", "-i"]).arg(certificate);
    match run_program(add) {
        Ok(()) => Done::Yes(format!("the browser with {shown} trusts it")),
        Err(why) => Done::No(format!("browser {shown}: {why}")),
    }
}

fn run_program(mut command: Command) -> Result<(), String> {
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if command.get_program() == "certutil" => {
            "`certutil` is missing: install `libnss3-tools`".to_owned()
        }
        _ => error.to_string(),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().last().unwrap_or("it failed without a word").trim().to_owned())
}

fn failed(message: &str, error: &io::Error) -> Stop {
    Stop::failed(Problem::new("authority-failed", message).detail(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_with_a_browsers_database_are_changed() {
        let home = tempfile::tempdir().unwrap();
        let with = [".pki/nssdb", ".mozilla/firefox/a.default"];
        for directory in with {
            fs::create_dir_all(home.path().join(directory)).unwrap();
            fs::write(home.path().join(directory).join("cert9.db"), "").unwrap();
        }
        fs::create_dir_all(home.path().join(".mozilla/firefox/Crash Reports")).unwrap();
        let mut expect = with.map(|directory| home.path().join(directory));
        expect.sort();
        assert_eq!(databases(home.path()), expect);
    }
}
