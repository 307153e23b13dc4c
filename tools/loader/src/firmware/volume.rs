//! Files on the volume the loader was started from.
//!
//! A file is read whole or not at all. A missing file is an answer; everything else that goes
//! wrong is a failure that names the file.

use crate::machine::failure::Failure;
use crate::machine::pages::Pages;
use alloc::format;
use uefi::CString16;
use uefi::Status;
use uefi::boot;
use uefi::proto::media::file::{Directory, File, FileAttribute, FileInfo, FileMode};

/// A volume with a file system.
pub struct Volume {
    root: Directory,
}

impl Volume {
    /// The volume this loader was loaded from.
    pub fn booted_from() -> Result<Self, Failure> {
        let root = boot::get_image_file_system(boot::image_handle())
            .and_then(|mut file_system| file_system.open_volume());
        let failure = |error| format!("cannot open the boot volume ({error}); boot from a disk");
        root.map(|root| Self { root }).map_err(failure)
    }

    /// Reads a file given by its path with slashes; `None` if there is none.
    pub fn read(&mut self, path: &str) -> Result<Option<Pages<u8>>, Failure> {
        let name = CString16::try_from(path.replace('/', "\\").as_str())
            .map_err(|_| format!("{path}: UEFI cannot express this name; rename the file"))?;
        let unreadable = |error| format!("{path}: {error}; check the boot medium");
        let mode = FileMode::Read;
        let handle = match self.root.open(&name, mode, FileAttribute::empty()) {
            Err(error) if error.status() == Status::NOT_FOUND => return Ok(None),
            handle => handle.map_err(unreadable)?,
        };
        let Some(mut file) = handle.into_regular_file() else {
            return Err(format!("{path}: this is a directory; name a file"));
        };
        let info = file.get_boxed_info::<FileInfo>().map_err(unreadable)?;
        let mut pages = Pages::zeroed(info.file_size() as usize)?;
        let read = file.read(&mut pages).map_err(unreadable)?;
        if read < pages.len() {
            return Err(unreadable(Status::END_OF_FILE.into()));
        }
        Ok(Some(pages))
    }
}
