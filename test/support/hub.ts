import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { Addon, Endpoint, EndpointOptions, Hub, HubOptions, Keyring } from "../../src/wire/addon.js";
import { Counter } from "../../src/wire/generated/wire/counter.js";

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL("../..", import.meta.url));
export const addon = require("node-gyp-build")(root) as Addon;

/** The back ends that open sockets; the same tests run on each. */
export const backends = ["linux", "posix"] as const;
export type Backend = HubOptions["backend"];

export const loopback = mapped(127, 0, 0, 1);
export const loopback6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

export function mapped(a: number, b: number, c: number, d: number): Uint8Array {
  return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, a, b, c, d);
}

/** One descriptor, read out in full. */
export interface ReadRecord {
  readonly ringIndex: number;
  readonly kind: number;
  readonly endpoint: number;
  readonly subject: number;
  readonly from: number;
  readonly incarnation: number;
  readonly seq: number;
  readonly flags: number;
  readonly source: number;
  readonly address: number;
  readonly receivedAtMs: number;
  readonly wideLow: number;
  readonly wideHigh: number;
  readonly bytes: Uint8Array;
}

/** A hub with its memory, and everything received so far. */
export class TestHub {
  readonly hub: Hub;
  readonly received: ReadRecord[] = [];
  readonly slab: ArrayBuffer;
  wakes = 0;
  autoDrain = true;
  /** What it answers to a wake-up: that it comes back by itself. */
  comesBack = false;
  private readonly words: Uint32Array;
  private readonly times: Float64Array;
  private readonly counterWords: BigUint64Array;
  private readonly heardMs: Float64Array;
  private waiting: (() => void)[] = [];

  constructor(backend: Backend, sizes: { records?: number; slabBytes?: number; transmitBytes?: number } = {}) {
    const { layout } = addon;
    const maxEndpoints = 64;
    const ring = new ArrayBuffer((sizes.records ?? 4096) * layout.recordWords * 4);
    this.slab = new ArrayBuffer(sizes.slabBytes ?? 1 << 20);
    const counters = new ArrayBuffer(maxEndpoints * layout.countersPerEndpoint * 8);
    const heard = new ArrayBuffer(maxEndpoints * 8);
    this.words = new Uint32Array(ring);
    this.times = new Float64Array(ring);
    this.counterWords = new BigUint64Array(counters);
    this.heardMs = new Float64Array(heard);
    const options: HubOptions = {
      backend,
      ring,
      slab: this.slab,
      counters,
      heard,
      maxEndpoints,
      transmitBytes: sizes.transmitBytes ?? 1 << 20,
      maxDatagramBytes: 65_535,
      poison: true,
    };
    this.hub = new addon.Hub(options, () => {
      this.handleWake();
      return this.comesBack;
    });
  }

  open(name: string, options: Partial<EndpointOptions> = {}): Endpoint {
    const self = this.hub.intern(name);
    return this.hub.open({
      ip: loopback,
      port: 0,
      self,
      cluster: "test",
      keyring: null,
      stallToleranceMs: 5000,
      pingsPerSecond: 0,
      datagramBytes: 1400,
      retransmitMult: 4,
      queueRecords: 4096,
      messageShare: 0.25,
      ...options,
    });
  }

  addressOf(endpoint: Endpoint, ip = loopback): number {
    return this.hub.internAddress(ip, endpoint.port);
  }

  counter(endpoint: Endpoint, counter: Counter): number {
    return Number(this.counterWords[endpoint.index * addon.layout.countersPerEndpoint + counter]);
  }

  heardAtMs(endpoint: Endpoint): number {
    return this.heardMs[endpoint.index] ?? 0;
  }

  /** Reads and consumes what is in the ring. */
  drain(): ReadRecord[] {
    const count = this.hub.poll();
    const first = this.hub.readIndex();
    const fresh: ReadRecord[] = [];
    for (let i = 0; i < count; i++) fresh.push(this.read(first + i));
    this.hub.consume(count);
    this.received.push(...fresh);
    return fresh;
  }

  /** Resolves at the first wake-up after which the condition holds. */
  async until(condition: () => boolean, what: string, limitMs = 15_000): Promise<void> {
    const deadline = Date.now() + limitMs;
    while (!condition()) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`waited ${limitMs} ms for ${what}`);
      await this.nextWake(Math.min(left, 5));
    }
  }

  close(): void {
    this.hub.close();
  }

  private handleWake(): void {
    this.wakes++;
    if (this.autoDrain) this.drain();
    const waiting = this.waiting;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }

  private nextWake(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(), limitMs);
      this.waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  private read(position: number): ReadRecord {
    const { layout } = addon;
    const ringIndex = position % (this.words.length / layout.recordWords);
    const at = ringIndex * layout.recordWords;
    const word = (offset: number): number => this.words[at + offset] ?? 0;
    return {
      ringIndex,
      kind: word(layout.kind),
      endpoint: word(layout.endpoint),
      subject: word(layout.subject),
      from: word(layout.from),
      incarnation: word(layout.incarnation),
      seq: word(layout.seq),
      flags: word(layout.flags),
      source: word(layout.source),
      address: word(layout.address),
      receivedAtMs: this.times[at / 2 + layout.receivedAtFloat64] ?? 0,
      wideLow: word(layout.wideLow),
      wideHigh: word(layout.wideHigh),
      bytes: new Uint8Array(this.slab, word(layout.offset), word(layout.length)).slice(),
    };
  }
}

export function keyringOf(...keys: Uint8Array[]): Keyring {
  const ring = new addon.Keyring();
  for (const key of keys) ring.add(key);
  return ring;
}

export function randomKey(bytes = 32): Uint8Array {
  return new Uint8Array(randomBytes(bytes));
}

/** Moves every outgoing datagram of a manual hub into an array. */
export function takeAll(hub: Hub): { endpoint: number; to: number; bytes: Uint8Array }[] {
  const into = new Uint8Array(65_535);
  const info = new Uint32Array(3);
  const taken: { endpoint: number; to: number; bytes: Uint8Array }[] = [];
  while (hub.takeOutgoing(into, info)) {
    const [endpoint = 0, to = 0, length = 0] = info;
    taken.push({ endpoint, to, bytes: into.slice(0, length) });
  }
  return taken;
}

export { Counter };
