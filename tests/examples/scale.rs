//! How a release spreads among thousands of simulated members.
//!
//! ```sh
//! cargo run --release -p updraft-tests --example scale -- [--chart FILE.svg] [MEMBERS ...]
//! ```
//!
//! Plays each size (100, 1,000 and 10,000 by default; see docs/scale.md for
//! what is played), prints a line of a table for each, and draws which part of
//! the members has the update at which time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use plotters::prelude::*;
use updraft_tests::scale::{Outcome, Plan};

/// How a release spreads among thousands of simulated members.
#[derive(Parser)]
struct Args {
    /// Members, for each run.
    #[arg(default_values_t = [100, 1_000, 10_000])]
    members: Vec<usize>,
    /// Where the chart goes.
    #[arg(long)]
    chart: Option<PathBuf>,
    /// KiB of the update.
    #[arg(long, default_value_t = 512)]
    kib: usize,
    /// Where chance comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Minutes after which a run is given up.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
}

fn main() {
    let args = Args::parse();
    println!(
        "| members | bound, s | 50 %, s | 90 %, s | 99 %, s | all, s | seeder sent, payloads | frames of a member, median (most) | bytes it sent, payloads | peers | memory of the simulation, KB a member | played in, s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut outcomes = Vec::new();
    for members in &args.members {
        let plan = Plan {
            bytes: args.kib * 1024,
            patience: Duration::from_secs(60 * args.minutes),
            ..Plan::of(*members, args.seed)
        };
        let (before, begun) = (resident(), Instant::now());
        let outcome = plan.play();
        print_line(*members, &outcome, resident().saturating_sub(before), begun.elapsed());
        outcomes.push((*members, outcome));
    }
    let drawn = args.chart.map(|path| draw(&path, &outcomes));
    if let Some(Err(error)) = drawn {
        eprintln!("the chart cannot be drawn: {error}");
        std::process::exit(1);
    }
}

fn print_line(members: usize, outcome: &Outcome, resident_kb: u64, took: Duration) {
    let seconds = |percent: usize| {
        let after = outcome.after(percent);
        after.map_or("–".to_owned(), |after| format!("{:.2}", after.as_secs_f64()))
    };
    let payloads = |bytes: u64| bytes as f64 / outcome.payload as f64;
    let (frames, most_frames) = outcome.typical(|share| share.parcels);
    let (sent, most_sent) = outcome.typical(|share| share.bytes);
    let (peers, most_peers) = outcome.typical(|share| share.peers as u64);
    println!(
        "| {members} | {:.2} | {} | {} | {} | {} | {:.2} | {frames} ({most_frames}) | {:.2} ({:.1}) | {peers} ({most_peers}) | {} | {:.0} |",
        outcome.bound.as_secs_f64(),
        seconds(50),
        seconds(90),
        seconds(99),
        seconds(100),
        outcome.egress(),
        payloads(sent),
        payloads(most_sent),
        resident_kb / members as u64,
        took.as_secs_f64(),
    );
}

/// The most memory that this process ever had, in KB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

fn draw(path: &Path, outcomes: &[(usize, Outcome)]) -> Result<(), Box<dyn std::error::Error>> {
    let last = outcomes.iter().filter_map(|(_, outcome)| outcome.after(99)).max();
    let end = last.unwrap_or(Duration::from_secs(1)).as_secs_f64() * 1.1;
    let area = SVGBackend::new(path, (760, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..end, 0.0..100.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("seconds since a member could have got it")
        .y_desc("% of members that have it")
        .label_style(("sans-serif", 14))
        .draw()?;
    for (nth, (members, outcome)) in outcomes.iter().enumerate() {
        let colour = Palette99::pick(nth).stroke_width(2);
        let share = |nth: usize| 100.0 * (nth + 1) as f64 / *members as f64;
        let took = outcome.took();
        let points = took.iter().enumerate().map(|(nth, at)| (at.as_secs_f64(), share(nth)));
        chart
            .draw_series(LineSeries::new(points, colour))?
            .label(format!("{members} members"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.2))
        .label_font(("sans-serif", 14))
        .draw()?;
    area.present()?;
    Ok(())
}
