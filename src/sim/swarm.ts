import type { GossipOptions } from "../config.js";
import { Random } from "../random.js";
import { syncScale } from "../swim/push_pull.js";
import { scaledSuspicionMs } from "../swim/suspicion.js";
import { Checker, type Violation } from "./checker.js";
import type { SimNode } from "./node.js";
import { Simulation } from "./simulation.js";

export interface SwarmResult {
  readonly seed: number;
  readonly faults: readonly string[];
  readonly violations: readonly Violation[];
  readonly found: number;
  readonly falseFailures: number;
  readonly traceHash: string;
  readonly events: number;
  readonly datagrams: number;
  /** Virtual time until all views were equal after the healing; null when they were not in time. */
  readonly healMs: number | null;
  readonly virtualMs: number;
}

const secondMs = 1000;
const formMs = 120 * secondMs;
const safetyMs = 90 * secondMs;
/** A machine or a link that was faulty has to be well for so long before it counts as healthy. */
const graceMs = 20 * secondMs;

/**
 * One random life of a cluster: forms, suffers faults of kinds that the seed picked (some off entirely, so that the
 * others are not hidden behind them), is healed, and has to agree again within a bound. After "Swarm testing" (Groce
 * et al., ISSTA 2012) and FoundationDB's simulation.
 */
export function runSwarm(seed: number, count: number): SwarmResult {
  const swarm = new Swarm(seed, count);
  try {
    return swarm.run();
  } finally {
    swarm.close();
  }
}

type Action = (swarm: Swarm) => void;

class Swarm {
  readonly sim: Simulation;
  readonly dice: Random;
  readonly names: readonly string[];
  readonly #seed: number;
  readonly #checker: Checker;
  readonly #options: Partial<GossipOptions>;
  /** Since when each node has run as it should, among peers that it can reach. */
  readonly #wellSinceMs = new Map<string, number>();
  readonly #unwell = new Set<string>();
  #networkWellSinceMs: number | null = 0;
  #updates = 0;

  constructor(seed: number, count: number) {
    this.#seed = seed;
    this.dice = new Random(seed);
    this.names = Array.from({ length: count }, (_, i) => `n${i}`);
    this.sim = new Simulation({ seed, observe: (event) => this.#checker.handleEvent(event) });
    this.#checker = new Checker(this.sim, {
      healthySinceMs: (name) => this.#healthySinceMs(name),
      graceMs,
      refutationMs: 20 * secondMs,
    });
    this.#options = { retransmitMult: 4 + this.dice.below(3), stallToleranceMs: this.dice.below(2) * 5000 };
  }

  run(): SwarmResult {
    const faults = this.#drawFaults();
    this.#form();
    this.#suffer(faults);
    const healMs = this.#heal();
    const { violations, found, falseFailures } = this.#checker;
    const { trace, datagrams, nowMs } = this.sim;
    return {
      seed: this.#seed,
      faults: faults.map(([name]) => name),
      violations,
      found,
      falseFailures,
      traceHash: trace.hash,
      events: trace.events,
      datagrams,
      healMs,
      virtualMs: nowMs,
    };
  }

  close(): void {
    this.sim.close();
  }

  // --- phases

