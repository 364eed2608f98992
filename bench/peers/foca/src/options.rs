use std::{collections::HashMap, str::FromStr, time::Duration};

/// The command line: `--name value` pairs, the same as those of bench/peers/memberlist.
pub struct Options {
    pub name: String,
    pub nodes: u32,
    pub parallel: usize,
    pub kill: usize,
    pub repeats: usize,
    pub fault: String,
    pub seconds: f64,
    pub seed: u64,
    limit_seconds: f64,
}

impl Options {
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let args: Vec<String> = args.collect();
        let mut given: HashMap<&str, &str> = HashMap::new();
        for pair in args.chunks(2) {
            match pair {
                [name, value] if name.starts_with("--") => given.insert(&name[2..], value),
                _ => return Err(format!("give --name value instead of {}", pair.join(" "))),
            };
        }
        let options = Self {
            name: take(&mut given, "case", "cluster")?,
            nodes: take(&mut given, "nodes", "100")?,
            parallel: take(&mut given, "parallel", "64")?,
            kill: take(&mut given, "kill", "1")?,
            repeats: take(&mut given, "repeats", "5")?,
            fault: take(&mut given, "fault", "crash")?,
            seconds: take(&mut given, "seconds", "10")?,
            seed: take(&mut given, "seed", "1")?,
            limit_seconds: take(&mut given, "limit", "120")?,
        };
        if let Some(unknown) = given.keys().next() {
            return Err(format!("there is no --{unknown}"));
        }
        if options.kill + 2 >= options.nodes as usize {
            return Err(format!("--kill {} leaves nobody to notice", options.kill));
        }
        if !["crash", "silent", "leave"].contains(&options.fault.as_str()) {
            return Err(format!("there is no fault {}", options.fault));
        }
        Ok(options)
    }

    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub fn limit(&self) -> Duration {
        Duration::from_secs_f64(self.limit_seconds)
    }
}

fn take<T: FromStr>(given: &mut HashMap<&str, &str>, name: &str, default: &str) -> Result<T, String> {
    let text = given.remove(name).unwrap_or(default);
    text.parse()
        .map_err(|_| format!("--{name} {text} is no value of its kind"))
}
