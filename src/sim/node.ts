import type { Config } from "../config.js";
import type { AccusedMember, Delegates, Member, Message, NodeEventName, NodeEvents } from "../delegates.js";
import { tattlerError } from "../errors.js";
import { EventHub } from "../event_stream.js";
import { Application } from "../io/application.js";
import type { CountedDirectory } from "../io/directory.js";
import type { Receiver } from "../io/dispatch.js";
import { Payloads } from "../io/payloads.js";
import type { Scheduled } from "../io/scheduler.js";
import { versionsOfConfig } from "../io/versions.js";
import type { Random } from "../random.js";
import type { Datagrams } from "../swim/effects.js";
import type { EventKind, MemberEvent } from "../swim/events.js";
import type { ObservedChange } from "../swim/observer.js";
import { Swim } from "../swim/swim.js";
import type { AddressHandle, Endpoint, MemberHandle } from "../wire/addon.js";
import type { Counter } from "../wire/generated/wire/counter.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { RingReader } from "../wire/receive.js";
import type { MemberRecord } from "../wire/records.js";
import { SimHost, type Stall } from "./host.js";
import { StateObserver } from "./precedence.js";

/**
 * An event of a node, or a message to its user. `about` is the member, who sent the message, or the node itself whose
 * delegate or listener failed.
 */
export type Told =
  | { readonly kind: EventKind; readonly about: string; readonly incarnation: number }
  | { readonly kind: "message"; readonly about: string; readonly payload: Uint8Array }
  | { readonly kind: "error"; readonly about: string; readonly error: Error };

/** How a join ended: null when the states were traded, else why not. */
export type JoinEnd = (error: Error | null) => void;

export interface SimNodeParts {
  readonly config: Config;
  readonly directory: CountedDirectory;
  readonly endpoint: Endpoint;
  readonly self: MemberHandle;
  readonly address: AddressHandle;
  readonly counters: BigUint64Array;
  readonly random: Random;
  readonly hasBuddy: boolean;
  readonly delegates: Delegates;
}

/** What a node asks of the simulation. */
export interface SimNodeWorld {
  /** Runs work on the node's core, then sends, reschedules and tells. */
  perform<T>(work: (nowMs: number) => T): T;
  sync(to: AddressHandle): void;
  join(peer: SimNode, end: JoinEnd): void;
  reconcile(to: AddressHandle): void;
  ping(to: AddressHandle, target: string, seq: number, timeoutMs: number): void;
  nodeNamed(name: string): SimNode | undefined;
  readonly became: ((member: MemberHandle, change: ObservedChange) => void) | undefined;
  /** Queues an event for whoever observes the simulation, and a call after it. */
  tell(event: Told, call: () => void): void;
  /** Queues a call into user code for when the core is at rest. */
  later(call: () => void): void;
  happens(kind: "close" | "leave" | "stall" | "resume"): void;
  close(refuses: boolean): void;
  stall(state: Stall): void;
  resume(): void;
}

/** A node of a Simulation: the core with the addon's queue and codec, and the machine that it runs on. */
export class SimNode implements Receiver, Scheduled {
  heapIndex = -1;
  deadlineMs = Number.POSITIVE_INFINITY;
  isClosed = false;
  readonly config: Config;
  readonly endpoint: Endpoint;
  readonly self: MemberHandle;
  readonly address: AddressHandle;
  readonly swim: Swim;
  readonly payloads: Payloads;
  readonly application: Application;
  readonly host = new SimHost();
  readonly #directory: CountedDirectory;
  readonly #counters: BigUint64Array;
  readonly #world: SimNodeWorld;
  readonly #events: EventHub;

  constructor(parts: SimNodeParts, world: SimNodeWorld) {
    const { config, directory, endpoint, self, address, counters, random, hasBuddy } = parts;
    this.config = config;
    this.endpoint = endpoint;
    this.self = self;
    this.address = address;
    this.#directory = directory;
    this.#counters = counters;
    this.#world = world;
    this.payloads = new Payloads(
      endpoint,
      self,
      random.nextUint32(),
      config.queueRecords,
      () => this.swim.roster.liveCount,
    );
    const streams = {
      sync: (to: AddressHandle) => world.sync(to),
      reconcile: (to: AddressHandle) => world.reconcile(to),
      ping: (to: AddressHandle, target: MemberHandle, seq: number, timeoutMs: number) =>
        world.ping(to, directory.nameOf(target), seq, timeoutMs),
      carriesState: () => this.application.hasState,
    };
    this.#events = new EventHub((event, error) => this.#report(error, event !== "error"));
    this.application = this.#makeApplication(parts.delegates);
    const datagrams = hasBuddy ? endpoint : withoutBuddy(endpoint);
    const observer = world.became && new StateObserver(world.became);
    const notify = (event: MemberEvent): void => this.#notify(event);
    const notifyConflict = (member: MemberHandle, claimedBy: AddressHandle): void =>
      this.application.conflict(member, claimedBy);
    const effects = { datagrams, broadcasts: endpoint, directory, streams, notify, notifyConflict, observer };
    this.swim = new Swim(
      config,
      { handle: self, address, meta: config.meta, versions: versionsOfConfig(config) },
      effects,
      random,
    );
  }

  get name(): string {
    return this.config.name;
  }

