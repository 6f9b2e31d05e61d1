use super::*;
use crate::handler::query::split_target;

/// Returns what `rules` do with a request for `target` that means no file: `301 /location` or `200=/served`.
fn redirected(rules: &str, target: &str) -> String {
    ask(rules, target, Redirects::find)
}

/// Returns what `rules` do before the file for `target` is looked for.
fn forced(rules: &str, target: &str) -> String {
    ask(rules, target, Redirects::find_forced)
}

fn ask(
    rules: &str,
    target: &str,
    find: impl Fn(&Redirects, &[u8], &str) -> Option<Redirected>,
) -> String {
    let rules = Redirects::parse(rules.as_bytes()).unwrap();
    let mut path = Vec::new();
    translate_path(target.as_bytes(), &mut path).unwrap();
    match find(&rules, &path, split_target(target).1) {
        None => String::new(),
        Some(Redirected::To { status, location }) => format!("{} {location}", status.code()),
        Some(Redirected::Served { status, target }) => format!("{}={target}", status.code()),
    }
}

fn bad_line(rules: &str) -> (usize, String) {
    let bad = Redirects::parse(rules.as_bytes()).unwrap_err();
    (bad.number, bad.message)
}

#[test]
fn a_line_is_a_rule() {
    for (rule, target, expected) in [
        ("/home /", "/home", "301 /"),
        ("/home / 302", "/home", "302 /"),
        ("/a /b 303", "/a", "303 /b"),
        ("/a /b 307", "/a", "307 /b"),
        ("/a /b 308!", "/a", "308 /b"),
        ("/a /b 200", "/a", "200=/b"),
        ("/a /b 404", "/a", "404=/b"),
        ("/a /b 410", "/a", "410=/b"),
        ("\t/a\t /b  # comment", "/a", "301 /b"),
        ("/a /b 302 #comment Country=x", "/a", "302 /b"),
        ("/a /b#part 302", "/a", "302 /b#part"),
        ("/a /b\r", "/a", "301 /b"),
        (
            "/a https://b.example/c?d#e",
            "/a",
            "301 https://b.example/c?d#e",
        ),
        ("/a HTTP://b.example:80", "/a", "301 HTTP://b.example:80"),
        ("/a http://[::1]:8000/", "/a", "301 http://[::1]:8000/"),
        ("/a /b", "/b", ""),
        ("/a /b", "/A", ""),
        ("", "/a", ""),
    ] {
        assert_eq!(redirected(rule, target), expected, "{rule} {target}");
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = "# order\n/a/b /1\n\n/a/* /2/:splat\n/a/b /3\n/* /4 200\n";
    for (target, expected) in [
        ("/a/b", "301 /1"),
        ("/a/c", "301 /2/c"),
        ("/a", "301 /2/"),
        ("/", "200=/4"),
        ("/x/y", "200=/4"),
    ] {
        assert_eq!(redirected(rules, target), expected, "{target}");
    }
}

#[test]
fn placeholders_are_filled_in() {
    for (rule, target, expected) in [
        (
            "/news/* /blog/:splat",
            "/news/2004/01/x",
            "301 /blog/2004/01/x",
        ),
        ("/news/* /blog/:splat", "/news", "301 /blog/"),
        (
            "/news/:m/:d/:y/:s /blog/:y/:m/:d/:s",
            "/news/02/12/2004/my",
            "301 /blog/2004/02/12/my",
        ),
        ("/n/:y/:m /b-:y-:m.html 200", "/n/1/2", "200=/b-1-2.html"),
        (
            "/:a/* https://x.example/:splat?a=:a",
            "/1/2/3",
            "301 https://x.example/2/3?a=1",
        ),
        (
            "/* /find?q=:splat#:splat",
            "/a/b",
            "301 /find?q=a%2Fb#a%2Fb",
        ),
        ("/:id/:idx /:idx/:id", "/1/2", "301 /2/1"),
        (
            "/a/:b /w/Special:Search/:b",
            "/a/1",
            "301 /w/Special:Search/1",
        ),
        ("/a/:b /c:b:b", "/a/1", "301 /c11"),
        ("/a /b/:1", "/a", "301 /b/:1"),
    ] {
        assert_eq!(redirected(rule, target), expected, "{rule} {target}");
    }
}

#[test]
fn every_spelling_of_a_path_is_matched() {
    let rules = "/private/* /login 302!\n/caf%C3%A9 /c 301!\n/a%20b/ /d 301!";
    for target in [
        "/private",
        "/private/",
        "/private/x",
        "/private%2Fx",
        "/%70rivate/x",
        "//private//x",
        "/./private/x",
        "/y/../private/x",
        "/private/%2e%2e/private/x",
        "/private/x#y",
    ] {
        assert_eq!(forced(rules, target), "302 /login", "{target}");
    }
    for target in ["/caf%c3%a9", "/café", "/caf%C3%A9/"] {
        assert_eq!(
            forced(rules, target).split('?').next(),
            Some("301 /c"),
            "{target}"
        );
    }
    assert_eq!(forced(rules, "/a%20b"), "301 /d");
    for target in ["/privateer", "/Private/x", "/private%252Fx"] {
        assert_eq!(forced(rules, target), "", "{target}");
    }
}

#[test]
fn a_location_stays_on_this_server() {
    for (rule, target, expected) in [
        ("/old/* /:splat", "/old//evil.example", "301 /evil.example"),
        (
            "/old/* /:splat",
            "/old/%2F%2Fevil.example/x",
            "301 /evil.example/x",
        ),
        (
            "/old/* /:splat",
            "/old/%5Cevil.example",
            "301 /%5Cevil.example",
        ),
        (
            "/old/* /:splat",
            "/old/\\evil.example",
            "301 /%5Cevil.example",
        ),
        ("/old/* /:splat/x", "/old", "301 /x"),
        ("/old/* /a/:splat/x", "/old", "301 /a/x"),
        (
            "/old/* /:splat",
            "/old/https://evil.example",
            "301 /https%3A/evil.example",
        ),
        ("/old/* /:splat", "/old/..%2f..%2f/evil.example", ""),
        ("/old/:a /:a", "/old/%0d%0aX:%20y", "301 /%0D%0AX%3A%20y"),
        ("/old/:a /:a", "/old/%ff%7f%09", "301 /%FF%7F%09"),
        (
            "/old u=:u /:u/x",
            "/old?u=/evil.example",
            "301 /%2Fevil.example/x",
        ),
        ("/old u=:u /:u/x", "/old?u=", "301 /x"),
        (
            "/old u=:splat /:splat",
            "/old?u=//evil.example/",
            "301 /evil.example",
        ),
        ("/old u=:splat /a/:splat", "/old?u=x//%5Cy", "301 /a/x/%5Cy"),
        ("/old u=:splat /:splat/x", "/old?u=/", "301 /x"),
        (
            "/old u=:u /:u",
            "/old?u=%5c%2fevil.example%0d%0a",
            "301 /%5C%2Fevil.example%0D%0A",
        ),
        (
            "/old/* https://a.example/:splat",
            "/old/@evil.example",
            "301 https://a.example/%40evil.example",
        ),
        (
            "/old/* https://a.example/:splat/x",
            "/old/",
            "301 https://a.example/x",
        ),
        ("/a /b\\c", "/a", "301 /b%5Cc"),
        (
            "/a /é{}|^\"<>`",
            "/a",
            "301 /%C3%A9%7B%7D%7C%5E%22%3C%3E%60",
        ),
    ] {
        assert_eq!(redirected(rule, target), expected, "{rule} {target}");
    }
}

#[test]
fn a_query_is_passed_on_unless_the_target_has_one() {
    for (rule, target, expected) in [
        ("/a /b", "/a?x=1&y", "301 /b?x=1&y"),
        ("/a /b", "/a?", "301 /b"),
        ("/a /b#c", "/a?x", "301 /b?x#c"),
        ("/a https://b.example", "/a?x", "301 https://b.example?x"),
        ("/a /b?y=2", "/a?x=1", "301 /b?y=2"),
        ("/a /b?", "/a?x=1", "301 /b?"),
        ("/a /b", "/a?é\"\\", "301 /b?%C3%A9%22%5C"),
        ("/a /b 200", "/a?x=1", "200=/b"),
    ] {
        assert_eq!(redirected(rule, target), expected, "{rule} {target}");
    }
}

#[test]
fn a_rule_may_ask_for_a_query() {
    let rules =
        "/s id=:id tag=:tag /p/:tag/:id\n/s id=:id /b/:id\n/s page=1 x=a%26b /one 302\n/s /rest\n";
    for (target, expected) in [
        ("/s?id=my-post", "301 /b/my-post"),
        ("/s?id=a%2Fb+c", "301 /b/a%2Fb%20c"),
        ("/s?tag=t&id=i", "301 /p/t/i"),
        ("/s?x=a%26b&page=1", "302 /one"),
        ("/s?page=2&x=a%26b", "301 /rest?page=2&x=a%26b"),
        ("/s?id=1&other", "301 /rest?id=1&other"),
        ("/s?id=1&id=2", "301 /rest?id=1&id=2"),
        ("/s", "301 /rest"),
    ] {
        assert_eq!(redirected(rules, target), expected, "{target}");
    }
}

#[test]
fn only_a_forced_rule_applies_before_the_file_is_looked_for() {
    let rules = "/a /1 301!\n/b /2\n/b /3 301!\n/c/* /4 404!\n/* /5 200\n/d /6 301!\n/e /7";
    for (target, expected) in [
        ("/a", "301 /1"),
        ("/b", ""),
        ("/c/x", "404=/4"),
        ("/d", ""),
        ("/e", ""),
    ] {
        assert_eq!(forced(rules, target), expected, "{target}");
    }
    assert_eq!(forced("/* /index.html 200", "/a"), "");
}

#[test]
fn a_rule_that_leads_back_to_the_same_path_is_passed_over() {
    for (rules, target, expected) in [
        ("/a /a", "/a", ""),
        ("/a /a/ 301!", "/a", ""),
        ("/a/ /a 301!", "/a/?x", ""),
        ("/* /index.html 302", "/x", "302 /index.html"),
        ("/* /index.html 302", "/index.html", ""),
        (
            "/* /%69ndex.html 302\n/index.html /b",
            "/index.html",
            "301 /b",
        ),
        ("/* /:splat", "/a%20b", ""),
        ("/a /a?x=1", "/a", ""),
        ("/a id=:id /a?post=:id", "/a?id=1", "301 /a?post=1"),
        ("/a id=:id /a?id=0", "/a?id=1", ""),
        (
            "/* https://a.example/:splat",
            "/a",
            "301 https://a.example/a",
        ),
        ("/* /index.html 200", "/index.html", "200=/index.html"),
    ] {
        assert_eq!(redirected(rules, target), expected, "{rules} {target}");
    }
}

#[test]
fn a_bad_line_is_reported_with_its_number() {
    for (rule, reason) in [
        ("/a", "no target"),
        ("/a # /b", "no target"),
        ("/a 301", "\"301\" is neither a path nor a URL"),
        ("/a b", "\"b\" is neither a path nor a URL"),
        ("/a =x /b", "\"=x\" is neither a path nor a URL"),
        ("a /b", "does not begin with a slash"),
        ("https://a.example/* /b", "has a domain"),
        ("/a/*/b /c", "must be the last segment"),
        ("/a* /c", "must be the last segment"),
        ("/* /b/*", "write `:splat`"),
        ("/a /b 305", "status \"305\""),
        ("/a /b 500", "status \"500\""),
        ("/a /b 0301", "status \"0301\""),
        ("/a /b !", "status \"!\""),
        ("/a /b 301!!", "status \"301!!\""),
        ("/a /b 301 302", "\"302\" follows the status"),
        ("/a /b 301 !", "\"!\" follows the status"),
        ("/ /anz 302 Country=au,nz", "condition \"Country\""),
        ("/ /he Language=he", "condition \"Language\""),
        ("/a/* /b 200! Role=admin", "condition \"Role\""),
        ("/a /b 302 Cookie=c", "condition \"Cookie\""),
        ("/a /b 200 Signed=KEY", "condition \"Signed\""),
        ("/a /.netlify/functions/f 200", "is a function"),
        ("/a https://b.example/ 200", "no proxy"),
        ("/a https://b.example/ 404", "no proxy"),
        ("/a/:b https://:b.example/", "host"),
        ("/* https://:splat", "host"),
        ("/* https://a.example:splat", "host"),
        ("/* https://*.example/", "host"),
        ("/a https:///b", "host"),
        ("/a https://u@b.example/", "host"),
        ("/a https://b\\c.example/", "host"),
        ("/a ftp://b.example/", "scheme \"ftp\""),
        ("/a javascript://%0aalert(1)", "scheme \"javascript\""),
        ("/a //b.example", "two slashes"),
        ("/a /\\b.example", "two slashes"),
        ("/a /b/:c", "the target has `:c`"),
        ("/a /:splat", "the target has `:splat`"),
        ("/:a a=:a /b", "`:a` more than once"),
        ("/a\0 /b", "control character"),
    ] {
        let (number, message) = bad_line(&format!("# first\n/x /y\n{rule}\n/z"));
        assert_eq!(number, 3, "{rule}");
        assert!(message.contains(reason), "{rule}: {message}");
    }
}

#[test]
fn the_number_of_parameters_is_limited() {
    let rule = |count| format!("/a {} /b", "x=1 ".repeat(count));
    assert!(Redirects::parse(rule(MAX_NAMES).as_bytes()).is_ok());
    assert!(bad_line(&rule(MAX_NAMES + 1)).1.contains("parameters"));
}

#[test]
fn the_number_of_rules_is_limited() {
    let rules = |count| "/a /b\n".repeat(count);
    assert_eq!(redirected(&rules(2000), "/a"), "301 /b");
    assert_eq!(
        bad_line(&rules(2001)),
        (2001, "the file has more than 2000 rules".to_owned())
    );
}
