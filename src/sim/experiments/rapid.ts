import type { SimNode } from "../node.js";
import type { SimEvent } from "../simulation.js";
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
  sum,
  type Table,
} from "./experiment.js";
import { joinAtOnce, joinColumns } from "./join.js";
import { rivals, type Setup } from "./setups.js";

const secondMs = 1000;
const flipMs = 20 * secondMs;

/** What happens to some members, at the beginning and then in every second of the run. */
interface Fault {
  readonly id: string;
  readonly title: string;
  readonly victims: (nodes: number) => number;
  readonly seconds: number;
  readonly begin: (stage: Stage, victims: readonly SimNode[]) => void;
  readonly options?: Setup["options"];
}

const onePercent = (nodes: number): number => Math.max(1, Math.round(nodes / 100));

const faults: readonly Fault[] = [
  {
    id: "crash",
    title: "Ten machines fall silent at once (figure 8)",
    victims: (nodes) => Math.min(10, nodes >> 1),
    seconds: 60,
    begin: (_stage, victims) => {
      for (const victim of victims) victim.close();
    },
  },
  {
    id: "killed",
    title: "Ten processes crash at once, their hosts refuse datagrams",
    victims: (nodes) => Math.min(10, nodes >> 1),
    seconds: 60,
    begin: (_stage, victims) => {
      for (const victim of victims) victim.close({ refuses: true });
    },
  },
  {
    id: "flip",
    title: "1 % hear nothing for 20 s, everything for 20 s, and so on (figure 9)",
    victims: onePercent,
    seconds: 200,
    begin: (stage, victims) => flip(stage, victims, true),
  },
  {
    id: "loss",
    title: "1 % lose 80 % of what comes to them (figure 10); nobody pings over TCP, which would lose as well",
    victims: onePercent,
    seconds: 200,
    begin: ({ sim }, victims) => {
      for (const { name } of victims) sim.network.setLossTo(name, 0.8);
    },
    options: { tcpPing: false },
  },
];

/** Nothing gets in, streams neither; what they send gets out. */
function flip(stage: Stage, victims: readonly SimNode[], isCut: boolean): void {
  const { sim } = stage;
  if (isCut) {
    for (const { name } of sim.nodes) for (const victim of victims) sim.network.cut(name, victim.name);
  } else sim.network.heal();
  sim.at(flipMs, () => flip(stage, victims, !isCut));
}

function cells(scale: Scale): Cell[] {
  const counts = nodesOf(scale, { tiny: [16], quick: [200], full: [1000, 2000] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  const perSetup = counts.flatMap((nodes) =>
    rivals.flatMap((setup) => seeds.map((seed) => ({ nodes, setup, row: rowOf(nodes, setup), seed }))),
  );
  return [
    ...perSetup.map(({ nodes, setup, row, seed }) => ({
      table: "start",
      row,
      setup,
      seed,
      run: () => joinAtOnce(setup, { nodes, lossRate: 0, seed }),
    })),
    ...faults.flatMap((fault) =>
      perSetup.map(({ nodes, setup, row, seed }) => ({
        table: fault.id,
        row,
        setup,
        seed,
        run: () => suffer(setup, fault, nodes, seed),
      })),
    ),
  ];
}

function rowOf(nodes: number, { name }: Setup): string {
  return `${nodes} members, ${name}`;
}

/** What the healthy say of the faulty and of each other. */
function suffer(setup: Setup, fault: Fault, nodes: number, seed: number): Outcome {
  const sampler = new Sampler();
  const faulty = new Set<string>();
  const wronged = new Set<string>();
  let [falseFailures, returns] = [0, 0];
  const note = ({ kind, node, about }: SimEvent): void => {
    if (faulty.has(node)) return;
    if (kind === "recover" && faulty.has(about)) returns++;
    if (kind !== "fail" || faulty.has(about)) return;
    falseFailures++;
    wronged.add(about);
  };
  const { options, buddy = true } = setup;
  const stage = new Stage({ nodes, seed, options: { ...options, ...fault.options }, buddy }, note);
  const { sim } = stage;
  const victims = stage.pick(fault.victims(nodes));
  for (const { name } of victims) faulty.add(name);
  const observers = sim.nodes.filter(({ name }) => !faulty.has(name));
  const startMs = sim.nowMs;
  fault.begin(stage, victims);
  const sizes = new Set<number>();
  const wanted = observers.length;
  let [allGoneMs, present, watched] = [Number.POSITIVE_INFINITY, 0, 0];
  for (let second = 0; second < fault.seconds; second++) {
    sim.run(secondMs);
    let extra = 0;
    for (const { memberCount } of observers) {
      sizes.add(memberCount);
      extra += Math.max(0, memberCount - wanted);
    }
    if (extra === 0) allGoneMs = Math.min(allGoneMs, sim.nowMs - startMs);
    if (second * 2 < fault.seconds) continue;
    watched += wanted * victims.length;
    present += extra;
  }
  for (const name of faulty) {
    const times = [...stage.times("fail", name)]
      .filter(([node]) => !faulty.has(node))
      .map(([, atMs]) => atMs - startMs);
    sampler.add("firstMs", Math.min(...times));
    sampler.add("allMs", times.length < wanted ? Number.POSITIVE_INFINITY : Math.max(...times));
  }
  sampler.add("allGoneMs", allGoneMs);
  sampler.add("keptOut", 100 - (100 * present) / watched);
  sampler.add("returns", returns / victims.length / wanted);
  sampler.add("sizes", sizes.size);
  sampler.add("wronged", wronged.size);
  sampler.add("falseFailures", falseFailures);
  return { samples: sampler.samples, traceHash: stage.close() };
}

const table = ({ id, title }: Fault): Table => ({
  id,
  title,
  rows: "cluster and rules",
  columns: [
    sum("healthy members removed", "wronged"),
    sum("false failures", "falseFailures"),
    quantiles("a faulty one first declared, s p50 / max", "firstMs", [0.5, 1], secondMs),
    quantiles("declared at all healthy, s p50 / max", "allMs", [0.5, 1], secondMs),
    quantiles("all gone everywhere at once, s", "allGoneMs", [1], secondMs),
    mean("kept out in the second half, %", "keptOut"),
    mean("returns of each at each", "returns"),
    quantiles("distinct sizes", "sizes", [1]),
  ],
});

export const rapid: Experiment = {
  name: "rapid",
  title: "Rapid 2018: cold start, crashes and asymmetric faults",
  tables: [
    { id: "start", title: "All start at once (figure 5, table 1)", rows: "cluster and rules", columns: joinColumns },
    ...faults.map(table),
  ],
  cells,
};
