import { createHistogram } from "node:perf_hooks";
import type { Cluster, Seat } from "../../src/cluster.js";
import { sharedMs } from "../cluster/clock.js";
import type { Crew } from "../cluster/crew.js";
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
 * Counted is what arrives until the queues are empty, at most twice as long as was sent. Each thread has its share of
 * the victims and sends its share.
 */
export function storm(options: ScenarioOptions, crew: Crew): Promise<Report> {
  const { nodes } = options;
  const seconds = options.seconds ?? 10;
  return onStage(options, crew, async (stage) => {
    const { cluster } = stage;
    await stage.open(stage.shareOf(nodes));
    await stage.gather(nodes);
    await stage.settle();
    const victims = await pickVictims(stage, nodes);
    const receipts = new Receipts(stage, Math.round(seconds * broadcastsPerSecond));
    const depths = new Depths(cluster);
    await stage.step();
    const meter = new Meter(stage);
    const crashAllMs = await rage(stage, receipts, victims, nodes);
    await stage.during(
      () => `the last copies: ${receipts.line()}`,
      () => cluster.until("the last copies", isOver(depths, drainShare * seconds), Number.POSITIVE_INFINITY),
    );
    await stage.step();
    const { packets, bytes, drops, cpuSeconds, loopDelayMs, elapsedMs } = await meter.stop();
    depths.stop();
    const pruned = sumOf(
      await crew.share(cluster.seats.reduce((sum, { node }) => sum + node.stats.counters.recordsPruned, 0)),
    );
    const cost = { elapsedMs, cpuSeconds, rssMb: megabytes(rssBytes()), packets, bytes, drops, pruned, loopDelayMs };
    const crashed = Math.max(1, Math.floor(nodes / 10));
    const figures = { crashed, crashAllMs, ...(await receipts.figures()), ...(await depths.figures(crew)), ...cost };
    const threads = crew.size;
    return { case: "storm", nodes, threads, seconds, payloadBytes, ...figures, ...(await stage.verdict()) };
  });
}

/** Together: this thread's victims, which nobody counts any more. */
async function pickVictims(stage: Stage, nodes: number): Promise<Seat[]> {
  const { cluster, crew } = stage;
  const count = stage.shareOf(Math.max(1, Math.floor(nodes / 10)));
  const victims = Array.from({ length: count }, () => cluster.remove(cluster.pick()));
  const names = await crew.share(victims.map(({ name }) => name));
  for (const name of names.flat()) cluster.expect(name);
  return victims;
}

