/** Several nodes in one process without sockets, under a clock that the caller moves: a run is a seed. */
import { type GossipOptions, resolveConfig } from "../config.js";
import { tattlerError } from "../errors.js";
import { Random } from "../random.js";
import type { AddressHandle } from "../wire/addon.js";
import { writeMappedIpv4 } from "../wire/ip.js";
import { RingReader } from "../wire/receive.js";
import { Dispatcher } from "./dispatch.js";
import { makeKeyring } from "./driver.js";
import { MemoryNode, type Told } from "./memory_node.js";
import { type HubMemory, loadAddon, openHub } from "./native.js";
import { DeadlineHeap, type Scheduled } from "./scheduler.js";

/** What travels: one datagram, or one turn of a stream, which TCP would send again until it arrives. */
export type Via = "datagram" | "stream";

/** Milliseconds from one node to another; null when it is lost, or when no stream can be opened. */
export type Route = (from: string, to: string, via: Via, nowMs: number) => number | null;

/** What the user of a node would be told, once its core is at rest. */
export type MemoryEvent = { readonly atMs: number; readonly node: string } & Told;

export interface MemoryOptions {
  /** Of all dice of the network and its nodes. */
  readonly seed: number;
  /** Default: 0.2 ms, and nothing is lost. May draw from the network's `random`. */
  readonly route?: Route;
  /** Told every event of every node, in order. May call the nodes. */
  readonly observe?: (event: MemoryEvent) => void;
}

/** Everything that happens at one time, in the order in which it was sent. */
class Moment implements Scheduled {
  heapIndex = -1;
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly arrivals: (() => void)[] = [];
}

const defaultDelayMs = 0.2;
const port = 7946;
/** 10.0.0.0; a node's place is added. */
const firstIp = 0x0a000000;

/**
 * The network, the clock and the driver of its nodes. Datagrams are the real ones: composed, sealed, opened and parsed
 * by the addon. Delegates have no part in it. Nothing happens but inside run() and the calls to nodes.
 */
export class MemoryNetwork {
  /** For routes that lose by chance. */
  readonly random: Random;
  /** Datagrams that the route lost. */
  lost = 0;
  route: Route;
  readonly #observe: (event: MemoryEvent) => void;
  readonly #memory: HubMemory;
  readonly #reader: RingReader;
  readonly #dispatcher: Dispatcher;
  readonly #moments = new DeadlineHeap<Moment>();
  readonly #momentAt = new Map<number, Moment>();
  readonly #deadlines = new DeadlineHeap<MemoryNode>();
  readonly #byName = new Map<string, MemoryNode>();
  readonly #byAddress = new Map<AddressHandle, MemoryNode>();
  readonly #byEndpoint: (MemoryNode | undefined)[] = [];
  /** Addresses of all names ever used, each with a reference: a node that comes back has its old one. */
  readonly #addresses = new Map<string, AddressHandle>();
  readonly #outgoing = new Uint8Array(65_535);
  readonly #info = new Uint32Array(3);
  readonly #events: MemoryEvent[] = [];
  #nowMs = 0;
  #isTelling = false;

  /** Errors: TATTLER_ADDON_MISSING. */
  constructor({ seed, route = () => defaultDelayMs, observe = () => {} }: MemoryOptions) {
    const addon = loadAddon();
    this.random = new Random(seed);
    this.route = route;
    this.#observe = observe;
    this.#memory = openHub(addon, "manual", () => {}, { poison: true });
    this.#reader = new RingReader(addon.layout, this.#memory.ring, this.#memory.slab);
    this.#dispatcher = new Dispatcher(this.#memory.hub);
  }

