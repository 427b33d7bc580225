//! A rollout on a terminal, redrawn in place: a headline, a bar for each wave, the targets that matter
//! most right now, and what one can type.

use ratatui::Frame;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::look::{Look, Sign, Tone};
use super::rollout::{Lane, Rollout, Wave};
use super::table::shown;

/// Waves that get a line; the rest is counted.
const WAVES: usize = 8;
/// Steps that take longer than was forecast and get a line.
const OVERRUNS: usize = 3;
/// Targets that get a line.
const LANES: usize = 10;
const BAR: u32 = 24;

/// One styled line.
type Parts = Vec<(String, Tone)>;

/// Lines that the view may need while this rollout runs.
pub fn height(rollout: &Rollout) -> u16 {
    let waves = rollout.waves.len().min(WAVES) + usize::from(rollout.waves.len() > WAVES);
    let targets = usize::try_from(rollout.targets).unwrap_or(LANES).min(LANES);
    u16::try_from(waves + targets + 4).unwrap_or(u16::MAX)
}

/// Draws the whole of it.
pub fn draw(rollout: &Rollout, seq: u64, look: &Look, frame: &mut Frame<'_>) {
    let area = frame.area();
    let lines: Vec<Line<'_>> =
        lines(rollout, seq, look, usize::from(area.height)).into_iter().map(styled).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn lines(rollout: &Rollout, seq: u64, look: &Look, room: usize) -> Vec<Parts> {
    let (sign, tone) = rollout.sign();
    let mut lines = vec![vec![
        (format!("{} ", rollout.id), Tone::Strong),
        (format!("{} {}", look.sign(sign), rollout.state), tone),
        (
            format!(
                "{dot}steps {}/{} applied, {} verified{dot}log #{seq}",
                rollout.steps_applied,
                rollout.steps,
                rollout.steps_verified,
                dot = look.dot()
            ),
            Tone::Plain,
        ),
    ]];
    if !rollout.reason.is_empty() {
        lines.push(vec![(format!("  {}", shown(&rollout.reason)), Tone::Warning)]);
    }
    for silence in &rollout.silent {
        lines.push(vec![(format!("  {}", shown(&silence.line(look))), Tone::Warning)]);
    }
    if let Some(left) = rollout.left() {
        lines.push(vec![(format!("  {left}"), Tone::Plain)]);
    }
    for overrun in rollout.overruns().into_iter().take(OVERRUNS) {
        lines.push(vec![(format!("  {} {overrun}", look.sign(Sign::Warning)), Tone::Warning)]);
    }
    waves(rollout, look, &mut lines);
    let hint = format!("  Ctrl-C detaches{dot}skein pause {}", rollout.id, dot = look.dot());
    let left = room.saturating_sub(lines.len() + 1);
    for lane in matter_most(&rollout.lanes).into_iter().take(left.min(LANES)) {
        let (sign, tone) = lane.sign();
        lines.push(vec![
            (format!("    {} {:<24} ", look.sign(sign), shown(&lane.target)), tone),
            (format!("{:<10} {}/{} ", lane.state, lane.verified, lane.steps), Tone::Plain),
            (shown(&lane.note), Tone::Faint),
        ]);
    }
    if !rollout.ended() {
        lines.push(vec![(hint, Tone::Faint)]);
    }
    lines
}

fn waves(rollout: &Rollout, look: &Look, lines: &mut Vec<Parts>) {
    // The ones before the wave that is under way are over; they make room first.
    let at = usize::try_from(rollout.wave).unwrap_or(usize::MAX).saturating_sub(1);
    let first = (at + 1).saturating_sub(WAVES).min(rollout.waves.len().saturating_sub(WAVES));
    let some: Vec<&Wave> = rollout.waves.iter().skip(first).take(WAVES).collect();
    for wave in &some {
        let (sign, tone) = wave.sign();
        let name = if wave.name.is_empty() {
            String::new()
        } else {
            format!(" ({})", shown(&wave.title()))
        };
        lines.push(vec![
            (format!("  {} wave {}{name} ", look.sign(sign), wave.number), tone),
            (look.bar(wave.settled(), wave.targets, BAR), tone),
            (format!(" {}/{}  {}", wave.settled(), wave.targets, wave.counts()), Tone::Plain),
        ]);
    }
    let more = rollout.waves.len() - some.len();
    if more > 0 {
        lines.push(vec![(format!("  and {more} more waves"), Tone::Faint)]);
    }
}

/// Trouble first, then work under way, then what waits; what is over last.
fn matter_most(lanes: &[Lane]) -> Vec<&Lane> {
    use skein_proto::v1::LaneState as S;
    let rank = |lane: &&Lane| match lane.now {
        S::Failed | S::Stuck | S::Residual => 0,
        S::Leased | S::UndoLeased => 1,
        S::Ready | S::UndoReady => 2,
        S::Waiting | S::Unspecified => 3,
        S::Done | S::Undone | S::Waived => 4,
    };
    let mut sorted: Vec<&Lane> = lanes.iter().collect();
    sorted.sort_by_key(rank);
    sorted
}

fn styled(parts: Parts) -> Line<'static> {
    let style = |tone| match tone {
        Tone::Plain => Style::new(),
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Bad => Style::new().fg(Color::Red),
        Tone::Warning => Style::new().fg(Color::Yellow),
        Tone::Busy => Style::new().fg(Color::Cyan),
        Tone::Faint => Style::new().add_modifier(Modifier::DIM),
        Tone::Strong => Style::new().add_modifier(Modifier::BOLD),
    };
    parts.into_iter().map(|(text, tone)| Span::styled(text, style(tone))).collect()
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use skein_proto::v1;

    use super::{draw, height};
    use crate::render::Look;
    use crate::render::rollout::Rollout;

    fn lane(target: &str, state: v1::LaneState) -> v1::Lane {
        v1::Lane {
            target: target.to_owned(),
            state: state.into(),
            steps: 2,
            verified: 1,
            ..Default::default()
        }
    }

    #[test]
    fn trouble_stands_on_top() {
        let status = v1::RolloutStatus {
            id: "mig-0001".to_owned(),
            state: v1::RolloutState::Running.into(),
            waves: vec![v1::WaveStatus {
                name: "canary".to_owned(),
                targets: 3,
                lanes: vec![0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0],
                ..Default::default()
            }],
            targets: 3,
            steps: 6,
            lanes: vec![
                lane("done-1", v1::LaneState::Done),
                lane("busy-1", v1::LaneState::Leased),
                lane("bad-1", v1::LaneState::Failed),
            ],
            ..Default::default()
        };
        let rollout = Rollout::new(&status);
        let mut terminal = Terminal::new(TestBackend::new(72, height(&rollout))).unwrap();
        terminal.draw(|frame| draw(&rollout, 17, &Look::default(), frame)).unwrap();
        terminal.backend().assert_buffer_lines(without_style(
            &[
                "mig-0001 ◌ running · steps 0/6 applied, 0 verified · log #17            ",
                "  ✖ wave 1 (canary) ████████████████░░░░░░░░ 2/3  1 done, 1 running, 1 f",
                "    ✖ bad-1                    failed     1/2                           ",
                "    ◌ busy-1                   running    1/2                           ",
                "    ✔ done-1                   done       1/2                           ",
                "  Ctrl-C detaches · skein pause mig-0001                                ",
                "                                                                        ",
                "                                                                        ",
            ],
            terminal.backend().buffer(),
        ));
    }

    /// The expected text in the colours that were drawn: this test is about words and order.
    fn without_style(
        lines: &[&'static str],
        drawn: &ratatui::buffer::Buffer,
    ) -> Vec<ratatui::text::Line<'static>> {
        let line = |(y, text): (u16, &&'static str)| {
            let cell = |(x, c): (u16, char)| {
                let style =
                    drawn.cell((x, y)).map(ratatui::buffer::Cell::style).unwrap_or_default();
                ratatui::text::Span::styled(c.to_string(), style)
            };
            (0_u16..).zip(text.chars()).map(cell).collect()
        };
        (0_u16..).zip(lines).map(line).collect()
    }
}
