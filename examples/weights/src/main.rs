//! Prints what the build script put into this program.

fn main() {
    println!("{}", include_str!(concat!(env!("OUT_DIR"), "/weights.txt")));
}
