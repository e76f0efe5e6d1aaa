//! Where fuzzing reaches how ranges of blobs are read: panics when what must hold of every input does not. Used by
//! `tests/fuzz` alone.

use crate::range::{Wanted, wanted};

/// A `Range` header behind the blob's size in eight bytes: no part of it lies outside the blob.
pub fn blob_range(bytes: &[u8]) {
    let Some((size, header)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    let size = u64::from_be_bytes(*size);
    let header = std::str::from_utf8(header).ok();
    if let Wanted::Part { first, count } = wanted(header, size) {
        assert!(count > 0);
        assert!(first.checked_add(count).is_some_and(|end| end <= size));
    }
}
