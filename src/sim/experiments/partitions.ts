import type { SimNode } from "../node.js";
import { Stage } from "../stage.js";
import {
  type Cell,
  type Experiment,
  nodesOf,
  type Outcome,
  quantiles,
  Sampler,
  type Scale,
  seedsOf,
  sum,
} from "./experiment.js";
import { rivals, type Setup, tattler } from "./setups.js";

const secondMs = 1000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const stepMs = 500;

const lastsMs = {
  tiny: [secondMs, 2 * minuteMs],
  quick: [secondMs, minuteMs, 10 * minuteMs],
  full: [secondMs, 10 * secondMs, minuteMs, 10 * minuteMs, hourMs / 2, hourMs, 10 * hourMs],
};
/** What memberlist's rules do not heal after a minute they do not heal after hours: the longest are ours alone. */
const rivalsMs = (nodes: number): number => (nodes > 100 ? minuteMs : hourMs / 2);

function cells(scale: Scale): Cell[] {
  const counts = nodesOf(scale, { tiny: [10], quick: [50], full: [100, 1000] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 2, full: 3 });
  return counts.flatMap((nodes) =>
    lastsMs[scale.size].flatMap((ms) =>
      (ms > rivalsMs(nodes) ? [tattler] : rivals).flatMap((setup) =>
        seeds.slice(0, ms > 10 * minuteMs || nodes > 100 ? 1 : seeds.length).map((seed) => ({
          table: "partitions",
          row: `${nodes} members, cut for ${durationOf(ms)}, ${setup.name}`,
          setup,
          seed,
          run: () => cut(setup, nodes, ms, seed),
        })),
      ),
    ),
  );
}

function durationOf(ms: number): string {
  if (ms >= hourMs) return `${ms / hourMs} h`;
  return ms >= minuteMs ? `${ms / minuteMs} min` : `${ms / secondMs} s`;
}

/** A random cut into two to five parts, healed after a time, without anybody's help. */
function cut({ options, buddy = true }: Setup, nodes: number, lastingMs: number, seed: number): Outcome {
  const sampler = new Sampler();
  const stage = new Stage({ nodes, seed, options, buddy });
  const { sim } = stage;
  const parts: string[][] = Array.from({ length: 2 + stage.dice.below(4) }, () => []);
  for (const { name } of sim.nodes) parts[stage.dice.below(parts.length)]?.push(name);
  sim.network.partition(parts);
  sim.run(lastingMs);
  sim.network.heal();
  const healedMs = sim.nowMs;
  const all = sim.nodes;
  const sweepMs = nodes * (all[0]?.config.probeIntervalMs ?? secondMs);
  while (sim.nowMs - healedMs < 2 * sweepMs && !isFull(all)) sim.run(stepMs);
  const missing = all.reduce((total, { memberCount }) => total + nodes - memberCount, 0);
  sampler.add("healSweeps", missing > 0 ? Number.POSITIVE_INFINITY : (sim.nowMs - healedMs) / sweepMs);
  sampler.add("healMs", missing > 0 ? Number.POSITIVE_INFINITY : sim.nowMs - healedMs);
  sampler.add("missing", missing);
  sampler.add("broken", missing > 0 ? 1 : 0);
  return { samples: sampler.samples, traceHash: stage.close() };
}

function isFull(nodes: readonly SimNode[]): boolean {
  return nodes.every(({ memberCount }) => memberCount === nodes.length);
}

export const partitions: Experiment = {
  name: "partitions",
  title: "Partitions into two to five parts, and healing",
  tables: [
    {
      id: "partitions",
      title: "Until all views are full again; the limit is two probe sweeps",
      rows: "cluster, cut and rules",
      columns: [
        quantiles("healed after, s (max)", "healMs", [1], secondMs),
        quantiles("in probe sweeps (max)", "healSweeps", [1]),
        sum("runs that did not heal", "broken"),
        sum("pairs missing at the end", "missing"),
      ],
    },
  ],
  cells,
};