  /**
   * Trades states with a running node of that name. Errors: TATTLER_MEMBER_UNKNOWN.
   * @param end is told what came of it, in virtual time: null, TATTLER_JOIN_REFUSED or TATTLER_STREAM_*.
   */
  join(name: string, end: JoinEnd = () => {}): void {
    const peer = this.#world.nodeNamed(name);
    if (peer === undefined) throw tattlerError("TATTLER_MEMBER_UNKNOWN", [name]);
    this.#world.perform(() => this.#world.join(peer, end));
  }

  /** Calls the listener for every such event, as GossipNode does, but never for a promise. */
  on<E extends NodeEventName>(event: E, listener: (detail: NodeEvents[E]) => void): this {
    this.#events.add(event, listener);
    return this;
  }

  /** Takes a listener away. */
  off<E extends NodeEventName>(event: E, listener: (detail: NodeEvents[E]) => void): this {
    this.#events.remove(event, listener);
    return this;
  }

  /** A member as the node knows it; undefined when it does not. */
  member(name: string): Member | undefined {
    const member = this.#directory.find(name);
    return this.swim.roster.has(member) ? this.application.snapshot(member) : undefined;
  }

  /** Gossips a payload. False when it can never fit a datagram. */
  broadcast(payload: Uint8Array): boolean {
    return this.#world.perform(() => this.payloads.broadcast(payload) !== null);
  }

  updateMeta(meta: Uint8Array): void {
    this.#world.perform((nowMs) => this.swim.updateMeta(nowMs, meta));
  }

  /** Announces that it leaves. It goes on passing things on until it is closed. */
  leave(): void {
    this.#world.happens("leave");
    this.#world.perform((nowMs) => this.swim.leave(nowMs));
  }

  /**
   * Stops at once; to the others that is a crash. Idempotent.
   * @param refuses whether its machine is still there and says that nobody listens.
   */
  close({ refuses = false }: { readonly refuses?: boolean } = {}): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#world.happens("close");
    this.#world.close(refuses);
  }

  /** Its JavaScript, its whole process or its traffic stands still until resume(). */
  stall(state: Stall): void {
    this.#world.happens("stall");
    this.#world.stall(state);
  }

  /** Goes on, with all that came meanwhile. */
  resume(): void {
    this.#world.happens("resume");
    this.#world.resume();
  }

  /** How it knows a member, by the name of the state; null when it does not. */
  stateOf(name: string): string | null {
    const member = this.#directory.find(name);
    return this.swim.roster.has(member) ? (MemberState[this.swim.roster.stateOf(member)] as string) : null;
  }

  /** Alive or suspected members, itself included. */
  get memberCount(): number {
    return this.swim.roster.liveCount;
  }

  /** What the addon has counted for it. */
  counter(counter: Counter): number {
    return Number(this.#counters[counter]);
  }

  // --- Receiver

  handleMessage(reader: RingReader): void {
    if (!this.payloads.accept(reader)) return;
    const from = this.#directory.nameOf(reader.from);
    const message: Message = { from, payload: reader.payload(), direct: reader.isDirect, reliable: false };
    const { payload } = message;
    this.#world.tell({ kind: "message", about: from, payload }, () => this.#emit("message", message));
  }

  allowsAlive(reader: RingReader): boolean {
    return this.application.allowsAlive(reader);
  }

  handleRoundTrip(reader: RingReader, rttMs: number): void {
    this.application.roundTrip(reader, rttMs);
  }

  handlePong(): void {}

  /** Queues a call into user code for when the core is at rest; none once the node is closed. */
  later(call: () => void): void {
    this.#world.later(() => {
      if (!this.isClosed) this.application.asks(call, undefined);
    });
  }

  /** Takes over what a peer knows. */
  merge(nowMs: number, peer: string, records: readonly MemberRecord[], state: Uint8Array, join: boolean): void {
    if (this.isClosed) return; // by a delegate that was asked about it
    this.swim.handleSync(nowMs, peer, records);
    this.application.mergeRemoteState(state, join);
  }

  #makeApplication(delegates: Delegates): Application {
    return new Application({
      config: this.config,
      delegates,
      directory: this.#directory,
      swim: () => this.swim,
      isClosed: () => this.isClosed,
      later: (call) => this.later(call),
      report: (error) => this.#report(error, true),
      isVirtual: true,
    });
  }

  #notify(event: MemberEvent): void {
    const { kind, member, incarnation } = event;
    const detail = this.#events.has(kind) ? this.application.detailOf(event) : null;
    this.#world.tell({ kind, about: this.#directory.nameOf(member), incarnation }, () => {
      if (detail !== null) this.#emit(kind, detail as AccusedMember);
    });
  }

  /** @param isNews not itself the failure of an `error` listener, which only the observer is told. */
  #report(error: Error, isNews: boolean): void {
    this.#world.tell({ kind: "error", about: this.name, error }, () => {
      if (isNews && this.#events.has("error")) this.#emit("error", error);
    });
  }

  #emit<E extends NodeEventName>(event: E, detail: NodeEvents[E]): void {
    if (!this.isClosed) this.#events.emit(event, detail);
  }
}

/** Pings suspects like anybody else. */
function withoutBuddy(endpoint: Endpoint): Datagrams {
  const pingAndAccuse: Datagrams["pingAndAccuse"] = (to, target, seq) => endpoint.ping(to, target, seq);
  return new Proxy<Datagrams>(endpoint, {
    get: (_, verb: keyof Datagrams) => (verb === "pingAndAccuse" ? pingAndAccuse : endpoint[verb].bind(endpoint)),
  });
}
