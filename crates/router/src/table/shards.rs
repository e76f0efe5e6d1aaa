//! A map by name whose copies share what is the same: a change copies one part in 256, however many names there are.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Parts of a map. Of 10,000 names a part has 40, which are copied when one of them changes.
const SHARDS: usize = 256;

#[derive(Debug, Clone)]
pub(super) struct Shards<K, V> {
    parts: Box<[Arc<HashMap<K, V>>]>,
    /// Names in all of them.
    count: usize,
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Shards {
            parts: vec![Arc::default(); SHARDS].into(),
            count: 0,
        }
    }
}

impl<K: Borrow<str> + Clone + Eq + Hash, V: Clone> Shards<K, V> {
    pub(super) fn get(&self, name: &str) -> Option<&V> {
        self.parts.get(shard(name))?.get(name)
    }

    pub(super) fn insert(&mut self, name: K, value: V) {
        if let Some(shard) = self.parts.get_mut(shard(name.borrow()))
            && Arc::make_mut(shard).insert(name, value).is_none()
        {
            self.count += 1;
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Some(shard) = self.parts.get_mut(shard(name))
            && shard.contains_key(name)
        {
            Arc::make_mut(shard).remove(name);
            self.count -= 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.parts.iter().flat_map(|shard| shard.values())
    }

    /// What this has and `other` has not, by name. Parts that they share are not looked at.
    pub(super) fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a V> {
        let parts = self.parts.iter().zip(&other.parts);
        parts
            .filter(|(own, other)| !Arc::ptr_eq(own, other))
            .flat_map(|(own, other)| {
                own.iter()
                    .filter(|(name, _)| !other.contains_key::<str>((*name).borrow()))
            })
            .map(|(_, value)| value)
    }
}

/// The part that a name belongs to. Names chosen to meet in one make its copies larger, and nothing worse.
fn shard(name: &str) -> usize {
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = name.bytes().fold(0x811c_9dc5, mix);
    (hash >> 24) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_changed_alone_and_shares_the_rest() {
        let mut map = Shards::<Box<str>, usize>::default();
        assert!(map.is_empty());
        for number in 0..10_000 {
            map.insert(format!("app-{number}.example.com").into(), number);
        }
        let mut copy = map.clone();
        copy.insert("app-7.example.com".into(), 70);
        copy.remove("app-8.example.com");
        copy.remove("nobody");
        assert_eq!(map.get("app-7.example.com"), Some(&7));
        assert_eq!(copy.get("app-7.example.com"), Some(&70));
        assert!(map.get("app-8.example.com").is_some());
        assert_eq!(copy.get("app-8.example.com"), None);
        assert_eq!(map.without(&copy).collect::<Vec<_>>(), [&8]);
        assert_eq!(copy.without(&map).count(), 0);
        assert_eq!((map.count, copy.count), (10_000, 9_999));
        assert_eq!(map.values().sum::<usize>(), 10_000 * 9_999 / 2);
        let shared = map.parts.iter().zip(&copy.parts);
        let copied = shared.filter(|(one, other)| !Arc::ptr_eq(one, other));
        assert!(copied.count() <= 2);
    }

    #[test]
    fn names_are_spread() {
        let mut sizes = [0; SHARDS];
        for number in 0..10_000 {
            sizes[shard(&format!("app-{number}.example.com"))] += 1;
        }
        assert!(
            sizes.iter().max().is_some_and(|most| *most < 100),
            "{sizes:?}"
        );
    }
}
