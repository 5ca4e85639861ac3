//! Follows the log of an actor, of a worker process, or any log file of a node:
//! `cargo run --example worker_log -- <actor id>`, or `-- <node id> <file name or process id>`.

use std::error::Error;

use ray_client::logs::LogFile;
use ray_client::{RayClient, TailOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let file = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [actor] => LogFile::of_actor(actor),
        [node, what] => match what.parse() {
            Ok(pid) => LogFile::of_worker(node, pid),
            Err(_) => LogFile::of_node(node, what),
        },
        _ => {
            return Err("usage: worker_log <actor id> | <node id> <file name or process id>".into());
        }
    };
    let client = RayClient::from_env()?;
    let options = TailOptions::until_done().last_lines(100);
    for line in client.tail_log_file_with(&file, options)? {
        println!("{}", line?);
    }
    Ok(())
}
