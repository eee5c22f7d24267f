//! The chart: how the update spreads, and what grows with the members.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::run::Run;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// One line of a panel: its name, and what it shows of a run.
type Line<'a> = (&'a str, &'a dyn Fn(&Run) -> Option<f64>);

/// Draws four panels into a file.
pub(crate) fn draw(path: &Path, runs: &[Run]) -> Drawn {
    let area = SVGBackend::new(path, (960, 720)).into_drawing_area();
    area.fill(&WHITE)?;
    let panels = area.split_evenly((2, 2));
    spread(&panels[0], runs)?;
    let after = |percent: usize| move |run: &Run| run.after(percent);
    let (half, most, nearly, all) = (after(50), after(90), after(99), after(100));
    growth(
        &panels[1],
        "seconds until so many members have it",
        runs,
        &[("50 %", &half), ("90 %", &most), ("99 %", &nearly), ("all", &all)],
    )?;
    growth(
        &panels[2],
        "payloads that the seeder sent",
        runs,
        &[
            ("all", &|run| Some(run.egress)),
            ("blocks of the update", &|run| Some(run.egress_in_blocks)),
        ],
    )?;
    growth(
        &panels[3],
        "what one member costs",
        runs,
        &[
            ("frames it sent", &|run| Some(run.frames as f64)),
            ("KB of memory", &|run| Some(run.kb_a_member as f64)),
        ],
    )?;
    area.present()?;
    Ok(())
}

/// Which part of the members has it at which time; one seed of each size.
fn spread(area: &Area<'_>, runs: &[Run]) -> Drawn {
    let mut sizes: Vec<&Run> = Vec::new();
    for run in runs {
        if sizes.iter().all(|known| known.members != run.members) {
            sizes.push(run);
        }
    }
    let end = sizes.iter().filter_map(|run| run.after(99)).fold(1.0, f64::max) * 1.05;
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .caption("% of the members that have the update, by seconds", ("sans-serif", 15))
        .x_label_area_size(28)
        .y_label_area_size(40)
        .build_cartesian_2d(0.0..end, 0.0..100.0)?;
    chart.configure_mesh().light_line_style(TRANSPARENT).label_style(("sans-serif", 13)).draw()?;
    for (nth, run) in sizes.iter().enumerate() {
        let colour = Palette99::pick(nth).stroke_width(2);
        let points = run.curve().filter(|(at, _)| *at <= end);
        chart
            .draw_series(LineSeries::new(points, colour))?
            .label(format!("{} members", run.members))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.9))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}

/// Something by the number of members, which is drawn in powers of ten: the
/// mean of all seeds as a line, and each seed as a cross.
fn growth(area: &Area<'_>, caption: &str, runs: &[Run], lines: &[Line<'_>]) -> Drawn {
    let at = |run: &Run| (run.members as f64).log10();
    let all = || lines.iter().flat_map(|(_, of)| runs.iter().filter_map(of));
    let highest = all().fold(f64::MIN_POSITIVE, f64::max) * 1.1;
    let least = runs.iter().map(at).fold(f64::MAX, f64::min).floor();
    let most = runs.iter().map(at).fold(0.0, f64::max).max(least + 1.0);
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .margin_right(34)
        .caption(caption, ("sans-serif", 15))
        .x_label_area_size(28)
        .y_label_area_size(48)
        .build_cartesian_2d(least..most + 0.05, 0.0..highest)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(((most - least).ceil() as usize + 1).max(2))
        .x_label_formatter(&|power| format!("{:.0} members", 10_f64.powf(*power)))
        .label_style(("sans-serif", 13))
        .draw()?;
    for (nth, (name, of)) in lines.iter().enumerate() {
        let colour = Palette99::pick(nth).stroke_width(2);
        let crosses = runs.iter().filter_map(|run| Some((at(run), of(run)?)));
        chart.draw_series(crosses.map(|point| Cross::new(point, 3, colour)))?;
        chart
            .draw_series(LineSeries::new(means(runs, of), colour))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.9))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}

/// For each number of members the mean of its runs.
fn means(runs: &[Run], of: &dyn Fn(&Run) -> Option<f64>) -> Vec<(f64, f64)> {
    let mut sizes: Vec<usize> = runs.iter().map(|run| run.members).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mean = |members: usize| {
        let values: Vec<f64> =
            runs.iter().filter(|run| run.members == members).filter_map(of).collect();
        let point = ((members as f64).log10(), values.iter().sum::<f64>() / values.len() as f64);
        (!values.is_empty()).then_some(point)
    };
    sizes.into_iter().filter_map(mean).collect()
}
