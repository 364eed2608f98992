import type { Random } from "../random.js";
import type { MemberHandle } from "../wire/addon.js";
import { Probe, type ProbeConfig, type ProbeParts } from "./probe.js";
import type { Rings } from "./rings.js";

export interface ProberConfig extends ProbeConfig {
  readonly ringProbe: boolean;
}

const never = Number.POSITIVE_INFINITY;

/** A probe and when its next target is due. */
interface Round {
  readonly probe: Probe;
  atMs: number;
}

/**
 * Who is looked at, and when: each interval one member in round-robin order (M-100), and the successor on ring 0, so
 * that everybody is looked at by somebody at least once an interval (ARCHITECTURE 5.6).
 */
export class Prober {
  readonly #rounds: readonly Round[];
  readonly #intervalMs: number;

  constructor(config: ProberConfig, parts: Omit<ProbeParts, "nextTarget">, rings: Rings) {
    const { self, roster } = parts;
    this.#intervalMs = config.probeIntervalMs;
    const nextInOrder = (nowMs: number): MemberHandle => roster.nextProbeTarget(self, nowMs - config.gossipToTheDeadMs);
    const inOrder = new Probe(config, { nextTarget: nextInOrder, ...parts });
    const nextOnRing = (): MemberHandle => {
      const successor = rings.successor(0, roster);
      return successor === inOrder.target ? 0 : successor;
    };
    const onRing = new Probe(config, { nextTarget: nextOnRing, ...parts });
    const probes = config.ringProbe ? [inOrder, onRing] : [inOrder];
    this.#rounds = probes.map((probe) => ({ probe, atMs: never }));
  }

  /** Each round starts at a random point of its first interval (M-101). */
  start(nowMs: number, random: Random): void {
    if (this.#intervalMs === 0) return;
    for (const round of this.#rounds) round.atMs = nowMs + random.nextFloat() * this.#intervalMs;
  }

  stop(): void {
    for (const round of this.#rounds) round.atMs = never;
  }

  /** Runs the verdicts that are due. */
  judge(nowMs: number, drainedThroughMs: number): void {
    for (const { probe } of this.#rounds) probe.advance(nowMs, drainedThroughMs);
  }

  /** Starts the probes that are due. Ticks that were missed are dropped, not made up for, but for the last one. */
  tick(nowMs: number): void {
    for (const round of this.#rounds) {
      if (tickAtMs(round) > nowMs) continue;
      round.atMs = nowMs + this.#intervalMs;
      round.probe.start(nowMs);
    }
  }

  nextTickMs(): number {
    return this.#rounds.reduce((earliest, round) => Math.min(earliest, tickAtMs(round)), never);
  }

  nextVerdictMs(): number {
    return this.#rounds.reduce((earliest, { probe }) => Math.min(earliest, probe.nextVerdictMs()), never);
  }

  /** Returns the round trip when this was the direct answer to a probe, else -1. */
  handleAck(receivedAtMs: number, from: MemberHandle, seq: number): number {
    let rttMs = -1;
    for (const { probe } of this.#rounds) rttMs = Math.max(rttMs, probe.handleAck(receivedAtMs, from, seq));
    return rttMs;
  }

  handleNack(receivedAtMs: number, from: MemberHandle, seq: number): void {
    for (const { probe } of this.#rounds) probe.handleNack(receivedAtMs, from, seq);
  }

  handleStreamAck(receivedAtMs: number, seq: number): void {
    for (const { probe } of this.#rounds) probe.handleStreamAck(receivedAtMs, seq);
  }

  /** The member's host says that nobody listens: whoever probes it asks others now. */
  handleRefused(nowMs: number, member: MemberHandle): void {
    for (const { probe } of this.#rounds) probe.handleRefused(nowMs, member);
  }

  /** Asks others about a member whose host refused us: in the running probe of it, else for once. */
  askAbout(nowMs: number, member: MemberHandle): void {
    const { probe } = this.#rounds.find(({ probe }) => probe.target === member) ?? (this.#rounds[0] as Round);
    probe.askAbout(nowMs, member);
  }

  get started(): number {
    return this.#rounds.reduce((sum, { probe }) => sum + probe.started, 0);
  }

  get failed(): number {
    return this.#rounds.reduce((sum, { probe }) => sum + probe.failed, 0);
  }

  get inconclusive(): number {
    return this.#rounds.reduce((sum, { probe }) => sum + probe.inconclusive, 0);
  }
}

/** A tick waits for the probe in flight, so that a verdict that waits for the drain costs no interval. */
function tickAtMs({ probe, atMs }: Round): number {
  return probe.isInFlight ? never : atMs;
}
