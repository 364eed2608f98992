import type { GossipOptions } from "../config.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { SimNode } from "./node.js";
import { type SimEvent, Simulation } from "./simulation.js";

export interface MeasureOptions {
  readonly nodes: number;
  readonly seed: number;
  /** How many times the event is made to happen. */
  readonly repeats?: number;
  /** Virtual seconds of the steady state. */
  readonly seconds?: number;
  /** Share of datagrams that get lost. */
  readonly lossRate?: number;
  readonly options?: Partial<GossipOptions>;
}

/** Milliseconds, or a count, over all repeats. */
export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Figures by name, as they are printed; every name carries its unit. */
export type Figures = Readonly<Record<string, number | Spread>>;

export interface Measured {
  readonly figures: Figures;
  readonly falseFailures: number;
  readonly traceHash: string;
}

const secondMs = 1000;
const limitMs = 10 * 60 * secondMs;

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** A cluster in which everybody knows everybody already, and who tells us what about whom. */
class Stage {
  readonly sim: Simulation;
  /** When each node was told of the event, by `kind member`. */
  readonly told = new Map<string, Map<string, number>>();
  falseFailures = 0;
  /** Who may be said to have failed. */
  readonly gone = new Set<string>();

  constructor({ nodes, seed, lossRate = 0, options = {} }: MeasureOptions) {
    this.sim = new Simulation({ seed, observe: (event) => this.#note(event) });
    for (let i = 0; i < nodes; i++) this.sim.open(`n${i}`, options);
    acquaint(this.sim.nodes);
    this.sim.network.lossRate = lossRate;
    this.sim.run(10 * secondMs); // until what they say of themselves at the start has been said
  }

  times(kind: string, member: string): ReadonlyMap<string, number> {
    return this.told.get(`${kind} ${member}`) ?? new Map();
  }

  finish(figures: Figures): Measured {
    const { hash } = this.sim.trace;
    this.sim.close();
    return { figures, falseFailures: this.falseFailures, traceHash: hash };
  }

  #note(event: SimEvent): void {
    if (event.kind === "fail" && !this.gone.has(event.about)) this.falseFailures++;
    const key = `${event.kind} ${event.about}`;
    let times = this.told.get(key);
    if (times === undefined) this.told.set(key, (times = new Map()));
    if (!times.has(event.node)) times.set(event.node, event.atMs);
  }
}

/** Makes all nodes know each other at once, as if they had been together for long. */
function acquaint(nodes: readonly SimNode[]): void {
  for (const node of nodes) {
    for (const { self, address } of nodes) {
      if (self !== node.self) node.swim.roster.add(self, address, MemberState.alive, 1, 0);
    }
    node.endpoint.setClusterSize(nodes.length);
  }
}

/** Datagrams and bytes that a member sends in a second while nothing happens. */
export function measureSteady(given: MeasureOptions): Measured {
  const stage = new Stage(given);
  const { sim } = stage;
  const { seconds = 60, nodes } = given;
  const [datagrams, bytes] = [sim.datagrams, sim.bytes];
  sim.run(seconds * secondMs);
  return stage.finish({
    datagramsPerNodeSecond: (sim.datagrams - datagrams) / nodes / seconds,
    bytesPerNodeSecond: (sim.bytes - bytes) / nodes / seconds,
  });
}

type Happen = (stage: Stage, victim: SimNode) => void;

/** From an event at one member until the first other, and all of them, have been told. */
function measureEvent(given: MeasureOptions, kind: string, happen: Happen): Measured {
  const stage = new Stage(given);
  const { sim } = stage;
  const [first, all, spread, cost]: number[][] = [[], [], [], []];
  for (let i = 0; i < (given.repeats ?? 5) && sim.nodes.length > 2; i++) {
    sim.run(sim.random.below(5000));
    const victim = sim.nodes[sim.random.below(sim.nodes.length)] as SimNode;
    const { name } = victim;
    const atMs = sim.nowMs;
    stage.gone.add(name);
    happen(stage, victim);
    const others = sim.nodes.filter((node) => node !== victim);
    const times = (): ReadonlyMap<string, number> => stage.times(kind, name);
    let datagrams = -1;
    sim.run(limitMs, () => {
      if (datagrams < 0 && times().size > 0) datagrams = sim.datagrams;
      return times().size >= others.length;
    });
    const told = [...times().values()].map((ms) => ms - atMs);
    const firstMs = told.reduce((least, ms) => Math.min(least, ms), Number.POSITIVE_INFINITY);
    const allMs =
      told.length < others.length ? Number.POSITIVE_INFINITY : told.reduce((most, ms) => Math.max(most, ms));
    first?.push(firstMs);
    all?.push(allMs);
    spread?.push(allMs - firstMs);
    cost?.push((sim.datagrams - datagrams) / others.length);
    if (!victim.isClosed) victim.close();
    sim.run(5 * secondMs);
  }
  return stage.finish({
    firstMs: spreadOf(first ?? []),
    allMs: spreadOf(all ?? []),
    spreadMs: spreadOf(spread ?? []),
    datagramsPerNodeWhileSpreading: spreadOf(cost ?? []),
  });
}

/** A process that is gone, whose machine says so. */
export function measureCrash(given: MeasureOptions): Measured {
  return measureEvent(given, "fail", (_stage, victim) => victim.close({ refuses: true }));
}

/** A machine that is gone: nothing answers. */
export function measureSilent(given: MeasureOptions): Measured {
  return measureEvent(given, "fail", (_stage, victim) => victim.close());
}

export function measureLeave(given: MeasureOptions): Measured {
  return measureEvent(given, "leave", (_stage, victim) => victim.leave());
}

/** A tenth of the members crash at the same instant. */
export function measureStorm(given: MeasureOptions): Measured {
  const stage = new Stage(given);
  const { sim } = stage;
  const victims = sim.nodes.slice(0, Math.max(1, Math.floor(given.nodes / 10)));
  const atMs = sim.nowMs;
  const before = sim.datagrams;
  for (const victim of victims) {
    stage.gone.add(victim.name);
    victim.close({ refuses: true });
  }
  const survivors = sim.nodes.length;
  let depth = 0;
  const isKnown = (): boolean => victims.every(({ name }) => stage.times("fail", name).size >= survivors);
  while (sim.nowMs - atMs < limitMs && !isKnown()) {
    sim.run(100);
    depth = sim.nodes.reduce((most, { endpoint }) => Math.max(most, endpoint.queueDepth()), depth);
  }
  return stage.finish({
    allMs: isKnown() ? sim.nowMs - atMs : Number.POSITIVE_INFINITY,
    datagramsPerNode: (sim.datagrams - before) / survivors,
    queueDepthMax: depth,
  });
}

/** All start at once and join through the first. */
export function measureJoin({ nodes, seed, lossRate = 0, options = {} }: MeasureOptions): Measured {
  let falseFailures = 0;
  const sim = new Simulation({ seed, observe: ({ kind }) => void (kind === "fail" && falseFailures++) });
  sim.network.lossRate = lossRate;
  for (let i = 0; i < nodes; i++) sim.open(`n${i}`, options);
  for (const node of sim.nodes.slice(1)) node.join("n0");
  const sizes = new Set<number>();
  const { nodes: all } = sim;
  const shareMs: number[] = [];
  const isFull = (): boolean => {
    let pairs = 0;
    for (const { memberCount } of all) {
      sizes.add(memberCount);
      pairs += memberCount;
    }
    if (pairs >= 0.99 * nodes * nodes && shareMs.length === 0) shareMs.push(sim.nowMs);
    return pairs === nodes * nodes;
  };
  while (sim.nowMs < limitMs && !isFull()) sim.run(100);
  const figures = {
    convergeMs: isFull() ? sim.nowMs : Number.POSITIVE_INFINITY,
    ninetyNinePercentMs: shareMs[0] ?? Number.POSITIVE_INFINITY,
    distinctSizes: sizes.size,
    datagramsPerNode: sim.datagrams / nodes,
    bytesPerNode: sim.bytes / nodes,
  };
  const { hash } = sim.trace;
  sim.close();
  return { figures, falseFailures, traceHash: hash };
}
