//! What a handler may give as the value of a field: text, bytes and numbers.

use std::borrow::Cow;

/// The value of a header field, as [`Exchange::send_header`](crate::Exchange::send_header) takes it.
///
/// Text and bytes are sent as they are, numbers in decimal. Implement it for types of your own that stand in fields.
///
/// ```
/// use httpoll::HeaderValue;
///
/// assert_eq!(*"max-age=5".to_bytes(), *b"max-age=5");
/// assert_eq!(*5.to_bytes(), *b"5");
/// ```
#[diagnostic::on_unimplemented(
    note = "text, bytes and whole numbers are values of fields; of other types send `value.to_string()`"
)]
pub trait HeaderValue {
    /// Returns the bytes of the value. A control byte in them is misuse of the exchange.
    fn to_bytes(&self) -> Cow<'_, [u8]>;
}

impl<T: HeaderValue + ?Sized> HeaderValue for &T {
    fn to_bytes(&self) -> Cow<'_, [u8]> {
        (**self).to_bytes()
    }
}

impl<const N: usize> HeaderValue for [u8; N] {
    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self)
    }
}

macro_rules! text_and_bytes {
    ($($type:ty)*) => {$(
        impl HeaderValue for $type {
            fn to_bytes(&self) -> Cow<'_, [u8]> {
                Cow::Borrowed(AsRef::<[u8]>::as_ref(&**self))
            }
        }
    )*};
}

text_and_bytes!(String Vec<u8> Box<str> Box<[u8]> Cow<'_, str> Cow<'_, [u8]>);

impl HeaderValue for str {
    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.as_bytes())
    }
}

impl HeaderValue for [u8] {
    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self)
    }
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl HeaderValue for $type {
            fn to_bytes(&self) -> Cow<'_, [u8]> {
                Cow::Owned(self.to_string().into_bytes())
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);
