import type { Backend } from "../config.js";
import type { Endpoint, Hub } from "../wire/addon.js";
import { RingReader } from "../wire/receive.js";
import { CountedDirectory } from "./directory.js";
import { Dispatcher, type Receiver } from "./dispatch.js";
import { backendOf, type HubMemory, loadAddon, openHub, type SocketBackend } from "./native.js";
import { DeadlineHeap, onGrid, type Scheduled } from "./scheduler.js";

/** One node as the driver sees it. */
export interface Hosted extends Receiver, Scheduled {
  readonly endpoint: Endpoint;
  /** Kept by the driver: something happened to the node in this turn. */
  isTouched: boolean;
  /** Kept by the driver: nothing has happened to it since its deadline was set. */
  isScheduled: boolean;
  /** The core is at rest: gives what was queued to user code. */
  settle(): void;
}

/** Longest wait for the I/O thread to say that it has drained, before it is asked again. */
const drainRetryMs = 5;
/**
 * How long a turn runs before Node's event loop gets its turn. A turn of thousands of nodes that all have much to do
 * would last for minutes. Each step of a stream waits for a slice, and nodes that know too little compare more.
 */
const sliceMs = 5;
/** Descriptors handled before their room is given back, so that the I/O thread need not drop during a long turn. */
const sliceRecords = 256;
/** Nodes run before what they sent goes out and what came meanwhile is read, for the same reason. */
const sliceNodes = 32;

/**
 * Drives all nodes of one thread over one hub: reads the receive ring, runs what is due, flushes, and only then lets
 * user code run. One timer serves all nodes.
 */
export class Driver {
  readonly hub: Hub;
  readonly directory: CountedDirectory;
  readonly counters: BigUint64Array;
  readonly #memory: HubMemory;
  readonly #reader: RingReader;
  readonly #nodes: (Hosted | undefined)[] = [];
  readonly #deadlines = new DeadlineHeap<Hosted>();
  readonly #dispatcher: Dispatcher;
  /** Nodes with a verdict due that has to wait until the sockets are drained. */
  readonly #waiting = new Set<Hosted>();
  #drainedThroughMs = 0;
  #touched: Hosted[] = [];
  #timer: NodeJS.Timeout | null = null;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #isRunning = false;
  /** The turn under way, when it needs more than one slice. */
  #steps: Iterator<void> | null = null;
  #nextSlice: NodeJS.Immediate | null = null;

  constructor(backend: SocketBackend) {
    const addon = loadAddon();
    this.#memory = openHub(addon, backend, () => this.#handleWake());
    this.hub = this.#memory.hub;
    this.directory = new CountedDirectory(this.hub);
    this.counters = this.#memory.counters;
    this.#reader = new RingReader(addon.layout, this.#memory.ring, this.#memory.slab);
    this.#dispatcher = new Dispatcher(this.directory);
  }

  add(node: Hosted): void {
    this.#nodes[node.endpoint.index] = node;
  }

  remove(node: Hosted): void {
    this.#nodes[node.endpoint.index] = undefined;
    this.#deadlines.remove(node);
    this.#waiting.delete(node);
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
    if (this.#nextSlice !== null) clearImmediate(this.#nextSlice);
    this.#nextSlice = null;
    this.hub.close();
  }

  // --- one turn, in slices: drain, advance; at the end of each slice flush, settle

  #turn(): void {
    if (this.#isRunning || this.#nextSlice !== null) return;
    this.#isRunning = true;
    const goesOn = this.#steps !== null;
    try {
      this.#runSlice();
    } catch (error) {
      this.#steps = null;
      // What would have begun the next turn, a wake-up or the timer, may have come in a pause of this one.
      const nowMs = this.hub.nowMs();
      this.#armTimer(nowMs, nowMs);
      throw error;
    } finally {
      this.#isRunning = false;
    }
    // After its last slice too: what woke us meanwhile came to nothing.
    if (goesOn || this.#steps !== null) this.#nextSlice = setImmediate(() => this.#handleSlice());
    this.#finish();
  }

  #runSlice(): void {
    const endMs = this.hub.nowMs() + sliceMs;
    this.#steps ??= this.#stepsOfTurn();
    while (this.#steps.next().done !== true) if (this.hub.nowMs() >= endMs) return;
    this.#steps = null;
  }

  *#stepsOfTurn(): Generator<void, void> {
    // Read before the ring: whatever it vouches for is then in the ring, and handled below.
    const drainedThroughMs = this.hub.drainedThroughMs();
    yield* this.#drain();
    yield* this.#advance(drainedThroughMs);
  }

  *#drain(): Generator<void, void> {
    let left = this.hub.poll();
    for (let first = this.hub.readIndex(); left > 0; ) {
      const count = Math.min(left, sliceRecords);
      for (let i = 0; i < count; i++) this.#handleRecord(first + i);
      this.hub.consume(count);
      first += count;
      left -= count;
      yield;
    }
  }

