import type { Cluster, Seat } from "../../src/cluster.js";

const departuresPerRound = 6;
const departureEveryMs = 1000;
const awayMs = 4000;
const trafficEveryMs = 100;
const payloadBytes = 256;
const letterBytes = 4096;
const agreeLimitMs = 60_000;
/** Many times what the receive slab holds: memory that is touched for the first time looks like a leak. */
const floodBroadcasts = 2000;
const floodBytes = 1000;
const floodEveryMs = 5;
/** Waiting anywhere when the flood counts as over; the usual traffic goes on. */
const floodRest = 200;

/** How often what happened. */
export interface Deeds {
  crashes: number;
  leaves: number;
  returns: number;
  broadcasts: number;
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
  readonly deeds: Deeds = { crashes: 0, leaves: 0, returns: 0, broadcasts: 0, letters: 0, lostLetters: 0, updates: 0 };
  falseFailures = 0;
  readonly #cluster: Cluster;
  readonly #size: number;
  readonly #crashed = new Set<string>();
  readonly #traffic: NodeJS.Timeout;
  readonly #payload = new Uint8Array(payloadBytes);
  readonly #letter = new Uint8Array(letterBytes);

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#size = cluster.seats.length;
    for (const { name } of cluster.seats) cluster.expect(name); // counted here: who is down changes
    cluster.onEvent = (kind, about) => {
      if (kind === "fail" && !this.#crashed.has(about)) this.falseFailures++;
    };
    this.#traffic = setInterval(() => this.#talk(), trafficEveryMs);
  }

  /** Touches what will be used again and again. Errors: WaitFailed. */
  async warmUp(): Promise<void> {
    for (let i = 0; i < floodBroadcasts; i++) {
      this.#cluster.pick().node.broadcast(new Uint8Array(floodBytes));
      await pass(floodEveryMs);
    }
    const isOver = (): boolean => this.#cluster.seats.every(({ node }) => node.stats.messageDepth < floodRest);
    await this.#cluster.until("the end of the flood", isOver, agreeLimitMs);
  }

  /** Errors: WaitFailed, when they do not find together again. */
  async round(): Promise<void> {
    const returns: Promise<void>[] = [];
    for (let i = 0; i < departuresPerRound; i++) {
      returns.push(this.#goAndReturn(i % 2 === 0));
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
    const { name, node } = this.#cluster.remove(this.#cluster.pick());
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
    const seat = await this.#cluster.reopen(name, bind);
    await this.#cluster.join([seat], this.#anybodyBut(seat).node.self.address);
    this.deeds.returns++;
  }

  #anybodyBut(seat: Seat): Seat {
    const other = this.#cluster.pick();
    return other === seat ? this.#anybodyBut(seat) : other;
  }

  #talk(): void {
    this.#cluster.pick().node.broadcast(this.#payload);
    this.deeds.broadcasts++;
    const [from, to] = [this.#cluster.pick(), this.#cluster.pick()];
    if (from !== to) {
      this.deeds.letters++;
      const sent = from.node.send(to.name, this.#letter, { reliable: true });
      sent.catch(() => this.deeds.lostLetters++);
    }
    if (this.deeds.broadcasts % 5 === 0) {
      this.#cluster.pick().node.updateMeta(`update ${this.deeds.updates++}`);
    }
  }
}

function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
