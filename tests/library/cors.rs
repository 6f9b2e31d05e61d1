//! CORS for handlers of one's own.

use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult, MemoryServer, ServerConfig};

struct Api;

impl BaseHttpRequestHandler for Api {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.send_text(200, "text");
        if exchange.path() == "/own" {
            exchange.send_header("Access-Control-Allow-Origin", "https://a.example");
        }
        Ok(())
    }

    fn do_options(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.send_options("GET, PUT");
        Ok(())
    }
}

fn respond(request: &str, cors: bool) -> String {
    let config = ServerConfig::default().with(|config| config.cors = cors);
    let reply = MemoryServer::with_config(Api, config).respond(request.as_bytes());
    String::from_utf8(reply).unwrap()
}

#[test]
fn a_field_of_the_handler_replaces_that_of_the_configuration() {
    let reply = respond("GET / HTTP/1.0\r\n\r\n", true);
    assert!(reply.contains("\r\nAccess-Control-Allow-Origin: *\r\n"));
    let reply = respond("GET /own HTTP/1.0\r\n\r\n", true);
    assert!(reply.contains("\r\nAccess-Control-Allow-Origin: https://a.example\r\n"));
    assert_eq!(reply.matches("Allow-Origin").count(), 1);
}

#[test]
fn a_handler_names_the_methods_that_a_preflight_allows() {
    let preflight =
        "OPTIONS / HTTP/1.0\r\nOrigin: null\r\nAccess-Control-Request-Method: PUT\r\n\r\n";
    for (cors, methods) in [
        (true, "\r\nAccess-Control-Allow-Methods: GET, PUT\r\n"),
        (false, ""),
    ] {
        let reply = respond(preflight, cors);
        assert!(reply.contains("\r\nAllow: GET, PUT\r\n"), "{reply}");
        assert!(reply.contains(methods), "{reply}");
        assert_eq!(reply.contains("Access-Control"), cors, "{reply}");
    }
}
