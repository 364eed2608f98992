import type { Cluster, Seat } from "../../src/cluster.js";

const departuresPerRound = 6;
const departureEveryMs = 1000;
const awayMs = 4000;
const joinAttempts = 5;
const trafficEveryMs = 100;
/** Two broadcasts a second: what gossip carries for good. More would fill the queues for as long as it lasts. */
const ticksPerNews = 5;
const payloadBytes = 256;
const letterBytes = 4096;
const agreeLimitMs = 60_000;
/** So many large broadcasts of each node fill the receive slab: memory touched for the first time looks like a leak. */
const floodPerNode = 1;
const floodBytes = 1000;
/** Waiting at most anywhere when the flood counts as over: the usual traffic goes on. */
const floodRest = 20;
/** A copy is noticed when fewer broadcasts came after the first: half an hour of them. */
const newsRemembered = 4096;
const floodLimitMs = 300_000;

/** How often what happened. */
export interface Deeds {
  crashes: number;
  leaves: number;
  returns: number;
  broadcasts: number;
  /** Of one broadcast to one member, after the first. */
  copies: number;
  letters: number;
  /** To or from somebody who went meanwhile. */
  lostLetters: number;
  updates: number;
}

/**
 * A cluster that is never left in peace: traffic all the time, and rounds in which members crash or leave one a second
 * and come back under their name, at their address. Between two rounds everybody is there and knows everybody.
 */
export class Life {
  readonly deeds: Deeds = {
    crashes: 0,
    leaves: 0,
    returns: 0,
    broadcasts: 0,
    copies: 0,
    letters: 0,
    lostLetters: 0,
    updates: 0,
  };
  falseFailures = 0;
  readonly #cluster: Cluster;
  readonly #size: number;
  readonly #crashed = new Set<string>();
  readonly #returning = new Set<string>();
  readonly #traffic: NodeJS.Timeout;
  #ticks = 0;
  readonly #payload = new Uint8Array(payloadBytes);
  readonly #letter = new Uint8Array(letterBytes);

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#size = cluster.seats.length;
    for (const seat of cluster.seats) {
      cluster.expect(seat.name); // counted here: who is down changes
      this.#listen(seat);
    }
    cluster.onEvent = (kind, about) => {
      if (kind === "fail" && !this.#crashed.has(about)) this.falseFailures++;
    };
    this.#traffic = setInterval(() => this.#talk(), trafficEveryMs);
  }

  /** Touches what will be used again and again. Errors: WaitFailed. */
  async warmUp(): Promise<void> {
    const { seats } = this.#cluster;
    const queued = ({ node }: Seat): number => node.stats.counters.recordsQueued;
    const before = new Map(seats.map((seat) => [seat, queued(seat)]));
    const flood = floodPerNode * this.#size;
    for (let i = 0; i < flood; i++) this.#cluster.pick().node.broadcast(new Uint8Array(floodBytes));
    const isHere = (): boolean => seats.every((seat) => queued(seat) - (before.get(seat) ?? 0) >= flood / 2);
    await this.#cluster.until("the flood", isHere, floodLimitMs);
    const isOver = (): boolean => seats.every(({ node }) => node.stats.messageDepth < floodRest);
    await this.#cluster.until("the end of the flood", isOver, floodLimitMs);
  }

  /** Errors: WaitFailed, when they do not find together again. */
  async round(): Promise<void> {
    const returns: Promise<void>[] = [];
    for (let i = 0; i < departuresPerRound; i++) {
      const returned = this.#goAndReturn(i % 2 === 0);
      returned.catch(() => {}); // told by the wait below
      returns.push(returned);
      await pass(departureEveryMs);
    }
    await Promise.all(returns);
    await this.#cluster.until("agreement", () => this.#cluster.isComplete(this.#size), agreeLimitMs);
    this.#crashed.clear();
  }

  stop(): void {
    clearInterval(this.#traffic);
  }

  async #goAndReturn(isCrash: boolean): Promise<void> {
    const { name, node } = this.#cluster.remove(this.#anybody((seat) => !this.#returning.has(seat.name)));
    const bind = node.self.address;
    if (isCrash) {
      this.deeds.crashes++;
      this.#crashed.add(name);
    } else {
      this.deeds.leaves++;
      await node.leave();
    }
    await node.close();
    await pass(awayMs);
    this.#returning.add(name);
    const seat = await this.#cluster.reopen(name, bind);
    this.#listen(seat);
    await this.#joinAgain(seat);
    this.#returning.delete(name);
    this.deeds.returns++;
  }

  /** Through another one each time: who is asked may be going itself. */
  async #joinAgain(seat: Seat): Promise<void> {
    for (let left = joinAttempts; ; left--) {
      const { node } = this.#anybody((other) => !this.#returning.has(other.name));
      try {
        return await this.#cluster.join([seat], node.self.address);
      } catch (error) {
        if (left === 1) throw error;
      }
    }
  }

  #listen({ node }: Seat): void {
    const got = new Uint32Array(newsRemembered);
    node.on("message", ({ direct, payload }) => {
      if (direct || payload.length !== payloadBytes) return;
      const news = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
      if (got[news % newsRemembered] === news) this.deeds.copies++;
      got[news % newsRemembered] = news;
    });
  }

  #anybody(suits: (seat: Seat) => boolean): Seat {
    const seat = this.#cluster.pick();
    return suits(seat) ? seat : this.#anybody(suits);
  }

  #talk(): void {
    this.#ticks++;
    const [from, to] = [this.#cluster.pick(), this.#cluster.pick()];
    if (from !== to) {
      this.deeds.letters++;
      const sent = from.node.send(to.name, this.#letter, { reliable: true });
      sent.catch(() => this.deeds.lostLetters++);
    }
    if (this.#ticks % ticksPerNews !== 0) return;
    new DataView(this.#payload.buffer).setUint32(0, ++this.deeds.broadcasts);
    from.node.broadcast(this.#payload);
    to.node.updateMeta(`update ${this.deeds.updates++}`);
  }
}

function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
