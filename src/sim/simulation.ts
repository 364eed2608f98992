/** A cluster without sockets under a clock that the caller moves: a run is a seed. */
import { type GossipOptions, resolveConfig } from "../config.js";
import { tattlerError } from "../errors.js";
import { Dispatcher } from "../io/dispatch.js";
import { type HubMemory, loadAddon, makeKeyring, openHub } from "../io/native.js";
import { DeadlineHeap, type Scheduled } from "../io/scheduler.js";
import { Random } from "../random.js";
import type { ObservedChange } from "../swim/observer.js";
import type { AddressHandle, MemberHandle } from "../wire/addon.js";
import { writeMappedIpv4 } from "../wire/ip.js";
import { RingReader } from "../wire/receive.js";
import { Exchanges } from "./exchanges.js";
import { HostLine, retryMs } from "./line.js";
import { Network } from "./network.js";
import { SimNode, type Told } from "./node.js";
import { Trace } from "./trace.js";

/** What the user of a node would be told, once its core is at rest. */
export type SimEvent = { readonly atMs: number; readonly node: string } & Told;

export interface SimulationOptions {
  /** Of all dice: the network's and the nodes'. */
  readonly seed: number;
  /** Told every event of every node, in order. May call the nodes. */
  readonly observe?: (event: SimEvent) => void;
  /** Told of every change of a member's state at a node, whether its user is told or not. Must not call the nodes. */
  readonly observeState?: (node: string, member: string, change: ObservedChange) => void;
}

export interface OpenOptions {
  /** A node of a name that was used before gets a new address instead of its old one. Default false. */
  readonly newAddress?: boolean;
  /** Whether a ping tells a suspect that it is one (Lifeguard's buddy system); off in experiments. Default true. */
  readonly buddy?: boolean;
}

/** Everything that happens at one time, in the order in which it was sent. */
class Moment implements Scheduled {
  heapIndex = -1;
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly arrivals: (() => void)[] = [];
}

const port = 7946;
/** 10.0.0.0; a number is added. */
const firstIp = 0x0a000000;

/**
 * The clock, the driver of all nodes and their network. Datagrams are the real ones: composed, sealed, opened and
 * parsed by the addon, queued by its broadcast queue. Nothing happens but inside run() and the calls to nodes; the same
 * seed and calls make the same run, as `trace` proves.
 */
export class Simulation {
  readonly network: Network;
  readonly random: Random;
  readonly trace = new Trace();
  /** Datagrams that were sent, and their bytes. */
  datagrams = 0;
  bytes = 0;
  readonly #observe: (event: SimEvent) => void;
  readonly #observeState: SimulationOptions["observeState"];
  readonly #memory: HubMemory;
  readonly #reader: RingReader;
  readonly #dispatcher: Dispatcher;
  readonly #exchanges: Exchanges;
  readonly #line = new HostLine();
  readonly #moments = new DeadlineHeap<Moment>();
  readonly #momentAt = new Map<number, Moment>();
  readonly #deadlines = new DeadlineHeap<SimNode>();
  readonly #byName = new Map<string, SimNode>();
  readonly #byAddress = new Map<AddressHandle, SimNode>();
  readonly #byEndpoint: (SimNode | undefined)[] = [];
  /** Addresses of all names ever used, each with a reference: a node that comes back has its old one. */
  readonly #addresses = new Map<string, AddressHandle>();
  readonly #refusing = new Set<AddressHandle>();
  readonly #outgoing = new Uint8Array(65_535);
  readonly #info = new Uint32Array(3);
  readonly #events: SimEvent[] = [];
  #usedIps = 0;
  #nowMs = 0;
  #isTelling = false;

