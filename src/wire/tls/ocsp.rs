//! An OCSP response that is stapled (RFC 6960): the server reads no more of it than what clients would refuse it for.

use std::io;
use std::time::Duration;

use x509_cert::der::asn1::{AnyRef, ContextSpecific, GeneralizedTime, OctetStringRef};
use x509_cert::der::{Decode as _, Error, Reader, SliceReader, TagNumber};

use super::pem_file::wrong;

const SUCCESSFUL: &[u8] = &[0];
const GOOD: u8 = 0x80;

/// Returns the time since 1970 at which the response becomes stale, if it names one.
///
/// # Errors
/// It is no response in DER, was not successful, or does not say that the certificate is good.
pub(super) fn next_update(der: &[u8]) -> io::Result<Option<Duration>> {
    let damaged = |_| wrong("it is no OCSP response in DER");
    let response = AnyRef::from_der(der).map_err(damaged)?;
    let (status, basic) = response
        .sequence(|fields| {
            let status = AnyRef::decode(fields)?.value();
            let basic = ContextSpecific::<AnyRef<'_>>::decode_explicit(fields, TagNumber(0))?;
            Ok::<_, Error>((status, basic))
        })
        .map_err(damaged)?;
    let (SUCCESSFUL, Some(basic)) = (status, basic) else {
        return Err(wrong("it says that the request for it failed"));
    };
    let (status, next_update) = single_response(basic.value).map_err(damaged)?;
    if status != GOOD {
        return Err(wrong("it does not say that the certificate is good"));
    }
    Ok(next_update)
}

/// Returns the tag of certStatus and the time of nextUpdate of the first SingleResponse.
fn single_response(basic: AnyRef<'_>) -> Result<(u8, Option<Duration>), Error> {
    let response: &OctetStringRef = basic.sequence(|fields| {
        AnyRef::decode(fields)?; // responseType
        fields.decode()
    })?;
    let mut response = SliceReader::new(response.as_bytes())?;
    let basic_response = AnyRef::decode(&mut response)?;
    let mut fields = SliceReader::new(basic_response.value())?;
    let response_data = AnyRef::decode(&mut fields)?;
    let mut fields = SliceReader::new(response_data.value())?;
    ContextSpecific::<AnyRef<'_>>::decode_explicit(&mut fields, TagNumber(0))?; // version
    AnyRef::decode(&mut fields)?; // responderID
    AnyRef::decode(&mut fields)?; // producedAt
    let responses = AnyRef::decode(&mut fields)?;
    let first = AnyRef::decode(&mut SliceReader::new(responses.value())?)?;
    let mut fields = SliceReader::new(first.value())?;
    AnyRef::decode(&mut fields)?; // certID
    let status = fields.peek_byte().unwrap_or_default();
    AnyRef::decode(&mut fields)?; // certStatus
    AnyRef::decode(&mut fields)?; // thisUpdate
    let next = ContextSpecific::<GeneralizedTime>::decode_explicit(&mut fields, TagNumber(0))?;
    Ok((status, next.map(|time| time.value.to_unix_duration())))
}
