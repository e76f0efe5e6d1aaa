//! A Node app as grown ones are: 900 packages, 45,000 files, 400 MB, most files small and most bytes in few of them.
//!
//! The same bytes each time. Sizes follow what installed packages of real apps have, and the text compresses as
//! theirs does: code that repeats itself within a package.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, json};

/// JavaScript: when this process began, in milliseconds since 1970.
pub(super) const BEGAN: &str = "Date.now() - Math.round(process.uptime() * 1000)";

const PACKAGES: usize = 900;
const FILES: usize = 45_000;
/// Packages that the server loads when it starts.
const LOADED: usize = 60;
/// Size in bytes below which so many of a thousand files are; between two of these sizes spread evenly.
const SIZES: [(u64, u64); 15] = [
    (0, 60),
    (100, 200),
    (200, 350),
    (300, 550),
    (400, 800),
    (500, 1_200),
    (600, 1_800),
    (700, 2_800),
    (800, 4_700),
    (900, 10_000),
    (950, 22_000),
    (980, 60_000),
    (990, 120_000),
    (997, 300_000),
    (1000, 1_600_000),
];
const SYLLABLES: [&str; 24] = [
    "get", "parse", "node", "path", "stream", "buffer", "option", "token", "cache", "value",
    "match", "index", "event", "queue", "render", "route", "schema", "type", "merge", "scope",
    "query", "state", "chunk", "header",
];

/// Writes the app into `folder`, which must not be there.
pub(super) fn write(folder: &Path) -> Result<()> {
    let mut dice = Dice(0x5eed);
    let mut files = 0;
    let mut packages = Vec::new();
    for number in 0..PACKAGES {
        // As many as are fair for the packages left, more or less.
        let fair = (FILES - files) / (PACKAGES - number);
        let count = match number + 1 == PACKAGES {
            true => FILES - files,
            false => fair / 3 + dice.below(fair as u64 * 4 / 3) as usize,
        };
        let name = format!("{}-{number}", dice.word());
        Package::new(&name, &mut dice).write(folder, count.max(4), &mut dice)?;
        files += count.max(4);
        packages.push(name);
    }
    manifests(folder, &packages)?;
    std::fs::write(folder.join("server.js"), server(&packages))?;
    std::fs::write(folder.join("Procfile"), "web: node server.js\n")?;
    Ok(())
}

/// package.json, and a lock file that agrees with what is committed.
fn manifests(folder: &Path, packages: &[String]) -> Result<()> {
    let wanted: Map<_, _> = packages
        .iter()
        .map(|name| (name.clone(), json!("1.0.0")))
        .collect();
    let manifest = json!({
        "name": "large", "version": "1.0.0", "private": true,
        "engines": { "node": "24.x" },
        "dependencies": wanted,
    });
    let mut locked = Map::new();
    locked.insert(
        String::new(),
        json!({ "name": "large", "version": "1.0.0", "dependencies": wanted }),
    );
    for name in packages {
        locked.insert(
            format!("node_modules/{name}"),
            json!({ "version": "1.0.0", "license": "MIT" }),
        );
    }
    let lock = json!({
        "name": "large", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
        "packages": locked,
    });
    std::fs::write(
        folder.join("package.json"),
        serde_json::to_string_pretty(&manifest)?,
    )?;
    std::fs::write(
        folder.join("package-lock.json"),
        serde_json::to_string_pretty(&lock)?,
    )?;
    Ok(())
}

fn server(packages: &[String]) -> String {
    let mut text = String::from("'use strict';\nconst http = require('http');\nconst loaded = [\n");
    for name in packages.iter().take(LOADED) {
        let _ = writeln!(text, "  require('{name}'),");
    }
    let _ = write!(
        text,
        "];\n\
         const server = http.createServer((request, response) => {{\n  \
           response.setHeader('Content-Type', 'text/plain');\n  \
           response.end(`bench=0 began=${{{BEGAN}}}\\n`);\n\
         }});\n\
         server.listen(process.env.PORT || 5000, () => console.log(`${{loaded.length}} packages`));\n\
         process.on('SIGTERM', () => {{\n  \
           server.close(() => process.exit(0));\n  \
           server.closeIdleConnections();\n\
         }});\n"
    );
    text
}

