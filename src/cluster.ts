import { randomBytes } from "node:crypto";
import type { GossipOptions } from "./config.js";
import type { Member } from "./delegates.js";
import { GossipNode } from "./node.js";
import { Random } from "./random.js";

/** One node of a cluster in this process. */
export interface Seat {
  readonly name: string;
  readonly node: GossipNode;
  /** Live members that it knows, itself included. */
  known: number;
  /** Taken out of the counts. */
  isRemoved: boolean;
}

export type SeenKind = "join" | "fail" | "leave" | "recover";
const seenKinds: readonly SeenKind[] = ["join", "fail", "leave", "recover"];

/** Sums over all nodes, the closed ones included, since they opened. */
export interface Traffic {
  readonly sent: number;
  readonly received: number;
  readonly sentBytes: number;
  readonly streamBytes: number;
  readonly dropped: number;
}

export interface ClusterOptions {
  /** Decides every random choice of the nodes but not their timing. */
  readonly seed: number;
  /** Options of every node; name, bind, cluster, keys and seed are given by the cluster. */
  readonly options?: Partial<GossipOptions>;
  /** That of the other parts, when this is one part of a cluster in several threads. */
  readonly key?: Uint8Array;
  /** Which part this is, from 0 on, and of how many: no two give a node the same name or seed. */
  readonly part?: { readonly index: number; readonly of: number };
}

/** What was waited for did not come in time. */
export class WaitFailed extends Error {}

const host = "127.0.0.1";
const clusterName = "tattler-cluster";
const keyBytes = 32;
/** Between the seeds of two parts. */
const partSeedStep = 7919;
/** Joins under way at once: as many as a seed serves of one IP (`maxStreamsPerPeer`). */
export const parallelJoins = 64;

/** Many encrypted nodes on real sockets of this process. Counts events instead of asking every node again and again. */
export class Cluster {
  readonly seats: Seat[] = [];
  /** Failures that were reported of nodes which expect() does not name. */
  falseFailures = 0;
  /** Told of each event of each node, after it was counted. */
  onEvent: ((kind: SeenKind, about: string, observer: string) => void) | null = null;
  readonly key: Uint8Array;
  readonly random: Random;
  readonly #given: ClusterOptions;
  readonly #expected = new Set<string>();
  /** How many nodes know so many members. */
  readonly #seatsAt: number[] = [];
  readonly #sizesSeen = new Set<number>();
  #opened = 0;
  #closedTraffic: Traffic = { sent: 0, received: 0, sentBytes: 0, streamBytes: 0, dropped: 0 };
  #wake: (() => void) | null = null;

  constructor(given: ClusterOptions) {
    this.#given = given;
    this.key = given.key ?? new Uint8Array(randomBytes(keyBytes));
    this.random = new Random(given.seed + partSeedStep * (given.part?.index ?? 0));
  }

