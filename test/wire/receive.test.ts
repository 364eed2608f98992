import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Endpoint, Hub } from "../../src/wire/addon.js";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { RecordKind } from "../../src/wire/generated/wire/record-kind.js";
import { RingReader } from "../../src/wire/receive.js";
import { addon, keyringOf, loopback6, mapped, randomKey, takeAll } from "../support/hub.js";

/** Small, so that both the ring and the slab wrap around many times; poisoned, so that a kept view shows. */
const ringRecords = 64;
const slabBytes = 1 << 16;
const sourceIp = mapped(10, 0, 0, 1);
const sourcePort = 7001;
const keyring = keyringOf(randomKey());

let hub: Hub;
let reader: RingReader;
let a: Endpoint;
let b: Endpoint;
let toB: number;

function open(name: string, stallToleranceMs = 5000): Endpoint {
  const self = hub.intern(name);
  const fixed = {
    cluster: "test",
    pingsPerSecond: 0,
    datagramBytes: 1400,
    retransmitMult: 4,
    queueRecords: 1000,
    messageShare: 0.5,
  };
  return hub.open({ ip: new Uint8Array(16), port: 1, self, keyring, stallToleranceMs, ...fixed });
}

beforeEach(() => {
  const { layout } = addon;
  const ring = new ArrayBuffer(ringRecords * layout.recordWords * 4);
  const slab = new ArrayBuffer(slabBytes);
  const counters = new ArrayBuffer(8 * layout.countersPerEndpoint * 8);
  const memory = { ring, slab, counters, heard: new ArrayBuffer(64) };
  const sizes = { maxEndpoints: 8, transmitBytes: 1 << 20, maxDatagramBytes: 65_535, poison: true };
  hub = new addon.Hub({ backend: "manual", ...memory, ...sizes }, () => {});
  reader = new RingReader(layout, ring, slab);
  a = open("a");
  b = open("b");
  toB = hub.internAddress(mapped(10, 0, 0, 2), 7002);
});
afterEach(() => hub.close());

/** Carries everything that was sent to b, and calls for each record that arrives. */
function carry(nowMs: number, read: (reader: RingReader) => void, source = sourceIp): number {
  const from = hub.internAddress(source, sourcePort);
  let count = 0;
  for (const { bytes } of takeAll(hub)) {
    expect(hub.deliver(b.index, from, bytes, nowMs)).toBe(true);
    const records = hub.poll();
    for (let i = 0; i < records; i++) {
      reader.select(hub.readIndex() + i);
      read(reader);
    }
    hub.consume(records);
    count += records;
  }
  return count;
}

function only<T>(read: (reader: RingReader) => T, nowMs = 1, source = sourceIp): T {
  const got: T[] = [];
  expect(carry(nowMs, (one) => got.push(read(one)), source)).toBe(1);
  return got[0] as T;
}

