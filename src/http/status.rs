//! Status codes, with their reason phrases and the explanations of `http.server` (RFC 9110 §15).
//!
//! One table holds the permanent entries of the IANA registry under the names of Python's `http.HTTPStatus`.
//!
//! Invariant: a status has exactly three digits, so it fits every status line (RFC 9112 §4).

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// A status code of three digits, registered with IANA or not.
///
/// ```
/// use httpoll::HttpStatus;
///
/// assert_eq!(HttpStatus::NOT_FOUND.to_string(), "404 Not Found");
/// assert_eq!(HttpStatus::new(404), Some(HttpStatus::NOT_FOUND));
/// assert_eq!(HttpStatus::try_from(404), Ok(HttpStatus::NOT_FOUND));
/// assert_eq!("404".parse(), Ok(HttpStatus::NOT_FOUND));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "HTTPStatus")]
#[doc(alias = "responses")]
pub struct HttpStatus(u16);

impl HttpStatus {
    /// Returns the status with this code, or `None` if the code does not have three digits.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            100..=999 => Some(Self(code)),
            _ => None,
        }
    }

    /// Returns the code as a number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Returns whether a response with this status can have content.
    ///
    /// Responses with 1xx, 204 and 304 end with the head, regardless of their fields (RFC 9112 §6.3); 205 must not have content
    /// (RFC 9110 §15.3.6).
    pub const fn allows_body(self) -> bool {
        !matches!(self.0, 100..=199 | 204 | 205 | 304)
    }
}

impl TryFrom<u16> for HttpStatus {
    type Error = InvalidStatus;

    fn try_from(code: u16) -> Result<Self, InvalidStatus> {
        Self::new(code).ok_or(InvalidStatus)
    }
}

impl From<HttpStatus> for u16 {
    fn from(status: HttpStatus) -> Self {
        status.code()
    }
}

impl FromStr for HttpStatus {
    type Err = InvalidStatus;

    /// Reads a code, with or without a phrase, such as `404` or `404 Not Found`.
    fn from_str(text: &str) -> Result<Self, InvalidStatus> {
        let code = text.split_once(' ').map_or(text, |(code, _)| code);
        let is_number = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
        let code: u16 = code.parse().map_err(|_| InvalidStatus)?;
        is_number.then_some(code).ok_or(InvalidStatus)?.try_into()
    }
}

/// The error for a number or a text that is no status code: it does not have three digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidStatus;

impl fmt::Display for InvalidStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status code has three digits, from 100 to 999")
    }
}

impl Error for InvalidStatus {}

impl fmt::Display for HttpStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.phrase())
    }
}

macro_rules! registry {
    ($($code:literal $name:ident $phrase:literal $description:literal;)*) => {
        impl HttpStatus {
            $(
                #[doc = concat!("`", $code, " ", $phrase, "`")]
                pub const $name: Self = Self($code);
            )*

            /// Returns the reason phrase, or `???` if the code is not registered.
            pub const fn phrase(self) -> &'static str {
                match self.0 {
                    $($code => $phrase,)*
                    _ => "???",
                }
            }

            /// Returns the explanation on the error page of `http.server`: empty if Python has none, and `???` if the code
            /// is not registered.
            pub const fn description(self) -> &'static str {
                match self.0 {
                    $($code => $description,)*
                    _ => "???",
                }
            }
        }

        #[cfg(test)]
        const REGISTERED: &[HttpStatus] = &[$(HttpStatus::$name,)*];
    };
}

