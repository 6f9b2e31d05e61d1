//! Paths of targets: short, deep, percent-encoded, and with dot segments.

use std::hint::black_box;

use super::call;
use super::floors::translate_path::translate_path;

fn translate(target: &'static str) -> impl FnMut() -> usize {
    let mut path = Vec::with_capacity(256);
    move || {
        assert!(translate_path(black_box(target).as_bytes(), &mut path).is_some());
        path.len()
    }
}

cases! {
    path:
    short => call(translate("/1k.html"));
    deep => call(translate("/a/deep/path/of/eight/segments/to/file.html?query=1"));
    encoded => call(translate("/caf%C3%A9/%F0%9F%8E%89%20party.html"));
    dots => call(translate("/a/b/c/../../d/./e/../../../f.html"));
}