  /** Errors: TATTLER_ADDON_MISSING. */
  constructor({ seed, observe = () => {}, observeState }: SimulationOptions) {
    const addon = loadAddon();
    this.random = new Random(seed);
    this.network = new Network(this.random.child());
    this.#observe = observe;
    this.#observeState = observeState;
    this.#memory = openHub(addon, "manual", () => {});
    this.#reader = new RingReader(addon.layout, this.#memory.ring, this.#memory.slab);
    this.#dispatcher = new Dispatcher(this.#memory.hub);
    this.#exchanges = new Exchanges({
      network: this.network,
      random: this.random,
      nowMs: () => this.#nowMs,
      later: (delayMs, work) => this.#later(delayMs, work),
      perform: (node, work) => this.#perform(node, work),
      nodeAt: (address) => this.#byAddress.get(address),
      note: (text) => this.trace.noteText(this.#nowMs, text),
    });
  }

  /** Milliseconds since the beginning. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** The nodes that run, in the order in which they were opened. */
  get nodes(): readonly SimNode[] {
    return [...this.#byName.values()];
  }

  node(name: string): SimNode | undefined {
    return this.#byName.get(name);
  }

  /**
   * Starts a node. Of the options, `bind`, `advertise`, `backend` and `seed` have no meaning here.
   * Errors: TATTLER_OPTION_*, TATTLER_BIND_FAILED when one of this name runs.
   */
  open(name: string, options: Partial<GossipOptions> = {}, how: OpenOptions = {}): SimNode {
    const config = resolveConfig({ ...options, name });
    if (this.#byName.has(name)) throw tattlerError("TATTLER_BIND_FAILED", [name, "a node of this name runs"]);
    const address = this.#addressOf(name, how.newAddress === true);
    const { hub } = this.#memory;
    const self = hub.intern(name);
    const keyring = makeKeyring(config.keys);
    const endpoint = hub.open({ ...config, ip: new Uint8Array(16), port, self, keyring, pingsPerSecond: 0 });
    const hasBuddy = how.buddy !== false;
    const counters = this.#countersOf(endpoint.index);
    const parts = { config, hub, endpoint, self, address, counters, random: this.random.child(), hasBuddy };
    const watch = this.#observeState;
    const node: SimNode = new SimNode(parts, {
      perform: (work) => this.#perform(node, work),
      sync: (to) => this.#exchanges.sync(node, to),
      reconcile: (to) => this.#exchanges.reconcile(node, to),
      ping: (to, target, seq, timeoutMs) => this.#exchanges.ping(node, to, target, seq, timeoutMs),
      nodeNamed: (wanted) => this.#byName.get(wanted),
      became: watch && ((member, change) => watch(name, hub.nameOf(member), change)),
      tell: (event) => this.#events.push({ atMs: this.#nowMs, node: name, ...event }),
      close: (refuses) => this.#close(node, refuses),
      stall: (state) => node.host.stall(state, this.#nowMs),
      resume: () => this.#resume(node),
    });
    this.#byName.set(name, node);
    this.#byAddress.set(address, node);
    this.#refusing.delete(address);
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
      this.#nowMs = Math.max(this.#nowMs, nextMs);
      this.#step();
    }
    return true;
  }

  /** Does something at a later time, in order with everything else. */
  at(delayMs: number, work: () => void): void {
    this.#later(delayMs, work);
  }

  /** Comparisons of two views that were made, and those of them that found no difference. */
  get comparisons(): { readonly compared: number; readonly futile: number } {
    const { compared, futile } = this.#exchanges;
    return { compared, futile };
  }

  /**
   * From now on all nodes share a host that handles so many datagrams a second: what waits is what their I/O thread
   * would be behind with.
   * @param judgesBehind nodes pass verdicts all the same, which the real driver forbids (ARCHITECTURE 5.1).
   */
  shareHost(datagramsPerSecond: number, { judgesBehind = false }: { readonly judgesBehind?: boolean } = {}): void {
    this.#line.limit(datagramsPerSecond, judgesBehind);
  }

  /** Names that something still holds on to when all nodes are closed: nothing should. */
  leftovers(): string[] {
    return [...this.#addresses.keys()].filter((name) => this.#memory.hub.find(name) !== 0);
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
  #due(): SimNode | null {
    return this.#moments.earliestMs() <= this.#nowMs ? null : this.#deadlines.due(this.#nowMs);
  }

  #advance(node: SimNode): void {
    const heardMs = this.#memory.heardMs[node.endpoint.index] as number;
    if (heardMs > 0) node.swim.handleHeard(heardMs);
    const localMs = node.host.localMs(this.#nowMs);
    const drainedMs = this.#line.drainedThroughMs(this.#nowMs);
    node.swim.advance(localMs, node.host.localMs(drainedMs));
    this.#send();
    const nextMs = node.host.realMs(node.swim.nextDeadline(localMs));
    // A clock that runs at another rate rounds: the next step, however small, is later.
    const soonestMs = this.#nowMs + (drainedMs < this.#nowMs ? retryMs : 0.001);
    this.#deadlines.set(node, nextMs > this.#nowMs ? nextMs : soonestMs);
  }

  #perform<T>(node: SimNode, work: (localMs: number) => T): T {
    const result = work(node.host.localMs(this.#nowMs));
    node.swim.flush(node.host.localMs(this.#nowMs));
    this.#reschedule(node);
    this.#send();
    this.#tell();
    return result;
  }

  #reschedule(node: SimNode): void {
    if (node.isClosed || !node.host.hasTimers) return this.#deadlines.remove(node);
    const nextMs = node.host.realMs(node.swim.nextDeadline(node.host.localMs(this.#nowMs)));
    this.#deadlines.set(node, Math.max(nextMs, this.#nowMs));
  }

  /** User code may call nodes, which tells more: that comes after what is being told. */
  #tell(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    for (let i = 0; i < this.#events.length; i++) {
      const event = this.#events[i] as SimEvent;
      this.trace.noteText(event.atMs, `${event.node} ${event.kind} ${event.about}`);
      this.#observe(event);
    }
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
    const line = this.#line;
    while (line.isFree(this.#nowMs) && hub.takeOutgoing(this.#outgoing, this.#info)) {
      line.noteSent(this.#nowMs);
      const [endpoint, to, length] = this.#info as unknown as [number, AddressHandle, number];
      const sender = this.#byEndpoint[endpoint];
      if (sender === undefined) continue;
      this.datagrams++;
      this.bytes += length;
      this.trace.note(this.#nowMs, endpoint, to, length);
      const receiver = this.#byAddress.get(to);
      if (receiver === undefined) this.#refuse(sender, to, length);
      else this.#carry(sender, receiver, this.#outgoing.slice(0, length));
    }
    line.wait(
      this.#nowMs,
      (delayMs, work) => this.#later(delayMs, work),
      () => this.#send(),
    );
  }

  #carry(sender: SimNode, receiver: SimNode, bytes: Uint8Array): void {
    if (sender.host.state === "gated") return sender.host.holdUnsent(() => this.#carry(sender, receiver, bytes));
    this.network.carry(sender.name, receiver.name, bytes.length, this.#nowMs, (delayMs) => {
      this.#later(delayMs, () => this.#receive(receiver, sender.address, bytes));
    });
  }

  /** The machine is there, the port is not: it says so. */
  #refuse(sender: SimNode, to: AddressHandle, length: number): void {
    if (!this.#refusing.has(to)) return;
    const absent = [...this.#addresses].find(([, address]) => address === to)?.[0] ?? "";
    this.network.carry(sender.name, absent, length, this.#nowMs, (thereMs) => {
      this.network.carry(absent, sender.name, length, this.#nowMs, (backMs) => {
        this.#later(thereMs + backMs, () => {
          if (sender.isClosed || !sender.host.isRunning) return;
          this.#perform(sender, (localMs) => sender.swim.handleRefused(localMs, to));
        });
      });
    });
  }

  #receive(receiver: SimNode, source: AddressHandle, bytes: Uint8Array): void {
    if (receiver.isClosed) return;
    const { host } = receiver;
    if (host.isRunning) {
      this.#handle(receiver, source, bytes, this.#nowMs, true);
      return this.#reschedule(receiver);
    }
    const stalledMs = this.#nowMs - host.stalledSinceMs;
    const mayAnswer = host.state === "scriptStalled" && stalledMs < receiver.config.stallToleranceMs;
    const isAnswered = mayAnswer && this.#memory.hub.answer(receiver.endpoint.index, source, bytes);
    host.hold({ source, bytes, atMs: this.#nowMs, isAnswered });
    this.#send();
  }

  #handle(receiver: SimNode, source: AddressHandle, bytes: Uint8Array, atMs: number, answers: boolean): void {
    const { hub } = this.#memory;
    hub.deliver(receiver.endpoint.index, source, bytes, receiver.host.localMs(atMs), answers);
    const count = hub.poll();
    const first = hub.readIndex();
    for (let i = 0; i < count; i++) {
      this.#reader.select(first + i);
      this.#dispatcher.dispatch(receiver, this.#reader);
    }
    hub.consume(count);
    receiver.swim.flush(receiver.host.localMs(this.#nowMs));
    this.#send();
  }

  /** Everything that came is handled with the time it came at, and only then do verdicts fall (ARCHITECTURE 5.1). */
  #resume(node: SimNode): void {
    // What passes a gate comes when the gate opens.
    const openedMs = node.host.state === "gated" ? this.#nowMs : 0;
    for (const { source, bytes, atMs, isAnswered } of node.host.resume()) {
      if (!node.isClosed) this.#handle(node, source, bytes, Math.max(atMs, openedMs), !isAnswered);
    }
    for (const send of node.host.takeUnsent()) send();
    this.#reschedule(node);
    this.#tell();
  }

  // --- nodes

  #addressOf(name: string, isNew: boolean): AddressHandle {
    let address = this.#addresses.get(name);
    if (address !== undefined && !isNew) return address;
    const { hub } = this.#memory;
    if (address !== undefined) hub.releaseAddress(address);
    const ip = new Uint8Array(16);
    writeMappedIpv4(firstIp + ++this.#usedIps, ip);
    this.#addresses.set(name, (address = hub.internAddress(ip, port)));
    return address;
  }

  #countersOf(endpoint: number): BigUint64Array {
    const { counters } = this.#memory;
    const { countersPerEndpoint } = loadAddon().layout;
    return counters.subarray(endpoint * countersPerEndpoint, (endpoint + 1) * countersPerEndpoint);
  }

  #close(node: SimNode, refuses: boolean): void {
    this.#deadlines.remove(node);
    this.#byName.delete(node.name);
    this.#byAddress.delete(node.address);
    if (refuses) this.#refusing.add(node.address);
    this.#byEndpoint[node.endpoint.index] = undefined;
    node.endpoint.close();
    node.swim.stop();
    const { hub } = this.#memory;
    hub.release(node.self as MemberHandle);
  }
}
