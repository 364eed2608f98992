import { memberlistRules, resolveConfig } from "../../src/config.js";
import { Random } from "../../src/random.js";
import type { Broadcasts, Datagrams, Directory, Effects, Streams } from "../../src/swim/effects.js";
import type { MemberEvent } from "../../src/swim/events.js";
import { Swim, type SwimConfig } from "../../src/swim/swim.js";
import type { AddressHandle, MemberHandle } from "../../src/wire/addon.js";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import type { MemberRecord } from "../../src/wire/records.js";
import { FakeAlive } from "./fake_alive.js";

export { FakeAlive } from "./fake_alive.js";

/** memberlist's LAN defaults, so that the numbers of the reference apply. */
export const lan: SwimConfig = resolveConfig({ name: "self", ...memberlistRules, refusedConfirmations: 2 });

/** An IPv4 address in mapped form: 10.0.x.y. */
export function ipOf(host: number): Uint8Array {
  const ip = new Uint8Array(16);
  ip.set([255, 255, 10, 0, host >> 8, host & 255], 10);
  return ip;
}

interface Entry {
  readonly text: string;
  references: number;
}

/** Counts references like the interner, and never reuses a handle, so that a use after the last release throws. */
class Table {
  readonly #entries: Entry[] = [{ text: "", references: 0 }];
  readonly #live = new Map<string, number>();
  capacity = Number.POSITIVE_INFINITY;

  intern(text: string): number {
    let handle = this.#live.get(text);
    if (handle === undefined) {
      if (this.#live.size >= this.capacity) return 0;
      handle = this.#entries.push({ text, references: 0 }) - 1;
      this.#live.set(text, handle);
    }
    this.retain(handle, 0);
    return handle;
  }

  find(text: string): number {
    return this.#live.get(text) ?? 0;
  }

  retain(handle: number, least = 1): void {
    this.#entry(handle, least).references++;
  }

  release(handle: number): void {
    const entry = this.#entry(handle, 1);
    if (--entry.references === 0) this.#live.delete(entry.text);
  }

  textOf(handle: number): string {
    return this.#entry(handle, 1).text;
  }

  /** Throws for a handle that never was. */
  isHeld(handle: number): boolean {
    return this.#entry(handle, 0).references > 0;
  }

  held(): string[] {
    return [...this.#live.keys()].map((text) => `${text} x${this.#entries[this.find(text)]?.references}`);
  }

  #entry(handle: number, least: number): Entry {
    const entry = this.#entries[handle];
    if (handle === 0 || entry === undefined || entry.references < least) throw new Error(`dead handle ${handle}`);
    return entry;
  }
}

export class FakeDirectory implements Directory {
  readonly names = new Table();
  readonly addresses = new Table();

  intern(name: string): MemberHandle {
    return this.names.intern(name);
  }

  find(name: string): MemberHandle {
    return this.names.find(name);
  }

  retain(member: MemberHandle): boolean {
    if (!this.names.isHeld(member)) return false;
    this.names.retain(member);
    return true;
  }

  release(member: MemberHandle): void {
    this.names.release(member);
  }

  nameOf(member: MemberHandle): string {
    return this.names.textOf(member);
  }

  ringKey(member: MemberHandle, ring: number): number {
    let hash = 0x811c9dc5 ^ Math.imul(ring + 1, 0x85ebca6b);
    for (const letter of this.names.textOf(member)) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
    return (hash ^ (hash >>> 13)) >>> 0;
  }

  internAddress(ip: Uint8Array, port: number): AddressHandle {
    return this.addresses.intern(`${Buffer.from(ip).toString("hex")}:${port}`);
  }

  retainAddress(address: AddressHandle): void {
    this.addresses.retain(address);
  }

  releaseAddress(address: AddressHandle): void {
    this.addresses.release(address);
  }

  addressOf(address: AddressHandle, ip: Uint8Array): number {
    const [hex, port] = this.addresses.textOf(address).split(":") as [string, string];
    ip.set(Buffer.from(hex, "hex"));
    return Number(port);
  }

