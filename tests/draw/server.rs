//! The program as its clients see it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A running program; ended when dropped, after a look at what it complained of.
pub struct Server {
    pub address: String,
    child: Child,
    stderr: PathBuf,
}

fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| crate::built::examples(&["draw"]).remove(0))
}

/// A fresh folder for one test, under the build's own.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("draw-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The program with these arguments.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::null());
    command
}

impl Server {
    /// Starts the program with these arguments, at a port that is free, in a folder of its own.
    pub fn start(name: &str, arguments: &[&str]) -> Server {
        let folder = folder(name);
        let stderr = folder.join("stderr");
        let mut command = command(&[&["--port", "0"], arguments].concat());
        command.current_dir(&folder).stdout(Stdio::piped());
        let mut child = command
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line
            .split(['/', ' '])
            .find(|word| word.contains("127.0.0.1:"));
        let address = address
            .unwrap_or_else(|| panic!("{line}{}", fs::read_to_string(&stderr).unwrap_or_default()));
        // What it says later goes on having a reader.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Server {
            address: address.to_owned(),
            child,
            stderr,
        }
    }

    /// One that reads by the weights that the training of [`trained`] left.
    pub fn with_weights(name: &str) -> Server {
        Server::start(name, &["--weights", trained().to_str().unwrap()])
    }

    /// Sends bytes, and reads the reply to its end: status, headers, body.
    pub fn exchange(&self, request: &[u8]) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        // The server may refuse, and close, before it has read all.
        let _ = stream.write_all(request);
        reply(&mut stream)
    }

    pub fn get(&self, path: &str) -> (u16, String, Vec<u8>) {
        let host = &self.address;
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
    }

    /// What the server says of a drawing.
    #[track_caller]
    pub fn post(&self, path: &str, drawing: &[u8]) -> Value {
        let (host, length) = (&self.address, drawing.len());
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        let (status, head, body) = self.exchange(&[head.as_bytes(), drawing].concat());
        assert_eq!(status, 200, "{head}{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    pub fn status(&self) -> Value {
        serde_json::from_slice(&self.get("/status").2).unwrap()
    }

    /// Presses Ctrl-C, and waits for the end.
    pub fn interrupt(&mut self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .unwrap()
                .success()
        );
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "Ctrl-C did not end it"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = fs::read_to_string(&self.stderr).unwrap_or_default();
        if !std::thread::panicking() {
            assert!(!said.contains("panicked"), "{said}");
            assert!(ended || !said.contains("error:"), "{said}");
        }
    }
}

/// The reply that comes: status, headers, body.
pub fn reply(stream: &mut TcpStream) -> (u16, String, Vec<u8>) {
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no reply: {}", String::from_utf8_lossy(&bytes)));
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, body)
}

/// The folder of weights that the program trained, in view of the page.
pub fn trained() -> &'static Path {
    static TRAINED: OnceLock<PathBuf> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let out = folder("weights");
        let arguments = [
            "--epochs",
            "3",
            "--glyphs",
            "300",
            "--out",
            out.to_str().unwrap(),
        ];
        let mut server = Server::start("training", &arguments);
        let began = Instant::now();
        let mut steps = Vec::new();
        loop {
            let training = server.status()["training"].clone();
            let step = training["step"].as_u64().unwrap();
            if training["done"] == true {
                assert_eq!(training["step"], training["steps"]);
                break;
            }
            if step > 0 && steps.is_empty() {
                // The page is there already, and reads by what the model has learned so far.
                assert_eq!(server.get("/").0, 200);
                let reply = server.post("/read", &crate::drawn(crate::CHARACTERS[0].1));
                assert_eq!(reply["classes"].as_array().unwrap().len(), 5);
            }
            steps.push(step);
            assert!(began.elapsed() < Duration::from_secs(600), "{training}");
            std::thread::sleep(Duration::from_millis(250));
        }
        steps.dedup();
        assert!(steps.len() > 3 && steps.is_sorted(), "{steps:?}");
        let (status, head, curve) = server.get("/curve.svg");
        let curve = String::from_utf8(curve).unwrap();
        assert!(status == 200 && head.contains("image/svg+xml"), "{head}");
        assert!(curve.matches("<polyline").count() > 10, "{curve}");
        assert!(out.join("model.safetensors").exists());
        server.interrupt();
        out
    })
}
