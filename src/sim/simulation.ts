/** A cluster without sockets under a clock that the caller moves: a run is a seed. */
import { type GossipOptions, resolveConfig } from "../config.js";
import { tattlerError } from "../errors.js";
import { CountedDirectory } from "../io/directory.js";
import { Dispatcher } from "../io/dispatch.js";
import { type HubMemory, loadAddon, makeKeyring, openHub } from "../io/native.js";
import { DeadlineHeap } from "../io/scheduler.js";
import { Random } from "../random.js";
import type { ObservedChange } from "../swim/observer.js";
import type { AddressHandle, MemberHandle } from "../wire/addon.js";
import { RingReader } from "../wire/receive.js";
import { Addresses, simulatedPort } from "./addresses.js";
import { Agenda } from "./agenda.js";
import { Exchanges } from "./exchanges.js";
import { HostLine, retryMs } from "./line.js";
import { Network } from "./network.js";
import { SimNode } from "./node.js";
import type { OpenOptions, SimEvent, SimulationOptions } from "./options.js";
import { Trace } from "./trace.js";
import type { Witness } from "./witness.js";

export type { OpenOptions, SimEvent, SimulationOptions } from "./options.js";

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
  readonly #witness: Witness | undefined;
  readonly #memory: HubMemory;
  readonly #directory: CountedDirectory;
  readonly #reader: RingReader;
  readonly #dispatcher: Dispatcher;
  readonly #exchanges: Exchanges;
  readonly #agenda = new Agenda();
  readonly #line = new HostLine();
  readonly #deadlines = new DeadlineHeap<SimNode>();
  readonly #byName = new Map<string, SimNode>();
  readonly #byAddress = new Map<AddressHandle, SimNode>();
  readonly #byEndpoint: (SimNode | undefined)[] = [];
  readonly #addresses: Addresses;
  readonly #refusing = new Set<AddressHandle>();
  readonly #outgoing = new Uint8Array(65_535);
  readonly #info = new Uint32Array(3);
  /** Calls into user code, which wait until the core is at rest. */
  readonly #calls: (() => void)[] = [];
  #nowMs = 0;
  #isTelling = false;
  /** Whose words are being handled; 0: nobody's. */
  #speaker: AddressHandle | 0 = 0;

  /** Errors: TATTLER_ADDON_MISSING. */
  constructor({ seed, observe = () => {}, observeState, witness }: SimulationOptions) {
    const addon = loadAddon();
    this.random = new Random(seed);
    this.network = new Network(this.random.child(), (fact) => witness?.happened(this.#nowMs, fact));
    this.#observe = observe;
    this.#observeState = observeState;
    this.#witness = witness;
    this.#memory = openHub(addon, "manual", () => {});
    this.#reader = new RingReader(addon.layout, this.#memory.ring, this.#memory.slab);
    this.#directory = new CountedDirectory(this.#memory.hub);
    this.#addresses = new Addresses(this.#directory);
    this.#dispatcher = new Dispatcher(this.#directory);
    this.#exchanges = new Exchanges({
      network: this.network,
      random: this.random,
      nowMs: () => this.#nowMs,
      later: (delayMs, work) => this.#later(delayMs, work),
      hear: (node, speaker, work) => {
        this.#perform(node, (localMs) => {
          this.#speaker = speaker;
          work(localMs);
          this.#speaker = 0;
        });
      },
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
    this.#witness?.happened(this.#nowMs, { kind: "start", node: name });
    const address = this.#addresses.of(name, how.newAddress === true);
    const { hub } = this.#memory;
    const directory = this.#directory;
    const self = directory.intern(name);
    const keyring = makeKeyring(config.keys);
    const endpoint = hub.open({
      ...config,
      ip: new Uint8Array(16),
      port: simulatedPort,
      self,
      keyring,
      pingsPerSecond: 0,
    });
    const { buddy: hasBuddy = true, delegates = {} } = how;
    const counters = this.#countersOf(endpoint.index);
    const parts = {
      config,
      directory,
      endpoint,
      self,
      address,
      counters,
      random: this.random.child(),
      hasBuddy,
      delegates,
    };
    const node: SimNode = new SimNode(parts, {
      perform: (work) => this.#perform(node, work),
      sync: (to) => this.#exchanges.sync(node, to),
      join: (peer, end) => this.#exchanges.join(node, peer.address, end),
      reconcile: (to) => this.#exchanges.reconcile(node, to),
      ping: (to, target, seq, timeoutMs) => this.#exchanges.ping(node, to, target, seq, timeoutMs),
      nodeNamed: (wanted) => this.#byName.get(wanted),
      became: this.#becameOf(name),
      tell: (event, call) => this.#calls.push(() => this.#observed({ atMs: this.#nowMs, node: name, ...event }, call)),
      later: (call) => this.#calls.push(call),
      happens: (kind) => this.#witness?.happened(this.#nowMs, { kind, node: name }),
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
      const nextMs = Math.min(this.#agenda.earliestMs(), this.#deadlines.earliestMs());
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
    return this.#addresses.names().filter((name) => this.#directory.find(name) !== 0);
  }

  /** Ends everything. Idempotent. */
  close(): void {
    for (const node of this.nodes) node.close();
    this.#memory.hub.close();
  }

  // --- one step: what arrives, then what is due, then user code

  #step(): void {
    this.#agenda.arrive(this.#nowMs);
    // Nothing that was received by now is left unread: verdicts may fall.
    for (let node = this.#due(); node !== null; node = this.#due()) this.#advance(node);
    this.#tell();
  }

  /** What arrives without a delay comes before the next node's turn. */
  #due(): SimNode | null {
    return this.#agenda.earliestMs() <= this.#nowMs ? null : this.#deadlines.due(this.#nowMs);
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
    for (let i = 0; i < this.#calls.length; i++) (this.#calls[i] as () => void)();
    this.#calls.length = 0;
    this.#isTelling = false;
  }

  #observed(event: SimEvent, call: () => void): void {
    this.trace.noteText(event.atMs, `${event.node} ${event.kind} ${event.about}`);
    this.#observe(event);
    call();
  }

  #later(delayMs: number, arrive: () => void): void {
    this.#agenda.add(this.#nowMs + delayMs, arrive);
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
      this.#witness?.sent(this.#nowMs);
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
    const absent = this.#addresses.nameAt(to) ?? "";
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
      if (this.#handle(receiver, source, bytes, this.#nowMs, true)) this.#reschedule(receiver);
      return;
    }
    const stalledMs = this.#nowMs - host.stalledSinceMs;
    const mayAnswer = host.state === "scriptStalled" && stalledMs < receiver.config.stallToleranceMs;
    const isAnswered = mayAnswer && this.#memory.hub.answer(receiver.endpoint.index, source, bytes);
    host.hold({ source, bytes, atMs: this.#nowMs, isAnswered });
    this.#send();
  }

  /** False when it moves no deadline. */
  #handle(receiver: SimNode, source: AddressHandle, bytes: Uint8Array, atMs: number, answers: boolean): boolean {
    const { hub } = this.#memory;
    let isTouched = false;
    hub.deliver(receiver.endpoint.index, source, bytes, receiver.host.localMs(atMs), answers);
    const count = hub.poll();
    const first = hub.readIndex();
    this.#speaker = source;
    for (let i = 0; i < count; i++) {
      this.#reader.select(first + i);
      if (this.#dispatcher.dispatch(receiver, this.#reader)) isTouched = true;
    }
    hub.consume(count);
    this.#speaker = 0;
    if (isTouched) receiver.swim.flush(receiver.host.localMs(this.#nowMs));
    this.#send();
    return isTouched;
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

  /** Who looks on; nobody: nothing is told, at no cost. */
  #becameOf(name: string): ((member: MemberHandle, change: ObservedChange) => void) | undefined {
    const [watch, witness] = [this.#observeState, this.#witness];
    if (watch === undefined && witness === undefined) return undefined;
    return (handle, change) => {
      const member = this.#directory.nameOf(handle);
      watch?.(name, member, change);
      witness?.became(this.#nowMs, name, member, change, this.#addresses.nameAt(this.#speaker));
    };
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
    this.#directory.release(node.self);
  }
}
