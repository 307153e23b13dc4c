//! khugepaged: a thread of the kernel that collapses what it finds in other processes, when it is told to look.
//!
//! # Guarantee
//!
//! It looks once for each scan, at all there is, and at no other time; a scan that is called done has made every folio that
//! the range has room for, by the kernel's own count of those that exist.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// What a kernel lacks on which no page can be made huge.
pub const NO_HUGE_PAGES: &str =
    "the kernel has no transparent huge pages; build it with CONFIG_TRANSPARENT_HUGEPAGE";
/// What it is, where it does not do what it is to: `collapse_scan_pmd()` says why, and since when.
pub const REFUSED: &str = "khugepaged (collapse_scan_pmd(); mTHPs since Linux 7.2)";
/// The order of a huge page, and of a range.
const PMD_ORDER: u64 = 9;
const KNOBS: &str = "/sys/kernel/mm/transparent_hugepage";
/// It sleeps so long, in milliseconds, unless it is woken: a write to the file wakes it.
const SLEEP: &str = "1000000";
/// What it is told: to stop nowhere before it has seen all, to wait for no memory, and to take no page for given that is not.
const SETTINGS: [(&str, &str); 4] = [
    ("khugepaged/pages_to_scan", "1048576"),
    ("khugepaged/alloc_sleep_millisecs", "0"),
    ("khugepaged/max_ptes_none", "0"),
    ("khugepaged/scan_sleep_millisecs", SLEEP),
];
/// Room for what is read.
const ROOM: usize = 512;

/// The thread, and what says how far it is.
pub struct Khugepaged {
    order: u64,
    wake: File,
    /// How often it has seen all.
    scans: File,
    /// How many folios of the order there are.
    folios: File,
    stat: File,
}

impl Khugepaged {
    /// Has it run on `cpu` only, and make folios of `order` only.
    ///
    /// # Errors
    ///
    /// If the kernel has none, or none that makes such folios.
    pub fn set_up(order: u64, cpu: usize) -> Result<Self> {
        ensure!(Path::new(KNOBS).exists(), NO_HUGE_PAGES);
        let size = format!("hugepages-{}kB", 4 << order);
        let folios = open(&format!("{size}/stats/nr_anon"))
            .with_context(|| format!("the kernel does not count folios of order {order}; 6.12 and later do"))?;
        for folder in fs::read_dir(KNOBS)?.flatten() {
            let name = folder.file_name();
            if name.to_string_lossy().starts_with("hugepages-") {
                let value = if name == *size { "madvise" } else { "never" };
                let file = folder.path().join("enabled");
                // The shared zero page's and files' sizes have none.
                if file.exists() {
                    fs::write(&file, value).with_context(|| file.display().to_string())?;
                }
            }
        }
        for (name, value) in SETTINGS {
            fs::write(format!("{KNOBS}/{name}"), value).with_context(|| format!("{KNOBS}/{name}"))?;
        }
        let process = process()?;
        let mut set = CpuSet::new();
        set.set(cpu);
        sched_setaffinity(Some(process), &set)
            .with_context(|| format!("khugepaged cannot run on CPU {cpu}; it needs one besides"))?;
        let wake = format!("{KNOBS}/khugepaged/scan_sleep_millisecs");
        Ok(Khugepaged {
            order,
            wake: File::options().write(true).open(&wake).context(wake)?,
            scans: open("khugepaged/full_scans")?,
            folios,
            stat: File::open(format!("/proc/{}/stat", process.as_raw_nonzero()))?,
        })
    }

    /// Waits until it sleeps: one that does not would not be woken.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn wait_for_sleep(&self) -> io::Result<()> {
        let is_asleep = || {
            let mut room = [0; ROOM];
            // proc(5): the state follows the name, which ends with the bracket.
            Ok::<_, io::Error>(
                text(&self.stat, &mut room)?.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" S")),
            )
        };
        while !is_asleep()? {
            std::hint::spin_loop();
        }
        Ok(())
    }

    /// Wakes it, and waits until it has looked at everything and sleeps again.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, if it has not made all the folios that a range has room for.
    pub fn scan(&self) -> io::Result<()> {
        let (scans, folios) = (number(&self.scans)?, number(&self.folios)?);
        self.wake.write_all_at(SLEEP.as_bytes(), 0)?;
        while number(&self.scans)? == scans {
            std::hint::spin_loop();
        }
        self.wait_for_sleep()?;
        let (made, all) = (number(&self.folios)?.saturating_sub(folios), 1 << (PMD_ORDER - self.order));
        if made == all {
            return Ok(());
        }
        let reason = format!("a full scan has made {made} of {all} folios of order {}", self.order);
        Err(io::Error::new(ErrorKind::WouldBlock, reason))
    }
}

fn open(name: &str) -> Result<File> {
    let name = format!("{KNOBS}/{name}");
    File::open(&name).context(name)
}

/// The thread's number.
fn process() -> Result<Pid> {
    let is_it = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "khugepaged")
    };
    let numbers = fs::read_dir("/proc")?.flatten();
    let mut numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let found = numbers.find(is_it).and_then(Pid::from_raw);
    found.context("the kernel has no thread khugepaged; transparent_hugepage=madvise starts it")
}

/// What a file says now, read without taking or giving back memory.
fn text<'r>(file: &File, room: &'r mut [u8; ROOM]) -> io::Result<&'r str> {
    let len = file.read_at(room, 0)?;
    str::from_utf8(&room[..len]).map_err(|_| ErrorKind::InvalidData.into())
}

fn number(file: &File) -> io::Result<u64> {
    text(file, &mut [0; ROOM])?.trim().parse().map_err(|_| ErrorKind::InvalidData.into())
}
