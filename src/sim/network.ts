import type { Random } from "../random.js";
import type { Fact } from "./witness.js";

/** One-way delays in milliseconds. */
export type Delay =
  | { readonly kind: "constant"; readonly ms: number }
  | { readonly kind: "uniform"; readonly minMs: number; readonly maxMs: number }
  /** minMs plus an exponential tail with this mean: most are quick, some are very late, and so overtaken. */
  | { readonly kind: "tail"; readonly minMs: number; readonly meanMs: number }
  /** Half of all are quicker than the median; sigma is the spread of the logarithm: 0.5 is a busy network. */
  | { readonly kind: "lognormal"; readonly medianMs: number; readonly sigma: number };

/** What one direction of one link adds to what is true of all. */
export interface Link {
  /** Added to every delay: the distance. Default 0. */
  readonly baseDelayMs?: number;
  /** Share of datagrams that get lost, when it is more than lossRate. Default 0. */
  readonly lossRate?: number;
}

/** What becomes of a stream: nobody takes it, it ends before the answer, or it stands still once half is through. */
export type StreamFault = "refused" | "reset" | "stalled";

/** What travels: one datagram, or one turn of a stream, which TCP would send again until it arrives. */
export type Via = "datagram" | "stream";

/**
 * The links between all hosts: delay, loss, duplication, reordering, cuts, clogs, partitions, narrow senders, stream
 * faults. Everything may be changed at any time; what is under way arrives all the same.
 */
export class Network {
  /** Default 0.2 ms. */
  delay: Delay = { kind: "constant", ms: 0.2 };
  /** Share of datagrams that get lost. */
  lossRate = 0;
  /** Share of datagrams that arrive twice. */
  duplicateRate = 0;
  /** Share of datagrams that are held back by up to reorderMs, so that later ones overtake them. */
  reorderRate = 0;
  /** Default 50 ms. */
  reorderMs = 50;
  /** Share of streams that fail. */
  streamFaultRate = 0;
  /** Datagrams lost on a link, those that a full queue dropped, and datagrams and streams that a cut stopped. */
  lost = 0;
  dropped = 0;
  stopped = 0;
  readonly #random: Random;
  readonly #tell: (fact: Fact) => void;
  readonly #cuts = new Set<string>();
  readonly #groups = new Map<string, number>();
  readonly #lossTo = new Map<string, number>();
  readonly #links = new Map<string, Link>();
  readonly #cloggedUntilMs = new Map<string, number>();
  readonly #senders = new Map<string, Sender>();

  constructor(random: Random, tell: (fact: Fact) => void = () => {}) {
    this.#random = random;
    this.#tell = tell;
  }

  /** Nothing gets from one to the other any more; the way back stays open. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}\0${to}`);
    this.#tell({ kind: "cut", from, to });
  }

  /** Ends a cut. */
  mend(from: string, to: string): void {
    this.#cuts.delete(`${from}\0${to}`);
  }

  /** Hosts of different groups do not hear each other; those of no group hear all. */
  partition(groups: readonly (readonly string[])[]): void {
    this.#groups.clear();
    this.#tell({ kind: "partition", parts: groups.length });
    groups.forEach((names, group) => {
      for (const name of names) this.#groups.set(name, group);
    });
  }

  /** The share of datagrams to this host that get lost, whatever lossRate says. */
  setLossTo(host: string, rate: number): void {
    this.#lossTo.set(host, rate);
  }

  /** One direction of one link. */
  setLink(from: string, to: string, link: Link): void {
    this.#links.set(`${from}\0${to}`, link);
  }

  /** Holds everything that goes this way until then, and delivers all of it; the way back stays open. */
  clog(from: string, to: string, untilMs: number): void {
    this.#cloggedUntilMs.set(`${from}\0${to}`, untilMs);
  }

  /**
   * What this host sends leaves at this rate, and waits for its turn. Infinity: at once.
   * @param queueBytes what may wait; a datagram that finds more is dropped.
   */
  setBandwidth(host: string, bytesPerSecond: number, queueBytes = Number.POSITIVE_INFINITY): void {
    this.#senders.set(host, { bytesPerMs: bytesPerSecond / 1000, queueBytes, busyUntilMs: 0 });
  }

  /** Ends cuts, clogs, partitions, losses, links of their own and narrow senders; delays stay. */
  heal(): void {
    this.#tell({ kind: "heal" });
    this.lossRate = 0;
    this.duplicateRate = 0;
    this.reorderRate = 0;
    this.streamFaultRate = 0;
    this.#cuts.clear();
    this.#groups.clear();
    this.#lossTo.clear();
    this.#links.clear();
    this.#cloggedUntilMs.clear();
    this.#senders.clear();
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
    // A full queue drops before the link can lose.
    const waitMs = this.#queue(from, bytes, nowMs);
    if (waitMs === null) {
      this.dropped++;
      return;
    }
    const link = this.#linkOf(from, to);
    if (this.#chance(Math.max(this.lossRate, this.#lossTo.get(to) ?? 0, link?.lossRate ?? 0))) {
      this.lost++;
      return;
    }
    const heldMs = waitMs + this.#clogMs(from, to, nowMs) + (link?.baseDelayMs ?? 0);
    arrive(heldMs + this.#drawDelayMs() + this.#drawHoldMs());
    if (this.#chance(this.duplicateRate)) arrive(heldMs + this.#drawDelayMs() + this.#drawHoldMs());
  }

  /** The delay of one turn of a stream, or null when it cannot get there. */
  dial(from: string, to: string, nowMs: number): number | null {
    if (this.isReachable(from, to) && this.isReachable(to, from)) {
      return this.#clogMs(from, to, nowMs) + (this.#linkOf(from, to)?.baseDelayMs ?? 0) + this.#drawDelayMs();
    }
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

  #linkOf(from: string, to: string): Link | undefined {
    return this.#links.size === 0 ? undefined : this.#links.get(`${from}\0${to}`);
  }

  #clogMs(from: string, to: string, nowMs: number): number {
    if (this.#cloggedUntilMs.size === 0) return 0;
    return Math.max(0, (this.#cloggedUntilMs.get(`${from}\0${to}`) ?? 0) - nowMs);
  }

  /** How long it waits for its turn; null: there is no room to wait. */
  #queue(from: string, bytes: number, nowMs: number): number | null {
    const sender = this.#senders.get(from);
    if (sender === undefined) return 0;
    const beginsAtMs = Math.max(nowMs, sender.busyUntilMs);
    if ((beginsAtMs - nowMs) * sender.bytesPerMs + bytes > sender.queueBytes) return null;
    sender.busyUntilMs = beginsAtMs + bytes / sender.bytesPerMs;
    return sender.busyUntilMs - nowMs;
  }

  #drawHoldMs(): number {
    return this.#chance(this.reorderRate) ? this.#random.nextFloat() * this.reorderMs : 0;
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
      case "lognormal":
        return delay.medianMs * Math.exp(delay.sigma * this.#drawNormal());
      default:
        return delay satisfies never;
    }
  }

  /** Marsaglia's polar method: no sine, which engines round differently. */
  #drawNormal(): number {
    for (;;) {
      const [x, y] = [2 * this.#random.nextFloat() - 1, 2 * this.#random.nextFloat() - 1];
      const square = x * x + y * y;
      if (square > 0 && square < 1) return x * Math.sqrt((-2 * Math.log(square)) / square);
    }
  }
}

/** A host that sends no faster than its line. */
interface Sender {
  readonly bytesPerMs: number;
  readonly queueBytes: number;
  busyUntilMs: number;
}
