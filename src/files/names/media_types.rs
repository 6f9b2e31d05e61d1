//! Media types that are better than those of mime_guess: those of IANA, then those of nginx.
//!
//! Invariant: source code, configuration and notes are `text/plain`. Firefox downloads text of most other types, such as
//! `text/x-python`, and Chromium all types that are not text, such as `application/x-sh`.

/// Programs and style sheets in languages that browsers do not run.
const SOURCE: [&str; 67] = [
    "asm", "astro", "c", "cc", "clj", "coffee", "cpp", "cs", "cts", "cxx", "dart", "ejs", "el",
    "erl", "ex", "exs", "f", "f77", "f90", "for", "frag", "glsl", "go", "gradle", "groovy", "h",
    "hbs", "hh", "hlsl", "hpp", "hs", "hxx", "java", "jl", "jsx", "kt", "kts", "less", "lisp",
    "lua", "ml", "p", "pas", "php", "pl", "pm", "pug", "py", "pyi", "r", "rb", "rs", "s", "sass",
    "scala", "scss", "styl", "svelte", "swift", "tcl", "tk", "tsx", "vb", "vert", "vue", "wgsl",
    "zig",
];

/// What shells, databases, build tools and schema compilers read.
const SCRIPTS: [&str; 21] = [
    "awk", "bash", "bat", "cmake", "cmd", "csh", "fish", "graphql", "hcl", "ksh", "mak", "mk",
    "nix", "proto", "ps1", "psm1", "sh", "sql", "tf", "thrift", "zsh",
];

/// Configuration, logs, notes, changes, and data that people read.
const NOTES: [&str; 30] = [
    "adoc", "bib", "cfg", "cls", "conf", "desktop", "diff", "env", "ini", "json5", "jsonc",
    "jsonl", "latex", "lock", "log", "ndjson", "nfo", "patch", "rst", "service", "srt", "sty",
    "tex", "texi", "texinfo", "textile", "toml", "txt", "yaml", "yml",
];

/// Returns the media type of a `suffix` in lower case; `None` if mime_guess knows best.
pub(super) fn of_suffix(suffix: &str) -> Option<&'static str> {
    let is_plain_text = [&SOURCE[..], &SCRIPTS, &NOTES]
        .iter()
        .any(|suffixes| suffixes.binary_search(&suffix).is_ok());
    is_plain_text
        .then_some("text/plain")
        .or_else(|| text(suffix))
        .or_else(|| media(suffix))
        .or_else(|| application(suffix))
}

/// Returns whether files with this suffix are `text/plain` if their content is text, and of the type that the suffix means if not.
pub(super) fn may_be_text(suffix: &str) -> bool {
    match suffix {
        // TypeScript, or the MPEG transport streams of HLS and of cameras.
        "ts" | "mts" => true,
        // Modules of Go, Org mode, tests of Perl, Scheme, CUDA, autoconf, gettext, templates: mime_guess knows only rare formats.
        "mod" | "org" | "t" | "scm" | "cu" | "ac" | "pot" | "tpl" => true,
        // Pages of manuals.
        "man" | "me" | "ms" => true,
        _ => false,
    }
}

/// Text that programs read, by its registered type.
fn text(suffix: &str) -> Option<&'static str> {
    Some(match suffix {
        // CommonJS is the same language. A browser runs modules of these types only.
        "js" | "mjs" | "cjs" => "text/javascript",
        "md" | "markdown" | "mkd" => "text/markdown",
        "vcf" | "vcard" => "text/vcard",
        // Source maps among them.
        "map" | "topojson" | "har" => "application/json",
        // Browsers show types that end with +json.
        "ipynb" => "application/x-ipynb+json",
        _ => return None,
    })
}

/// Fonts, pictures, sound, films and models.
fn media(suffix: &str) -> Option<&'static str> {
    Some(match suffix {
        "otf" => "font/otf",
        "woff" => "font/woff",
        "psd" => "image/vnd.adobe.photoshop",
        "m4a" => "audio/mp4",
        "mid" | "midi" => "audio/midi",
        "ra" => "audio/x-realaudio",
        "m3u8" => "application/vnd.apple.mpegurl",
        "ts" | "mts" => "video/mp2t",
        "obj" => "model/obj",
        "mtl" => "model/mtl",
        "stl" => "model/stl",
        "usdz" => "model/vnd.usdz+zip",
        _ => return None,
    })
}

/// Archives, packages and databases.
fn application(suffix: &str) -> Option<&'static str> {
    Some(match suffix {
        "tgz" => "application/gzip",
        "txz" => "application/x-xz",
        "tbz2" => "application/x-bzip2",
        "zst" | "tzst" => "application/zstd",
        "deb" => "application/vnd.debian.binary-package",
        "rpm" => "application/x-redhat-package-manager",
        "cab" => "application/vnd.ms-cab-compressed",
        "sqlite" | "sqlite3" => "application/vnd.sqlite3",
        "prc" => "application/vnd.palm",
        "sea" => "application/x-sea",
        // Files with these suffixes are never text. Without this entry, the content of such a file would decide.
        "bin" | "br" | "exe" | "dll" | "so" | "dmg" | "iso" | "img" | "msi" | "msp" | "msm"
        | "pkg" => "application/octet-stream",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::guess_type::guess_type;
    use super::*;

    /// The pairs of conf/mime.types in nginx 1.22, as Debian 12 has it in /etc/nginx/mime.types: a type, and its suffixes.
    const NGINX: &str = include_str!("nginx_types.txt");

    const SHOWN: &str = "source code is shown, and not downloaded";

    /// Where this table has another type: the suffix, the type and the reason.
    const DIFFERENCES: [(&str, &str, &str); 10] = [
        ("bmp", "image/bmp", "registered (RFC 7903)"),
        ("deb", "application/vnd.debian.binary-package", "registered"),
        (
            "js",
            "text/javascript",
            "registered; the other one is obsolete (RFC 9239)",
        ),
        ("m4a", "audio/mp4", "registered (RFC 4337)"),
        ("pdb", "application/vnd.palm", "registered"),
        ("pl", "text/plain", SHOWN),
        ("pm", "text/plain", SHOWN),
        ("prc", "application/vnd.palm", "registered"),
        ("tcl", "text/plain", SHOWN),
        ("tk", "text/plain", SHOWN),
    ];

    fn nginx() -> impl Iterator<Item = (&'static str, &'static str)> {
        let lines = NGINX.lines();
        lines.flat_map(|line| {
            let (media_type, suffixes) = line.split_once(' ').unwrap();
            suffixes.split(' ').map(move |suffix| (suffix, media_type))
        })
    }

    fn ours(suffix: &str) -> String {
        let map = Default::default();
        let guessed = guess_type(&format!("a.{suffix}"), &map, None);
        guessed.media_type.into_owned()
    }

    #[test]
    fn suffixes_are_sorted() {
        for suffixes in [&SOURCE[..], &SCRIPTS, &NOTES] {
            assert!(suffixes.is_sorted());
        }
    }

    #[test]
    fn types_are_those_of_nginx_unless_there_is_a_reason() {
        assert_eq!(nginx().count(), 110);
        let ours = nginx().map(|(suffix, theirs)| (suffix, ours(suffix), theirs));
        let mut found: Vec<_> = ours
            .filter(|(_, ours, theirs)| ours != theirs)
            .map(|(suffix, ours, _)| (suffix, ours))
            .collect();
        found.sort_unstable();
        let listed = DIFFERENCES.map(|(suffix, ours, _)| (suffix, ours.to_owned()));
        assert_eq!(found, listed);
    }
}
