//! The requests a kernel image carries.
//!
//! A scan finds every request on an 8-byte boundary between the last start marker and the first
//! end marker, or in the whole image where there are none, and refuses an image with two requests
//! of the same ID, two base revision tags, or a base revision the loader cannot behave like.
//!
//! Base revision 0 promises an identity map and is refused. Revisions 1 and 2 are served; they
//! differ only in whether markers are binding, and here they are for both. A kernel that asks for
//! more is served as revision 2 and told so by its tag being left alone, as Limine 8.2 does.

use crate::PAGE;
use alloc::vec::Vec;
use core::fmt;

/// The words that distinguish one request from another.
pub type Id = [u64; 2];

/// The IDs of the requests the loader answers.
pub(crate) mod id {
    use super::Id;
    pub const BOOTLOADER_INFO: Id = [0xf55038d8e2a1202f, 0x279426fcf5f59740];
    pub const FIRMWARE_TYPE: Id = [0x8c2f75d90bef28a8, 0x7045a4688eac00c3];
    pub const STACK_SIZE: Id = [0x224ef0460a8e8926, 0xe1cb0fc25f46ea3d];
    pub const HHDM: Id = [0x48dcf1cb8ad2b852, 0x63984e959a98244b];
    pub const PAGING_MODE: Id = [0x95c1a0edab0944cb, 0xa4e5cb3842f7488a];
    pub const MEMORY_MAP: Id = [0x67cf3d9d378a806f, 0xe304acdfc50c3c62];
    pub const EXECUTABLE_FILE: Id = [0xad97e90e83f1ed67, 0x31eb5d1c5ff23b69];
    pub const EXECUTABLE_ADDRESS: Id = [0x71ba76863cc55f63, 0xb2644a48c516a487];
    pub const EXECUTABLE_CMDLINE: Id = [0x4b161536e598651e, 0xb390ad4a2f1f303a];
    pub const RSDP: Id = [0xc5e77b6b397e7b43, 0x27637845accdcf3c];
    pub const EFI_SYSTEM_TABLE: Id = [0x5ceba5163eaaf6d6, 0x0a6981610cf65fcc];
}

const COMMON_MAGIC: [u64; 2] = [0xc7b1dd30df4c8b88, 0x0a82e883a194f07b];
const BASE_REVISION: [u64; 2] = [0xf9562b2d5c95a6c8, 0x6a7b384944536bdc];
const START_MARKER: [u64; 4] = [0xf6b8f4b39de7d1ae, 0xfab91a6940fcb9cf, 0x785c6ed015d3e316, 0x181e920a7852b9d9];
const END_MARKER: [u64; 2] = [0xadc0e0531bb10d03, 0x9572709f31764c62];

const HIGHEST_REVISION: u64 = 2;
const LEAST_STACK: u64 = 64 << 10;

/// Words of a request: its ID, its revision, the pointer to the response, then arguments.
const RESPONSE_WORD: usize = 5;
const ARGUMENT_WORD: usize = 6;

/// Why the requests of an image cannot be served.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// Two requests have the same ID.
    Duplicate(Id),
    /// There are two base revision tags.
    DuplicateRevision,
    /// The image asks for base revision 0, or has no tag.
    RevisionZero,
    /// The image insists on five-level paging.
    FiveLevel,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate([a, b]) => {
                write!(f, "two requests have the ID {a:#018x} {b:#018x}; the protocol allows one")
            }
            Self::DuplicateRevision => {
                write!(f, "two base revision tags; the protocol allows one")
            }
            Self::RevisionZero => {
                write!(f, "no base revision tag, or revision 0, which is not served; ask for revision 2")
            }
            Self::FiveLevel => {
                write!(f, "the kernel insists on 5-level paging, which is not served; lower its min_mode")
            }
        }
    }
}

/// A request in an image.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Which request it is.
    pub id: Id,
    /// Where in the image it starts, in words.
    word: usize,
}

/// The requests found in an image.
#[derive(Debug)]
pub struct Requests {
    found: Vec<Request>,
    /// Where the base revision tag starts, in words, and the revision it asks for.
    revision: (usize, u64),
}

impl Requests {
    /// Scans an image.
    pub fn scan(image: &[u64]) -> Result<Self, Error> {
        let mut found: Vec<Request> = Vec::new();
        let mut revision = None;
        for (word, rest) in (0..image.len()).map(|word| (word, &image[word..])) {
            if rest.starts_with(&START_MARKER) {
                found.clear();
                revision = None;
            } else if rest.starts_with(&END_MARKER) {
                break;
            } else if rest.starts_with(&BASE_REVISION) && rest.len() > 2 {
                if revision.replace((word, rest[2])).is_some() {
                    return Err(Error::DuplicateRevision);
                }
            } else if rest.starts_with(&COMMON_MAGIC) && rest.len() > RESPONSE_WORD {
                let id = [rest[2], rest[3]];
                if found.iter().any(|request| request.id == id) {
                    return Err(Error::Duplicate(id));
                }
                found.push(Request { id, word });
            }
        }
        let revision = revision.filter(|(_, asked)| *asked != 0);
        Ok(Self { found, revision: revision.ok_or(Error::RevisionZero)? })
    }

    /// The requests found.
    pub fn iter(&self) -> impl Iterator<Item = Request> {
        self.found.iter().copied()
    }

    /// The size of the stack the kernel gets: what it asks for, but at least 64 KiB, in
    /// whole pages.
    pub fn stack_size(&self, image: &[u64]) -> u64 {
        let request = self.found.iter().find(|r| r.id == id::STACK_SIZE);
        let asked = request.and_then(|r| r.argument(image, 0));
        let size = asked.unwrap_or_default().max(LEAST_STACK);
        size.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX)
    }

    /// Checks that the kernel accepts four-level paging.
    pub fn check_paging_mode(&self, image: &[u64]) -> Result<(), Error> {
        let request = self.found.iter().find(|r| r.id == id::PAGING_MODE);
        let least = request.filter(|r| image[r.word + 4] >= 1);
        match least.and_then(|r| r.argument(image, 2)) {
            None | Some(0) => Ok(()),
            Some(_) => Err(Error::FiveLevel),
        }
    }

    /// Tells the kernel that its base revision is served, if it is.
    pub fn confirm_revision(&self, image: &mut [u64]) {
        let (word, asked) = self.revision;
        if asked <= HIGHEST_REVISION {
            image[word + 2] = 0;
        }
    }
}

impl Request {
    /// Points the request to its response.
    pub fn answer(self, image: &mut [u64], response: u64) {
        image[self.word + RESPONSE_WORD] = response;
    }

    /// The argument of the given number, if the image does not end before it.
    fn argument(self, image: &[u64], number: usize) -> Option<u64> {
        image.get(self.word + ARGUMENT_WORD + number).copied()
    }
}
