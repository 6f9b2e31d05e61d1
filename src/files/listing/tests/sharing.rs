//! When listings of one directory share a reading or entries, and when not: no reply is older than its request.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::handler::listing_memory::BLOCK;

#[test]
fn requests_share_a_reading_that_has_not_begun_and_no_other() {
    let mut site = Site::of(3000);
    let first = site.ask();
    assert!(Arc::ptr_eq(&first, &site.ask()));
    first.advance(never(), None);
    let second = site.ask();
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&second, &site.ask()));
    // A request that waits for the second advances the first until that is done.
    let slices = finish(&second);
    assert!((10..=16).contains(&slices), "{slices}");
    assert_eq!(first.advance(never(), None), Fill::Done, "it is done");
}

#[test]
fn a_reading_that_was_begun_at_once_is_shared_by_requests_of_its_epoch() {
    let site = Site::of(600);
    let mut run = Run::new(Order::from_query(""));
    let mut reader = site.reader(PLAIN);
    reader.read_slice(&mut run, None).unwrap();
    let order = Order::from_query("");
    let reading = Reading::begun((reader, run), order, &site.memory, 7);
    assert!(reading.is_later_than(7) && !reading.is_later_than(8));
    finish(&reading);
    assert_eq!(reading.entries().unwrap().len(), 600);
}

#[test]
fn entries_that_are_found_again_are_shared() {
    let mut site = Site::of(3000);
    symlink("0001", site.path.join("link")).unwrap();
    let first = site.ask();
    finish(&first);
    let used = site.memory.used();
    for _ in 0..3 {
        let next = site.ask();
        assert!(!Arc::ptr_eq(&first, &next));
        finish(&next);
        let [a, b] = [&first, &next].map(|reading| reading.entries().unwrap());
        assert!(Arc::ptr_eq(&a, &b));
        assert_eq!(site.memory.used(), used);
    }
    drop(first);
    assert!(site.is_idle());
    let again = site.ask();
    finish(&again);
    assert_eq!(again.entries().unwrap().len(), 3001);
}

#[test]
fn a_change_between_two_listings_is_in_the_second_one() {
    type Change = fn(&Site);
    let changes: [(&str, Change); 6] = [
        ("a new file", |site| site.file("new", 0)),
        ("a file that grows", |site| site.file("0007", 4711)),
        ("a target that grows", |site| {
            site.file("elsewhere/target", 4711);
        }),
        ("another time", |site| {
            let file = fs::File::open(site.path.join("0008")).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }),
        ("another name", |site| {
            fs::rename(site.path.join("0009"), site.path.join("0009b")).unwrap();
        }),
        ("one file less", |site| {
            fs::remove_file(site.path.join("0010")).unwrap();
        }),
    ];
    for (what, change) in changes {
        let mut site = Site::of(2000);
        fs::create_dir(site.path.join("elsewhere")).unwrap();
        site.file("elsewhere/target", 1);
        symlink("elsewhere/target", site.path.join("link")).unwrap();
        let first = site.ask();
        finish(&first);
        let before = site.pieces(&first, "", Format::Json).concat();
        change(&site);
        let second = site.ask();
        finish(&second);
        assert_eq!(site.pieces(&first, "", Format::Json).concat(), before);
        let after = site.pieces(&second, "", Format::Json).concat();
        assert_eq!(after, site.json(""), "{what}");
        assert_ne!(after, before, "{what}");
    }
}

#[test]
fn a_file_that_is_made_while_one_listing_is_read_is_in_the_next() {
    let mut site = Site::of(3000);
    let first = site.ask();
    assert_eq!(first.advance(never(), None), Fill::More);
    site.file("new", 0);
    let second = site.ask();
    finish(&second);
    let json = site.pieces(&second, "", Format::Json).concat();
    assert!(json.contains("\"new\""));
}

#[test]
fn a_reading_ends_with_the_last_request_that_waits_for_it() {
    let mut site = Site::of(3000);
    for slices in 0..9 {
        let (first, again) = (site.ask(), site.ask());
        for _ in 0..slices {
            first.advance(never(), None);
        }
        drop(first);
        let second = site.ask();
        second.advance(never(), None);
        drop(again);
        let count = finish(&second);
        assert!(count < 20, "{count}");
        assert_eq!(second.entries().unwrap().len(), 3000);
        drop(second);
        assert!(site.is_idle());
    }
}

#[test]
fn beyond_the_limit_a_reading_fails_and_the_next_has_room_again() {
    let mut site = Site::of(3000);
    site.memory = ListingMemory::new(5 * BLOCK);
    for _ in 0..2 {
        let reading = site.ask();
        finish(&reading);
        assert_eq!(reading.entries().map(drop), Err(ReadingError::Full));
        drop(reading);
        assert!(site.is_idle());
    }
    site.memory = ListingMemory::new(20 * BLOCK);
    let reading = site.ask();
    finish(&reading);
    let listing = || {
        let entries = reading.entries().unwrap();
        let form = form("", Format::Html);
        Listing::new(form, entries, None, &site.memory)
    };
    let sent: Vec<_> = (0..).map_while(|_| listing().ok()).collect();
    assert!((10..40).contains(&sent.len()), "{} at a time", sent.len());
    assert!(listing().is_err());
    drop(sent);
    assert!(listing().is_ok());
}

#[test]
fn a_changing_directory_costs_no_more_than_two_readings_at_a_time() {
    let mut site = Site::of(2000);
    let mut most = 0;
    let mut readings = vec![site.ask()];
    for number in 0..50 {
        site.file(format!("new-{number}"), 0);
        readings.push(site.ask());
        readings.last().unwrap().advance(never(), None);
        readings.retain(|reading| reading.advance(Instant::now(), None) != Fill::Done);
        most = most.max(site.memory.used());
    }
    let one = site.ask();
    finish(&one);
    drop(readings);
    assert!(most <= 3 * site.memory.used(), "{most} bytes");
}
