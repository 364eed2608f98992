import { pack, unpack } from "msgpackr";
import { resolveConfig } from "../../src/config.js";
import { loadAddon } from "../../src/io/native.js";
import { Random } from "../../src/random.js";
import type { Effects } from "../../src/swim/effects.js";
import { Swim } from "../../src/swim/swim.js";
import { RingReader } from "../../src/wire/receive.js";
import { type CaseOptions, type Comparison, compare } from "../comparison.js";
import { loopback, openBenchHub, openEndpoint } from "../hub.js";
import { inRounds } from "../rounds.js";

/** What a datagram held, as other formats would carry it. */
interface PlainAlive {
  readonly name: string;
  readonly ip: string;
  readonly port: number;
  readonly incarnation: number;
}

/** A stale alive: from the opened datagram to JavaScript having dismissed it. */
export async function decode(options: CaseOptions): Promise<Comparison[]> {
  const receiver = new StaleReceiver();
  const { alives } = receiver;
  const packed = pack(alives);
  const text = JSON.stringify(alives);
  const known = new Map(alives.map(({ name, incarnation }) => [name, incarnation]));
  const msgpack = (): void => dismiss(unpack(packed) as PlainAlive[], known);
  const json = (): void => dismiss(JSON.parse(text) as PlainAlive[], known);
  const ours = (): void => receiver.receive();
  const rounds = await inRounds(options, alives.length, { ours, msgpack, json });
  const metric = { case: "decode", metric: "a stale alive", unit: "ns", better: "lower" } as const;
  const growth = { case: "decode", metric: "heap growth, 1 M stale alives", unit: "bytes", better: "lower" } as const;
  const grown = heapGrowth(ours, 1e6 / alives.length);
  return [
    compare(metric, rounds.ours, "msgpackr", rounds.msgpack),
    compare(metric, rounds.ours, "JSON", rounds.json),
    compare(growth, [grown], "msgpackr", [heapGrowth(msgpack, 1e6 / alives.length)]),
  ];
}

function dismiss(alives: readonly PlainAlive[], known: ReadonlyMap<string, number>): void {
  for (const { name, incarnation } of alives) {
    if ((known.get(name) ?? 0) < incarnation) throw new Error("this alive is news");
  }
}

/** Bytes allocated on the way, collected or not: no collection happens in between, at most 1 to avoid a zero. */
function heapGrowth(call: () => void, calls: number): number {
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < calls; i++) call();
  return Math.max(1, process.memoryUsage().heapUsed - before);
}

/** A node that knows everybody a datagram tells about, and hears that datagram again and again. */
class StaleReceiver {
  readonly alives: readonly PlainAlive[];
  readonly #memory = openBenchHub("manual");
  readonly #reader: RingReader;
  readonly #swim: Swim;
  readonly #endpoint: number;
  readonly #body: Uint8Array;

  constructor() {
    const { hub, ring, slab } = this.#memory;
    const { layout } = loadAddon();
    const sender = openEndpoint(this.#memory, "sender", null);
    const endpoint = openEndpoint(this.#memory, "receiver", null);
    this.#reader = new RingReader(layout, ring, slab);
    this.#endpoint = endpoint.index;
    for (let i = 0; i < 60; i++) {
      const ip = loopback.slice();
      ip[15] = i;
      sender.queueAlive(hub.intern(`member-${10_000 + i}`), hub.internAddress(ip, 7946), 1, null);
    }
    sender.gossip(hub.internAddress(loopback, 1));
    const into = new Uint8Array(2048);
    const info = new Uint32Array(3);
    hub.takeOutgoing(into, info);
    this.#body = into.slice(layout.headerBytes, (info[2] as number) - 4);
    const nothing = (): void => {};
    const streams = { sync: nothing, reconcile: nothing, ping: nothing, carriesState: () => false };
    const effects: Effects = { datagrams: endpoint, broadcasts: endpoint, directory: hub, streams, notify: nothing };
    const identity = {
      handle: hub.find("receiver"),
      address: hub.internAddress(loopback, 2),
      meta: new Uint8Array(0),
    };
    this.#swim = new Swim(resolveConfig({ name: "receiver" }), identity, effects, new Random(1));
    this.#swim.start(0);
    this.alives = this.#learn();
  }

  /** The hot path as the driver has it: descriptors, two typed-array reads, gone. */
  receive(): void {
    const { hub } = this.#memory;
    hub.parse(this.#endpoint, this.#body, 1);
    const count = hub.poll();
    const first = hub.readIndex();
    const reader = this.#reader;
    for (let i = 0; i < count; i++) {
      reader.select(first + i);
      const isStale = this.#swim.isStale(reader.kind, reader.subject, reader.incarnation);
      if (!isStale || this.#swim.isElsewhere(reader.subject, reader.address)) throw new Error("this alive is news");
    }
    hub.consume(count);
  }

  /** The first time it is news. */
  #learn(): PlainAlive[] {
    const { hub } = this.#memory;
    const learnt: PlainAlive[] = [];
    const ip = new Uint8Array(16);
    hub.parse(this.#endpoint, this.#body, 1);
    const count = hub.poll();
    for (let i = 0; i < count; i++) {
      this.#reader.select(hub.readIndex() + i);
      const { incarnation, subject } = this.#reader;
      this.#swim.handleAlive(1, subject, incarnation, this.#reader);
      const port = this.#reader.ip(ip);
      learnt.push({ name: this.#reader.name(), ip: ip.subarray(12).join("."), port, incarnation });
    }
    hub.consume(count);
    return learnt;
  }
}
