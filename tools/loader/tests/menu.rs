//! The menu: what decides, the clock or the keys.

use gupsync_loader::menu::{Key, Menu};

#[test]
fn the_clock_boots_the_default_entry_when_it_runs_out() {
    let mut menu = Menu::new(3, 1, Some(2));
    assert_eq!(menu.tick(), None);
    assert_eq!(menu.seconds_left, Some(1));
    assert_eq!(menu.tick(), Some(1));
}

#[test]
fn without_a_clock_only_keys_decide() {
    let mut menu = Menu::new(3, 2, None);
    assert!((0..1000).all(|_| menu.tick().is_none()));
    assert_eq!(menu.press(Key::Enter), Some(2));
}

#[test]
fn any_key_stops_the_clock() {
    let mut menu = Menu::new(3, 0, Some(1));
    assert_eq!(menu.press(Key::Other), None);
    assert_eq!(menu.tick(), None);
}

#[test]
fn arrows_move_and_stop_at_the_ends() {
    let mut menu = Menu::new(3, 1, None);
    let mut after = |key| {
        assert_eq!(menu.press(key), None);
        menu.selected
    };
    assert_eq!([Key::Up, Key::Up, Key::Down, Key::Down, Key::Down].map(&mut after), [0, 0, 1, 2, 2]);
    assert_eq!(menu.press(Key::Enter), Some(2));
}

#[test]
fn a_digit_boots_its_entry_if_there_is_one() {
    let mut menu = Menu::new(3, 0, Some(5));
    assert_eq!(menu.press(Key::Digit(0)), None);
    assert_eq!(menu.press(Key::Digit(4)), None);
    assert_eq!(menu.selected, 0);
    assert_eq!(menu.press(Key::Digit(3)), Some(2));
    assert_eq!(menu.press(Key::Digit(1)), Some(0));
}
