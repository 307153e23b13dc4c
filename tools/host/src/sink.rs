//! Where results are written down.
//!
//! # Guarantee
//!
//! A file holds what it held before, or the whole document: never a part. What is no file (a pipe, a device, standard
//! output) is written directly. A place that cannot be written is refused before anything is run.

use std::fmt::Display;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use tempfile::{Builder, NamedTempFile};

use crate::ending::Usage;
use crate::say;

/// Names of standard output.
const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Where a document will be written.
#[derive(Debug)]
pub struct Sink {
    name: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Stdout,
    /// What is there already, and no file.
    Open(File),
    /// A file, and its folder.
    Replaced(PathBuf, PathBuf),
}

impl Sink {
    /// Looks whether `path` of `--json` can be written.
    ///
    /// # Errors
    ///
    /// [`Usage`] if it cannot.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_for("--json", path)
    }

    /// Looks whether `path` of `flag` can be written.
    ///
    /// # Errors
    ///
    /// [`Usage`] if it cannot.
    pub fn open_for(flag: &str, path: &Path) -> Result<Self> {
        let name = format!("{flag} {}", path.display());
        let place = Self::place(path).map_err(|error| {
            Usage(format!("{name}: cannot be written: {error}; name a file in a folder that can be written"))
        })?;
        Ok(Sink { name, place })
    }

    fn place(path: &Path) -> io::Result<Place> {
        if STDOUT.iter().any(|name| path == Path::new(name)) {
            return Ok(Place::Stdout);
        }
        let there = fs::metadata(path).ok();
        if let Some(there) = &there {
            let file = File::options().write(true).open(path)?;
            if !there.is_file() {
                return Ok(Place::Open(file));
            }
        }
        // What a link points to is replaced, not the link.
        let path = if there.is_some() { path.canonicalize()? } else { std::path::absolute(path)? };
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        beside(&folder)?;
        Ok(Place::Replaced(path, folder))
    }

    /// Whether it takes standard output for itself.
    pub fn is_stdout(&self) -> bool {
        matches!(self.place, Place::Stdout)
    }

    /// Writes the document.
    ///
    /// # Errors
    ///
    /// If it cannot be written: a full disk, a pipe whose reader has left.
    pub fn write(self, document: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(document).expect("a document is plain data");
        text.push(b'\n');
        self.write_text(&text)
    }

    /// Writes a text.
    ///
    /// # Errors
    ///
    /// As [`Sink::write`].
    pub fn write_text(self, text: &[u8]) -> Result<()> {
        let written = match self.place {
            Place::Stdout => io::stdout().lock().write_all(text).and_then(|()| io::stdout().flush()),
            Place::Open(mut file) => file.write_all(text),
            Place::Replaced(path, folder) => replace(&path, &folder, text),
        };
        written.with_context(|| format!("{}: cannot be written", self.name))
    }
}

/// Hands results over: the document to `sink`, if there is one, and `text` to its reader, on standard error where the document
/// takes standard output.
///
/// # Errors
///
/// What kept the document from being written: to be told last.
pub fn hand_over(sink: Option<Sink>, document: &impl Serialize, text: impl Display) -> Result<()> {
    let is_stdout = sink.as_ref().is_some_and(Sink::is_stdout);
    // First of all: what is printed may find no reader.
    let written = sink.map_or(Ok(()), |sink| sink.write(document));
    if is_stdout {
        say::err(text);
    } else {
        say::out(text);
    }
    written
}

/// A new file in `folder`, gone unless it is given a name.
fn beside(folder: &Path) -> io::Result<NamedTempFile> {
    // What the umask leaves of it, as with any other file.
    Builder::new().prefix(".gupsync-").permissions(Permissions::from_mode(0o666)).tempfile_in(folder)
}

fn replace(path: &Path, folder: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = beside(folder)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn document() -> Document {
        let revision = "unknown".to_owned();
        Document {
            schema: 1,
            revision,
            dirty: true,
            qemu: None,
            accel: "kvm".into(),
            loader: None,
            linux: None,
            command: String::new(),
            date: String::new(),
            rows: vec![],
        }
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).expect("a folder").count()
    }

    #[test]
    fn item_13_a_file_is_replaced_as_a_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("rows.json"), folder.path().join("link"));
        fs::write(&path, "as it was").expect("a file");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let sink = Sink::open(&link).expect("it can be written");
        assert_eq!((fs::read_to_string(&path).expect("a file"), files(folder.path())), ("as it was".into(), 2));
        sink.write(&document()).expect("it can be written");
        let read: Document = serde_json::from_str(&fs::read_to_string(&link).expect("a file")).expect("JSON");
        assert!(read.accel == "kvm" && files(folder.path()) == 2 && link.is_symlink());
    }

    #[test]
    fn item_13_what_is_no_file_is_written_directly() {
        let full = Sink::open(Path::new("/dev/full")).expect("it is there");
        let error = format!("{:#}", full.write(&document()).expect_err("it is full"));
        assert!(error.starts_with("--json /dev/full: cannot be written: No space left"), "{error}");
        Sink::open(Path::new("/dev/null")).expect("it is there").write(&document()).expect("it takes all");
        assert!(Sink::open(Path::new("-")).expect("always").is_stdout());
    }

    #[test]
    fn item_13_what_cannot_be_written_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in [folder.path().to_owned(), folder.path().join("none/rows.json")] {
            let error = Sink::open(&path).expect_err("it cannot be written");
            let said = error.downcast_ref::<Usage>().expect("the argument is wrong").to_string();
            assert!(said.starts_with(&format!("--json {}: cannot be written", path.display())), "{said}");
        }
        assert_eq!(files(folder.path()), 0);
    }
}
