//! dev
#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bare", port] => tests::bench::ingest::bare(port.parse().expect("a port")).await,
        ["ingest"] => tests::bench::ingest::run().await,
        _ => tests::bench::processor::run().await,
    }
}
