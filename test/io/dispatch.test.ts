import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Dispatcher, type Receiver } from "../../src/io/dispatch.js";
import { type HubMemory, loadAddon, openHub } from "../../src/io/native.js";
import type { Swim } from "../../src/swim/swim.js";
import type { AddressHandle, Endpoint } from "../../src/wire/addon.js";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { RecordKind } from "../../src/wire/generated/wire/record-kind.js";
import { RingReader } from "../../src/wire/receive.js";
import { loopback6, mapped, takeAll } from "../support/hub.js";

const ip = mapped(10, 0, 0, 1);
let memory: HubMemory;
let a: Endpoint;
let b: Endpoint;
let fromA: AddressHandle;
let toB: AddressHandle;

function open(name: string, stallToleranceMs: number): Endpoint {
  const { hub } = memory;
  return hub.open({
    ip: new Uint8Array(16),
    port: 1,
    self: hub.intern(name),
    cluster: "test",
    keyring: null,
    stallToleranceMs,
    pingsPerSecond: 0,
    datagramBytes: 1400,
    retransmitMult: 4,
    queueRecords: 100,
    messageShare: 0.25,
  });
}

beforeEach(() => {
  memory = openHub(loadAddon(), "manual", () => {}, { poison: true });
  const { hub } = memory;
  a = open("a", 0);
  b = open("b", 0);
  fromA = hub.internAddress(ip, 7001);
  toB = hub.internAddress(mapped(10, 0, 0, 2), 7002);
});
afterEach(() => memory.hub.close());

/** Takes what a sent to b's socket. */
function arrive(nowMs: number): void {
  for (const { bytes } of takeAll(memory.hub)) memory.hub.deliver(b.index, fromA, bytes, nowMs);
}

/** Hands everything to a core that writes its calls down; true where it was not stale. */
function dispatchAll(swim: Partial<Record<keyof Swim, unknown>>, receiver: Partial<Receiver> = {}): boolean[] {
  const { hub, ring, slab } = memory;
  const reader = new RingReader(loadAddon().layout, ring, slab);
  const dispatcher = new Dispatcher(hub);
  const core = { isStale: () => false, handleHeard: () => {}, ...swim } as unknown as Swim;
  const silent = { handleMessage() {}, allowsAlive: () => true, handleRoundTrip() {}, handlePong() {} };
  const node = { swim: core, ...silent, ...receiver };
  const count = hub.poll();
  const results: boolean[] = [];
  for (let i = 0; i < count; i++) {
    reader.select(hub.readIndex() + i);
    results.push(dispatcher.dispatch(node, reader));
  }
  hub.consume(count);
  return results;
}

function textOf(address: AddressHandle): string {
  const into = new Uint8Array(16);
  const port = memory.hub.addressOf(address, into);
  return `${into.subarray(12).join(".")}:${port}`;
}

