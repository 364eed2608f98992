import type { GossipOptions } from "../config.js";
import { Random } from "../random.js";
import { everybodyAlive } from "../swim/member_pages.js";
import type { SimNode } from "./node.js";
import type { Recorder } from "./recorder.js";
import { type SimEvent, Simulation } from "./simulation.js";

export interface StageOptions {
  readonly nodes: number;
  readonly seed: number;
  /** Share of datagrams that get lost. */
  readonly lossRate?: number;
  readonly options?: Partial<GossipOptions>;
  /** Whether suspects are told that they are (OpenOptions). */
  readonly buddy?: boolean;
  /** Keeps what happens, for a picture. */
  readonly recorder?: Recorder | undefined;
}

/** How an event at one member was told to the others. */
export interface Course {
  /** Milliseconds since the event, of each who was told, in order. */
  readonly tookMs: readonly number[];
  /** Who was not told in time. */
  readonly missed: number;
  /** Datagrams sent from the first telling to the last, by member. */
  readonly datagramsPerNode: number;
}

const secondMs = 1000;
/** Until what members say of themselves at the start has been said. */
const settleMs = 10 * secondMs;

/** A cluster in which everybody knows everybody already, and who is told what about whom. */
export class Stage {
  readonly sim: Simulation;
  /** For what happens to the cluster: the same for the same seed, whatever the options and the protocol draw. */
  readonly dice: Random;
  falseFailures = 0;
  /** Who may be said to have failed. */
  readonly gone = new Set<string>();
  /** When each node was first told of an event, by `kind member`. */
  readonly #told = new Map<string, Map<string, number>>();
  readonly #recorder: Recorder | undefined;

  constructor(given: StageOptions, observe: (event: SimEvent) => void = () => {}) {
    const { nodes, seed, lossRate = 0, options = {}, buddy = true, recorder } = given;
    const note = (event: SimEvent): void => {
      this.#note(event);
      observe(event);
    };
    this.dice = new Random(seed);
    this.#recorder = recorder;
    this.sim = new Simulation({ seed, observe: note, witness: recorder });
    for (let i = 0; i < nodes; i++) this.sim.open(`n${i}`, options, { buddy });
    acquaint(this.sim.nodes);
    recorder?.acquainted(this.sim.nowMs);
    this.sim.network.lossRate = lossRate;
    this.sim.run(settleMs);
  }

  times(kind: string, member: string): ReadonlyMap<string, number> {
    return this.#told.get(`${kind} ${member}`) ?? new Map();
  }

  /** What was told so far counts no more. */
  forget(): void {
    this.#told.clear();
  }

  /** Some of the nodes, each as likely as the other. */
  pick(count: number): SimNode[] {
    const nodes = [...this.sim.nodes];
    this.dice.shuffle(nodes, nodes.length);
    return nodes.slice(0, count);
  }

  /** Makes something happen at one member, and waits until all others were told. */
  follow(victim: SimNode, kind: string, limitMs: number, happen: () => void): Course {
    const { sim } = this;
    const { name } = victim;
    const atMs = sim.nowMs;
    const others = sim.nodes.length - 1;
    if (kind === "fail" || kind === "leave") this.gone.add(name);
    happen();
    let before = -1;
    sim.run(limitMs, () => {
      const { size } = this.times(kind, name);
      if (before < 0 && size > 0) before = sim.datagrams;
      return size >= others;
    });
    const tookMs = [...this.times(kind, name).values()].map((ms) => ms - atMs).sort((a, b) => a - b);
    const sent = before < 0 ? 0 : sim.datagrams - before;
    return { tookMs, missed: others - tookMs.length, datagramsPerNode: sent / others };
  }

  /** Ends it; the hash of all that happened. */
  close(): string {
    const { hash } = this.sim.trace;
    this.#recorder?.end(this.sim.nowMs);
    this.sim.close();
    return hash;
  }

  #note(event: SimEvent): void {
    if (event.kind === "fail" && !this.gone.has(event.about)) this.falseFailures++;
    const key = `${event.kind} ${event.about}`;
    let times = this.#told.get(key);
    if (times === undefined) this.#told.set(key, (times = new Map()));
    if (!times.has(event.node)) times.set(event.node, event.atMs);
  }
}

/** Makes all nodes know each other at once, as if they had been together for long. */
function acquaint(nodes: readonly SimNode[]): void {
  const pages = everybodyAlive(nodes);
  const members = nodes.map(({ self }) => self);
  for (const node of nodes) {
    node.swim.roster.adopt(pages, members);
    node.endpoint.setClusterSize(nodes.length);
  }
}
