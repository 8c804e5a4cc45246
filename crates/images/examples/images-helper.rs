//! Pulls one image and prints each step, so that a test can kill it anywhere.

use std::io::Write as _;
use std::path::PathBuf;

use images::{Config, Images, Reference};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("first the directory")?);
    let reference: Reference = arguments.next().ok_or("then the image")?.parse()?;
    let images = Images::open(Config::new(dir))?;
    let image = images
        .pull(&reference, None, None, &|progress| {
            let mut out = std::io::stdout().lock();
            // Nobody may be listening any more; then a kill is on its way.
            let _ = writeln!(out, "{progress:?}").and_then(|()| out.flush());
        })
        .await?;
    let _ = writeln!(std::io::stdout(), "{}", image.digest);
    Ok(())
}
