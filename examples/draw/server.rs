//! Routes, and the threads that answer.
//!
//! | request | reply |
//! |---|---|
//! | `GET /` | the page |
//! | `GET /status` | JSON: the model; `training`, how far it is, or `null` |
//! | `GET /curve.svg` | how the training went so far; 404 where the weights came from a file |
//! | `POST /read` with a drawing | JSON: its preparation, Haar transform, maps and classes |
//! | `POST /occlude` with a drawing | JSON: what each pixel is worth |
//!
//! A drawing is 224x224 bytes, row by row, bright where there is ink; of an empty one the reply is
//! `null`. `explain.rs` makes the JSON.

use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use wavemix::Error;

use super::board::Board;
use super::http::{Client, Head, Refusal, Reply, refuse};
use super::prepare::DRAWN;

/// Threads, each with one connection at a time. More clients wait in the system's queue.
const CONNECTIONS: usize = 16;

/// A client has so long to send its request, and so long to take the reply.
const PATIENCE: Duration = Duration::from_secs(3);

/// The page: one file, made of these.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    include_str!("page.html")
        .replace("/* page.css */", include_str!("page.css"))
        .replace("/* selftest.js */", include_str!("selftest.js"))
        .replace("/* show.js */", include_str!("show.js"))
        .replace("/* page.js */", include_str!("page.js"))
});

const JSON: &str = "application/json";

/// Answers for as long as the process runs.
pub fn serve(listener: TcpListener, board: &Arc<Board>) {
    let listener = Arc::new(listener);
    for _ in 0..CONNECTIONS {
        let (listener, board) = (listener.clone(), board.clone());
        thread::spawn(move || {
            loop {
                match listener.accept() {
                    Ok((stream, _)) => converse(&stream, &board),
                    // No more files may be opened, say: that passes.
                    Err(_) => thread::sleep(Duration::from_millis(50)),
                }
            }
        });
    }
}

/// One connection: a request and its reply.
fn converse(stream: &TcpStream, board: &Board) {
    let mut client = Client::new(stream, PATIENCE);
    // A thread that panics would be missing from then on.
    let answered = catch_unwind(AssertUnwindSafe(|| answer(&mut client, board)));
    let reply = answered
        .unwrap_or_else(|_| refuse(500, "this program has a fault, which its terminal shows"))
        .unwrap_or_else(Reply::from);
    client.finish(&reply);
}

fn answer(client: &mut Client, board: &Board) -> Result<Reply, Refusal> {
    let head = client.read_head()?;
    check_caller(&head)?;
    let method = match head.path.as_str() {
        "/" | "/status" | "/curve.svg" => "GET",
        "/read" | "/occlude" => "POST",
        path => return refuse(404, format!("there is no {path} here")),
    };
    if head.method != method {
        return refuse(405, format!("{} is asked for by {method}", head.path));
    }
    match head.path.as_str() {
        "/" => Ok(Reply::new("text/html; charset=utf-8", PAGE.as_str())),
        "/status" => Ok(Reply::new(JSON, board.status().to_string())),
        "/curve.svg" => match board.curve() {
            Some(svg) => Ok(Reply::new("image/svg+xml", svg)),
            None => refuse(404, "the weights came from a file"),
        },
        "/read" => explain(client, &head, |drawing| board.reader().read(drawing)),
        _ => explain(client, &head, |drawing| board.reader().occlude(drawing)),
    }
}

/// Other pages must not ask: neither under a name of theirs that leads here (DNS rebinding), nor
/// from a page of theirs.
fn check_caller(head: &Head) -> Result<(), Refusal> {
    let name = match head.host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => &head.host,
    };
    if !["127.0.0.1", "localhost"].contains(&name.to_lowercase().as_str()) {
        return refuse(403, "this server answers to 127.0.0.1 and localhost alone");
    }
    match &head.origin {
        Some(origin) if *origin != format!("http://{}", head.host) => {
            refuse(403, "other pages may not ask")
        }
        _ => Ok(()),
    }
}

/// What is to be said of the drawing that the body is, with the time that it took, in milliseconds.
fn explain(
    client: &mut Client,
    head: &Head,
    about: impl Fn(&[u8]) -> wavemix::Result<Value>,
) -> Result<Reply, Refusal> {
    let drawing = client.read_body(head, DRAWN * DRAWN)?;
    if drawing.len() != DRAWN * DRAWN {
        return refuse(400, format!("a drawing is {DRAWN}x{DRAWN} bytes"));
    }
    let began = Instant::now();
    let failed = |error: Error| Refusal(500, error.to_string());
    let mut reply = about(&drawing).map_err(failed)?;
    if let Some(reply) = reply.as_object_mut() {
        reply.insert("ms".into(), (1e3 * began.elapsed().as_secs_f64()).into());
    }
    Ok(Reply::new(JSON, reply.to_string()))
}