  /** Whatever is still referenced; nothing after everybody has stopped. */
  held(): string[] {
    return [...this.names.held(), ...this.addresses.held()];
  }
}

/** One call of the core, with its arguments by name. */
export interface Call {
  readonly verb: string;
  readonly [argument: string]: unknown;
}

/** Writes down what the core does. Every handle it is given must be alive. */
export class Recorder implements Effects {
  readonly directory = new FakeDirectory();
  /** Datagrams, streams and broadcasts, in order. */
  readonly calls: Call[] = [];
  readonly events: MemberEvent[] = [];
  readonly conflicts: { member: MemberHandle; claimedBy: AddressHandle }[] = [];
  readonly queued = new Set<MemberHandle>();
  /** What datagrams answer: false plays a full transmit ring. */
  sends = true;
  recordsPerGossip = 1;
  /** Subjects, or ring indices of relayed records, that wait for sendUrgent. */
  readonly urgent: number[] = [];
  recordsPerUrgent = 10;
  isBusy = false;
  digest: readonly [number, number] = [0, 0];
  messages = 0;
  clusterSize = 0;

  readonly datagrams: Datagrams = {
    ping: (to, target, seq) => this.#send(to, { verb: "ping", to, target, seq }),
    pingAndAccuse: (to, target, seq, incarnation, evidence) =>
      this.#send(to, { verb: "pingAndAccuse", to, target, seq, incarnation, evidence }),
    ack: (to, seq, isOwn) => this.#send(to, { verb: "ack", to, seq, isOwn }),
    nack: (to, seq) => this.#send(to, { verb: "nack", to, seq }),
    pingRequest: (to, target, targetAddress, seq) => {
      this.directory.addresses.textOf(targetAddress);
      return this.#send(to, { verb: "pingRequest", to, target, targetAddress, seq });
    },
    sendUrgent: (targets, count) => {
      if (this.isBusy) return -1;
      if (this.urgent.length === 0) return 0;
      for (const to of targets.subarray(0, count)) this.#send(to, { verb: "sendUrgent", to });
      return this.urgent.splice(0, this.recordsPerUrgent).length;
    },
    tellAlive: (to, subject, address, incarnation, meta) =>
      this.#send(to, { verb: "tellAlive", to, subject, address, incarnation, meta: [...(meta ?? [])] }),
    tellDeath: (to, subject, from, incarnation, evidence) =>
      this.#send(to, { verb: "tellDeath", to, subject, from, incarnation, evidence }),
    gossip: (to) => (this.#send(to, { verb: "gossip", to }) ? this.recordsPerGossip : -1),
  };

  readonly broadcasts: Broadcasts = {
    queueAlive: (subject, address, incarnation, meta, versions, isUrgent) => {
      const call = { verb: "queueAlive", subject, address, incarnation, meta: [...(meta ?? [])] };
      if (isUrgent) this.urgent.push(subject);
      this.#queue(subject, versions < 0 ? call : { ...call, versions });
    },
    queueSuspect: (subject, from, incarnation, evidence) =>
      this.#queue(subject, { verb: "queueSuspect", subject, from, incarnation, evidence }),
    queueDeath: (subject, from, incarnation, evidence, isUrgent) => {
      this.#queue(subject, { verb: "queueDeath", subject, from, incarnation, evidence });
      if (isUrgent) this.urgent.push(subject);
    },
    relay: (ringIndex, isUrgent) => {
      this.calls.push({ verb: "relay", ringIndex });
      if (isUrgent) this.urgent.push(ringIndex);
    },
    isQueued: (subject) => this.queued.has(subject),
    hasNews: () => this.queued.size + this.messages > 0,
    setDigest: (low, high) => {
      this.digest = [low, high];
    },
    setClusterSize: (members) => {
      this.clusterSize = members;
    },
  };

  readonly streams: Streams = {
    reconcile: (to, member) => void this.#send(to, { verb: "reconcile", to, member }),
    sync: (to, member) => void this.#send(to, { verb: "sync", to, member }),
    ping: (to, target, seq, timeoutMs) => void this.#send(to, { verb: "streamPing", to, target, seq, timeoutMs }),
    carriesState: () => this.carriesState,
  };

  carriesState = false;
  mayBeCalled: (name: string) => boolean = () => true;

  notify(event: MemberEvent): void {
    this.directory.nameOf(event.member);
    this.events.push(event);
  }

  notifyConflict(member: MemberHandle, claimedBy: AddressHandle): void {
    this.directory.addresses.textOf(claimedBy);
    this.conflicts.push({ member, claimedBy });
  }

  /** The calls since the last take, of these verbs or of all; all are forgotten. */
  take(...verbs: string[]): Call[] {
    const taken = this.calls.splice(0);
    return verbs.length === 0 ? taken : taken.filter((call) => verbs.includes(call.verb));
  }

  #send(to: AddressHandle, call: Call): boolean {
    this.directory.addresses.textOf(to);
    this.calls.push(call);
    return this.sends;
  }

