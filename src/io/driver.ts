import type { Backend } from "../config.js";
import type { Swim } from "../swim/swim.js";
import type { Endpoint, Hub, Keyring } from "../wire/addon.js";
import { RecordKind } from "../wire/generated/wire/record-kind.js";
import { RingReader } from "../wire/receive.js";
import { type HubMemory, loadAddon, openHub } from "./native.js";
import { DeadlineHeap, type Scheduled } from "./scheduler.js";

/** One node as the driver sees it. */
export interface Hosted extends Scheduled {
  readonly endpoint: Endpoint;
  readonly swim: Swim;
  /** Kept by the driver: something happened to the node in this turn. */
  isTouched: boolean;
  /** A user message; `reader` stands on its record. */
  handleMessage(reader: RingReader): void;
  /** Asked before an alive is applied (M-088). */
  allowsAlive(reader: RingReader): boolean;
  handleRoundTrip(reader: RingReader, rttMs: number): void;
  /** The core is at rest: gives what was queued to user code. */
  settle(): void;
}

/** Longest wait for the I/O thread to say that it has drained, before it is asked again. */
const drainRetryMs = 5;

/**
 * Drives all nodes of one thread over one hub: reads the receive ring, runs what is due, flushes, and only then lets
 * user code run. One timer serves all nodes.
 */
export class Driver {
  readonly hub: Hub;
  readonly counters: BigUint64Array;
  readonly #memory: HubMemory;
  readonly #reader: RingReader;
  readonly #nodes: (Hosted | undefined)[] = [];
  readonly #deadlines = new DeadlineHeap<Hosted>();
  readonly #ip = new Uint8Array(16);
  readonly #waiting: Hosted[] = [];
  #drainedThroughMs = 0;
  #touched: Hosted[] = [];
  #timer: NodeJS.Timeout | null = null;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #isRunning = false;

  constructor(backend: Backend) {
    const addon = loadAddon();
    this.#memory = openHub(addon, backend, () => this.#turn());
    this.hub = this.#memory.hub;
    this.counters = this.#memory.counters;
    this.#reader = new RingReader(addon.layout, this.#memory.ring, this.#memory.slab);
  }

  add(node: Hosted): void {
    this.#nodes[node.endpoint.index] = node;
  }

  remove(node: Hosted): void {
    this.#nodes[node.endpoint.index] = undefined;
    this.#deadlines.remove(node);
  }

