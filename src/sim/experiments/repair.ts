import { MemberState } from "../../wire/generated/wire/member-state.js";
import type { SimNode } from "../node.js";
import { Stage } from "../stage.js";
import {
  type Cell,
  type Experiment,
  mean,
  nodesOf,
  type Outcome,
  quantiles,
  Sampler,
  type Scale,
  seedsOf,
  share,
} from "./experiment.js";
import { changed, rivals, type Setup, tattler } from "./setups.js";

const secondMs = 1000;
const limitMs = 20 * 60 * secondMs;
const updatesPerSecond = { tiny: [0, 10], quick: [0, 1, 10], full: [0, 1, 10, 100] };
const repeats = { tiny: 1, quick: 3, full: 10 };

const noDigest = changed(tattler, "no digest sync", { digestSyncIntervalMs: 0 });
const rare = changed(tattler, "at most one sync in 5 s", { digestSyncIntervalMs: 5 * secondMs });
const noFeedback = changed(tattler, "no feedback", { gossipFeedback: false });
const half = changed(tattler, "half the sends", { retransmitMult: 2 });
const rules = [noDigest, rare, noFeedback, half];
/** A repair without comparisons takes minutes, so many updates meanwhile hours. The rules are weighed at two rates. */
const setupsAt = (rate: number): readonly Setup[] => [
  ...(rate > 10 ? [tattler] : rivals),
  ...(rate === 0 || rate === 10 ? rules : []),
];

function cells(scale: Scale): Cell[] {
  const counts = nodesOf(scale, { tiny: [12], quick: [128], full: [500] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  return counts.flatMap((nodes) =>
    updatesPerSecond[scale.size].flatMap((rate) =>
      setupsAt(rate).flatMap((setup) =>
        seeds.map((seed) => ({
          table: "repair",
          row: `${nodes} members, ${rate} updates a second, ${setup.name}`,
          setup,
          seed,
          run: () => lose(setup, { nodes, rate, seed, repeats: repeats[scale.size] }),
        })),
      ),
    ),
  );
}

interface Given {
  readonly nodes: number;
  readonly rate: number;
  readonly seed: number;
  readonly repeats: number;
}

/** One member goes back to what it knew of another before an update that all others know. */
function lose({ options, buddy = true }: Setup, given: Given): Outcome {
  const sampler = new Sampler();
  const stage = new Stage({ ...given, options, buddy });
  const { sim } = stage;
  if (given.rate > 0) updateForEver(stage, secondMs / given.rate);
  const before = { ms: sim.nowMs, syncs: syncsOf(sim.nodes), ...sim.comparisons };
  for (let i = 0; i < given.repeats; i++) {
    const [origin, victim] = stage.pick(2) as [SimNode, SimNode];
    origin.updateMeta(Uint8Array.of(i));
    sim.run(10 * secondMs);
    const { roster } = victim.swim;
    const known = roster.incarnationOf(origin.self);
    roster.become(origin.self, MemberState.alive, known - 1, sim.nowMs);
    const lostMs = sim.nowMs;
    const repaired = sim.run(limitMs, () => roster.incarnationOf(origin.self) >= known);
    sampler.add("repairMs", repaired ? sim.nowMs - lostMs : Number.POSITIVE_INFINITY);
  }
  const minutes = (sim.nowMs - before.ms) / (60 * secondMs);
  sampler.add("syncs", (syncsOf(sim.nodes) - before.syncs) / given.nodes / minutes);
  const { compared, futile } = sim.comparisons;
  sampler.add("compared", compared - before.compared);
  sampler.add("futile", futile - before.futile);
  return { samples: sampler.samples, traceHash: stage.close() };
}

function updateForEver(stage: Stage, everyMs: number): void {
  const { sim } = stage;
  const update = (): void => {
    sim.nodes[stage.dice.below(sim.nodes.length)]?.updateMeta(Uint8Array.of(stage.dice.below(256)));
    sim.at(everyMs, update);
  };
  sim.at(everyMs, update);
}

function syncsOf(nodes: readonly SimNode[]): number {
  return nodes.reduce((total, { swim }) => total + swim.stats().syncsMerged, 0);
}

export const repair: Experiment = {
  name: "repair",
  title: "Repair: one member has missed one update (EXPERIMENTS F)",
  tables: [
    {
      id: "repair",
      title: "Until it knows",
      rows: "cluster and rules",
      columns: [
        quantiles("repaired after, s p50 / p99", "repairMs", [0.5, 0.99], secondMs),
        mean("syncs of a member a minute", "syncs"),
        share("comparisons that found nothing, %", "futile", "compared"),
      ],
    },
  ],
  cells,
};