  #queue(subject: MemberHandle, call: Call): void {
    this.directory.nameOf(subject);
    this.queued.add(subject);
    this.calls.push(call);
  }
}

/** What a record says unless told otherwise: member "m7" is at 10.0.0.7:7946, alive at incarnation 1. */
export function recordOf(name: string, changes: Partial<MemberRecord> = {}): MemberRecord {
  const host = Number(/\d+$/.exec(name)?.[0] ?? 0);
  const meta = new Uint8Array(0);
  return { name, ip: ipOf(host), port: 7946, incarnation: 1, state: MemberState.alive, meta, ...changes };
}

/** Where a message lies in the receive ring unless told otherwise. */
export const ringIndex = 5;

/** One core named "self" at 10.0.0.0, its recorder, and short ways to tell it things at the time `nowMs`. */
export class Stage {
  readonly recorder = new Recorder();
  readonly swim: Swim;
  readonly self: MemberHandle;
  readonly selfAddress: AddressHandle;
  nowMs = 1000;

  /** @param versions unknown (the default) fit everybody. */
  constructor(changes: Partial<SwimConfig> = {}, seed = 1, meta = new Uint8Array(0), versions = -1) {
    const { directory } = this.recorder;
    this.self = directory.intern("self");
    this.selfAddress = directory.internAddress(ipOf(0), 7946);
    const identity = { handle: this.self, address: this.selfAddress, meta, versions };
    this.swim = new Swim({ ...lan, ...changes }, identity, this.recorder, new Random(seed));
  }

  /** Starts and forgets what that did. */
  started(): this {
    this.swim.start(this.nowMs);
    this.forget();
    return this;
  }

  forget(): void {
    this.recorder.take();
    this.recorder.events.length = 0;
    this.recorder.queued.clear();
  }

  /** Makes members known and alive, quietly. */
  knows(...names: string[]): this {
    for (const name of names) this.alive(name);
    this.forget();
    return this;
  }

  handle(name: string): MemberHandle {
    return this.recorder.directory.find(name);
  }

  addressOf(name: string): AddressHandle {
    return this.swim.roster.addressOf(this.handle(name));
  }

  alive(name: string, changes: Partial<MemberRecord> = {}, index = ringIndex): void {
    const record = recordOf(name, changes);
    this.swim.handleAlive(this.nowMs, this.handle(name), record.incarnation, new FakeAlive(record, index));
  }

  suspect(name: string, from: string, incarnation = 1, evidence = Evidence.timeout, index = ringIndex): void {
    this.swim.handleSuspect(this.nowMs, this.handle(name), this.handle(from), incarnation, evidence, index);
  }

  death(name: string, from: string, incarnation = 1, evidence = Evidence.expired, index = ringIndex): void {
    this.swim.handleDeath(this.nowMs, this.handle(name), this.handle(from), incarnation, evidence, index);
  }

  /** A death that the member announced itself. */
  farewell(name: string, incarnation = 1): void {
    this.death(name, name, incarnation, Evidence.farewell);
  }

  sync(peer: string, ...records: MemberRecord[]): void {
    this.swim.handleSync(this.nowMs, peer, records);
  }

  /** Moves time to `toMs`, running everything due at its own time, with all that arrived handled. */
  runTo(toMs: number): void {
    for (let turns = 0; ; turns++) {
      const nextMs = Math.max(this.nowMs, this.swim.nextDeadline(this.nowMs));
      if (nextMs > toMs) break;
      if (turns > 100_000) throw new Error(`no progress at ${this.nowMs}`);
      this.nowMs = nextMs;
      this.swim.advance(nextMs, nextMs);
    }
    this.nowMs = toMs;
  }

  /** State and incarnation, as in "suspect 3"; "unknown" for whoever is not on the roster. */
  view(name: string): string {
    const { roster } = this.swim;
    const member = this.handle(name);
    return roster.has(member) ? `${MemberState[roster.stateOf(member)]} ${roster.incarnationOf(member)}` : "unknown";
  }

  /** The events since the last time, as in "fail m1". */
  events(): string[] {
    const { directory, events } = this.recorder;
    return events.splice(0).map((event) => `${event.kind} ${directory.nameOf(event.member)}`);
  }

  /** Stops, gives the caller's own two references back, and returns what is still referenced. */
  heldAfterStop(): string[] {
    const { directory } = this.recorder;
    this.swim.stop();
    directory.release(this.self);
    directory.releaseAddress(this.selfAddress);
    return directory.held();
  }
}
