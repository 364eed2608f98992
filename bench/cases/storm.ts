import { createHistogram } from "node:perf_hooks";
import type { Cluster } from "../../src/cluster.js";
import { Meter, megabytes, rssBytes } from "../cluster/meter.js";
import { onStage, type Stage } from "../cluster/stage.js";
import { type Report, round, type ScenarioOptions, type Spread, spreadOf } from "../scenario.js";

const broadcastsPerSecond = 1000;
const payloadBytes = 256;
const tickMs = 10;
const sampleEveryMs = 100;
/** How much longer than it lasted is waited for what it left in the queues. */
const drainShare = 2;

/**
 * A tenth of the nodes crashes and at the same moment the others begin to send broadcasts, each time another one.
 * Counted is what arrives until the queues are empty, at most twice as long as was sent.
 */
export function storm(options: ScenarioOptions): Promise<Report> {
  const { nodes } = options;
  const seconds = options.seconds ?? 10;
  return onStage(options, async (stage) => {
    const { cluster } = stage;
    await stage.gather((await cluster.open(nodes)).slice(1), nodes);
    await stage.settle();
    const victims = Array.from({ length: Math.max(1, Math.floor(nodes / 10)) }, () => cluster.remove(cluster.pick()));
    for (const { name } of victims) cluster.expect(name);
    const receipts = new Receipts(cluster, Math.round(seconds * broadcastsPerSecond));
    const depths = new Depths(cluster);
    const meter = new Meter(cluster);
    const beganMs = performance.now();
    const [crashAllMs] = await Promise.all([
      allKnow(stage, nodes - victims.length, beganMs),
      stage.during(
        () => `storm: ${receipts.line()}`,
        () => send(cluster, receipts, beganMs),
      ),
      ...victims.map(({ node }) => node.close()),
    ]);
    await stage.during(
      () => `the last copies: ${receipts.line()}`,
      () => cluster.until("the last copies", isOver(depths, drainShare * seconds), Number.POSITIVE_INFINITY),
    );
    const { packets, bytes, drops, cpuSeconds, loopDelayMs, elapsedMs } = meter.stop();
    depths.stop();
    const pruned = cluster.seats.reduce((sum, { node }) => sum + node.stats.counters.recordsPruned, 0);
    const cost = { elapsedMs, cpuSeconds, rssMb: megabytes(rssBytes()), packets, bytes, drops, pruned, loopDelayMs };
    const figures = { crashed: victims.length, crashAllMs, ...receipts.figures(), ...depths.figures(), ...cost };
    return { case: "storm", nodes, seconds, payloadBytes, ...figures, ...stage.verdict() };
  });
}

/** Whether no broadcast waits any more, or so many seconds have passed. */
function isOver(depths: Depths, seconds: number): () => boolean {
  const endMs = performance.now() + seconds * 1000;
  return () => performance.now() > endMs || depths.sample().messages === 0;
}

/** When the last node has lost the last victim from its members. */
async function allKnow(stage: Stage, members: number, beganMs: number): Promise<number> {
  await stage.attempt("the crash of a tenth", () => stage.cluster.isComplete(members), 180_000);
  return round(performance.now() - beganMs);
}

/** Sends as many as are due at each tick; one that is late sends what it missed. */
async function send(cluster: Cluster, receipts: Receipts, beganMs: number): Promise<void> {
  while (receipts.sent < receipts.total) {
    const due = Math.floor(((performance.now() - beganMs) * broadcastsPerSecond) / 1000);
    while (receipts.sent < Math.min(due, receipts.total)) cluster.pick().node.broadcast(receipts.next());
    await new Promise((resolve) => setTimeout(resolve, tickMs));
  }
}

/** Which node got which broadcast, and how long it took. */
class Receipts {
  sent = 0;
  readonly total: number;
  #delivered = 0;
  #duplicates = 0;
  readonly #nodes: number;
  readonly #latencyUs = createHistogram();
  readonly #sentAtMs: Float64Array;

  constructor(cluster: Cluster, total: number) {
    this.total = total;
    this.#nodes = cluster.seats.length;
    this.#sentAtMs = new Float64Array(total);
    for (const { node } of cluster.seats) {
      const got = new Uint8Array(total);
      node.on("message", ({ payload }) => this.#receive(got, payload));
    }
  }

  next(): Uint8Array {
    const payload = new Uint8Array(payloadBytes);
    new DataView(payload.buffer).setUint32(0, this.sent);
    this.#sentAtMs[this.sent++] = performance.now();
    return payload;
  }

  line(): string {
    return `${this.sent}/${this.total} sent, ${this.#delivered} delivered`;
  }

  figures(): { readonly [figure: string]: number | Spread } {
    const expected = this.sent * (this.#nodes - 1);
    const at = (percent: number): number => round(this.#latencyUs.percentile(percent) / 1000);
    return {
      broadcasts: this.sent,
      delivered: this.#delivered,
      deliveredShare: round(this.#delivered / expected),
      duplicates: this.#duplicates,
      latencyMs: { p50: at(50), p99: at(99), max: at(100) },
    };
  }

  #receive(got: Uint8Array, payload: Uint8Array): void {
    const index = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
    if (got[index] === 1) this.#duplicates++;
    else this.#delivered++;
    got[index] = 1;
    const ageMs = performance.now() - (this.#sentAtMs[index] as number);
    this.#latencyUs.record(Math.max(1, Math.round(ageMs * 1000)));
  }
}

/** How many records wait in the queue of a node, looked at again and again. */
class Depths {
  readonly #cluster: Cluster;
  readonly #membership: number[] = [];
  readonly #messages: number[] = [];
  readonly #timer = setInterval(() => this.sample(), sampleEveryMs);

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** The deepest queue of each kind. */
  sample(): { readonly messages: number } {
    let [membership, messages] = [0, 0];
    for (const { node } of this.#cluster.seats) {
      const { queueDepth, messageDepth } = node.stats;
      membership = Math.max(membership, queueDepth);
      messages = Math.max(messages, messageDepth);
    }
    this.#membership.push(membership);
    this.#messages.push(messages);
    return { messages };
  }

  figures() {
    const leftInQueue = this.#messages.at(-1) ?? 0;
    return { queueDepth: spreadOf(this.#membership), messageDepth: spreadOf(this.#messages), leftInQueue };
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