/** Together: the crash and the broadcasts. When the last node has lost the last victim from its members. */
async function rage(stage: Stage, receipts: Receipts, victims: readonly Seat[], nodes: number): Promise<number> {
  const { cluster, crew } = stage;
  const left = nodes - sumOf(await crew.share(victims.length));
  const beganMs = sharedMs();
  const [knownMs] = await Promise.all([
    allKnow(stage, left, beganMs),
    stage.during(
      () => `storm: ${receipts.line()}`,
      () => send(cluster, receipts, beganMs),
    ),
    ...victims.map(({ node }) => node.close()),
  ]);
  return Math.max(...(await crew.share(knownMs)));
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** Whether no broadcast waits any more, or so many seconds have passed. */
function isOver(depths: Depths, seconds: number): () => boolean {
  const endMs = performance.now() + seconds * 1000;
  return () => performance.now() > endMs || depths.messages === 0;
}

/** When the last node of this thread has lost the last victim from its members. */
async function allKnow(stage: Stage, members: number, beganMs: number): Promise<number> {
  await stage.attempt("the crash of a tenth", () => stage.cluster.isComplete(members), 180_000);
  return round(sharedMs() - beganMs);
}

/** Sends as many as are due at each tick; one that is late sends what it missed. */
async function send(cluster: Cluster, receipts: Receipts, beganMs: number): Promise<void> {
  while (receipts.sent < receipts.own) {
    const duePart = ((sharedMs() - beganMs) * broadcastsPerSecond) / 1000 / receipts.total;
    const due = Math.floor(Math.min(1, duePart) * receipts.own);
    while (receipts.sent < due) cluster.pick().node.broadcast(receipts.next());
    await new Promise((resolve) => setTimeout(resolve, tickMs));
  }
}

/** Which node got which broadcast, and how long it took. A broadcast says its number and when it was sent. */
class Receipts {
  sent = 0;
  /** Of all threads. */
  readonly total: number;
  /** Of this one. */
  readonly own: number;
  #delivered = 0;
  #duplicates = 0;
  readonly #crew: Crew;
  readonly #nodes: number;
  readonly #latencyUs = createHistogram();

  constructor(stage: Stage, total: number) {
    const { cluster, crew } = stage;
    this.total = total;
    this.own = stage.shareOf(total);
    this.#crew = crew;
    this.#nodes = cluster.seats.length;
    for (const { node } of cluster.seats) {
      const got = new Uint8Array(total);
      node.on("message", ({ payload }) => this.#receive(got, payload));
    }
  }

  next(): Uint8Array {
    const payload = new Uint8Array(payloadBytes);
    const view = new DataView(payload.buffer);
    view.setUint32(0, this.#crew.rank + this.#crew.size * this.sent++);
    view.setFloat64(4, sharedMs());
    return payload;
  }

  line(): string {
    return `${this.sent}/${this.own} sent, ${this.#delivered} delivered`;
  }

  /** Together, see Stage. */
  async figures(): Promise<{ readonly [figure: string]: number | Spread }> {
    const parts = await this.#crew.share({
      sent: this.sent,
      delivered: this.#delivered,
      duplicates: this.#duplicates,
      nodes: this.#nodes,
      latencyUs: this.#latencyUs,
    });
    const sum = (name: "sent" | "delivered" | "duplicates" | "nodes"): number => sumOf(parts.map((part) => part[name]));
    const latencyUs = createHistogram();
    for (const part of parts) latencyUs.add(part.latencyUs);
    const at = (percent: number): number => round(latencyUs.percentile(percent) / 1000);
    return {
      broadcasts: sum("sent"),
      delivered: sum("delivered"),
      deliveredShare: round(sum("delivered") / (sum("sent") * (sum("nodes") - 1))),
      duplicates: sum("duplicates"),
      latencyMs: { p50: at(50), p99: at(99), max: at(100) },
    };
  }

  #receive(got: Uint8Array, payload: Uint8Array): void {
    const view = new DataView(payload.buffer, payload.byteOffset);
    const index = view.getUint32(0);
    if (got[index] === 1) this.#duplicates++;
    else this.#delivered++;
    got[index] = 1;
    this.#latencyUs.record(Math.max(1, Math.round(1000 * (sharedMs() - view.getFloat64(4)))));
  }
}

/** How many records wait in the queue of a node, looked at again and again. */
class Depths {
  readonly #cluster: Cluster;
  readonly #membership: number[] = [];
  readonly #messages: number[] = [];
  readonly #timer = setInterval(() => this.#sample(), sampleEveryMs).unref();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Most that waited anywhere when it was last looked at. */
  get messages(): number {
    return this.#messages.at(-1) ?? 0;
  }

  /** Together, see Stage. */
  async figures(crew: Crew) {
    const parts = await crew.share({ membership: this.#membership, messages: this.#messages });
    return {
      queueDepth: spreadOf(deepest(parts.map(({ membership }) => membership))),
      messageDepth: spreadOf(deepest(parts.map(({ messages }) => messages))),
      leftInQueue: Math.max(...parts.map(({ messages }) => messages.at(-1) ?? 0)),
    };
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #sample(): void {
    let [membership, messages] = [0, 0];
    for (const { node } of this.#cluster.seats) {
      const { queueDepth, messageDepth } = node.stats;
      membership = Math.max(membership, queueDepth);
      messages = Math.max(messages, messageDepth);
    }
    this.#membership.push(membership);
    this.#messages.push(messages);
  }
}

/** Of what the threads saw at about the same times. */
function deepest(parts: readonly (readonly number[])[]): number[] {
  const length = Math.max(...parts.map((part) => part.length));
  return Array.from({ length }, (_, i) => Math.max(...parts.map((part) => part[i] ?? 0)));
}
