import { type GossipOptions, resolveConfig } from "../config.js";
import { Random } from "../random.js";
import { healBoundMs, quarantineBoundMs, refutationBoundMs, suspicionBoundMs } from "./bounds.js";
import { Checker, type Violation } from "./checker.js";
import { aftermathMs, type Fault, faults as kinds } from "./faults.js";
import type { SimNode } from "./node.js";
import type { Recorder } from "./recorder.js";
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

/**
 * One random life of a cluster: forms, suffers faults of kinds that the seed picked (some off entirely, so that the
 * others are not hidden behind them), is healed, and has to agree again within a bound. After "Swarm testing" (Groce
 * et al., ISSTA 2012) and FoundationDB's simulation.
 */
export function runSwarm(seed: number, count: number, recorder?: Recorder): SwarmResult {
  const swarm = new Swarm(seed, count, recorder);
  try {
    return swarm.run();
  } finally {
    swarm.close();
  }
}

type Ailment = "stalled" | "leaving" | "narrow" | "deaf" | "lossy";

/** These end with the healing. */
const lastingAilments: ReadonlySet<Ailment | undefined> = new Set(["narrow", "deaf", "lossy"]);

/** One of them. */
export class Swarm {
  readonly sim: Simulation;
  readonly dice: Random;
  readonly names: readonly string[];
  readonly #seed: number;
  readonly #checker: Checker;
  readonly #options: Partial<GossipOptions>;
  readonly #boundMs: number;
  /** How much longer it may take when somebody found itself at fault and stays out. */
  readonly #quarantineMs: number;
  readonly #recorder: Recorder | undefined;
  /** Since when each node has run as it should, among peers that it can reach. */
  readonly #wellSinceMs = new Map<string, number>();
  /** Who does not run as it should, and why. */
  readonly #unwell = new Map<string, Ailment>();
  #networkWellSinceMs: number | null = 0;
  #updates = 0;

  constructor(seed: number, count: number, recorder?: Recorder) {
    this.#seed = seed;
    this.#recorder = recorder;
    this.dice = new Random(seed);
    this.names = Array.from({ length: count }, (_, i) => `n${i}`);
    this.sim = new Simulation({
      seed,
      observe: (event) => this.#checker.handleEvent(event),
      observeState: (...given) => this.#checker.handleState(...given),
      witness: recorder,
    });
    this.#options = { retransmitMult: 4 + this.dice.below(3), stallToleranceMs: this.dice.below(2) * 5000 };
    const config = resolveConfig({ ...this.#options, name: "n0" });
    const refutationMs = refutationBoundMs(config, count);
    // Whoever was faulty is healthy once the last suspicion of that time has ended, and been refuted.
    const graceMs = suspicionBoundMs(config, count) + refutationMs;
    this.#boundMs = aftermathMs + healBoundMs(config, count, safetyMs);
    this.#quarantineMs = quarantineBoundMs(config, safetyMs);
    this.#checker = new Checker(this.sim, {
      members: count,
      healthySinceMs: (name) => this.#healthySinceMs(name),
      graceMs,
      refutationMs,
    });
  }

  run(): SwarmResult {
    const faults = this.#drawFaults();
    this.#form();
    this.#suffer(faults);
    const healMs = this.#heal();
    this.#end();
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

  #drawFaults(): [string, Fault][] {
    const drawn = Object.entries(kinds).filter(() => this.dice.below(2) === 0);
    return drawn.length > 0 ? drawn : [["calm", () => {}]];
  }

  #form(): void {
    for (const name of this.names) this.open(name);
    for (const name of this.names.slice(1)) this.sim.node(name)?.join("n0");
    const formed = this.sim.run(formMs, () => this.#checker.agree());
    if (!formed) this.#checker.report("formation", this.#checker.disagreements().slice(0, 3).join("; "));
  }

  #suffer(faults: readonly [string, Fault][]): void {
    const endMs = this.sim.nowMs + safetyMs;
    while (this.sim.nowMs < endMs) {
      const [, act] = faults[this.dice.below(faults.length)] as [string, Fault];
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
      if (lastingAilments.has(this.#unwell.get(node.name))) this.markWell(node.name);
    }
    const isHealed = (): boolean => this.#checker.agree();
    const isSomebodyOut = (): boolean =>
      nodes.some(({ swim: { quarantine } }) => quarantine.isOn || quarantine.endedAtMs >= healedAtMs);
    const agreed =
      this.sim.run(this.#boundMs, isHealed) || (isSomebodyOut() && this.sim.run(this.#quarantineMs, isHealed));
    if (!agreed) this.#checker.report("liveness", this.#checker.disagreements().slice(0, 3).join("; "));
    this.#checker.check();
    return agreed ? this.sim.nowMs - healedAtMs : null;
  }

  #end(): void {
    this.#recorder?.end(this.sim.nowMs);
    for (const node of this.sim.nodes) node.close();
    const held = this.sim.leftovers();
    if (held.length > 0) this.#checker.report("leak", `${held.slice(0, 3)} are held although every node is closed`);
  }

  // --- what actions do

  open(name: string, newAddress = false): void {
    this.#checker.forget(name);
    this.#unwell.delete(name);
    this.#wellSinceMs.set(name, this.sim.nowMs);
    this.sim.open(name, this.#options, { newAddress });
  }

  /** A running, well node. */
  victim(): SimNode | undefined {
    const well = this.sim.nodes.filter(({ name, host }) => host.isRunning && !this.#unwell.has(name));
    return well[this.dice.below(Math.max(1, well.length))];
  }

  markUnwell(name: string, why: Ailment): void {
    this.#unwell.set(name, why);
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
    const quarantine = this.sim.node(name)?.swim.quarantine;
    if (this.#networkWellSinceMs === null || this.#unwell.has(name) || quarantine === undefined) return null;
    // Who found itself at fault stays out by its own will.
    if (quarantine.isOn) return null;
    return Math.max(this.#networkWellSinceMs, this.#wellSinceMs.get(name) ?? 0, quarantine.endedAtMs);
  }
}