struct Package<'a> {
    name: &'a str,
    /// What its files have in common.
    pool: Vec<String>,
}

impl<'a> Package<'a> {
    fn new(name: &'a str, dice: &mut Dice) -> Self {
        let pool = (0..40).map(|_| dice.snippet()).collect();
        Self { name, pool }
    }

    fn write(&self, app: &Path, count: usize, dice: &mut Dice) -> Result<()> {
        let root = app.join("node_modules").join(self.name);
        std::fs::create_dir_all(&root)?;
        let manifest =
            json!({ "name": self.name, "version": "1.0.0", "main": "index.js", "license": "MIT" });
        std::fs::write(
            root.join("package.json"),
            serde_json::to_string_pretty(&manifest)?,
        )?;
        std::fs::write(root.join("index.js"), self.text(1_500, dice))?;
        std::fs::write(
            root.join("README.md"),
            format!("# {}\n\nA package of the bench.\n", self.name),
        )?;
        for number in 3..count {
            let folder = root.join(["lib", "dist/cjs", "dist/esm", "types"][number % 4]);
            if number < 7 {
                std::fs::create_dir_all(&folder)?;
            }
            let end = ["js", "js", "js.map", "d.ts"][number % 4];
            let size = dice.size();
            let mut text = self.text(size, dice);
            // Nothing loads these files: their size counts, not that they end well.
            text.truncate(size as usize);
            std::fs::write(folder.join(format!("{}-{number}.{end}", dice.word())), text)?;
        }
        Ok(())
    }

    /// At least `size` bytes of JavaScript.
    fn text(&self, size: u64, dice: &mut Dice) -> String {
        let mut text = String::with_capacity(size as usize + 400);
        while (text.len() as u64) < size {
            match dice.below(100) {
                0..KNOWN => text.push_str(&self.pool[dice.below(self.pool.len() as u64) as usize]),
                _ => text.push_str(&dice.snippet()),
            }
        }
        text
    }
}

/// Of a hundred snippets, those that the package's other files have too.
const KNOWN: u64 = 88;

/// Numbers that look random and are the same each time (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to one less than `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn size(&mut self) -> u64 {
        let rank = self.below(1_000_000);
        let step = SIZES
            .windows(2)
            .find(|step| rank < step[1].0 * 1000)
            .unwrap_or(&SIZES[SIZES.len() - 2..]);
        let (from, to) = (step[0], step[1]);
        from.1 + (to.1 - from.1) * (rank - from.0 * 1000) / ((to.0 - from.0) * 1000)
    }

    fn word(&mut self) -> String {
        let one = |dice: &mut Self| SYLLABLES[dice.below(SYLLABLES.len() as u64) as usize];
        format!("{}{}{}", one(self), one(self), self.below(100))
    }

    /// A function that any module may hold.
    fn snippet(&mut self) -> String {
        let [name, input, options, result, method] = std::array::from_fn(|_| self.word());
        let number = self.below(100_000);
        format!(
            "function {name}({input}, {options}) {{\n  \
               const {result}Found = {input}.{method}({options}, {number});\n  \
               if ({result}Found === undefined) {{\n    \
                 throw new TypeError('{name}: {input} has no {method}');\n  \
               }}\n  \
               return {result}Found;\n\
             }}\n\
             exports.{name} = {name};\n\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_a_large_app() {
        let mut dice = Dice(1);
        let mut sizes: Vec<u64> = (0..FILES).map(|_| dice.size()).collect();
        let megabytes = sizes.iter().sum::<u64>() / 1_000_000;
        assert!((350..450).contains(&megabytes), "{megabytes} MB");
        sizes.sort_unstable();
        assert!((1_000..1_400).contains(&sizes[FILES / 2]));
    }

    #[test]
    fn the_same_text_each_time() {
        let text = || {
            let mut dice = Dice(7);
            let package = Package::new("one", &mut dice);
            package.text(5_000, &mut dice)
        };
        assert_eq!(text(), text());
    }
}