registry! {
    100 CONTINUE "Continue" "Request received, please continue";
    101 SWITCHING_PROTOCOLS "Switching Protocols" "Switching to new protocol; obey Upgrade header";
    102 PROCESSING "Processing" "";
    103 EARLY_HINTS "Early Hints" "";
    200 OK "OK" "Request fulfilled, document follows";
    201 CREATED "Created" "Document created, URL follows";
    202 ACCEPTED "Accepted" "Request accepted, processing continues off-line";
    203 NON_AUTHORITATIVE_INFORMATION "Non-Authoritative Information" "Request fulfilled from cache";
    204 NO_CONTENT "No Content" "Request fulfilled, nothing follows";
    205 RESET_CONTENT "Reset Content" "Clear input form for further input";
    206 PARTIAL_CONTENT "Partial Content" "Partial content follows";
    207 MULTI_STATUS "Multi-Status" "";
    208 ALREADY_REPORTED "Already Reported" "";
    226 IM_USED "IM Used" "";
    300 MULTIPLE_CHOICES "Multiple Choices" "Object has several resources -- see URI list";
    301 MOVED_PERMANENTLY "Moved Permanently" "Object moved permanently -- see URI list";
    302 FOUND "Found" "Object moved temporarily -- see URI list";
    303 SEE_OTHER "See Other" "Object moved -- see Method and URL list";
    304 NOT_MODIFIED "Not Modified" "Document has not changed since given time";
    305 USE_PROXY "Use Proxy" "You must use proxy specified in Location to access this resource";
    307 TEMPORARY_REDIRECT "Temporary Redirect" "Object moved temporarily -- see URI list";
    308 PERMANENT_REDIRECT "Permanent Redirect" "Object moved permanently -- see URI list";
    400 BAD_REQUEST "Bad Request" "Bad request syntax or unsupported method";
    401 UNAUTHORIZED "Unauthorized" "No permission -- see authorization schemes";
    402 PAYMENT_REQUIRED "Payment Required" "No payment -- see charging schemes";
    403 FORBIDDEN "Forbidden" "Request forbidden -- authorization will not help";
    404 NOT_FOUND "Not Found" "Nothing matches the given URI";
    405 METHOD_NOT_ALLOWED "Method Not Allowed" "Specified method is invalid for this resource";
    406 NOT_ACCEPTABLE "Not Acceptable" "URI not available in preferred format";
    407 PROXY_AUTHENTICATION_REQUIRED "Proxy Authentication Required" "You must authenticate with this proxy before proceeding";
    408 REQUEST_TIMEOUT "Request Timeout" "Request timed out; try again later";
    409 CONFLICT "Conflict" "Request conflict";
    410 GONE "Gone" "URI no longer exists and has been permanently removed";
    411 LENGTH_REQUIRED "Length Required" "Client must specify Content-Length";
    412 PRECONDITION_FAILED "Precondition Failed" "Precondition in headers is false";
    413 CONTENT_TOO_LARGE "Content Too Large" "Content is too large";
    414 URI_TOO_LONG "URI Too Long" "URI is too long";
    415 UNSUPPORTED_MEDIA_TYPE "Unsupported Media Type" "Entity body in unsupported format";
    416 RANGE_NOT_SATISFIABLE "Range Not Satisfiable" "Cannot satisfy request range";
    417 EXPECTATION_FAILED "Expectation Failed" "Expect condition could not be satisfied";
    418 IM_A_TEAPOT "I'm a Teapot" "Server refuses to brew coffee because it is a teapot.";
    421 MISDIRECTED_REQUEST "Misdirected Request" "Server is not able to produce a response";
    422 UNPROCESSABLE_CONTENT "Unprocessable Content" "";
    423 LOCKED "Locked" "";
    424 FAILED_DEPENDENCY "Failed Dependency" "";
    425 TOO_EARLY "Too Early" "";
    426 UPGRADE_REQUIRED "Upgrade Required" "";
    428 PRECONDITION_REQUIRED "Precondition Required" "The origin server requires the request to be conditional";
    429 TOO_MANY_REQUESTS "Too Many Requests" "The user has sent too many requests in a given amount of time (\"rate limiting\")";
    431 REQUEST_HEADER_FIELDS_TOO_LARGE "Request Header Fields Too Large" "The server is unwilling to process the request because its header fields are too large";
    451 UNAVAILABLE_FOR_LEGAL_REASONS "Unavailable For Legal Reasons" "The server is denying access to the resource as a consequence of a legal demand";
    500 INTERNAL_SERVER_ERROR "Internal Server Error" "Server got itself in trouble";
    501 NOT_IMPLEMENTED "Not Implemented" "Server does not support this operation";
    502 BAD_GATEWAY "Bad Gateway" "Invalid responses from another server/proxy";
    503 SERVICE_UNAVAILABLE "Service Unavailable" "The server cannot process the request due to a high load";
    504 GATEWAY_TIMEOUT "Gateway Timeout" "The gateway server did not receive a timely response";
    505 HTTP_VERSION_NOT_SUPPORTED "HTTP Version Not Supported" "Cannot fulfill request";
    506 VARIANT_ALSO_NEGOTIATES "Variant Also Negotiates" "";
    507 INSUFFICIENT_STORAGE "Insufficient Storage" "";
    508 LOOP_DETECTED "Loop Detected" "";
    510 NOT_EXTENDED "Not Extended" "";
    511 NETWORK_AUTHENTICATION_REQUIRED "Network Authentication Required" "The client needs to authenticate to gain network access";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_three_digits() {
        for (code, valid) in [
            (0, false),
            (99, false),
            (100, true),
            (999, true),
            (1000, false),
            (u16::MAX, false),
        ] {
            assert_eq!(
                HttpStatus::new(code).map(HttpStatus::code),
                valid.then_some(code)
            );
        }
    }

    #[test]
    fn registered_codes_ascend_and_have_a_phrase() {
        assert_eq!(REGISTERED.len(), 62);
        assert!(REGISTERED.is_sorted_by(|a, b| a < b));
        for status in REGISTERED {
            assert_eq!(HttpStatus::new(status.code()), Some(*status));
            assert!(
                !status.phrase().is_empty() && status.phrase() != "???",
                "{status:?}"
            );
            assert!(status.phrase().is_ascii() && status.description().is_ascii());
        }
    }

    #[test]
    fn phrases_and_descriptions_are_those_of_python() {
        for (status, shown, description) in [
            (
                HttpStatus::OK,
                "200 OK",
                "Request fulfilled, document follows",
            ),
            (
                HttpStatus::NOT_FOUND,
                "404 Not Found",
                "Nothing matches the given URI",
            ),
            (
                HttpStatus::CONTENT_TOO_LARGE,
                "413 Content Too Large",
                "Content is too large",
            ),
            (HttpStatus::LOCKED, "423 Locked", ""),
            (HttpStatus(599), "599 ???", "???"),
        ] {
            assert_eq!(status.to_string(), shown);
            assert_eq!(status.description(), description);
        }
    }

    #[test]
    fn only_some_statuses_allow_a_body() {
        let without: Vec<u16> = (200..=999)
            .filter(|&code| !HttpStatus(code).allows_body())
            .collect();
        assert_eq!(without, [204, 205, 304]);
        assert!(!HttpStatus::CONTINUE.allows_body());
        assert!(!HttpStatus::EARLY_HINTS.allows_body());
    }
}
