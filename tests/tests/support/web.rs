//! Something on the web that agents ask: it answers each request by itself, until the process ends.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// A status and a body.
type Answer = (&'static str, String);

/// Where it stands, `http://host:port`; `answer` is given a request with its whole head.
pub(crate) fn web(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || converse(stream, &*answer));
        }
    });
    format!("http://{address}")
}

fn converse(mut stream: TcpStream, answer: &dyn Fn(&str) -> Answer) {
    let mut asked = Vec::new();
    let mut part = [0; 1024];
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return,
            Ok(read) => asked.extend_from_slice(&part[..read]),
        }
    }
    let (status, body) = answer(&String::from_utf8_lossy(&asked));
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close");
    drop(write!(stream, "{head}\r\n\r\n{body}"));
}
