import type { Broadcast, BroadcastOutcome } from "../delegates.js";
import type { Endpoint, MemberHandle } from "../wire/addon.js";
import { BroadcastEnd } from "../wire/generated/wire/broadcast-end.js";
import type { RingReader } from "../wire/receive.js";
import { OnceFilter } from "./once.js";

/** Starts of origins whose broadcasts are told apart at once. */
const mostWindows = 4096;

/** Members that may pass a broadcast on one after the other, beyond the base 2 logarithm of the cluster's size. */
const spareHops = 4;

type PayloadQueue = Pick<Endpoint, "queueMessage" | "withdrawMessage" | "takeFinished" | "relay">;

/**
 * The user messages of one node: numbers its broadcasts and tells what becomes of them, and passes those of others on
 * and through, once.
 */
export class Payloads {
  /** Broadcasts dropped because their origin is not a known member: copies could not be told apart. */
  unknownOrigins = 0;
  readonly #endpoint: PayloadQueue;
  readonly #self: MemberHandle;
  readonly #boot: number;
  readonly #once: OnceFilter;
  readonly #liveCount: () => number;
  #sequence = 0;
  #token = 0;
  readonly #unfinished = new Map<number, Unfinished>();
  /** Tokens of the unfinished broadcasts that a later one may replace. */
  readonly #replaceable = new Map<string, number>();

  /**
   * @param boot 32 bits, random per start of the node.
   * @param queueRecords broadcasts that an origin may have waiting at once. They overtake each other by as many on
   * the way, since larger ones leave first.
   * @param liveCount how many members there are.
   */
  constructor(endpoint: PayloadQueue, self: MemberHandle, boot: number, queueRecords: number, liveCount: () => number) {
    this.#endpoint = endpoint;
    this.#liveCount = liveCount;
    this.#once = new OnceFilter(mostWindows, queueRecords);
    this.#self = self;
    this.#boot = boot;
  }

  /** Copies of broadcasts that were not delivered again. */
  get duplicates(): number {
    return this.#once.duplicates;
  }

  /** Queues a broadcast; null when it can never fit a datagram. */
  broadcast(payload: Uint8Array, replaces?: string): Broadcast | null {
    const token = this.#nextToken();
    if (!this.#endpoint.queueMessage(this.#self, this.#sequence, this.#boot, payload, token)) return null;
    this.#sequence = (this.#sequence + 1) >>> 0;
    const earlier = replaces === undefined ? undefined : this.#replaceable.get(replaces);
    if (earlier !== undefined) this.#endpoint.withdrawMessage(earlier);
    this.settle();
    const broadcast = new Unfinished(replaces);
    this.#unfinished.set(token, broadcast);
    if (replaces !== undefined) this.#replaceable.set(replaces, token);
    return broadcast;
  }

  /** Ends the broadcasts that are no longer sent. Costs nothing while all have ended. */
  settle(): void {
    if (this.#unfinished.size === 0) return;
    const ends = this.#endpoint.takeFinished();
    for (let i = 0; i < ends.length; i += 2) this.#end(ends[i] as number, ends[i + 1] as BroadcastEnd);
  }

  /** The node closes: nothing more is sent. */
  close(): void {
    this.settle();
    for (const broadcast of this.#unfinished.values()) broadcast.end("closed");
    this.#unfinished.clear();
    this.#replaceable.clear();
  }

  /** Whether the message is for the user. A broadcast heard for the first time is passed on as well. */
  accept(reader: RingReader): boolean {
    if (reader.isDirect) return true;
    const origin = reader.from;
    if (origin === this.#self) return false;
    if (origin === 0) {
      this.unknownOrigins++;
      return false;
    }
    if (!this.#once.accept(origin, reader.sequenceHigh, reader.sequenceLow)) return false;
    if (reader.hops < this.#mostHops()) this.#endpoint.relay(reader.ringIndex);
    return true;
  }

  /**
   * Far more than gossip needs to reach everybody. Whoever has just started knows no copy for one: where members
   * restart all the time, each would keep what it hears in circulation for the next, for ever.
   */
  #mostHops(): number {
    return spareHops + Math.ceil(Math.log2(Math.max(2, this.#liveCount())));
  }

  #end(token: number, end: BroadcastEnd): void {
    const broadcast = this.#unfinished.get(token);
    if (broadcast === undefined) return;
    this.#unfinished.delete(token);
    if (broadcast.replaces !== undefined && this.#replaceable.get(broadcast.replaces) === token) {
      this.#replaceable.delete(broadcast.replaces);
    }
    broadcast.end(outcomes[end]);
  }

  #nextToken(): number {
    do this.#token = (this.#token + 1) >>> 0 || 1;
    while (this.#unfinished.has(this.#token));
    return this.#token;
  }
}

const outcomes: Record<BroadcastEnd, BroadcastOutcome> = {
  [BroadcastEnd.sent]: "sent",
  [BroadcastEnd.replaced]: "replaced",
  [BroadcastEnd.pruned]: "pruned",
};

/** Makes a promise only for those who ask, since most do not. */
class Unfinished implements Broadcast {
  readonly replaces: string | undefined;
  #outcome: BroadcastOutcome | null = null;
  #finished: Promise<BroadcastOutcome> | null = null;
  #resolve: ((outcome: BroadcastOutcome) => void) | null = null;

  constructor(replaces: string | undefined) {
    this.replaces = replaces;
  }

  get finished(): Promise<BroadcastOutcome> {
    this.#finished ??= new Promise((resolve) => {
      if (this.#outcome !== null) resolve(this.#outcome);
      else this.#resolve = resolve;
    });
    return this.#finished;
  }

  end(outcome: BroadcastOutcome): void {
    this.#outcome = outcome;
    this.#resolve?.(outcome);
  }
}
