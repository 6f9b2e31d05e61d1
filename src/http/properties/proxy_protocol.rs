//! Property of the PROXY protocol: the header means the same however it is cut, and is read as a second reader does.

use std::net::{IpAddr, SocketAddr};

use crate::http::proxy_protocol::{ProxyHeader, parse};

/// Checks the property; `input` is what a proxy sends.
pub fn proxy_protocol(input: &[u8]) {
    let whole = parse(input);
    for end in 0..input.len() {
        let front = parse(&input[..end]);
        // What was said of the front holds for the whole.
        assert!(
            front == Ok(None) || front == whole,
            "{front:?} at {end}, then {whole:?}"
        );
    }
    let Ok(Some(ProxyHeader { source, length })) = whole else {
        return;
    };
    assert!(length <= input.len());
    assert_eq!(parse(&input[..length - 1]), Ok(None));
    let header = &input[..length];
    let expected = if header.starts_with(b"PROXY ") {
        source_of_line(str::from_utf8(header).unwrap())
    } else {
        source_of_binary(header)
    };
    let expected = expected.filter(|source| !source.ip().is_unspecified());
    assert_eq!(source, expected);
}

fn source_of_line(line: &str) -> Option<SocketAddr> {
    assert!(line.len() <= 107 && line.ends_with("\r\n"));
    let words: Vec<_> = line.trim_ascii_end().split(' ').collect();
    if words[1] == "UNKNOWN" {
        return None;
    }
    assert_eq!(words.len(), 6);
    let ip: IpAddr = words[2].parse().unwrap();
    assert_eq!(words[1], if ip.is_ipv4() { "TCP4" } else { "TCP6" });
    Some(SocketAddr::new(
        ip.to_canonical(),
        words[4].parse().unwrap(),
    ))
}

fn source_of_binary(header: &[u8]) -> Option<SocketAddr> {
    assert_eq!(
        header.len(),
        16 + usize::from(header[14]) * 256 + usize::from(header[15])
    );
    let port = |at: usize| u16::from(header[at]) << 8 | u16::from(header[at + 1]);
    match (header[12] & 15, header[13]) {
        (1, 0x11) => {
            let octets = [header[16], header[17], header[18], header[19]];
            Some((octets, port(24)).into())
        }
        (1, 0x21) => {
            let mut words = [0; 8];
            for (number, word) in words.iter_mut().enumerate() {
                *word = port(16 + 2 * number);
            }
            Some(SocketAddr::new(
                IpAddr::from(words).to_canonical(),
                port(48),
            ))
        }
        _ => None,
    }
}