  #handleRecord(position: number): void {
    const reader = this.#reader;
    reader.select(position);
    const node = this.#nodes[reader.endpoint];
    if (node !== undefined && this.#dispatcher.dispatch(node, reader)) this.#touch(node);
  }

  *#advance(drainedThroughMs: number): Generator<void, void> {
    let nowMs = this.hub.nowMs();
    if (drainedThroughMs > this.#drainedThroughMs) this.#wakeWaiting(nowMs);
    this.#drainedThroughMs = drainedThroughMs;
    // Once each, so that it ends, however much becomes due meanwhile.
    for (const [i, node] of this.#deadlines.allDue(nowMs).entries()) {
      if (this.#nodes[node.endpoint.index] === node) this.#run(node, nowMs, drainedThroughMs);
      if ((i + 1) % sliceNodes === 0) {
        this.hub.flush();
        yield* this.#drain();
      }
      yield;
      nowMs = this.hub.nowMs();
    }
    if (this.#waiting.size > 0) this.hub.requestDrain();
  }

  #run(node: Hosted, nowMs: number, drainedThroughMs: number): void {
    const heardMs = this.#memory.heardMs[node.endpoint.index] as number;
    if (heardMs > 0) node.swim.handleHeard(heardMs);
    node.swim.advance(nowMs, drainedThroughMs);
    this.#touch(node);
    node.isScheduled = true;
    const nextMs = node.swim.nextDeadline(nowMs);
    if (nextMs <= nowMs) this.#waiting.add(node);
    this.#deadlines.set(node, nextMs > nowMs ? nextMs : nowMs + drainRetryMs);
  }

  #wakeWaiting(nowMs: number): void {
    for (const node of this.#waiting) this.#deadlines.set(node, nowMs);
    this.#waiting.clear();
  }

  #touch(node: Hosted): void {
    node.isScheduled = false;
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
      if (node.isScheduled || this.#nodes[node.endpoint.index] !== node) continue;
      node.swim.flush(nowMs);
      // Later as well: most verdicts that were due are not once the ack has come.
      this.#deadlines.set(node, Math.max(node.swim.nextDeadline(nowMs), nowMs));
    }
    this.hub.flush();
    this.#armTimer(nowMs, onGrid(this.#deadlines.earliestMs(), this.#deadlines.size));
    for (const node of touched) node.settle();
  }

  #armTimer(nowMs: number, atMs: number): void {
    // A timer that goes off too early costs less than moving it at every turn.
    if (this.#timer !== null && atMs >= this.#timerAtMs) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerAtMs = atMs;
    if (atMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#handleTimer(), Math.max(0, Math.ceil(atMs - nowMs)));
  }

  /** Whether a turn is under way, which looks at the ring again by itself. */
  #handleWake(): boolean {
    this.#turn();
    return this.#nextSlice !== null;
  }

  #handleTimer(): void {
    this.#timer = null;
    this.#turn();
  }

  #handleSlice(): void {
    this.#nextSlice = null;
    this.#turn();
  }
}

// --- one driver per thread and back end, while a node needs it

interface Shared {
  readonly driver: Driver;
  users: number;
}

const shared = new Map<SocketBackend, Shared>();

/** The driver of this thread. Every acquire needs its release. Errors: TATTLER_ADDON_MISSING. */
export function acquireDriver(backend: Backend): Driver {
  const key = backendOf(backend);
  let entry = shared.get(key);
  if (entry === undefined) {
    entry = { driver: new Driver(key), users: 0 };
    shared.set(key, entry);
  }
  entry.users++;
  return entry.driver;
}

/** Closes the hub and its I/O thread with the last user. */
export function releaseDriver(backend: Backend): void {
  const key = backendOf(backend);
  const entry = shared.get(key);
  if (entry === undefined || --entry.users > 0) return;
  shared.delete(key);
  entry.driver.close();
}
