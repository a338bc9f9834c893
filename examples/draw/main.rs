//! A page to draw on: a character is read while it is drawn, and one sees how.
//!
//! ```text
//! cargo run --release --example draw                               # trains for a minute first
//! cargo run --release --example draw -- --weights runs/draw        # reads with what it learned
//! cargo run --release --example draw -- --weights runs/emnist_balanced-1
//! ```
//!
//! It prints an address, `http://127.0.0.1:8028/`, which only this computer can open; Ctrl-C ends
//! it. While the model is trained one sees the curve, and can draw already.
//!
//! `explain.rs` is what the library does for it, `prepare.rs` how drawings become images as MNIST
//! has them, `train.rs` the training, `board.rs` what all tabs see of it. `server.rs` and `http.rs`
//! bring it to a browser; `page.*` and `show.js` run there, and `selftest.js` draws by itself at
//! `/?selftest`.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::{Arg, Command, value_parser};
use wavemix::console::{Stdout, exit_status, quoted};
use wavemix::{Error, Result};

mod board;
mod explain;
mod http;
mod prepare;
mod server;
mod train;

use board::Board;
use train::{Plan, Run};

fn main() -> ExitCode {
    exit_status(draw())
}

fn draw() -> Result<()> {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        let count = value_parser!(u32).range(1..);
        Arg::new(name).long(name).default_value(default).value_parser(count).help(help)
    };
    let path = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_parser(value_parser!(PathBuf)).help(help)
    };
    let m = Command::new("draw")
        .about("Serves a page to draw on, at an address that only this computer can open.")
        .arg(path("weights", "A model.safetensors, or the folder of a run; trained without"))
        .arg(number("epochs", "4", "Epochs to train"))
        .arg(number("glyphs", "500", "Glyphs of each class in an epoch"))
        .arg(path("out", "Where trained weights are kept").default_value("runs/draw"))
        .arg(
            number("port", "8028", "The port; 0 takes any that is free")
                .value_parser(value_parser!(u16)),
        )
        .get_matches();
    let count = |name: &str| m.get_one::<u32>(name).map_or(1, |&n| n as usize);

    let port = m.get_one("port").copied().unwrap_or(0);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(Error::io("listen at", format!("127.0.0.1:{port}")))?;
    let address = listener.local_addr().map_err(Error::io("listen at", "127.0.0.1"))?;
    let serve = |board: Board| {
        let board = Arc::new(board);
        server::serve(listener, &board);
        writeln!(Stdout, "open http://{address}/ to draw; Ctrl-C ends it").map(|()| board)
    };
    match m.get_one::<PathBuf>("weights") {
        Some(path) => {
            serve(Board::new(train::load(path.clone())?, None))?;
        }
        None => {
            let folder = m.get_one("out").cloned().unwrap_or_else(|| PathBuf::from("runs/draw"));
            let plan = Plan { epochs: count("epochs"), glyphs: count("glyphs"), folder };
            let run = Run::new(plan)?;
            let board = serve(run.board()?)?;
            let file = run.train(&board)?;
            writeln!(Stdout, "trained; the next time: --weights {}", quoted(file))?;
        }
    }
    loop {
        thread::park();
    }
}
