import { expect } from "vitest";
import { type GossipOptions, resolveConfig } from "../../src/config.js";
import { Random } from "../../src/random.js";
import type { Effects } from "../../src/swim/effects.js";
import type { MemberEvent } from "../../src/swim/events.js";
import { Swim } from "../../src/swim/swim.js";
import type { AliveView } from "../../src/wire/records.js";

/** Names and addresses as handles, with reference counts that can be checked. */
export class FakeDirectory {
  readonly #names: (string | null)[] = [null];
  readonly #addresses: (string | null)[] = [null];
  readonly #memberReferences: number[] = [0];
  readonly #addressReferences: number[] = [0];

  intern(name: string): number {
    const known = this.#names.indexOf(name);
    const handle = known > 0 ? known : this.#names.push(name) - 1;
    this.#memberReferences[handle] = (this.#memberReferences[handle] ?? 0) + 1;
    return handle;
  }

  find(name: string): number {
    const handle = this.#names.indexOf(name);
    return handle > 0 && (this.#memberReferences[handle] ?? 0) > 0 ? handle : 0;
  }

  retain(member: number): void {
    expect(this.#memberReferences[member], "retain of a member nobody holds").toBeGreaterThan(0);
    this.#memberReferences[member] = (this.#memberReferences[member] as number) + 1;
  }

  release(member: number): void {
    expect(this.#memberReferences[member], "release of a member nobody holds").toBeGreaterThan(0);
    this.#memberReferences[member] = (this.#memberReferences[member] as number) - 1;
  }

  nameOf(member: number): string {
    return this.#names[member] ?? "";
  }

  internAddress(ip: Uint8Array, port: number): number {
    const text = `${ip.join(".")}:${port}`;
    const known = this.#addresses.indexOf(text);
    const handle = known > 0 ? known : this.#addresses.push(text) - 1;
    this.#addressReferences[handle] = (this.#addressReferences[handle] ?? 0) + 1;
    return handle;
  }

  retainAddress(address: number): void {
    expect(this.#addressReferences[address], "retain of an address nobody holds").toBeGreaterThan(0);
    this.#addressReferences[address] = (this.#addressReferences[address] as number) + 1;
  }

  releaseAddress(address: number): void {
    expect(this.#addressReferences[address], "release of an address nobody holds").toBeGreaterThan(0);
    this.#addressReferences[address] = (this.#addressReferences[address] as number) - 1;
  }

  addressOf(address: number, ip: Uint8Array): number {
    const [bytes = "", port = "0"] = (this.#addresses[address] ?? "").split(":");
    bytes.split(".").forEach((byte, i) => {
      ip[i] = Number(byte);
    });
    return Number(port);
  }

  /** References still held, members and addresses. */
  held(): number {
    return [...this.#memberReferences, ...this.#addressReferences].reduce((sum, count) => sum + count, 0);
  }
}

export function ipOf(last: number): Uint8Array {
  return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, last >> 8, last & 255);
}

/** One effect as a line: verb and arguments, members by name. */
export type Trace = string[];

/** A core on its own, with everything it does written down. */
export class Rig {
  readonly directory: FakeDirectory;
  readonly trace: Trace = [];
  readonly events: string[] = [];
  readonly swim: Swim;
  readonly self: number;
  readonly selfAddress: number;
  readonly queued = new Set<number>();
  nowMs = 0;

  constructor(options: Partial<GossipOptions> = {}, directory = new FakeDirectory(), seed = 1) {
    this.directory = directory;
    const name = options.name ?? "self";
    this.self = directory.intern(name);
    this.selfAddress = directory.internAddress(ipOf(0), 1);
    const identity = { handle: this.self, address: this.selfAddress, meta: new Uint8Array(0) };
    this.swim = new Swim(resolveConfig({ name, ...options }), identity, this.#effects(), new Random(seed));
  }

  /** Members m1 ... mN, alive, at incarnation 1; the trace starts afterwards. */
  meet(count: number): number[] {
    const members = Array.from({ length: count }, (_, i) => this.alive(`m${i + 1}`, 1));
    this.trace.length = 0;
    this.events.length = 0;
    return members;
  }

  /** An alive arrives in a datagram. */
  alive(name: string, incarnation: number, given: { meta?: string; at?: number; ringIndex?: number } = {}): number {
    const last = given.at ?? Number(name.replace(/\D/g, "")) + 1;
    const view = aliveView(name, last, given.meta ?? "", given.ringIndex ?? 7);
    this.swim.handleAlive(this.nowMs, this.directory.find(name), incarnation, view);
    return this.directory.find(name);
  }

  suspect(member: number, from: number, incarnation: number, evidence = 0): void {
    this.swim.handleSuspect(this.nowMs, member, from, incarnation, evidence, 7);
  }

  death(member: number, from: number, incarnation: number): void {
    this.swim.handleDeath(this.nowMs, member, from, incarnation, 4, 7);
  }

  /** Lets virtual time pass, running everything at its deadline, fully drained. */
  run(ms: number, each: () => void = () => {}): void {
    const end = this.nowMs + ms;
    for (;;) {
      const next = Math.max(this.swim.nextDeadline(this.nowMs), this.nowMs);
      if (next > end) break;
      this.nowMs = next;
      each();
      this.swim.advance(this.nowMs, this.nowMs);
    }
    this.nowMs = end;
  }

  stateOf(member: number): string {
    const { roster } = this.swim;
    return roster.has(member) ? `${roster.stateOf(member)}@${roster.incarnationOf(member)}` : "unknown";
  }

  /** What was traced with this verb, oldest first. */
  traced(verb: string): string[] {
    return this.trace.filter((line) => line.startsWith(`${verb} `));
  }

  #effects(): Effects {
    const name = (member: number): string => this.directory.nameOf(member) || "?";
    const log = (verb: string, ...args: unknown[]): boolean => this.trace.push([verb, ...args].join(" ")) > 0;
    const queue = (verb: string, subject: number, ...args: unknown[]): void => {
      this.queued.add(subject);
      log(verb, name(subject), ...args);
    };
    return {
      datagrams: {
        ping: (to, target, seq) => log("ping", name(target), to, seq),
        pingAndAccuse: (to, target, seq, incarnation) => log("pingAndAccuse", name(target), to, seq, incarnation),
        ack: (to, seq) => log("ack", to, seq),
        nack: (to, seq) => log("nack", to, seq),
        pingRequest: (to, target, address, seq) => log("pingRequest", name(target), to, address, seq),
        gossip: (to) => (log("gossip", to) ? 1 : 0),
      },
      broadcasts: {
        queueAlive: (subject, _address, incarnation) => queue("queueAlive", subject, incarnation),
        queueSuspect: (subject, from, incarnation) => queue("queueSuspect", subject, name(from), incarnation),
        queueDeath: (subject, from, incarnation) => queue("queueDeath", subject, name(from), incarnation),
        relay: (ringIndex) => void log("relay", ringIndex),
        isQueued: (subject) => this.queued.has(subject),
        queueDepth: () => this.queued.size,
        messageDepth: () => 0,
        setClusterSize: (members) => void log("clusterSize", members),
      },
      streams: {
        sync: (_to, member) => void log("sync", name(member)),
        ping: (_to, target, seq, timeoutMs) => void log("streamPing", name(target), seq, timeoutMs),
      },
      directory: this.directory,
      notify: (event) => this.events.push(describe(event, name)),
      notifyConflict: (member, claimedBy) => void log("conflict", name(member), claimedBy),
    };
  }
}

function describe(event: MemberEvent, name: (member: number) => string): string {
  return event.from === 0
    ? `${event.kind} ${name(event.member)}`
    : `${event.kind} ${name(event.member)} by ${name(event.from)}`;
}

export function aliveView(name: string, last: number, meta: string, ringIndex: number): AliveView {
  return {
    ringIndex,
    name: () => name,
    ip: (into) => {
      into.set(ipOf(last));
      return 7946;
    },
    meta: () => (meta === "" ? null : new TextEncoder().encode(meta)),
  };
}
