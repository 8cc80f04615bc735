//! A server in Rust, of the standard library alone: shop SOCKET answers `GET /NUMBER` over a Unix socket, a thread for each connection, and
//! ends when `/end` is asked for. An order is parsed into owned strings, priced by trait objects, kept for a while in a map that all
//! connections share, and answered as text. Of every 100th number `leak_order` leaks a block of 777 bytes.
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::thread;

const KEPT: usize = 2000;

#[derive(Clone)]
struct Line {
    name: String,
    count: u64,
}

trait Price {
    fn of(&self, line: &Line) -> u64;
    fn name(&self) -> String;
}

struct Each(u64);
struct Reduced {
    from: u64,
    reason: String,
}

impl Price for Each {
    fn of(&self, line: &Line) -> u64 {
        self.0 * line.count
    }
    fn name(&self) -> String {
        format!("{} each", self.0)
    }
}

impl Price for Reduced {
    fn of(&self, line: &Line) -> u64 {
        self.from * line.count * 9 / 10
    }
    fn name(&self) -> String {
        format!("{}, reduced: {}", self.from, self.reason)
    }
}

type Orders = Mutex<BTreeMap<String, Vec<Line>>>;

fn lines_of(number: u64) -> Vec<Line> {
    let text: Vec<String> =
        (0..4 + number % 5).map(|line| format!("article-{}*{}", number % (7 + line), line + 1)).collect();
    let text = text.join(",");
    text.split(',')
        .filter_map(|line| line.split_once('*'))
        .map(|(name, count)| Line { name: name.to_owned(), count: count.parse().unwrap_or(1) })
        .collect()
}

fn answer(number: u64, orders: &Orders) -> String {
    let lines = lines_of(number);
    let prices: Vec<Box<dyn Price>> = lines
        .iter()
        .map(|line| match line.count % 2 {
            0 => Box::new(Each(line.name.len() as u64)) as Box<dyn Price>,
            _ => Box::new(Reduced { from: number % 90, reason: line.name.to_uppercase() }),
        })
        .collect();
    let said: Vec<String> = lines
        .iter()
        .zip(&prices)
        .map(|(line, price)| format!("{} {} = {}", line.name, price.name(), price.of(line)))
        .collect();
    let mut kept = orders.lock().expect("no thread panicked");
    kept.insert(format!("order {number}"), lines);
    if kept.len() > KEPT {
        kept.pop_first();
    }
    said.join("\n")
}

#[inline(never)]
fn leak_order(number: u64) {
    let mut block = vec![0u8; 777].into_boxed_slice();
    block[0] = number as u8;
    std::mem::forget(std::hint::black_box(block)); // else the compiler leaves the allocation out
}

fn serve(connection: UnixStream, orders: &Orders) -> std::io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(connection.try_clone()?), connection);
    let mut wanted = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line.starts_with("GET ") {
            wanted = line.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
        }
        if line.trim().is_empty() {
            if wanted == "end" {
                std::process::exit(0);
            }
            let number = wanted.parse().unwrap_or(0);
            if number % 100 == 0 {
                leak_order(number);
            }
            let body = answer(number, orders);
            writer.write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
            )?;
        }
    }
}

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).expect("the path of a socket");
    let listener = UnixListener::bind(path)?;
    let orders = Arc::new(Orders::default());
    for connection in listener.incoming() {
        let (connection, orders) = (connection?, orders.clone());
        thread::spawn(move || serve(connection, &orders));
    }
    Ok(())
}