  /** Milliseconds since the network was made. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** The nodes that run, in the order in which they were opened. */
  get nodes(): readonly MemoryNode[] {
    return [...this.#byName.values()];
  }

  /**
   * Starts a node; one of a name that was used before gets the address of that one. Of the options, `bind`,
   * `advertise`, `backend` and `seed` have no meaning here. Errors: TATTLER_OPTION_*.
   */
  open(name: string, options: Partial<GossipOptions> = {}): MemoryNode {
    const config = resolveConfig({ ...options, name });
    if (this.#byName.has(name)) throw tattlerError("TATTLER_BIND_FAILED", [name, "a node of this name runs"]);
    const address = this.#addressOf(name);
    const { hub } = this.#memory;
    const self = hub.intern(name);
    const endpoint = hub.open({ ...config, ip: new Uint8Array(16), port, self, keyring: makeKeyring(config.keys) });
    const parts = { config, hub, endpoint, self, address, random: this.random.child() };
    const node: MemoryNode = new MemoryNode(parts, {
      perform: (work) => this.#perform(node, work),
      sync: (to) => this.#sync(node, to),
      ping: (to, target, seq, timeoutMs) => this.#streamPing(node, to, target, seq, timeoutMs),
      nodeNamed: (wanted) => this.#byName.get(wanted),
      tell: (event) => this.#events.push({ atMs: this.#nowMs, node: name, ...event }),
      close: () => this.#close(node),
    });
    this.#byName.set(name, node);
    this.#byAddress.set(address, node);
    this.#byEndpoint[endpoint.index] = node;
    this.#perform(node, (nowMs) => node.swim.start(nowMs));
    return node;
  }

  /**
   * Moves the clock, at most so far, and does all that falls due. With a condition it stops as soon as that holds.
   * Returns whether it does; true without one.
   */
  run(durationMs: number, until?: () => boolean): boolean {
    const endMs = this.#nowMs + durationMs;
    while (until === undefined || !until()) {
      const nextMs = Math.min(this.#moments.earliestMs(), this.#deadlines.earliestMs());
      if (nextMs > endMs) {
        this.#nowMs = endMs;
        return until === undefined;
      }
      this.#nowMs = nextMs;
      this.#step();
    }
    return true;
  }

  /** Ends everything. Idempotent. */
  close(): void {
    for (const node of this.nodes) node.close();
    this.#memory.hub.close();
  }

  // --- one step: what arrives, then what is due, then user code

  #step(): void {
    const moment = this.#moments.due(this.#nowMs);
    if (moment !== null) {
      this.#moments.remove(moment);
      this.#momentAt.delete(this.#nowMs);
      for (const arrive of moment.arrivals) arrive();
    }
    // Nothing that was received by now is left unread: verdicts may fall.
    for (let node = this.#due(); node !== null; node = this.#due()) this.#advance(node);
    this.#tell();
  }

  /** What arrives without a delay comes before the next node's turn. */
  #due(): MemoryNode | null {
    return this.#moments.earliestMs() <= this.#nowMs ? null : this.#deadlines.due(this.#nowMs);
  }

  #advance(node: MemoryNode): void {
    const heardMs = this.#memory.heardMs[node.endpoint.index] as number;
    if (heardMs > 0) node.swim.handleHeard(heardMs);
    node.swim.advance(this.#nowMs, this.#nowMs);
    this.#send();
    const nextMs = node.swim.nextDeadline(this.#nowMs);
    if (nextMs <= this.#nowMs) throw new Error(`${node.name} does not get past ${this.#nowMs} ms`);
    this.#deadlines.set(node, nextMs);
  }

  #perform<T>(node: MemoryNode, work: (nowMs: number) => T): T {
    const result = work(this.#nowMs);
    this.#reschedule(node);
    this.#send();
    this.#tell();
    return result;
  }

  #reschedule(node: MemoryNode): void {
    if (!node.isClosed) this.#deadlines.set(node, Math.max(node.swim.nextDeadline(this.#nowMs), this.#nowMs));
  }

  /** User code may call nodes, which tells more: that comes after what is being told. */
  #tell(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    for (let i = 0; i < this.#events.length; i++) this.#observe(this.#events[i] as MemoryEvent);
    this.#events.length = 0;
    this.#isTelling = false;
  }

  #later(delayMs: number, arrive: () => void): void {
    const atMs = this.#nowMs + delayMs;
    let moment = this.#momentAt.get(atMs);
    if (moment === undefined) {
      this.#momentAt.set(atMs, (moment = new Moment()));
      this.#moments.set(moment, atMs);
    }
    moment.arrivals.push(arrive);
  }

  // --- datagrams

  /** Takes what the nodes sent and puts it on its way. */
  #send(): void {
    const { hub } = this.#memory;
    while (hub.takeOutgoing(this.#outgoing, this.#info)) {
      const [endpoint, to, length] = this.#info as unknown as [number, AddressHandle, number];
      const sender = this.#byEndpoint[endpoint];
      const receiver = this.#byAddress.get(to);
      if (sender === undefined || receiver === undefined) continue;
      const delayMs = this.route(sender.name, receiver.name, "datagram", this.#nowMs);
      if (delayMs === null) {
        this.lost++;
        continue;
      }
      const bytes = this.#outgoing.slice(0, length);
      this.#later(delayMs, () => this.#receive(receiver, sender.address, bytes));
    }
  }

  #receive(receiver: MemoryNode, source: AddressHandle, datagram: Uint8Array): void {
    if (receiver.isClosed) return;
    const { hub } = this.#memory;
    hub.deliver(receiver.endpoint.index, source, datagram, this.#nowMs);
    const count = hub.poll();
    const first = hub.readIndex();
    for (let i = 0; i < count; i++) {
      this.#reader.select(first + i);
      this.#dispatcher.dispatch(receiver, this.#reader);
    }
    hub.consume(count);
    this.#reschedule(receiver);
    this.#send();
  }

  // --- streams: a turn each way, without a handshake

  #sync(node: MemoryNode, to: AddressHandle): void {
    const there = this.#dial(node, to);
    const fail = (): void => {
      if (!node.isClosed) node.swim.handleSyncFailed();
    };
    if (there === null) return this.#later(node.config.streamTimeoutMs, fail);
    const records = node.swim.localRecords();
    this.#later(there.delayMs, () => {
      const back = there.peer.isClosed ? null : this.#dial(there.peer, node.address);
      if (back === null) return fail();
      const answer = there.peer.swim.localRecords();
      this.#perform(there.peer, (nowMs) => there.peer.swim.handleSync(nowMs, node.name, records));
      this.#later(back.delayMs, () => {
        if (node.isClosed) return;
        this.#perform(node, (nowMs) => node.swim.handleSync(nowMs, there.peer.name, answer));
      });
    });
  }

  #streamPing(node: MemoryNode, to: AddressHandle, target: string, seq: number, timeoutMs: number): void {
    const there = this.#dial(node, to);
    const back = there === null ? null : this.#dial(there.peer, node.address);
    if (there === null || back === null || there.peer.name !== target) return;
    if (there.delayMs + back.delayMs > timeoutMs) return;
    this.#later(there.delayMs + back.delayMs, () => {
      if (node.isClosed || there.peer.isClosed) return;
      this.#perform(node, (nowMs) => node.swim.handleStreamAck(nowMs, seq));
    });
  }

  #dial(from: MemoryNode, to: AddressHandle): { readonly peer: MemoryNode; readonly delayMs: number } | null {
    const peer = this.#byAddress.get(to);
    if (peer === undefined) return null;
    const delayMs = this.route(from.name, peer.name, "stream", this.#nowMs);
    return delayMs === null ? null : { peer, delayMs };
  }

  // --- nodes

  #addressOf(name: string): AddressHandle {
    let address = this.#addresses.get(name);
    if (address === undefined) {
      const ip = new Uint8Array(16);
      writeMappedIpv4(firstIp + 1 + this.#addresses.size, ip);
      this.#addresses.set(name, (address = this.#memory.hub.internAddress(ip, port)));
    }
    return address;
  }

  #close(node: MemoryNode): void {
    this.#deadlines.remove(node);
    this.#byName.delete(node.name);
    this.#byAddress.delete(node.address);
    this.#byEndpoint[node.endpoint.index] = undefined;
    node.endpoint.close();
    node.swim.stop();
    this.#memory.hub.release(node.self);
  }
}