describe("dispatching", () => {
  it("gives a core everything a record says", () => {
    const { hub } = memory;
    const [x, y] = [hub.intern("x"), hub.intern("y")];
    a.ack(toB, 77, true);
    a.nack(toB, 78);
    a.queueSuspect(x, y, 5, Evidence.refused);
    a.queueDeath(y, x, 6, Evidence.expired);
    a.gossip(toB);
    arrive(1234.5);
    const calls: unknown[][] = [];
    const record =
      (name: string, result?: unknown) =>
      (...args: unknown[]) => {
        calls.push([name, ...args.slice(0, 5)]);
        return result;
      };
    const heard: number[] = [];
    const trips: number[] = [];
    dispatchAll(
      {
        handleHeard: (atMs: number) => heard.push(atMs),
        handleSuspect: record("suspect"),
        handleDeath: record("death"),
        handleAck: record("ack", 3.5),
        handleNack: record("nack"),
      },
      { handleRoundTrip: (_reader, rttMs) => trips.push(rttMs) },
    );
    const self = hub.find("a");
    expect(calls).toEqual([
      ["ack", 1234.5, self, 77],
      ["nack", 1234.5, self, 78],
      ["suspect", 1234.5, x, y, 5, Evidence.refused],
      ["death", 1234.5, y, x, 6, Evidence.expired],
    ]);
    expect(heard).toEqual([1234.5, 1234.5, 1234.5, 1234.5]);
    expect(trips).toEqual([3.5]);
  });

  it("asks the core first whether membership news are stale, and then does nothing else", () => {
    const { hub } = memory;
    const member = hub.intern("m");
    a.queueAlive(member, fromA, 3, null);
    a.queueSuspect(hub.intern("s"), hub.find("a"), 4, 0);
    a.queueDeath(hub.intern("d"), hub.find("a"), 5, 0);
    a.gossip(toB);
    a.message(toB, Uint8Array.of(1));
    arrive(1);
    const asked: number[][] = [];
    const got: number[] = [];
    const isStale = (...args: number[]): boolean => asked.push(args) > 0;
    const results = dispatchAll(
      { isStale, isElsewhere: () => false },
      { handleMessage: (reader) => void got.push(...reader.payload()) },
    );
    expect(results).toEqual([false, false, false, true]);
    expect(asked.sort()).toEqual([
      [RecordKind.suspect, hub.find("s"), 4],
      [RecordKind.death, hub.find("d"), 5],
      [RecordKind.alive, member, 3],
    ]);
    expect(got).toEqual([1]);
  });

  it("lets the core hear of a stale alive from elsewhere, which no delegate is asked about (M-170)", () => {
    const { hub } = memory;
    const member = hub.intern("m");
    const home = hub.internAddress(mapped(10, 1, 2, 3), 1000);
    a.queueAlive(member, home, 3, null);
    a.gossip(toB);
    arrive(1);
    const asked: number[][] = [];
    const told: number[] = [];
    const isElsewhere = (...args: number[]): boolean => asked.push(args) > 0;
    const handleAlive = (_: number, subject: number) => void told.push(subject);
    const allowsAlive = (): boolean => {
      throw new Error("asked about what changes nothing");
    };
    expect(dispatchAll({ isStale: () => true, isElsewhere, handleAlive }, { allowsAlive })).toEqual([true]);
    expect([asked, told]).toEqual([[[member, home]], [member]]);
  });

  it("reads an alive in place, IPv4 and IPv6, and lets the node refuse it", () => {
    const { hub } = memory;
    a.queueAlive(hub.intern("v4"), hub.internAddress(mapped(10, 1, 2, 3), 1000), 1, Uint8Array.of(9, 8));
    a.queueAlive(hub.intern("v6"), hub.internAddress(loopback6, 2000), 2, new Uint8Array(0));
    a.queueAlive(hub.intern("unwanted"), fromA, 3, null);
    a.gossip(toB);
    arrive(1);
    const seen: unknown[][] = [];
    const handleAlive = (_nowMs: number, subject: number, incarnation: number, alive: RingReader): void => {
      const into = new Uint8Array(16);
      const port = alive.ip(into);
      const meta = alive.meta()?.slice() ?? null;
      seen.push([alive.name(), subject === hub.find(alive.name()), incarnation, into.join("."), port, meta]);
    };
    dispatchAll({ handleAlive }, { allowsAlive: (reader) => reader.name() !== "unwanted" });
    expect(seen.sort()).toEqual([
      ["v4", true, 1, mapped(10, 1, 2, 3).join("."), 1000, Uint8Array.of(9, 8)],
      ["v6", true, 2, loopback6.join("."), 2000, null],
    ]);
  });

  it.each([
    ["that is answered and knows what we know", 5000, 7, 7, false, false],
    ["that is answered and tells no digest", 5000, 0, 7, false, false],
    ["that is answered and knows something else", 5000, 8, 7, false, true],
    ["that we have to answer", 0, 7, 7, false, true],
    ["that ends our deafness", 5000, 7, 7, true, true],
  ])("asks for a turn for a ping %s: %#", (_, stallToleranceMs, theirs, ours, wasDeaf, isTurn) => {
    const c = open("c", stallToleranceMs);
    a.setDigest(theirs, 0);
    a.ping(toB, memory.hub.find("c"), 1);
    for (const { bytes } of takeAll(memory.hub)) memory.hub.deliver(c.index, fromA, bytes, 1);
    const compared: unknown[] = [];
    const handleDigest = (_nowMs: number, _from: number, low: number): boolean => {
      compared.push(low);
      return low === ours;
    };
    expect(dispatchAll({ handleDigest, handlePing: () => {}, handleHeard: () => wasDeaf })).toEqual([isTurn]);
    expect(compared).toEqual(theirs === 0 ? [] : [theirs]);
  });

  it("gives an address for the answer to a ping of a stranger, only while it is needed", () => {
    const { hub } = memory;
    hub.releaseAddress(fromA);
    fromA = hub.internAddress(mapped(10, 9, 9, 9), 999);
    a.ping(toB, hub.find("b"), 31);
    arrive(1);
    hub.releaseAddress(fromA);
    let source = "";
    dispatchAll({
      handlePing: (_nowMs: number, _from: number, address: number, seq: number, answered: boolean) => {
        source = `${textOf(address)} ${seq} ${answered}`;
        b.ack(address, seq, true);
      },
    });
    expect(source).toBe("10.9.9.9:999 31 false");
    expect(takeAll(hub)).toHaveLength(1);
  });

  it("gives a ping request addresses that the core can keep, although nobody else holds them any more", () => {
    const { hub } = memory;
    const target = hub.internAddress(mapped(10, 0, 0, 3), 7003);
    a.pingRequest(toB, hub.intern("t"), target, 9);
    arrive(1);
    hub.releaseAddress(fromA);
    hub.releaseAddress(target);
    let kept = 0;
    let aim = "";
    dispatchAll({
      handlePingRequest: (_nowMs: number, requester: number, _target: number, address: number) => {
        hub.retainAddress(requester);
        kept = requester;
        aim = textOf(address);
      },
    });
    for (let port = 1; port < 500; port++) hub.internAddress(mapped(10, 5, 5, 5), port);
    expect([textOf(kept), aim]).toEqual(["10.0.0.1:7001", "10.0.0.3:7003"]);
    hub.releaseAddress(kept);
  });

  it("copies a payload, which then outlives its record", () => {
    const sent = Uint8Array.from({ length: 300 }, (_, index) => index);
    a.message(toB, sent);
    arrive(1);
    const got: Uint8Array[] = [];
    dispatchAll({}, { handleMessage: (reader) => void got.push(reader.payload()) });
    expect(got).toEqual([sent]);
  });
});
