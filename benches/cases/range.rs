//! Range: one part, and the most parts that the server sends.

use std::hint::black_box;

use super::call;
use crate::http::range::parse_range;

cases! {
    range:
    one => call(|| parse_range(black_box(b"bytes=1048576-"), 10_485_760));
    sixteen => call(|| {
        let field = b"bytes=0-1,4-5,8-9,12-13,16-17,20-21,24-25,28-29,32-33,36-37,40-41,44-45,48-49,52-53,56-57,60-61";
        parse_range(black_box(field), 10_485_760)
    });
}
