//! The names of methods (RFC 9110 §9.1). They are case-sensitive, so `get` is no method.

/// Returns whether `method` is in the HTTP Method Registry of IANA (RFC 9110 §16.1.1), as of June 2026. A server knows such a
/// method, so it answers 405 where it does not allow it, and 501 only to others (RFC 9110 §15.5.6, §15.6.2).
#[rustfmt::skip]
pub(crate) fn is_registered(method: &str) -> bool {
    matches!(
        method,
        // RFC 9110, RFC 5789, RFC 10008, RFC 9113 and RFC 2068.
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE"
            | "PATCH" | "QUERY" | "PRI" | "LINK" | "UNLINK"
            // WebDAV: RFC 4918, RFC 3648, RFC 3744, RFC 4437, RFC 4791, RFC 5323 and RFC 5842.
            | "PROPFIND" | "PROPPATCH" | "MKCOL" | "COPY" | "MOVE" | "LOCK" | "UNLOCK"
            | "ORDERPATCH" | "ACL" | "MKREDIRECTREF" | "UPDATEREDIRECTREF" | "MKCALENDAR" | "SEARCH"
            | "BIND" | "REBIND" | "UNBIND"
            // Versions of WebDAV: RFC 3253.
            | "BASELINE-CONTROL" | "CHECKIN" | "CHECKOUT" | "LABEL" | "MERGE" | "MKACTIVITY"
            | "MKWORKSPACE" | "REPORT" | "UNCHECKOUT" | "UPDATE" | "VERSION-CONTROL"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_names_are_known() {
        for method in ["GET", "PROPFIND", "VERSION-CONTROL", "QUERY", "UNLINK"] {
            assert!(is_registered(method), "{method}");
        }
        for method in [
            "", "*", "get", "Propfind", "GETT", "SPAM", "PURGE", "VERSION",
        ] {
            assert!(!is_registered(method), "{method}");
        }
    }
}
