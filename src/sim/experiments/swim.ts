import { Simulation } from "../simulation.js";
import { Stage } from "../stage.js";
import {
  type Cell,
  type Column,
  type Experiment,
  mean,
  meanOf,
  nodesOf,
  type Outcome,
  published,
  quantiles,
  Sampler,
  type Scale,
  seedsOf,
  sum,
  textOf,
} from "./experiment.js";
import { memberlist, type Setup, swim2002, tattler } from "./setups.js";

const secondMs = 1000;
/** The protocol period T' of all setups. */
const periodMs = 1000;
const detectMs = 30 * secondMs;
/** A verdict and its spread, so that one death does not disturb the next. */
const restMs = 20 * secondMs;
const joiners = 17;
/** Figure 4: how long the group is watched, after so long for joining. */
const formMs = 120 * secondMs;
const watchMs = 300 * secondMs;

function cells(scale: Scale): Cell[] {
  const counts = nodesOf(scale, { tiny: [8], quick: [8, 32, 128], full: [8, 32, 128, 512, 2000] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 2 });
  const crashes = { tiny: 2, quick: 10, full: 24 }[scale.size];
  const seconds = { tiny: 5, quick: 20, full: 30 }[scale.size];
  const bySize = [swim2002, tattler].flatMap((setup) =>
    counts.flatMap((nodes) => {
      const row = `${setup.name}, ${nodes} members`;
      return seeds.flatMap((seed) => [
        {
          table: "detection",
          row,
          setup,
          seed,
          run: () => detect(setup, nodes, seed, nodes > 500 ? crashes >> 2 : crashes),
        },
        { table: "load", row, setup, seed, run: () => carry(setup, nodes, seed, seconds) },
      ]);
    }),
  );
  const lossy = [swim2002, memberlist, tattler].flatMap((setup) =>
    seeds.map((seed) => ({ table: "loss", row: setup.name, setup, seed, run: () => joinUnderLoss(setup, seed) })),
  );
  return [...bySize, ...lossy];
}

/** Section 5.2: silent members, one after the other in clusters that are never smaller than half. */
function detect(setup: Setup, nodes: number, seed: number, crashes: number): Outcome {
  const sampler = new Sampler();
  const perStage = Math.max(1, Math.min(crashes, nodes >> 2));
  let hash = "";
  for (let left = crashes, life = 0; left > 0; left -= perStage, life++) {
    const { options, buddy = true } = setup;
    const stage = new Stage({ nodes, seed: seed + 1000 * life, options, buddy });
    const { sim } = stage;
    for (let i = 0; i < Math.min(left, perStage); i++) {
      sim.run(stage.dice.below(2 * periodMs));
      const [victim] = stage.pick(1);
      if (victim === undefined) break;
      const { tookMs, missed } = stage.follow(victim, "suspect", detectMs, () => victim.close());
      const firstMs = tookMs[0] ?? Number.POSITIVE_INFINITY;
      // The ping that fails left one period before its verdict: how many periods until somebody took the victim?
      if (setup === swim2002) sampler.add("periods", Math.ceil(Math.max(1, firstMs - periodMs) / periodMs));
      sampler.add("firstMs", firstMs);
      // Who hears of the death first is not told of the suspicion.
      const known = tookMs.map((ms) => ms - firstMs);
      sampler.add("medianSpread", (known[known.length >> 1] ?? Number.POSITIVE_INFINITY) / periodMs);
      sampler.add("lastSpread", missed > 0 ? Number.POSITIVE_INFINITY : (known.at(-1) ?? 0) / periodMs);
      sim.run(restMs);
    }
    hash = stage.close();
  }
  return { samples: sampler.samples, traceHash: hash };
}

/** Section 5.1: messages of a member in a period without failures. */
function carry({ options, buddy = true }: Setup, nodes: number, seed: number, seconds: number): Outcome {
  const sampler = new Sampler();
  const stage = new Stage({ nodes, seed, options, buddy });
  const { sim } = stage;
  const before = { datagrams: sim.datagrams, bytes: sim.bytes };
  sim.run(seconds * secondMs);
  sampler.add("datagrams", (sim.datagrams - before.datagrams) / nodes / seconds);
  sampler.add("bytes", (sim.bytes - before.bytes) / nodes / seconds);
  return { samples: sampler.samples, traceHash: stage.close() };
}

/** Figure 4: a tenth of all datagrams is lost while 17 join. */
function joinUnderLoss({ options, buddy = true }: Setup, seed: number): Outcome {
  const sampler = new Sampler();
  let falseFailures = 0;
  const sim = new Simulation({ seed, observe: ({ kind }) => void (kind === "fail" && falseFailures++) });
  sim.network.lossRate = 0.1;
  for (let i = 0; i < joiners; i++) sim.open(`n${i}`, options, { buddy });
  const nodes = sim.nodes;
  for (const node of nodes.slice(1)) node.join("n0");
  sim.run(formMs);
  for (let second = 0; second < watchMs / secondMs; second++) {
    sim.run(secondMs);
    sampler.add("size", ...nodes.map(({ memberCount }) => memberCount));
  }
  sampler.add("falseFailures", falseFailures);
  const { hash } = sim.trace;
  sim.close();
  return { samples: sampler.samples, traceHash: hash };
}

const stable: Column = {
  name: "time that views are full, %",
  show: (samples) => {
    const sizes = samples.size ?? [];
    return textOf((100 * sizes.filter((size) => size === joiners).length) / sizes.length);
  },
};

/** e / (e - 1), section 3.1. */
const expectedPeriods = Math.E / (Math.E - 1);
const againstTheory: Column = {
  name: "against e/(e-1) = 1.58, %",
  show: (samples) => textOf((100 * meanOf(samples, "periods")) / expectedPeriods - 100),
};

export const swim: Experiment = {
  name: "swim",
  title: "SWIM 2002: detection, load, infection, loss",
  tables: [
    {
      id: "detection",
      title: "First detection and infection (figures 3a and 3b), in periods of 1 s",
      rows: "configuration",
      columns: [
        mean("periods until probed, mean", "periods"),
        againstTheory,
        quantiles("most", "periods", [1]),
        mean("verdict after, s mean", "firstMs", secondMs),
        quantiles("half know of it after, periods p50", "medianSpread", [0.5]),
        quantiles("all know after, periods p50 / max", "lastSpread", [0.5, 1]),
      ],
    },
    {
      id: "load",
      title: "Messages that a member sends in a period (figure 2; the paper: 2.0, flat to 55 members)",
      rows: "configuration",
      columns: [mean("datagrams", "datagrams"), mean("bytes", "bytes")],
    },
    {
      id: "loss",
      title: "17 members join while 10 % of all datagrams are lost (figure 4)",
      rows: "configuration",
      columns: [
        published("paper: stable group", { "SWIM 2002": "12" }),
        quantiles("group size seen, least / p50", "size", [0, 0.5]),
        mean("mean", "size"),
        stable,
        sum("false failures", "falseFailures"),
      ],
    },
  ],
  cells,
};
