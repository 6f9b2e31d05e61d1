use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;

use super::*;
use crate::wire::share::Cold;

/// Takes at most `most` bytes at once, with WouldBlock in between.
struct Slow {
    most: usize,
    full: bool,
    /// Whether sendfile is refused, so that the file must be written.
    refuses: bool,
    output: Vec<u8>,
    more: Vec<bool>,
}

impl Transport for Slow {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        self.more.push(more);
        let length = bytes.len().min(self.most);
        self.output.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn send_file(&mut self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        if self.refuses {
            return Err(Errno::INVAL.into());
        }
        self.full = !self.full;
        if !self.full {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut bytes = vec![0; length.min(self.most)];
        let length = file.read_at(&mut bytes, offset)?;
        self.output.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reset(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn slow(most: usize) -> Slow {
    Slow {
        most,
        full: false,
        refuses: false,
        output: Vec::new(),
        more: Vec::new(),
    }
}

fn share(bytes: usize) -> Share {
    Share {
        bytes,
        requests: 0,
        whole: false,
        cold: Cold::Read,
        turn: 0,
        progress: false,
    }
}

fn parts() -> Body {
    let mut file = File::from(memfd_create("parts", MemfdFlags::CLOEXEC).unwrap());
    file.write_all(b"0123456789").unwrap();
    let text = |text: &str| Part::Text(text.as_bytes().to_vec().into());
    let parts = [
        text("<a>"),
        Part::Range((1..4).into()),
        text("<b>"),
        Part::Range((8..10).into()),
        text("<c>"),
    ];
    let (file, parts) = (Arc::new(file.into()), parts.into());
    Body::Parts(Box::new(Parts { file, parts }))
}

#[test]
fn parts_leave_in_order_whatever_is_taken_at_once() {
    for most in 1..=20 {
        for bytes in [1, 2, 5, usize::MAX] {
            for refuses in [false, true] {
                let (mut body, mut transport, mut counted) = (parts(), slow(most), 0);
                transport.refuses = refuses;
                while body
                    .send(&mut transport, &mut share(bytes), &mut counted)
                    .unwrap()
                    != Next::Continue
                {}
                assert_eq!(
                    transport.output, b"<a>123<b>89<c>",
                    "{most} at once, {bytes} a turn"
                );
                assert_eq!(counted, 14);
                assert!(body.is_empty());
            }
        }
    }
}

#[test]
fn all_parts_but_the_last_say_that_more_follows() {
    let (mut body, mut transport) = (parts(), slow(20));
    while body.send(&mut transport, &mut share(100), &mut 0).unwrap() != Next::Continue {}
    assert_eq!(transport.more, [true, true, false]);
}

#[test]
fn parts_know_their_length() {
    let Body::Parts(body) = parts() else {
        panic!("no parts");
    };
    let lengths: Vec<_> = body.parts.iter().map(Part::length).collect();
    assert_eq!(lengths, [3, 3, 3, 2, 3]);
}

#[test]
fn a_file_is_sent_within_its_budget() {
    let Body::Parts(body) = parts() else {
        panic!("no parts");
    };
    let mut body = Body::file(body.file, 2..9);
    let (mut transport, mut four, mut counted) = (slow(20), share(4), 0);
    let mut send = |share: &mut Share| body.send(&mut transport, share, &mut counted).unwrap();
    assert_eq!((send(&mut four), four.bytes), (Next::Yield, 0));
    assert_eq!(send(&mut share(9)), Next::Wait);
    assert_eq!(send(&mut share(9)), Next::Continue);
    assert_eq!((transport.output.as_slice(), counted), (&b"2345678"[..], 7));
}

#[test]
fn what_does_not_fit_into_the_share_as_a_whole_is_not_begun() {
    let (mut body, mut transport) = (parts(), slow(20));
    assert_eq!(body.left(), 14);
    let whole = |bytes| Share {
        whole: true,
        ..share(bytes)
    };
    let mut send = |bytes| {
        body.send(&mut transport, &mut whole(bytes), &mut 0)
            .unwrap()
    };
    assert_eq!(send(13), Next::Yield);
    assert_ne!(send(14), Next::Yield);
    assert_eq!(transport.output, b"<a>123<b>");
    assert_eq!(body.left(), 5);
}

/// Gives three bytes at a time, and pauses before the last.
struct Threes(Vec<Fill>);

impl Source for Threes {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        out.extend_from_slice(b"abc");
        Ok(self.0.remove(0))
    }
}

#[test]
fn a_source_without_a_known_end_is_expected_to_last_as_long_as_it_has() {
    let source = || {
        Box::new(Threes(vec![
            Fill::More,
            Fill::More,
            Fill::NotNow,
            Fill::Done,
        ]))
    };
    let mut body = Body::Source(Box::new(SourceBody::new(
        source(),
        BodyFraming::Close,
        Maker::Handler,
    )));
    let mut known = Body::Source(Box::new(SourceBody::new(
        source(),
        BodyFraming::Length(12),
        Maker::Handler,
    )));
    let mut left = Vec::new();
    for _ in 0..4 {
        for body in [&mut body, &mut known] {
            left.push(body.left());
            body.send(&mut slow(20), &mut share(1), &mut 0).unwrap();
        }
    }
    assert_eq!(left, [0, 12, 3, 9, 6, 6, 0, 3]);
}