  /** Runs `work` on a node's core from outside a turn, then reschedules, flushes and settles. */
  perform<T>(node: Hosted, work: (nowMs: number) => T): T {
    const result = work(this.hub.nowMs());
    this.#touch(node);
    if (!this.#isRunning) this.#finish();
    return result;
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.hub.close();
  }

  // --- one turn: drain, advance, flush, settle

  #turn(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      // Read before the ring: whatever it vouches for is then in the ring, and handled below.
      const drainedThroughMs = this.hub.drainedThroughMs();
      this.#drain();
      this.#advance(drainedThroughMs);
    } finally {
      this.#isRunning = false;
    }
    this.#finish();
  }

  #drain(): void {
    const count = this.hub.poll();
    if (count === 0) return;
    const first = this.hub.readIndex();
    const reader = this.#reader;
    for (let i = 0; i < count; i++) {
      reader.select(first + i);
      const node = this.#nodes[reader.endpoint];
      if (node !== undefined) this.#dispatch(node, reader);
    }
    this.hub.consume(count);
  }

  #dispatch(node: Hosted, reader: RingReader): void {
    const { swim } = node;
    const { kind } = reader;
    if (kind === RecordKind.alive || kind === RecordKind.suspect || kind === RecordKind.death) {
      // Nearly all gossip in a large cluster ends here.
      if (swim.isStale(kind, reader.subject, reader.incarnation)) return;
    }
    const nowMs = reader.receivedAtMs;
    if (kind !== RecordKind.refused) swim.handleHeard(nowMs);
    this.#touch(node);
    switch (kind) {
      case RecordKind.ping:
        return this.#withSource(reader, (source) =>
          swim.handlePing(nowMs, reader.from, source, reader.seq, reader.isAnswered),
        );
      case RecordKind.ack: {
        const rttMs = swim.handleAck(nowMs, reader.from, reader.seq);
        if (rttMs >= 0) node.handleRoundTrip(reader, rttMs);
        return;
      }
      case RecordKind.nack:
        return swim.handleNack(nowMs, reader.from, reader.seq);
      case RecordKind.pingRequest:
        return this.#handlePingRequest(node, reader, nowMs);
      case RecordKind.suspect:
        return swim.handleSuspect(
          nowMs,
          reader.subject,
          reader.from,
          reader.incarnation,
          reader.evidence,
          reader.ringIndex,
        );
      case RecordKind.death:
        return swim.handleDeath(
          nowMs,
          reader.subject,
          reader.from,
          reader.incarnation,
          reader.evidence,
          reader.ringIndex,
        );
      case RecordKind.alive:
        if (node.allowsAlive(reader)) swim.handleAlive(nowMs, reader.subject, reader.incarnation, reader);
        return;
      case RecordKind.message:
        return node.handleMessage(reader);
      case RecordKind.refused:
        return swim.handleRefused(nowMs, reader.source);
      default:
        return kind satisfies never;
    }
  }

  #handlePingRequest(node: Hosted, reader: RingReader, nowMs: number): void {
    this.#withSource(reader, (source) => {
      const known = reader.address;
      const address = known !== 0 ? known : this.hub.internAddress(this.#ip, reader.requestAddress(this.#ip));
      node.swim.handlePingRequest(nowMs, source, reader.subject, address, reader.seq);
      if (known === 0) this.hub.releaseAddress(address);
    });
  }

  /** Calls with the handle of the datagram's source, which may be nobody's address yet. */
  #withSource(reader: RingReader, use: (source: number) => void): void {
    if (reader.source !== 0) return use(reader.source);
    const port = reader.sourceAddress(this.#ip);
    const source = this.hub.internAddress(this.#ip, port);
    use(source);
    this.hub.releaseAddress(source);
  }

  #advance(drainedThroughMs: number): void {
    const nowMs = this.hub.nowMs();
    if (drainedThroughMs > this.#drainedThroughMs) this.#wakeWaiting(nowMs);
    this.#drainedThroughMs = drainedThroughMs;
    for (;;) {
      const node = this.#deadlines.due(nowMs);
      if (node === null) break;
      const heardMs = this.#memory.heardMs[node.endpoint.index] as number;
      if (heardMs > 0) node.swim.handleHeard(heardMs);
      node.swim.advance(nowMs, drainedThroughMs);
      this.#touch(node);
      const nextMs = node.swim.nextDeadline(nowMs);
      if (nextMs <= nowMs) this.#waiting.push(node);
      this.#deadlines.set(node, nextMs > nowMs ? nextMs : nowMs + drainRetryMs);
    }
    if (this.#waiting.length > 0) this.hub.requestDrain();
  }

  /** Nodes with a verdict due may judge now, unless their time came another way. */
  #wakeWaiting(nowMs: number): void {
    for (const node of this.#waiting) if (node.heapIndex >= 0) this.#deadlines.set(node, nowMs);
    this.#waiting.length = 0;
  }

  #touch(node: Hosted): void {
    if (node.isTouched) return;
    node.isTouched = true;
    this.#touched.push(node);
  }

  #finish(): void {
    const touched = this.#touched;
    this.#touched = [];
    const nowMs = this.hub.nowMs();
    for (const node of touched) {
      node.isTouched = false;
      if (this.#nodes[node.endpoint.index] !== node) continue;
      const nextMs = Math.max(node.swim.nextDeadline(nowMs), nowMs);
      // Later is no hurry: the node then has nothing to do at the old time and moves on by itself.
      if (nextMs < node.deadlineMs) this.#deadlines.set(node, nextMs);
    }
    this.hub.flush();
    this.#armTimer(nowMs);
    for (const node of touched) node.settle();
  }

  #armTimer(nowMs: number): void {
    const earliestMs = this.#deadlines.earliestMs();
    // A timer that goes off too early costs less than moving it at every turn.
    if (this.#timer !== null && earliestMs >= this.#timerAtMs) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerAtMs = earliestMs;
    if (earliestMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#handleTimer(), Math.max(0, Math.ceil(earliestMs - nowMs)));
  }

  #handleTimer(): void {
    this.#timer = null;
    this.#turn();
  }
}

// --- one driver per thread and back end, while a node needs it

interface Shared {
  readonly driver: Driver;
  users: number;
}

const shared = new Map<Backend, Shared>();

/** The driver of this thread. Every acquire needs its release. Errors: TATTLER_ADDON_MISSING. */
export function acquireDriver(backend: Backend): Driver {
  let entry = shared.get(backend);
  if (entry === undefined) {
    entry = { driver: new Driver(backend), users: 0 };
    shared.set(backend, entry);
  }
  entry.users++;
  return entry.driver;
}

/** Closes the hub and its I/O thread with the last user. */
export function releaseDriver(backend: Backend): void {
  const entry = shared.get(backend);
  if (entry === undefined || --entry.users > 0) return;
  shared.delete(backend);
  entry.driver.close();
}

/** A keyring with these keys, the first primary; null without keys. */
export function makeKeyring(keys: readonly Uint8Array[]): Keyring | null {
  if (keys.length === 0) return null;
  const keyring = new (loadAddon().Keyring)();
  for (const key of keys) keyring.add(key);
  return keyring;
}
