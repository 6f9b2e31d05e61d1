//! Media types: of a registered suffix, and of an unknown one.

use std::collections::HashMap;
use std::hint::black_box;

use super::call;
use super::floors::guess_type::guess_type;

fn guess(path: &'static str) -> impl FnMut() -> usize {
    let extensions_map = HashMap::new();
    move || {
        let guessed = guess_type(black_box(path), &extensions_map, None);
        guessed.media_type.len()
    }
}

cases! {
    media_type:
    known => call(guess("assets/images/logo.svg"));
    unknown => call(guess("assets/images/logo.unheard-of"));
}
