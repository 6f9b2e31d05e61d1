//! Records are opened and sealed by rustls, which leaves all memory to its caller.

use std::io;

use rustls::Error;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus, WriteTraffic,
};

use super::plain::Plain;

/// What was taken out of received bytes.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// The number of bytes at the front that are not needed any more.
    pub(super) used: usize,
    /// Whether the peer has sent close_notify.
    pub(super) is_closed: bool,
}

/// Opens the records in `incoming`: bytes of the application go to `plain`, answers that the protocol asks for to `answers`.
///
/// # Errors
/// The peer does not keep to the protocol. `answers` has the alert that says so, and the connection must not be used any more.
pub(super) fn open(
    connection: &mut UnbufferedServerConnection,
    incoming: &mut [u8],
    plain: &mut Plain<'_>,
    answers: &mut Vec<u8>,
) -> Result<Opened, Error> {
    let mut opened = Opened::default();
    loop {
        let incoming = incoming.get_mut(opened.used..).unwrap_or_default();
        let UnbufferedStatus { discard, state } = connection.process_tls_records(incoming);
        opened.used += discard;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    opened.used += record.discard;
                    plain.push(record.payload);
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, answers)?,
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => opened.is_closed = true,
            Ok(_) => return Ok(opened),
            Err(error) => {
                alert(
                    connection,
                    incoming.get_mut(discard..).unwrap_or_default(),
                    answers,
                )?;
                return Err(error);
            }
        }
    }
}

/// Appends the alert that follows an error to `answers`, and what was to leave before it. rustls opens no record meanwhile, because it
/// gives away what it has to send first.
fn alert(
    connection: &mut UnbufferedServerConnection,
    incoming: &mut [u8],
    answers: &mut Vec<u8>,
) -> Result<(), Error> {
    while connection.wants_write() {
        match connection.process_tls_records(incoming).state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, answers)?,
            _ => break,
        }
    }
    Ok(())
}

/// Appends `data` to `answers`.
fn encode(
    data: &mut EncodeTlsData<'_, ServerConnectionData>,
    answers: &mut Vec<u8>,
) -> Result<(), Error> {
    let start = answers.len();
    loop {
        let room = answers.get_mut(start..).unwrap_or_default();
        match data.encode(room) {
            Ok(_) => return Ok(()),
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                answers.resize(start + required_size, 0);
            }
            Err(error @ EncodeError::AlreadyEncoded) => {
                return Err(Error::General(error.to_string()));
            }
        }
    }
}

/// Puts `answers`, and the bytes of `plain` as records behind them, at the front of `sealed`, and returns how long both are. `received`
/// is the beginning of a record that has not arrived as a whole.
///
/// # Errors
/// The keys have sealed as many records as they may, or the stream has ended.
pub(super) fn seal(
    connection: &mut UnbufferedServerConnection,
    received: &mut [u8],
    answers: &[u8],
    plain: &[u8],
    sealed: &mut Vec<u8>,
) -> io::Result<usize> {
    let start = answers.len().min(sealed.len());
    sealed.splice(..start, answers.iter().copied());
    let length = write(
        connection,
        received,
        sealed,
        answers.len(),
        |traffic, sealed| traffic.encrypt(plain, sealed),
    )?;
    Ok(answers.len() + length)
}

/// Puts close_notify into `records` from `start` on, and returns how long it is: nothing, if it was sent already.
///
/// # Errors
/// The handshake is not complete, or the stream has ended.
pub(super) fn close(
    connection: &mut UnbufferedServerConnection,
    received: &mut [u8],
    records: &mut Vec<u8>,
    start: usize,
) -> io::Result<usize> {
    write(connection, received, records, start, |traffic, room| {
        traffic.queue_close_notify(room)
    })
}

/// Has `write` fill `sealed` from `start` on; it grows as far as needed. Returns how much was filled.
fn write(
    connection: &mut UnbufferedServerConnection,
    received: &mut [u8],
    sealed: &mut Vec<u8>,
    start: usize,
    mut write: impl FnMut(
        &mut WriteTraffic<'_, ServerConnectionData>,
        &mut [u8],
    ) -> Result<usize, EncryptError>,
) -> io::Result<usize> {
    let Ok(ConnectionState::WriteTraffic(mut traffic)) =
        connection.process_tls_records(received).state
    else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    loop {
        let room = sealed.get_mut(start..).unwrap_or_default();
        match write(&mut traffic, room) {
            Ok(length) => return Ok(length),
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                sealed.resize(start + required_size, 0);
            }
            Err(EncryptError::EncryptExhausted) => return Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}
