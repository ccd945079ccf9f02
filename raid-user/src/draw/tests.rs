//! Drawings that people know from manuals, and the laws of the rest.

use raid_core::geometry::Geometry;
use raid_core::reshape::{Layouts, Side};
use raid_core::{
    ArrayConfig, FarSets, Level, Raid0Layout, Raid5Layout, Raid6Layout, Raid10Layout, Sector, Sectors, Sizes,
};

use super::{MemberState, StripeTable, svg, terminal};

fn table(level: Level, members: u16, sizes: Sizes<'_>, asked: Option<u64>) -> StripeTable {
    let config = ArrayConfig { level, members, chunk: Sectors(8), sizes, array_size: None };
    let layouts = Layouts::one(Geometry::new(&config).unwrap());
    let names = (0..members).map(|slot| (format!("disk{slot}"), state(slot))).collect();
    StripeTable::new(&layouts, Side::Old, 0, 4, names, asked.map(Sector))
}

fn state(slot: u16) -> MemberState {
    if slot == 1 { MemberState::Missing } else { MemberState::Current }
}

fn draw(level: Level, members: u16, asked: Option<u64>) -> String {
    let drawn = terminal(&table(level, members, Sizes::Same(Sectors(80)), asked), true, false, 80);
    drawn.lines().filter(|line| line.contains('|')).map(|line| format!("{line}\n")).collect()
}

#[test]
fn raid5_left_symmetric_looks_as_in_the_manuals() {
    let expected = "\
sector |  0  |  1  |  2  |  3  |
       |     |gone |     |     |
     0 |  0  |  1  |  2  |  P  |
     8 | [4] |  5  |  P  |  3  |
    16 |  8  |  P  |  6  |  7  |
    24 |  P  |  9  | 10  | 11  |
";
    assert_eq!(draw(Level::Raid5(Raid5Layout::LeftSymmetric), 4, Some(33)), expected);
}

#[test]
fn raid6_and_raid10_show_parity_and_copies() {
    let expected = "\
sector |  0  |  1  |  2  |  3  |
       |     |gone |     |     |
     0 |  P  |  Q  |  0  |  1  |
     8 |  2  |  P  |  Q  |  3  |
    16 |  4  |  5  |  P  |  Q  |
    24 |  Q  |  6  |  7  |  P  |
";
    assert_eq!(draw(Level::Raid6(Raid6Layout::RotatingZeroRestart), 4, None), expected);
    let near = Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All };
    let expected = "\
sector |  0  |  1  |  2  |
       |     |gone |     |
     0 |  0  |  0  | [1] |
     8 | [1] |  2  |  2  |
    16 |  3  |  3  |  4  |
    24 |  4  |  5  |  5  |
";
    assert_eq!(draw(Level::Raid10(near), 3, Some(8)), expected);
}

#[test]
fn zones_are_marked_where_they_start() {
    let sizes = [Sectors(8), Sectors(32), Sectors(24)];
    let table = table(Level::Raid0(Raid0Layout::Alternate), 3, Sizes::Each(&sizes), None);
    let starts: Vec<bool> = table.rows.iter().map(|row| row.new_zone).collect();
    assert_eq!(starts, [false, true, false, true]);
}

#[test]
fn no_line_is_wider_than_it_may_be() {
    for members in [2, 4, 13, 60, 255] {
        for width in [40, 80, 120] {
            let table = table(Level::Raid5(Raid5Layout::LeftSymmetric), members, Sizes::Same(Sectors(80)), None);
            for line in terminal(&table, false, false, width.max(80)).lines() {
                assert!(line.chars().count() <= width.max(80), "{members} members: {line}");
            }
        }
    }
}

#[test]
fn the_svg_is_well_formed_and_has_a_cell_for_every_chunk() {
    let table = table(Level::Raid6(Raid6Layout::LeftSymmetric), 5, Sizes::Same(Sectors(80)), Some(3));
    let drawn = svg(&table, "a <title> & \"more\"", "<below>");
    let document = roxmltree::Document::parse(&drawn).unwrap();
    let cells =
        document.descendants().filter(|node| node.attribute("class").is_some_and(|class| class.starts_with("cell")));
    assert_eq!(cells.count(), 5 * 4);
    let asked =
        document.descendants().filter(|node| node.attribute("class").is_some_and(|class| class.contains("asked")));
    assert_eq!(asked.count(), 1 + 1, "the chunk, and the key to its colour");
}

#[test]
fn what_a_reshape_has_moved_is_marked_on_both_sides() {
    let geometry = |members| {
        let level = Level::Raid5(Raid5Layout::LeftSymmetric);
        let sizes = Sizes::Same(Sectors(80));
        Geometry::new(&ArrayConfig { level, members, chunk: Sectors(8), sizes, array_size: None }).unwrap()
    };
    // Two new stripes of three chunks are done: chunks 0 to 5.
    let layouts = Layouts::two(geometry(3), geometry(4), Sector(48), false).unwrap();
    let draw = |side, members: u16| {
        let names = (0..members).map(|slot| (format!("disk{slot}"), MemberState::Current)).collect();
        let drawn = terminal(&StripeTable::new(&layouts, side, 0, 4, names, None), true, false, 80);
        assert!(drawn.contains("the other shape holds it"));
        drawn.lines().filter(|line| line.contains('|')).map(|line| format!("{line}\n")).collect::<String>()
    };
    let old = "\
sector |  0  |  1  |  2  |
     0 |  ~  |  ~  |  ~  |
     8 |  ~  |  ~  |  ~  |
    16 |  ~  |  ~  |  ~  |
    24 |  6  |  7  |  P  |
";
    assert_eq!(draw(Side::Old, 3), old);
    let new = "\
sector |  0  |  1  |  2  |  3  |
     0 |  0  |  1  |  2  |  P  |
     8 |  4  |  5  |  P  |  3  |
    16 |  ~  |  ~  |  ~  |  ~  |
    24 |  ~  |  ~  |  ~  |  ~  |
";
    assert_eq!(draw(Side::New, 4), new);
}