  /** Different sizes of the cluster that any node believed in on the way. */
  get sizesSeen(): readonly number[] {
    return [...this.#sizesSeen];
  }

  /** Whether every node knows so many live members. */
  isComplete(members: number): boolean {
    return this.#seatsAt[members] === this.seats.length;
  }

  /** Of all the pairs that `members` live nodes make, the share that know each other; 0 to 1. */
  shareKnown(members: number): number {
    const known = this.seats.reduce((sum, seat) => sum + seat.known - 1, 0);
    return known / Math.max(1, this.seats.length * (members - 1));
  }

  /** What a node of this cluster in another process needs. */
  optionsFor(name: string, seed: number): GossipOptions {
    return { ...this.#given.options, name, bind: `${host}:0`, cluster: clusterName, keys: [this.key], seed };
  }

  /** Opens nodes, each alone. Errors: as GossipNode.create(). */
  async open(count: number): Promise<Seat[]> {
    const seats: Seat[] = [];
    const { index: part, of } = this.#given.part ?? { index: 0, of: 1 };
    for (let i = 0; i < count; i++) {
      const index = part + of * this.#opened++;
      const name = `node-${String(index).padStart(4, "0")}`;
      seats.push(await this.#openSeat(this.optionsFor(name, this.#given.seed * 10_000 + index)));
    }
    return seats;
  }

  /** A node that was removed and closed, again, at the address it had. Errors: as GossipNode.create(). */
  reopen(name: string, bind: string): Promise<Seat> {
    return this.#openSeat({ ...this.optionsFor(name, this.random.below(2 ** 31)), bind });
  }

  /** Joins the nodes through one that is none of them, so many at the same time. Rejects if one cannot join. */
  async join(seats: readonly Seat[], seedAddress: string, parallel: number = parallelJoins): Promise<void> {
    let next = 0;
    const joinNext = async (): Promise<void> => {
      for (let seat = seats[next++]; seat !== undefined; seat = seats[next++]) {
        await seat.node.join([seedAddress], { timeoutMs: 60_000 });
      }
    };
    await Promise.all(Array.from({ length: Math.min(parallel, seats.length) }, joinNext));
  }

  /** A failure of this member is none that counts as false. */
  expect(name: string): void {
    this.#expected.add(name);
  }

  /** Counts a failure that a node in another process reported. */
  noteFailure(about: string): void {
    if (!this.#expected.has(about)) this.falseFailures++;
  }

  pick(): Seat {
    return this.seats[this.random.below(this.seats.length)] as Seat;
  }

  /** Takes a node out of the counts; it stays open. */
  remove(seat: Seat): Seat {
    this.#closedTraffic = sum(this.#closedTraffic, trafficOf(seat.node));
    this.seats.splice(this.seats.indexOf(seat), 1);
    seat.isRemoved = true;
    this.#count(seat.known, -1);
    return seat;
  }

  traffic(): Traffic {
    return this.seats.reduce((all, { node }) => sum(all, trafficOf(node)), this.#closedTraffic);
  }

  /** Whether no node has membership news left to send. */
  isQuiet(): boolean {
    return this.seats.every(({ node }) => node.stats.queueDepth === 0);
  }

  /** Waits for events until the condition holds; looks at least every 50 ms. Errors: WaitFailed. */
  async until(what: string, condition: () => boolean, limitMs: number): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (!condition()) {
      if (performance.now() > deadline) throw new WaitFailed(`${what} did not end within ${limitMs / 1000} s`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 50);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
  }

  /** Makes until() look again. */
  wake(): void {
    this.#wake?.();
  }

  async close(): Promise<void> {
    this.onEvent = null;
    await Promise.all(this.seats.map(({ node }) => node.close()));
  }

  async #openSeat(options: GossipOptions): Promise<Seat> {
    const node = await GossipNode.create(options);
    const seat: Seat = { name: options.name, node, known: 1, isRemoved: false };
    this.seats.push(seat);
    this.#count(1, 1);
    for (const kind of seenKinds) node.on(kind, (member: Member) => this.#handleEvent(kind, member.name, seat));
    return seat;
  }

  #handleEvent(kind: SeenKind, about: string, seat: Seat): void {
    if (!seat.isRemoved) {
      this.#count(seat.known, -1);
      seat.known = seat.node.memberCount;
      this.#count(seat.known, 1);
    }
    if (kind === "fail") this.noteFailure(about);
    this.onEvent?.(kind, about, seat.name);
    this.#wake?.();
  }

  #count(size: number, by: number): void {
    this.#seatsAt[size] = (this.#seatsAt[size] ?? 0) + by;
    this.#sizesSeen.add(size);
  }
}

function trafficOf({ stats }: GossipNode): Traffic {
  const { counters, streams } = stats;
  let dropped = counters.transmitRingFull + counters.sendErrors;
  for (const [name, value] of Object.entries(counters)) if (name.startsWith("drop")) dropped += value;
  return {
    sent: counters.datagramsSent,
    received: counters.datagramsReceived,
    sentBytes: counters.bytesSent,
    streamBytes: streams.bytesOut,
    dropped,
  };
}

function sum(a: Traffic, b: Traffic): Traffic {
  return {
    sent: a.sent + b.sent,
    received: a.received + b.received,
    sentBytes: a.sentBytes + b.sentBytes,
    streamBytes: a.streamBytes + b.streamBytes,
    dropped: a.dropped + b.dropped,
  };
}