  #drawFaults(): [string, Action][] {
    const drawn = Object.entries(actions).filter(() => this.dice.below(2) === 0);
    return drawn.length > 0 ? drawn : [["calm", () => {}]];
  }

  #form(): void {
    for (const name of this.names) this.open(name);
    for (const name of this.names.slice(1)) this.sim.node(name)?.join("n0");
    const formed = this.sim.run(formMs, () => this.#checker.agree());
    if (!formed) this.#checker.report("formation", this.#checker.disagreements().slice(0, 3).join("; "));
  }

  #suffer(faults: readonly [string, Action][]): void {
    const endMs = this.sim.nowMs + safetyMs;
    while (this.sim.nowMs < endMs) {
      const [, act] = faults[this.dice.below(faults.length)] as [string, Action];
      act(this);
      this.sim.run(200 + this.dice.below(4000));
      this.#checker.check();
    }
  }

  /** Ends every fault. Nobody helps: those who were cut off for long must find each other (ARCHITECTURE 5.12). */
  #heal(): number | null {
    const { network, nodes } = this.sim;
    network.heal();
    network.delay = { kind: "constant", ms: 0.5 };
    const healedAtMs = this.sim.nowMs;
    for (const node of nodes) {
      if (!node.host.isRunning) node.resume();
      node.host.setRate(1, this.sim.nowMs);
    }
    const agreed = this.sim.run(this.#boundMs(), () => this.#checker.agree());
    if (!agreed) this.#checker.report("liveness", this.#checker.disagreements().slice(0, 3).join("; "));
    this.#checker.check();
    return agreed ? this.sim.nowMs - healedAtMs : null;
  }

  /** The longest suspicion for whoever is gone, and two state syncs for whoever was missed. */
  #boundMs(): number {
    const [node] = this.sim.nodes;
    if (node === undefined) return 0;
    const { suspicionMult, suspicionMinMs, suspicionMaxTimeoutMult, probeIntervalMs, pushPullIntervalMs } = node.config;
    const members = this.names.length;
    const leastMs = suspicionMinMs || scaledSuspicionMs(suspicionMult, members, probeIntervalMs);
    const suspicionMs = suspicionMaxTimeoutMult * leastMs;
    const sweepMs = members * probeIntervalMs;
    return suspicionMs + sweepMs + 2 * pushPullIntervalMs * syncScale(members) + 30 * secondMs;
  }

  // --- what actions do

  open(name: string, newAddress = false): void {
    this.#checker.forget(name);
    this.#unwell.delete(name);
    this.#wellSinceMs.set(name, this.sim.nowMs);
    this.sim.open(name, this.#options, { newAddress });
  }

  /** A running, well node other than the seed node, which applications need to find each other again. */
  victim(): SimNode | undefined {
    const well = this.sim.nodes.filter(({ name, host }) => name !== "n0" && host.isRunning && !this.#unwell.has(name));
    return well[this.dice.below(Math.max(1, well.length))];
  }

  markUnwell(name: string): void {
    this.#unwell.add(name);
  }

  markWell(name: string): void {
    this.#unwell.delete(name);
    this.#wellSinceMs.set(name, this.sim.nowMs);
  }

  markNetwork(isWell: boolean): void {
    if (isWell) this.#networkWellSinceMs ??= this.sim.nowMs;
    else this.#networkWellSinceMs = null;
  }

  nextUpdate(): Uint8Array {
    this.#updates++;
    return Uint8Array.of(this.#updates & 255, this.#updates >> 8, 1, 2, 3);
  }

  #healthySinceMs(name: string): number | null {
    if (this.#networkWellSinceMs === null || this.#unwell.has(name) || this.sim.node(name) === undefined) return null;
    return Math.max(this.#networkWellSinceMs, this.#wellSinceMs.get(name) ?? 0);
  }
}

/** Ends a fault after a while, unless its node is another one by then. */
function later(swarm: Swarm, node: SimNode, delayMs: number, end: () => void): void {
  swarm.sim.at(delayMs, () => {
    if (!node.isClosed) end();
  });
}

function stallFor(swarm: Swarm, state: "scriptStalled" | "stopped", mostMs: number): void {
  const node = swarm.victim();
  if (node === undefined) return;
  swarm.markUnwell(node.name);
  node.stall(state);
  later(swarm, node, swarm.dice.below(mostMs), () => {
    node.resume();
    swarm.markWell(node.name);
  });
}

const joinAgainMs = 5000;

function restart(swarm: Swarm, name: string, newAddress: boolean): void {
  swarm.sim.at(swarm.dice.below(30_000), () => {
    if (swarm.sim.node(name) !== undefined) return;
    swarm.open(name, newAddress);
    joinUntilIn(swarm, name);
  });
}

/** As an application does whose join failed. */
function joinUntilIn(swarm: Swarm, name: string): void {
  const node = swarm.sim.node(name);
  if (node === undefined || node.memberCount > 1) return;
  node.join("n0");
  swarm.sim.at(joinAgainMs, () => joinUntilIn(swarm, name));
}

function crash(swarm: Swarm, refuses: boolean): void {
  const node = swarm.victim();
  if (node === undefined || swarm.sim.nodes.length < swarm.names.length / 2) return;
  node.close({ refuses });
  if (swarm.dice.below(2) === 0) restart(swarm, node.name, false);
}

/** The kinds of faults, and of life that goes on meanwhile. */
const actions: Record<string, Action> = {
  loss: (swarm) => {
    swarm.sim.network.lossRate = swarm.dice.nextFloat() * 0.1;
  },
  duplication: (swarm) => {
    swarm.sim.network.duplicateRate = swarm.dice.nextFloat() * 0.3;
  },
  tails: (swarm) => {
    swarm.sim.network.delay = { kind: "tail", minMs: 0.2, meanMs: swarm.dice.nextFloat() * 20 };
  },
  streamFaults: (swarm) => {
    swarm.sim.network.streamFaultRate = swarm.dice.nextFloat() * 0.5;
  },
  crash: (swarm) => crash(swarm, false),
  crashRefused: (swarm) => crash(swarm, true),
  leave: (swarm) => {
    const node = swarm.victim();
    if (node === undefined || swarm.sim.nodes.length < swarm.names.length / 2) return;
    node.leave();
    swarm.markUnwell(node.name);
    later(swarm, node, 5000, () => {
      node.close();
      if (swarm.dice.below(2) === 0) restart(swarm, node.name, swarm.dice.below(2) === 0);
    });
  },
  scriptStall: (swarm) => stallFor(swarm, "scriptStalled", 20_000),
  stop: (swarm) => stallFor(swarm, "stopped", 40_000),
  clocks: (swarm) => {
    const node = swarm.victim();
    node?.host.setRate(0.95 + swarm.dice.nextFloat() * 0.1, swarm.sim.nowMs);
    if (swarm.dice.below(4) === 0) node?.host.jump(swarm.dice.below(60_000), swarm.sim.nowMs);
  },
  cut: (swarm) => {
    const [from, to] = [swarm.victim(), swarm.victim()];
    if (from !== undefined && to !== undefined && from !== to) swarm.sim.network.cut(from.name, to.name);
  },
  partition: (swarm) => {
    const side = swarm.names.filter(() => swarm.dice.below(2) === 0);
    const other = swarm.names.filter((name) => !side.includes(name));
    swarm.sim.network.partition([side, other]);
    swarm.markNetwork(false);
    swarm.sim.at(swarm.dice.below(20_000), () => {
      swarm.sim.network.partition([]);
      swarm.markNetwork(true);
    });
  },
  narrow: (swarm) => {
    const node = swarm.victim();
    if (node !== undefined) swarm.sim.network.setBandwidth(node.name, 20_000 + swarm.dice.below(100_000));
  },
  updates: (swarm) => {
    for (let i = 0; i < 3; i++) swarm.victim()?.updateMeta(swarm.nextUpdate());
  },
  broadcasts: (swarm) => {
    for (let i = 0; i < 5; i++) swarm.victim()?.broadcast(swarm.nextUpdate());
  },
};
