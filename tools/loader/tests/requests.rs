//! Finding requests in an image: boundaries, markers, duplicates, base revisions.

use gupsync_loader::requests::{Error, Requests};

const MAGIC: [u64; 2] = [0xc7b1dd30df4c8b88, 0x0a82e883a194f07b];
const REVISION: [u64; 2] = [0xf9562b2d5c95a6c8, 0x6a7b384944536bdc];
const START: [u64; 4] = [0xf6b8f4b39de7d1ae, 0xfab91a6940fcb9cf, 0x785c6ed015d3e316, 0x181e920a7852b9d9];
const END: [u64; 2] = [0xadc0e0531bb10d03, 0x9572709f31764c62];
const STACK: [u64; 2] = [0x224ef0460a8e8926, 0xe1cb0fc25f46ea3d];
const PAGING: [u64; 2] = [0x95c1a0edab0944cb, 0xa4e5cb3842f7488a];

/// An image with the given parts, a word of something else before each.
fn image(parts: &[&[u64]]) -> Vec<u64> {
    parts.iter().flat_map(|part| [&[0x55], *part].concat()).collect()
}

fn tag(revision: u64) -> Vec<u64> {
    [&REVISION[..], &[revision]].concat()
}

fn request(id: [u64; 2], revision: u64, arguments: &[u64]) -> Vec<u64> {
    [&MAGIC[..], &id, &[revision, 0], arguments].concat()
}

fn ids(image: &[u64]) -> Vec<u64> {
    let requests = Requests::scan(image).unwrap();
    requests.iter().map(|r| r.id[0]).collect()
}

#[test]
fn without_markers_the_whole_image_counts() {
    let parts = [&request([1, 1], 0, &[])[..], &tag(2), &request([2, 2], 0, &[])];
    assert_eq!(ids(&image(&parts)), [1, 2]);
}

#[test]
fn only_what_lies_between_the_last_start_and_the_first_end_counts() {
    let [a, b, c, d] = [1, 2, 3, 4].map(|n| request([n, n], 0, &[]));
    let parts: [&[u64]; 11] = [&tag(9), &a, &START, &a, &tag(1), &START, &b, &tag(2), &END, &c, &tag(3)];
    assert_eq!(ids(&image(&parts)), [2]);
    assert_eq!(ids(&image(&[&a, &START, &tag(2), &b, &d])), [2, 4]);
    assert_eq!(ids(&image(&[&a, &tag(2), &END, &c, &START, &d])), [1]);
}

#[test]
fn requests_outside_the_markers_are_no_duplicates() {
    let a = request([1, 1], 0, &[]);
    assert_eq!(ids(&image(&[&a, &START, &a, &tag(2), &END, &a])), [1]);
}

#[test]
fn duplicates_are_refused_even_of_unknown_requests() {
    let a = request([1, 2], 0, &[]);
    let duplicate = Requests::scan(&image(&[&a, &tag(2), &a])).unwrap_err();
    assert_eq!(duplicate, Error::Duplicate([1, 2]));
    let other = request([1, 3], 0, &[]);
    assert!(Requests::scan(&image(&[&a, &tag(2), &other])).is_ok());
    let tags = Requests::scan(&image(&[&tag(2), &tag(2)])).unwrap_err();
    assert_eq!(tags, Error::DuplicateRevision);
}

#[test]
fn a_request_or_tag_cut_off_by_the_end_of_the_image_is_none() {
    let whole = image(&[&tag(2), &request([1, 1], 0, &[])]);
    assert_eq!(ids(&whole), [1]);
    assert_eq!(ids(&whole[..whole.len() - 1]), []);
    assert!(Requests::scan(&REVISION).is_err());
    assert!(Requests::scan(&[]).is_err());
}

#[test]
fn revision_zero_is_refused_and_higher_ones_are_confirmed_up_to_two() {
    let none = image(&[&request([1, 1], 0, &[])]);
    assert_eq!(Requests::scan(&none).unwrap_err(), Error::RevisionZero);
    assert_eq!(Requests::scan(&tag(0)).unwrap_err(), Error::RevisionZero);
    for (asked, left) in [(1, 0), (2, 0), (3, 3), (u64::MAX, u64::MAX)] {
        let mut image = tag(asked);
        Requests::scan(&image).unwrap().confirm_revision(&mut image);
        assert_eq!(image, tag(left));
    }
}

#[test]
fn the_stack_has_64_kib_or_the_pages_asked_for() {
    let size = |parts: &[&[u64]]| {
        let image = image(parts);
        Requests::scan(&image).unwrap().stack_size(&image)
    };
    let stack = |size| request(STACK, 0, &[size]);
    assert_eq!(size(&[&tag(2)]), 0x10000);
    assert_eq!(size(&[&tag(2), &stack(0x1000)]), 0x10000);
    assert_eq!(size(&[&tag(2), &stack(0x20001)]), 0x21000);
    assert_eq!(size(&[&tag(2), &stack(u64::MAX)]), u64::MAX);
    assert_eq!(size(&[&tag(2), &request(STACK, 0, &[])]), 0x10000);
}

#[test]
fn a_kernel_that_insists_on_five_levels_is_refused() {
    let check = |revision, arguments: &[u64]| {
        let image = image(&[&tag(2), &request(PAGING, revision, arguments)]);
        Requests::scan(&image).unwrap().check_paging_mode(&image)
    };
    assert_eq!(check(0, &[1]), Ok(()));
    assert_eq!(check(0, &[1, 1, 1]), Ok(()));
    assert_eq!(check(1, &[1, 1, 0]), Ok(()));
    assert_eq!(check(1, &[1, 1, 1]), Err(Error::FiveLevel));
}
