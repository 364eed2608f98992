import { Random } from "../../src/random.js";
import type { Broadcasts, Effects } from "../../src/swim/effects.js";
import type { EventKind } from "../../src/swim/events.js";
import { Swim, type SwimConfig } from "../../src/swim/swim.js";
import type { AddressHandle, MemberHandle } from "../../src/wire/addon.js";
import type { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { type Gossip, GossipQueue, type Wire } from "./gossip_queue.js";
import { FakeAlive, FakeDirectory, ipOf, lan } from "./recorder.js";

interface Arrival {
  readonly atMs: number;
  readonly sender: VirtualNode;
  readonly wires: readonly Wire[];
  /** Stood in for JavaScript by the I/O thread. */
  readonly isAnswered: boolean;
}

/** An event of a node, or an accusation that it raised itself. */
export interface Deed {
  readonly atMs: number;
  readonly node: string;
  readonly kind: EventKind | "accuse";
  readonly about: string;
}

const delayMs = 0.2;
/** A stalled node's I/O thread goes on answering for this long (ARCHITECTURE 5.3). */
const stallToleranceMs = 5000;

export class VirtualNode {
  readonly handle: MemberHandle;
  readonly address: AddressHandle;
  readonly queue = new GossipQueue();
  readonly swim: Swim;
  isCrashed = false;
  isDeaf = false;
  /** Nodes of different groups do not reach each other. */
  group = 0;
  stalledSinceMs = Number.POSITIVE_INFINITY;
  readonly inbox: Arrival[] = [];
  /** What relay() refers to. */
  relayable: Gossip | null = null;
  wakeAtMs = Number.POSITIVE_INFINITY;

  constructor(
    readonly name: string,
    host: number,
    readonly cluster: VirtualCluster,
    config: SwimConfig,
    random: Random,
  ) {
    const { directory } = cluster;
    this.handle = directory.intern(name);
    this.address = directory.internAddress(ipOf(host), 7946);
    const identity = { handle: this.handle, address: this.address, meta: new Uint8Array(0) };
    this.swim = new Swim(config, identity, effectsOf(this), random);
  }

  get isStalled(): boolean {
    return this.stalledSinceMs !== Number.POSITIVE_INFINITY;
  }

  get isRunning(): boolean {
    return !this.isCrashed && !this.isStalled;
  }

  stateOf(name: string): string {
    const member = this.cluster.directory.find(name);
    return this.swim.roster.has(member) ? (MemberState[this.swim.roster.stateOf(member)] as string) : "unknown";
  }
}

/** Its verbs, as wires on the cluster's network. */
function effectsOf(node: VirtualNode): Effects {
  const { cluster, queue } = node;
  const { directory } = cluster;
  const name = (member: MemberHandle): string => (member === 0 ? "" : directory.nameOf(member));
  const send = (to: AddressHandle, ...wires: Wire[]): boolean => cluster.send(node, to, wires);
  /** Tops a datagram up with gossip (M-136). */
  const topUp = (to: AddressHandle, wire: Wire): boolean => send(to, wire, ...queue.fill());
  const accuse = (kind: "suspect" | "death", about: MemberHandle, by: MemberHandle, at: number, evidence: Evidence) => {
    if (by === node.handle && about !== by) cluster.note(node, "accuse", name(about));
    const wire = { kind, about: name(about), by: name(by), incarnation: at, evidence };
    queue.put(about, wire);
    return wire;
  };
  const broadcasts: Broadcasts = {
    queueAlive: (subject, address, incarnation, meta) => {
      const ip = new Uint8Array(16);
      const port = directory.addressOf(address, ip);
      const bytes = meta?.slice() ?? new Uint8Array(0);
      const record = { name: name(subject), ip, port, incarnation, state: MemberState.alive, meta: bytes };
      queue.put(subject, { kind: "alive", record });
    },
    queueSuspect: (about, by, incarnation, evidence) => void accuse("suspect", about, by, incarnation, evidence),
    queueDeath: (about, by, incarnation, evidence) => void accuse("death", about, by, incarnation, evidence),
    relay: () => {
      const wire = node.relayable as Gossip;
      queue.put(directory.find(wire.kind === "alive" ? wire.record.name : wire.about), wire);
    },
    isQueued: (subject) => queue.has(subject),
    hasNews: () => queue.size > 0,
    setDigest: () => {},
    setClusterSize: (members) => {
      queue.limit = 4 * Math.max(1, Math.ceil(Math.log10(members + 1)));
    },
  };
  return {
    directory,
    broadcasts,
    datagrams: {
      ping: (to, target, seq) => topUp(to, { kind: "ping", target: name(target), seq }),
      pingAndAccuse: (to, target, seq, incarnation, evidence) => {
        const suspicion = { kind: "suspect", about: name(target), by: node.name, incarnation, evidence } as const;
        return send(to, { kind: "ping", target: name(target), seq }, suspicion);
      },
      ack: (to, seq) => topUp(to, { kind: "ack", seq }),
      nack: (to, seq) => topUp(to, { kind: "nack", seq }),
      pingRequest: (to, target, address, seq) =>
        topUp(to, { kind: "pingRequest", target: name(target), to: address, seq }),
      sendUrgent: () => 0,
      // It has no digests.
      tellAlive: () => false,
      tellDeath: () => false,
      gossip: (to) => {
        const records = queue.fill();
        return send(to, ...records) ? records.length : -1;
      },
    },
    streams: {
      sync: (to) => cluster.sync(node, to),
      reconcile: () => {},
      ping: (to, _target, seq) => cluster.streamPing(node, to, seq),
      carriesState: () => false,
    },
    notify: ({ kind, member }) => cluster.note(node, kind, name(member)),
  };
}

interface Happening {
  readonly atMs: number;
  readonly run: () => void;
}

/** N cores, one seed, no sockets: datagrams take 0.2 ms, are lost by chance, and arrive in one order only. */
export class VirtualCluster {
  readonly directory = new FakeDirectory();
  readonly nodes: VirtualNode[] = [];
  readonly deeds: Deed[] = [];
  loss = 0;
  nowMs = 0;
  datagrams = 0;
  readonly #happenings: Happening[] = [];
  readonly #random: Random;

  constructor(count: number, seed: number, changes: Partial<SwimConfig> = {}) {
    this.#random = new Random(seed);
    for (let i = 0; i < count; i++) {
      const node = new VirtualNode(`n${i}`, i, this, { ...lan, ...changes }, this.#random.child());
      this.nodes.push(node);
      node.swim.start(0);
      this.#schedule(node);
    }
  }

  node(index: number): VirtualNode {
    return this.nodes[index] as VirtualNode;
  }

  get running(): VirtualNode[] {
    return this.nodes.filter((node) => !node.isCrashed);
  }

  /** Everybody joins through the first node, and time passes until all know all. Returns how long that took. */
  join(withinMs = 30_000): number {
    const startMs = this.nowMs;
    for (const node of this.nodes.slice(1)) this.sync(node, this.node(0).address);
    this.runUntil(() => this.nodes.every((node) => node.swim.stats().alive === this.nodes.length), withinMs);
    return this.nowMs - startMs;
  }

  /** Runs until it holds, looking every 10 ms; throws when it does not in time. */
  runUntil(holds: () => boolean, withinMs: number): void {
    const endMs = this.nowMs + withinMs;
    while (!holds()) {
      if (this.nowMs >= endMs) throw new Error(`not within ${withinMs} virtual ms`);
      this.run(10);
    }
  }

  run(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const next = this.#happenings.at(-1);
      if (next === undefined || next.atMs > endMs) break;
      this.#happenings.pop();
      this.nowMs = next.atMs;
      next.run();
    }
    this.nowMs = endMs;
  }

  stall(node: VirtualNode, ms: number): void {
    node.stalledSinceMs = this.nowMs;
    this.#later(ms, () => {
      const sinceMs = node.stalledSinceMs;
      node.stalledSinceMs = Number.POSITIVE_INFINITY;
      if (node.isCrashed) return;
      // The worst a driver may do: advance before it has read what waits, knowing that it has not.
      node.swim.advance(this.nowMs, sinceMs);
      for (const arrival of node.inbox.splice(0)) this.#handle(node, arrival);
      node.swim.advance(this.nowMs, this.nowMs);
      this.#schedule(node);
    });
  }

  leave(node: VirtualNode): void {
    node.swim.leave(this.nowMs);
    this.#schedule(node);
  }

  /** Stops everybody and returns the references that are still held. */
  stop(): string[] {
    for (const node of this.nodes) {
      node.swim.stop();
      this.directory.release(node.handle);
      this.directory.releaseAddress(node.address);
    }
    return this.directory.held();
  }

  // --- for the nodes

  note(node: VirtualNode, kind: Deed["kind"], about: string): void {
    this.deeds.push({ atMs: this.nowMs, node: node.name, kind, about });
  }

  send(sender: VirtualNode, to: AddressHandle, wires: readonly Wire[]): boolean {
    this.datagrams++;
    const target = this.#at(to);
    if (target !== undefined && this.#random.nextFloat() >= this.loss) {
      this.#later(delayMs, () => this.#arrive(target, sender, wires));
    }
    return true;
  }

  /** One state sync over TCP: request, reply, and each merges the other's (M-153). */
  sync(from: VirtualNode, to: AddressHandle): void {
    const peer = this.#at(to);
    const request = from.swim.sync.localRecords();
    this.#later(2 * delayMs, () => {
      if (peer === undefined || !peer.isRunning || !this.#reaches(from, peer)) return from.swim.handleSyncFailed();
      const reply = peer.swim.sync.localRecords();
      peer.swim.handleSync(this.nowMs, from.name, request);
      this.#schedule(peer);
      this.#later(delayMs, () => {
        if (!from.isRunning || !this.#reaches(peer, from)) return;
        from.swim.handleSync(this.nowMs, peer.name, reply);
        this.#schedule(from);
      });
    });
  }

  streamPing(from: VirtualNode, to: AddressHandle, seq: number): void {
    const peer = this.#at(to);
    this.#later(3 * delayMs, () => {
      if (peer === undefined || !peer.isRunning || !this.#reaches(from, peer) || !this.#reaches(peer, from)) return;
      if (from.isRunning) from.swim.handleStreamAck(this.nowMs, seq);
    });
  }

  // --- the network

  #at(address: AddressHandle): VirtualNode | undefined {
    this.directory.addresses.textOf(address);
    return this.nodes.find((node) => node.address === address);
  }

  #reaches(from: VirtualNode, to: VirtualNode): boolean {
    return from.group === to.group && !to.isDeaf && !to.isCrashed && !from.isCrashed;
  }

  #arrive(node: VirtualNode, sender: VirtualNode, wires: readonly Wire[]): void {
    if (node.isCrashed || node.isDeaf || node.group !== sender.group) return;
    const isAnswering = this.nowMs - node.stalledSinceMs < stallToleranceMs || !node.isStalled;
    for (const wire of wires) {
      if (wire.kind !== "ping" || wire.target !== node.name || !isAnswering) continue;
      this.send(node, sender.address, [{ kind: "ack", seq: wire.seq }]);
    }
    const arrival = { atMs: this.nowMs, sender, wires, isAnswered: isAnswering };
    if (node.isStalled) node.inbox.push(arrival);
    else {
      this.#handle(node, arrival);
      this.#schedule(node);
    }
  }

  #handle(node: VirtualNode, arrival: Arrival): void {
    node.swim.handleHeard(arrival.atMs);
    for (const wire of arrival.wires) this.#handleWire(node, arrival, wire);
  }

  #handleWire(node: VirtualNode, { atMs, sender, isAnswered }: Arrival, wire: Wire): void {
    const { swim } = node;
    const find = (name: string): MemberHandle => this.directory.find(name);
    switch (wire.kind) {
      case "alive":
        node.relayable = wire;
        return swim.handleAlive(atMs, find(wire.record.name), wire.record.incarnation, new FakeAlive(wire.record, 1));
      case "suspect":
        node.relayable = wire;
        return swim.handleSuspect(atMs, find(wire.about), find(wire.by), wire.incarnation, wire.evidence, 1);
      case "death":
        node.relayable = wire;
        return swim.handleDeath(atMs, find(wire.about), find(wire.by), wire.incarnation, wire.evidence, 1);
      case "ping":
        if (wire.target === node.name) swim.handlePing(atMs, sender.handle, sender.address, wire.seq, isAnswered);
        return;
      case "ack":
        return void swim.handleAck(atMs, sender.handle, wire.seq);
      case "nack":
        return swim.handleNack(atMs, sender.handle, wire.seq);
      case "pingRequest":
        return swim.handlePingRequest(atMs, sender.address, find(wire.target), wire.to, wire.seq);
    }
  }

  // --- time

  /** Wakes the node at its next deadline, unless it is going to be woken earlier. */
  #schedule(node: VirtualNode): void {
    const atMs = Math.max(this.nowMs, node.swim.nextDeadline(this.nowMs));
    if (atMs >= node.wakeAtMs || atMs === Number.POSITIVE_INFINITY) return;
    node.wakeAtMs = atMs;
    this.#push(atMs, () => {
      if (node.wakeAtMs !== atMs) return;
      node.wakeAtMs = Number.POSITIVE_INFINITY;
      if (!node.isRunning) return;
      node.swim.advance(atMs, atMs);
      if (node.swim.nextDeadline(atMs) <= atMs) throw new Error(`${node.name} makes no progress at ${atMs}`);
      this.#schedule(node);
    });
  }

  #later(ms: number, run: () => void): void {
    this.#push(this.nowMs + ms, run);
  }

  /** Keeps the latest first, so that the next one is popped off the end; of the same time the first pushed is next. */
  #push(atMs: number, run: () => void): void {
    const all = this.#happenings;
    let [from, to] = [0, all.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (all[middle]!.atMs > atMs) from = middle + 1;
      else to = middle;
    }
    all.splice(from, 0, { atMs, run });
  }
}
