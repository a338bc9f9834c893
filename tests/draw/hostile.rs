//! Requests that are refused, and clients that try to keep others waiting.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use wavemix::Rng;

use crate::server::{Server, reply};
use crate::{CHARACTERS, drawn};

#[test]
fn what_is_no_request_for_this_server_is_refused() {
    let server = Server::with_weights("refusals");
    let host = format!("Host: {}\r\n", server.address);
    let port = server.address.split(':').nth(1).unwrap().to_owned();
    let long = format!("X: {}\r\n", "a".repeat(9000));
    let cases = [
        // Names of others that lead here, and pages of others.
        (
            403,
            "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(),
        ),
        (
            403,
            format!("GET / HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n"),
        ),
        (
            403,
            format!("GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example:{port}\r\n\r\n"),
        ),
        (
            403,
            format!("GET / HTTP/1.1\r\nHost: localhost:{port}.evil.example\r\n\r\n"),
        ),
        (403, "GET / HTTP/1.1\r\nHost:\r\n\r\n".to_owned()),
        (
            403,
            format!(
                "POST /read HTTP/1.1\r\n{host}Origin: http://evil.example\r\nContent-Length: 0\r\n\r\n"
            ),
        ),
        (
            403,
            format!("POST /read HTTP/1.1\r\n{host}Origin: null\r\nContent-Length: 0\r\n\r\n"),
        ),
        (404, format!("GET /secret HTTP/1.1\r\n{host}\r\n")),
        (404, format!("GET /../../etc/passwd HTTP/1.1\r\n{host}\r\n")),
        (404, format!("GET //status HTTP/1.1\r\n{host}\r\n")),
        (404, format!("GET /curve.svg HTTP/1.1\r\n{host}\r\n")),
        (405, format!("DELETE / HTTP/1.1\r\n{host}\r\n")),
        (405, format!("HEAD / HTTP/1.1\r\n{host}\r\n")),
        (405, format!("GET /read HTTP/1.1\r\n{host}\r\n")),
        (
            405,
            format!("POST /status HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n"),
        ),
        (411, format!("POST /read HTTP/1.1\r\n{host}\r\n")),
        (
            411,
            format!("POST /read HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            413,
            format!("POST /read HTTP/1.1\r\n{host}Content-Length: 50177\r\n\r\n"),
        ),
        (
            413,
            format!("POST /read HTTP/1.1\r\n{host}Content-Length: 99999999999999999999\r\n\r\n"),
        ),
        (431, format!("GET / HTTP/1.1\r\n{host}{long}\r\n")),
        (
            400,
            format!("POST /read HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc"),
        ),
        (
            400,
            format!("POST /read HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n"),
        ),
        (
            400,
            format!("POST /read HTTP/1.1\r\n{host}Content-Length: -3\r\n\r\nabc"),
        ),
        (
            400,
            format!("POST /read HTTP/1.1\r\n{host}Content-Length: +3\r\n\r\nabc"),
        ),
        (
            400,
            format!("POST /read HTTP/1.1\r\n{host}Content-Length:\r\n\r\nabc"),
        ),
        (
            400,
            format!(
                "POST /read HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"
            ),
        ),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, format!("GET / HTTP/1.1\r\n{host}{host}\r\n")),
        (400, format!("GET / HTTP/2\r\n{host}\r\n")),
        (400, format!("GET  / HTTP/1.1\r\n{host}\r\n")),
        (400, format!("GET http://127.0.0.1/ HTTP/1.1\r\n{host}\r\n")),
        (400, format!("GET /\0 HTTP/1.1\r\n{host}\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}No colon\r\n\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}Space : x\r\n\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host} folded: x\r\n\r\n")),
        (400, "\r\n\r\n".to_owned()),
        (400, "\x16\x03\x01\x02\r\n\r\n".to_owned()),
    ];
    for (want, request) in cases {
        let (status, head, body) = server.exchange(request.as_bytes());
        let body = String::from_utf8_lossy(&body);
        assert_eq!(status, want, "{request:?}: {head}{body}");
        assert!(
            head.contains("Content-Security-Policy: default-src 'none'"),
            "{head}"
        );
    }
    assert_eq!(server.exchange(b"GET / \xff HTTP/1.1\r\n\r\n").0, 400);
    // All of a body that is too large is sent, and the reply arrives nevertheless.
    let head = format!("POST /read HTTP/1.1\r\n{host}Content-Length: 3000000\r\n\r\n");
    let request = [head.as_bytes(), &vec![255; 3_000_000]].concat();
    assert_eq!(server.exchange(&request).0, 413);
    // A client that hangs up in between is told so, if it still listens.
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream
        .write_all(format!("GET / HTTP/1.1\r\n{host}").as_bytes())
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(reply(&mut stream).0, 400);
    // Its own names are served.
    for name in [
        format!("localhost:{port}"),
        format!("LocalHost:{port}"),
        "127.0.0.1".into(),
    ] {
        let origin = format!("Origin: http://{name}\r\n");
        let request = format!("GET /?selftest HTTP/1.1\r\nHost: {name}\r\n{origin}\r\n");
        assert_eq!(server.exchange(request.as_bytes()).0, 200, "{request}");
    }
}

#[test]
fn slow_clients_are_given_up_and_others_served() {
    let server = Server::with_weights("slow");
    let connect = || TcpStream::connect(&server.address).unwrap();
    let began = Instant::now();
    // More than are served at once: most say nothing, one sends a byte now and then.
    let silent: Vec<TcpStream> = (0..30).map(|_| connect()).collect();
    let mut slow = connect();
    slow.write_all(
        format!(
            "POST /read HTTP/1.1\r\nHost: {}\r\nContent-Length: 50176\r\n\r\n",
            server.address
        )
        .as_bytes(),
    )
    .unwrap();
    let mut writer = slow.try_clone().unwrap();
    let dribble = std::thread::spawn(move || {
        for _ in 0..20 {
            if writer.write_all(b"a").is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(700));
        }
    });
    let reply_of_seven = server.post("/read", &drawn(CHARACTERS[0].1));
    assert_eq!(reply_of_seven["classes"][0][0], "7");
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(reply(&mut slow).0, 408);
    drop((slow, silent));
    dribble.join().unwrap();
}

/// Bytes of a good request with some changed, cut, or doubled, and bytes of any kind.
#[test]
fn no_bytes_bring_it_down() {
    let server = Server::with_weights("noise");
    let good = format!(
        "POST /read HTTP/1.1\r\nHost: {}\r\nContent-Length: 12\r\n\r\nabcdefghijkl",
        server.address
    );
    let (rng, mut drawn_so_far) = (Rng::new(3), 0);
    let mut below = |n: usize| {
        drawn_so_far += 1;
        rng.word(drawn_so_far) as usize % n
    };
    for _ in 0..300 {
        let mut request = good.clone().into_bytes();
        for _ in 0..1 + below(4) {
            let at = below(request.len());
            match below(4) {
                0 => request[at] = below(256) as u8,
                1 => request.truncate(at + 1),
                2 => request.insert(at, b"\r\n :\0\xff/"[below(7)]),
                _ => request = [&request[..at], &request[at / 2..]].concat(),
            }
        }
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let _ = stream.write_all(&request);
        let _ = stream.shutdown(Shutdown::Write);
        let (status, head, _) = reply(&mut stream);
        assert!((400..500).contains(&status), "{request:?}: {head}");
    }
    assert_eq!(
        server.post("/read", &drawn(CHARACTERS[1].1))["classes"][0][0],
        "T"
    );
}
