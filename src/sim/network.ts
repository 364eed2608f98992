import type { Random } from "../random.js";

/** One-way delays in milliseconds. */
export type Delay =
  | { readonly kind: "constant"; readonly ms: number }
  | { readonly kind: "uniform"; readonly minMs: number; readonly maxMs: number }
  /** minMs plus an exponential tail with this mean: most are quick, some are very late, and so overtaken. */
  | { readonly kind: "tail"; readonly minMs: number; readonly meanMs: number };

/** What becomes of a stream that is dialed. */
export type StreamFault = "refused" | "reset" | "stalled";

/** What travels: one datagram, or one turn of a stream, which TCP would send again until it arrives. */
export type Via = "datagram" | "stream";

/**
 * The links between all hosts: delay, loss, duplication, reordering (by delays that differ), cuts, partitions, narrow
 * senders, stream faults. Everything may be changed at any time; what is under way arrives all the same.
 */
export class Network {
  /** Default 0.2 ms. */
  delay: Delay = { kind: "constant", ms: 0.2 };
  /** Share of datagrams that get lost. */
  lossRate = 0;
  /** Share of datagrams that arrive twice. */
  duplicateRate = 0;
  /** Share of streams that fail. */
  streamFaultRate = 0;
  /** Datagrams lost on a link, and datagrams and streams that a cut stopped. */
  lost = 0;
  stopped = 0;
  readonly #random: Random;
  readonly #cuts = new Set<string>();
  readonly #groups = new Map<string, number>();
  readonly #lossTo = new Map<string, number>();
  readonly #bytesPerMs = new Map<string, number>();
  readonly #busyUntilMs = new Map<string, number>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** Nothing gets from one to the other any more; the way back stays open. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}\0${to}`);
  }

  /** Hosts of different groups do not hear each other; those of no group hear all. */
  partition(groups: readonly (readonly string[])[]): void {
    this.#groups.clear();
    groups.forEach((names, group) => {
      for (const name of names) this.#groups.set(name, group);
    });
  }

  /** The share of datagrams to this host that get lost, whatever lossRate says. */
  setLossTo(host: string, rate: number): void {
    this.#lossTo.set(host, rate);
  }

  /** What this host sends leaves at this rate, and waits for its turn. Infinity: at once. */
  setBandwidth(host: string, bytesPerSecond: number): void {
    this.#bytesPerMs.set(host, bytesPerSecond / 1000);
  }

  /** Ends cuts, partitions, losses and narrow senders; delays stay. */
  heal(): void {
    this.lossRate = 0;
    this.duplicateRate = 0;
    this.streamFaultRate = 0;
    this.#cuts.clear();
    this.#groups.clear();
    this.#lossTo.clear();
    this.#bytesPerMs.clear();
    this.#busyUntilMs.clear();
  }

  isReachable(from: string, to: string): boolean {
    if (this.#cuts.size > 0 && this.#cuts.has(`${from}\0${to}`)) return false;
    if (this.#groups.size === 0) return true;
    const [here, there] = [this.#groups.get(from), this.#groups.get(to)];
    return here === undefined || there === undefined || here === there;
  }

  /** Calls `arrive` with the delay of every copy that arrives: none when it is lost. */
  carry(from: string, to: string, bytes: number, nowMs: number, arrive: (delayMs: number) => void): void {
    if (!this.isReachable(from, to)) {
      this.stopped++;
      return;
    }
    const lossRate = Math.max(this.lossRate, this.#lossTo.get(to) ?? 0);
    if (this.#chance(lossRate)) {
      this.lost++;
      return;
    }
    const waitMs = this.#queue(from, bytes, nowMs);
    arrive(waitMs + this.#drawDelayMs());
    if (this.#chance(this.duplicateRate)) arrive(waitMs + this.#drawDelayMs());
  }

  /** The delay of one turn of a stream, or null when it cannot get there. */
  dial(from: string, to: string): number | null {
    if (this.isReachable(from, to) && this.isReachable(to, from)) return this.#drawDelayMs();
    this.stopped++;
    return null;
  }

  drawStreamFault(): StreamFault | null {
    if (!this.#chance(this.streamFaultRate)) return null;
    return (["refused", "reset", "stalled"] as const)[this.#random.below(3)] as StreamFault;
  }

  /** No die falls for what cannot happen, so that a fault that is off leaves the others' dice alone. */
  #chance(rate: number): boolean {
    return rate > 0 && this.#random.nextFloat() < rate;
  }

  #queue(from: string, bytes: number, nowMs: number): number {
    const bytesPerMs = this.#bytesPerMs.get(from);
    if (bytesPerMs === undefined) return 0;
    const leavesAtMs = Math.max(nowMs, this.#busyUntilMs.get(from) ?? 0) + bytes / bytesPerMs;
    this.#busyUntilMs.set(from, leavesAtMs);
    return leavesAtMs - nowMs;
  }

  #drawDelayMs(): number {
    const { delay } = this;
    switch (delay.kind) {
      case "constant":
        return delay.ms;
      case "uniform":
        return delay.minMs + this.#random.nextFloat() * (delay.maxMs - delay.minMs);
      case "tail":
        return delay.minMs - Math.log(1 - this.#random.nextFloat()) * delay.meanMs;
      default:
        return delay satisfies never;
    }
  }
}