describe("the reader of the receive ring", () => {
  it("reads a ping, with where it came from", () => {
    a.ping(toB, hub.find("b"), 4_294_967_295);
    const ip = new Uint8Array(16);
    const ping = only((one) => {
      const { kind, endpoint, from, seq, receivedAtMs, isAnswered } = one;
      return { kind, endpoint, from, seq, receivedAtMs, isAnswered, port: one.sourceAddress(ip) };
    }, 12.625);
    expect(ping).toEqual({
      kind: RecordKind.ping,
      endpoint: b.index,
      from: hub.find("a"),
      seq: 4_294_967_295,
      receivedAtMs: 12.625,
      isAnswered: true,
      port: sourcePort,
    });
    expect([...ip]).toEqual([...sourceIp]);
  });

  it("reads the address of an IPv6 source", () => {
    a.ping(toB, hub.find("b"), 1);
    const ip = new Uint8Array(16);
    expect(only((one) => one.sourceAddress(ip), 1, loopback6)).toBe(sourcePort);
    expect([...ip]).toEqual([...loopback6]);
  });

  it("says when a ping still wants its answer", () => {
    const c = open("c", 0);
    a.ping(toB, hub.find("c"), 3);
    const [datagram] = takeAll(hub);
    hub.deliver(c.index, hub.internAddress(sourceIp, 1), datagram?.bytes ?? new Uint8Array(0), 1);
    reader.select(hub.readIndex());
    expect([reader.endpoint, reader.isAnswered, reader.seq]).toEqual([c.index, false, 3]);
  });

  it("reads acks and nacks", () => {
    a.ack(toB, 77, true);
    expect(only(({ kind, seq, from }) => [kind, seq, from])).toEqual([RecordKind.ack, 77, hub.find("a")]);
    a.nack(toB, 78);
    expect(only(({ kind, seq, from }) => [kind, seq, from])).toEqual([RecordKind.nack, 78, hub.find("a")]);
  });

  it("reads whom a ping request is about, at either kind of address", () => {
    for (const target of [mapped(192, 168, 255, 1), loopback6]) {
      const address = hub.internAddress(target, 65_535);
      const member = hub.intern("target");
      a.pingRequest(toB, member, address, 9);
      const ip = new Uint8Array(16);
      const got = only((one) => [one.kind, one.subject, one.seq, one.requestAddress(ip)]);
      expect(got).toEqual([RecordKind.pingRequest, member, 9, 65_535]);
      expect([...ip]).toEqual([...target]);
    }
  });

  it("reads accusations with their evidence", () => {
    const [subject, accuser] = [hub.intern("subject"), hub.intern("accuser")];
    for (const evidence of [
      Evidence.timeout,
      Evidence.refused,
      Evidence.hearsay,
      Evidence.farewell,
      Evidence.expired,
    ]) {
      a.queueDeath(subject, accuser, 4_000_000_000, evidence);
      a.gossip(toB);
      const got = only((one) => [one.kind, one.subject, one.from, one.incarnation, one.evidence]);
      expect(got).toEqual([RecordKind.death, subject, accuser, 4_000_000_000, evidence]);
    }
    a.queueSuspect(subject, accuser, 1, Evidence.timeout);
    a.gossip(toB);
    expect(only(({ kind, subject: known }) => [kind, known])).toEqual([RecordKind.suspect, subject]);
  });

  it("gives payloads that stay when the slab is overwritten", () => {
    const kept: Uint8Array[] = [];
    for (let i = 0; i < 200; i++) {
      a.message(toB, new Uint8Array(1000).fill(i));
      kept.push(only((one) => one.payload()));
    }
    for (const [i, payload] of kept.entries()) {
      expect(payload).toHaveLength(1000);
      expect(new Set(payload)).toEqual(new Set([i & 255]));
    }
  });

  it("tells direct messages from broadcasts and reads all 64 bits of their sequence", () => {
    a.message(toB, new Uint8Array(0));
    expect(only((one) => [one.isDirect, one.from, one.payload().length])).toEqual([true, hub.find("a"), 0]);
    a.queueMessage(hub.intern("origin"), 0xfffffffe, 0x89abcdef, Buffer.from("x"), 0);
    a.gossip(toB);
    const got = only((one) => [one.isDirect, one.from, one.sequenceLow, one.sequenceHigh]);
    expect(got).toEqual([false, hub.find("origin"), 0xfffffffe, 0x89abcdef]);
  });

  it("counts those who passed a broadcast on, up to 255", () => {
    const from = hub.internAddress(sourceIp, sourcePort);
    a.queueMessage(hub.find("a"), 1, 2, Buffer.from("x"), 0);
    for (let passed = 0; passed < 258; passed++) {
      const [sender, receiver] = passed % 2 === 0 ? [a, b] : [b, a];
      sender.gossip(toB);
      for (const { bytes } of takeAll(hub)) hub.deliver(receiver.index, from, bytes, 1);
      let most = 0;
      const records = hub.poll();
      for (let i = 0; i < records; i++) {
        reader.select(hub.readIndex() + i);
        most = Math.max(most, reader.hops);
        if (reader.hops === Math.min(passed, 255)) receiver.relay(reader.ringIndex);
      }
      hub.consume(records);
      expect(most).toBe(Math.min(passed, 255));
    }
  });

  it("takes empty metadata for none", () => {
    const address = hub.internAddress(mapped(1, 2, 3, 4), 5);
    for (const meta of [null, new Uint8Array(0)]) {
      a.queueAlive(hub.intern("bare"), address, 1, meta);
      a.gossip(toB);
      expect(only((one) => one.meta())).toBeNull();
    }
  });

  it("keeps its place in the ring, whatever the position counts to", () => {
    const small = ringRecords - 1;
    for (const position of [0, small, ringRecords, 5 * ringRecords + 3, 2 ** 31 + 2, 2 ** 32 + 7, 2 ** 40 + 9]) {
      reader.select(position);
      expect(reader.ringIndex).toBe(position % ringRecords);
    }
  });
});

const member = fc.record({
  name: fc.oneof(
    fc.string({ minLength: 1, maxLength: 20 }),
    fc.string({ minLength: 1, maxLength: 20, unit: "binary" }),
  ),
  incarnation: fc.integer({ min: 1, max: 0xffffffff }),
  ip: fc.oneof(
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
    fc.ipV4().map((text) => mapped(...(text.split(".").map(Number) as [number, number, number, number]))),
  ),
  port: fc.integer({ min: 1, max: 65_535 }),
  meta: fc.uint8Array({ maxLength: 300 }),
  versions: fc.oneof(fc.constant(-1), fc.constant(0), fc.integer({ min: 0, max: 2 ** 48 - 1 })),
});

describe("whatever alives are queued", () => {
  it("arrive with the same name, address, incarnation, metadata and versions", () => {
    fc.assert(
      fc.property(fc.uniqueArray(member, { minLength: 1, maxLength: 12, selector: ({ name }) => name }), (members) => {
        for (const { name, ip, port, incarnation, meta, versions } of members) {
          const [subject, address] = [hub.intern(name), hub.internAddress(ip, port)];
          a.queueAlive(subject, address, incarnation, meta, versions);
          hub.release(subject);
          hub.releaseAddress(address);
        }
        const got = new Map<string, unknown>();
        while (a.queueDepth() > 0 && got.size < members.length) {
          a.gossip(toB);
          carry(1, (one) => {
            const ip = new Uint8Array(16);
            const port = one.ip(ip);
            const { incarnation, kind } = one;
            expect(kind).toBe(RecordKind.alive);
            const versions = one.versions();
            got.set(one.name(), { ip: [...ip], port, incarnation, meta: [...(one.meta() ?? [])], versions });
          });
        }
        expect(got).toEqual(
          new Map(
            members.map(({ name, ip, port, incarnation, meta, versions }) => {
              return [name, { ip: [...ip], port, incarnation, meta: [...meta], versions }];
            }),
          ),
        );
        while (a.queueDepth() > 0 && a.gossip(toB) > 0) carry(1, () => {});
      }),
      { numRuns: 200 },
    );
  });
});
