//! dev
#[tokio::main]
async fn main() {
    tests::bench::processor::run().await;
}
