//! What /proc says of this process.
//!
//! Invariant: what is read later is opened at the start, because a confined process cannot open it.

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use rustix::fs::{RawDir, SeekFrom, fstat, seek};
use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};

/// The unit of times in /proc: USER_HZ is 100 on every architecture (time(7)).
const TICKS: u64 = 100;

/// The open files of /proc; `None` where it is not mounted.
#[derive(Debug)]
pub(super) struct Process {
    stat: Option<File>,
    descriptors: Option<File>,
    /// When the machine was booted, in seconds since 1970.
    booted: Option<u64>,
    page_size: u64,
}

/// What /proc says now.
#[derive(Debug, Default)]
pub(super) struct ProcessFigures {
    pub(super) stat: Option<Stat>,
    pub(super) open_descriptors: Option<u64>,
    /// The limit; `None` where there is none.
    pub(super) max_descriptors: Option<u64>,
}

/// The figures of /proc/self/stat.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) cpu: Duration,
    /// When the process was started, since 1970; 0 where the time of the boot is unknown.
    pub(super) started: Duration,
    pub(super) virtual_bytes: u64,
    pub(super) resident_bytes: u64,
}

impl Process {
    pub(super) fn open() -> Self {
        Self {
            stat: File::open("/proc/self/stat").ok(),
            descriptors: File::open("/proc/self/fd").ok(),
            booted: fs::read_to_string("/proc/stat")
                .ok()
                .and_then(|text| boot_time(&text)),
            page_size: page_size() as u64,
        }
    }

    pub(super) fn read(&self) -> ProcessFigures {
        ProcessFigures {
            stat: self.stat.as_ref().and_then(|file| {
                let mut text = [0; 1024];
                let length = file.read_at(&mut text, 0).ok()?;
                let text = text.get(..length)?;
                let text = str::from_utf8(text).ok()?;
                stat(text, self.booted.unwrap_or(0), self.page_size)
            }),
            open_descriptors: self.descriptors.as_ref().and_then(count_entries),
            max_descriptors: getrlimit(Resource::Nofile).current,
        }
    }
}

fn boot_time(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// Parses /proc/self/stat (proc_pid_stat(5)). The name of the program stands in parentheses and may contain any character.
fn stat(text: &str, booted: u64, page_size: u64) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<u64> = rest
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    // The first field here is the third one of the manual.
    let field = |number: usize| fields.get(number - 3).copied();
    let ticks = |ticks: u64| Duration::from_millis(ticks.saturating_mul(1000 / TICKS));
    Some(Stat {
        cpu: ticks(field(14)?.saturating_add(field(15)?)),
        started: Duration::from_secs(booted) + ticks(field(22)?),
        virtual_bytes: field(23)?,
        resident_bytes: field(24)?.saturating_mul(page_size),
    })
}

/// Counts the descriptors in /proc/self/fd. Since Linux 6.2 its size says how many there are; before, they are counted.
fn count_entries(directory: &File) -> Option<u64> {
    match fstat(directory).ok()?.st_size {
        0 => {}
        size => return size.try_into().ok(),
    }
    seek(directory, SeekFrom::Start(0)).ok()?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut count = 0;
    while let Some(entry) = entries.next() {
        count += u64::from(!entry.ok()?.file_name().to_bytes().starts_with(b"."));
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_stat_are_found_behind_any_name() {
        let text = "7 (a) b (c)) S 1 7 7 0 -1 4194304 9 0 0 0 250 50 0 0 20 0 1 0 1000 8192 3 1 1";
        let expected = Stat {
            cpu: Duration::from_secs(3),
            started: Duration::from_secs(110),
            virtual_bytes: 8192,
            resident_bytes: 3 * 4096,
        };
        assert_eq!(stat(text, 100, 4096), Some(expected));
        assert_eq!(stat("7 (a) S 1", 0, 4096), None);
        assert_eq!(
            boot_time("cpu 1 2\nbtime 1795232270\n"),
            Some(1_795_232_270)
        );
    }

    #[test]
    fn this_process_has_figures() {
        let figures = Process::open().read();
        let stat = figures.stat.unwrap();
        assert!(stat.resident_bytes > 100_000 && stat.virtual_bytes > stat.resident_bytes);
        assert!(stat.started > Duration::from_secs(1_600_000_000));
        assert!(figures.open_descriptors.unwrap() >= 3);
    }
}
