import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { Random } from "../../src/random.js";
import type { Endpoint } from "../../src/wire/addon.js";
import { BroadcastEnd } from "../../src/wire/generated/wire/broadcast-end.js";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { RecordKind } from "../../src/wire/generated/wire/record-kind.js";
import { addon, Counter, keyringOf, loopback6, mapped, randomKey, TestHub, takeAll } from "../support/hub.js";

let hub: TestHub;
afterEach(() => hub.close());

function setUp(options: Parameters<TestHub["open"]>[1] = {}): { a: Endpoint; b: Endpoint; fromA: number; toB: number } {
  hub = new TestHub("manual", { records: 65_536, slabBytes: 16 << 20 });
  const a = hub.open("a", options);
  const b = hub.open("b", options);
  const fromA = hub.hub.internAddress(mapped(10, 0, 0, 1), 1);
  return { a, b, fromA, toB: hub.hub.internAddress(mapped(10, 0, 0, 2), 2) };
}

function queueAlives(endpoint: Endpoint, count: number, meta: Uint8Array | null = null): void {
  for (let i = 0; i < count; i++) {
    const name = `member-${String(i).padStart(5, "0")}`;
    endpoint.queueAlive(hub.hub.intern(name), hub.hub.internAddress(mapped(10, 1, i >> 8, i & 255), 7946), i + 1, meta);
  }
}

describe("gossip", () => {
  it("fits at least 20 alives with 12-byte names into 1,400 bytes", () => {
    const { a, toB } = setUp({ keyring: keyringOf(randomKey()) });
    queueAlives(a, 100);
    expect(a.gossip(toB)).toBeGreaterThanOrEqual(20);
    expect(takeAll(hub.hub)[0]?.bytes.length).toBeLessThanOrEqual(1400);
  });

  it("names the address of an alive when both it and the member are known (M-170)", () => {
    const { a, b, fromA, toB } = setUp();
    const homes = [mapped(10, 0, 9, 1), loopback6, mapped(10, 0, 9, 3)].map((ip) => hub.hub.internAddress(ip, 7946));
    const members = ["known", "known6", "strange"].map((name) => hub.hub.intern(name));
    for (const i of [0, 1, 2]) a.queueAlive(members[i] as number, homes[i] as number, 1, null);
    a.gossip(toB);
    hub.hub.releaseAddress(homes[2] as number);
    for (const { bytes } of takeAll(hub.hub)) hub.hub.deliver(b.index, fromA, bytes, 1);
    const found = new Map(hub.drain().map(({ subject, address }) => [subject, address]));
    expect(members.map((member) => found.get(member))).toEqual([homes[0], homes[1], 0]);
  });

  it("arrives as it was queued", () => {
    const { a, b, fromA, toB } = setUp();
    const address = hub.hub.internAddress(mapped(192, 168, 3, 4), 7946);
    const address6 = hub.hub.internAddress(loopback6, 65_535);
    const [v4, v6, suspect, dead] = ["v4", "v6", "suspect", "dead"].map((name) => hub.hub.intern(name)) as number[];
    a.queueAlive(v4 as number, address, 7, Buffer.from("meta"));
    a.queueAlive(v6 as number, address6, 4_294_967_295, null);
    a.queueSuspect(suspect as number, hub.hub.find("a"), 3, Evidence.refused);
    a.queueDeath(dead as number, dead as number, 9, Evidence.farewell);
    a.queueMessage(hub.hub.find("a"), 5, 6, Buffer.from("hello"), 0);
    expect(a.gossip(toB)).toBe(5);
    const [datagram] = takeAll(hub.hub);
    expect(hub.hub.deliver(b.index, fromA, datagram?.bytes ?? new Uint8Array(), 12.5)).toBe(true);
    const records = hub.drain();
    const of = (kind: RecordKind, subject?: number) =>
      records.find((record) => record.kind === kind && (subject === undefined || record.subject === subject));
    expect(of(RecordKind.alive, v4)).toMatchObject({ incarnation: 7, receivedAtMs: 12.5 });
    expect(of(RecordKind.alive, v6)).toMatchObject({ incarnation: 4_294_967_295 });
    expect(of(RecordKind.suspect)).toMatchObject({ subject: suspect, from: hub.hub.find("a"), incarnation: 3 });
    expect((of(RecordKind.suspect)?.flags ?? 0) >> addon.layout.evidenceShift).toBe(Evidence.refused);
    expect(of(RecordKind.death)).toMatchObject({ subject: dead, from: dead, incarnation: 9 });
    expect(of(RecordKind.message)).toMatchObject({ from: hub.hub.find("a"), wideLow: 5, wideHigh: 6 });
    expect(Buffer.from(of(RecordKind.message)?.bytes ?? []).toString()).toBe("hello");
  });

  it("never exceeds the datagram, whatever is queued", () => {
    const record = fc.record({
      kind: fc.constantFrom("alive4", "alive6", "suspect", "death", "message"),
      name: fc.string({ minLength: 1, maxLength: 60, unit: "grapheme-ascii" }),
      bytes: fc.integer({ min: 0, max: 300 }),
    });
    const sealed = keyringOf(randomKey());
    fc.assert(
      fc.property(
        fc.array(record, { minLength: 1, maxLength: 80 }),
        fc.integer({ min: 512, max: 1500 }),
        (list, bytes) => {
          const { a, b, fromA, toB } = setUp({ keyring: sealed, datagramBytes: bytes });
          const address4 = hub.hub.internAddress(mapped(10, 9, 8, 7), 1);
          const address6 = hub.hub.internAddress(loopback6, 2);
          for (const { kind, name, bytes: extra } of list) {
            const subject = hub.hub.intern(name);
            if (kind === "alive4") a.queueAlive(subject, address4, 1, new Uint8Array(extra));
            if (kind === "alive6") a.queueAlive(subject, address6, 1, new Uint8Array(extra));
            if (kind === "suspect") a.queueSuspect(subject, hub.hub.find("a"), 1, 0);
            if (kind === "death") a.queueDeath(subject, subject, 1, 3);
            if (kind === "message") a.queueMessage(hub.hub.find("a"), 1, 2, new Uint8Array(extra), 0);
          }
          for (let i = 0; i < 5; i++) {
            a.gossip(toB);
            a.ping(toB, hub.hub.find("b"), 1);
            a.pingRequest(toB, hub.hub.find("b"), address6, 1);
            a.ack(toB, 1, true);
            a.nack(toB, 1);
          }
          for (const datagram of takeAll(hub.hub)) {
            expect(datagram.bytes.length).toBeLessThanOrEqual(bytes);
            expect(hub.hub.deliver(b.index, fromA, datagram.bytes, 1)).toBe(true);
          }
          expect(hub.counter(b, Counter.dropMalformed)).toBe(0);
          hub.close();
        },
      ),
      { numRuns: 150 },
    );
  });

  it("sends a large message although small ones that were sent less often never end", () => {
    const { a, toB } = setUp();
    a.setClusterSize(50);
    const [self, limit] = [hub.hub.find("a"), 12];
    a.queueMessage(self, 0, 1, new Uint8Array(1000), 7);
    // With the first datagram, where all are new, and with every second one.
    for (let round = 1; round < 2 * (limit - 1); round++) {
      for (const of of [0, 1]) a.queueMessage(self, 2 * round + of, 1, new Uint8Array(256), 0);
      a.gossip(toB);
      takeAll(hub.hub);
    }
    expect([...a.takeFinished()]).toEqual([]);
    a.gossip(toB);
    expect([...a.takeFinished()]).toEqual([7, BroadcastEnd.sent]);
  });

  it("ends after the transmit limit", () => {
    const { a, toB } = setUp();
    a.setClusterSize(99);
    queueAlives(a, 1);
    let sent = 0;
    while (a.gossip(toB) > 0) sent++;
    expect(sent).toBe(8);
    expect(a.queueDepth()).toBe(0);
  });

  it("passes a record on without decoding it, unknown accusers and fresh names included", () => {
    const { a, b, fromA, toB } = setUp();
    queueAlives(a, 3, Buffer.from("some meta"));
    a.gossip(toB);
    const [first] = takeAll(hub.hub);
    hub.hub.deliver(b.index, fromA, first?.bytes ?? new Uint8Array(), 1);
    for (let i = 0; i < 3; i++) b.relay(hub.hub.readIndex() + i);
    expect(b.queueDepth()).toBe(3);
    hub.drain();
    expect(b.gossip(fromA)).toBe(3);
    const [second] = takeAll(hub.hub);
    hub.hub.deliver(a.index, toB, second?.bytes ?? new Uint8Array(), 2);
    const relayed = hub.drain().map(({ subject, incarnation }) => [subject, incarnation].join());
    const original = hub.received.slice(0, 3).map(({ subject, incarnation }) => [subject, incarnation].join());
    expect(relayed.sort()).toEqual(original.sort());
  });

  it.each(["own", "relayed"])(
    "sends all that it counts as sent, whatever comes together with messages, %s",
    (whose) => {
      const { a, b, fromA, toB } = setUp();
      const random = new Random(7);
      a.setClusterSize(100);
      const accuser = hub.hub.find("a");
      let sent = 0;
      for (let round = 0; round < 2000; round++) {
        const payload = new Uint8Array(8 + random.below(120));
        if (whose === "own") a.queueMessage(accuser, round, 1, payload, 0);
        else {
          b.queueMessage(hub.hub.find("b"), round, 1, payload, 0);
          b.gossip(toB);
          for (const { bytes } of takeAll(hub.hub)) hub.hub.deliver(a.index, fromA, bytes, 1);
          for (let left = hub.hub.poll(), at = hub.hub.readIndex(); left > 0; left--, at++) a.relay(at);
          hub.hub.consume(hub.hub.poll());
        }
        const member = hub.hub.intern(`m${"x".repeat(random.below(9))}${random.below(60)}`);
        const versions = random.below(2) === 0 ? -1 : 0x060504030201;
        if (random.below(3) === 0) a.queueSuspect(member, accuser, round + 1, Evidence.timeout);
        else a.queueAlive(member, toB, round + 1, new Uint8Array(5 * random.below(2)), versions);
        if (round % 3 === 0) sent += a.gossip(toB);
        takeAll(hub.hub);
      }
      expect(hub.counter(a, Counter.recordsSent)).toBe(sent);
    },
  );

  // Until a message of so many bytes has had its 16 sends while there is always news of members.
  function datagramsUntilSent(bytesOf: (most: number) => number): number {
    const { a, toB } = setUp();
    a.setClusterSize(2000);
    queueAlives(a, 2000);
    a.queueMessage(hub.hub.find("a"), 1, 1, new Uint8Array(bytesOf(a.maxMessageBytes())), 0);
    let datagrams = 0;
    while (a.messageDepth() > 0 && datagrams < 100) {
      a.gossip(toB);
      datagrams++;
    }
    return datagrams;
  }

  it("keeps user messages from starving behind membership", () => {
    expect(datagramsUntilSent(() => 200)).toBeLessThanOrEqual(16 * 2);
  });

  it("lets the largest user message out whenever its share adds up to it", () => {
    expect(datagramsUntilSent((most) => most)).toBe(16 / 0.25);
  });

  it("refuses payloads that can never fit, and takes the largest that do", () => {
    const { a, toB } = setUp({ keyring: keyringOf(randomKey()) });
    const most = a.maxMessageBytes();
    const self = hub.hub.find("a");
    expect(a.message(toB, new Uint8Array(most + 1))).toBe(false);
    expect(a.queueMessage(self, 1, 1, new Uint8Array(most + 1), 0)).toBe(false);
    expect(a.message(toB, new Uint8Array(most))).toBe(true);
    expect(a.queueMessage(self, 1, 1, new Uint8Array(most), 0)).toBe(true);
    expect(a.gossip(toB)).toBe(1);
    for (const datagram of takeAll(hub.hub)) expect(datagram.bytes.length).toBeLessThanOrEqual(1400);
  });
});

describe("what one member is told", () => {
  it("arrives like gossip, and leaves the queue alone", () => {
    const { a, b, fromA, toB } = setUp();
    const address = hub.hub.internAddress(mapped(192, 168, 3, 4), 7946);
    const [x, y] = ["x", "y"].map((name) => hub.hub.intern(name)) as [number, number];
    a.queueDeath(y, hub.hub.find("a"), 1, Evidence.expired);
    expect(a.tellAlive(toB, x, address, 7, Buffer.from("meta"), 0x060504030201)).toBe(true);
    expect(a.tellDeath(toB, y, hub.hub.find("a"), 9, Evidence.hearsay)).toBe(true);
    expect(a.queueDepth()).toBe(1);
    const datagrams = takeAll(hub.hub);
    expect(datagrams.map(({ bytes }) => Buffer.from(bytes).includes("meta"))).toEqual([true, false]);
    for (const { bytes } of datagrams) hub.hub.deliver(b.index, fromA, bytes, 1);
    const [alive, death] = hub.drain();
    expect(alive).toMatchObject({ kind: RecordKind.alive, subject: x, incarnation: 7 });
    expect(death).toMatchObject({ kind: RecordKind.death, subject: y, from: hub.hub.find("a"), incarnation: 9 });
    expect((death?.flags ?? 0) >> addon.layout.evidenceShift).toBe(Evidence.hearsay);
  });

  it("is not sent about nobody, to nobody, or when it fits no datagram", () => {
    const { a, toB } = setUp();
    const address = hub.hub.internAddress(mapped(192, 168, 3, 4), 7946);
    const x = hub.hub.intern("x");
    expect(a.tellAlive(toB, x, 9999, 1, null, -1)).toBe(false);
    expect(a.tellAlive(toB, 9999, address, 1, null, -1)).toBe(false);
    expect(a.tellAlive(9999, x, address, 1, null, -1)).toBe(false);
    expect(a.tellAlive(toB, x, address, 1, new Uint8Array(1400), -1)).toBe(false);
    expect(takeAll(hub.hub)).toEqual([]);
  });
});

describe("the slab", () => {
  it("is overwritten once a record is consumed, so a kept view shows", () => {
    const { a, b, fromA, toB } = setUp();
    a.message(toB, new Uint8Array(64).fill(0x41));
    const [datagram] = takeAll(hub.hub);
    hub.hub.deliver(b.index, fromA, datagram?.bytes ?? new Uint8Array(), 1);
    const slab = new Uint8Array(hub.slab);
    const at = Buffer.from(slab).indexOf("AAAA");
    expect(at).toBeGreaterThan(0);
    hub.hub.consume(1);
    expect(slab[at]).toBe(0xdd);
  });

  it("survives many laps with datagrams of every size", () => {
    hub = new TestHub("manual", { records: 64, slabBytes: 8192 });
    const a = hub.open("a");
    const b = hub.open("b");
    const [fromA, toB] = [hub.hub.internAddress(mapped(1, 1, 1, 1), 1), hub.hub.internAddress(mapped(2, 2, 2, 2), 2)];
    for (let i = 0; i < 2000; i++) {
      const bytes = (i * 37) % a.maxMessageBytes();
      a.message(toB, new Uint8Array(bytes).fill(i & 255));
      const [datagram] = takeAll(hub.hub);
      expect(hub.hub.deliver(b.index, fromA, datagram?.bytes ?? new Uint8Array(), i)).toBe(true);
      const [record] = hub.drain();
      expect(record?.bytes.length).toBe(bytes);
      expect(record?.bytes.every((byte) => byte === (i & 255))).toBe(true);
    }
  });
});

describe("handles", () => {
  it("of names are shared, counted, and not reused while the ring may name them", () => {
    const { a, b, fromA, toB } = setUp();
    const first = hub.hub.intern("x");
    expect(hub.hub.intern("x")).toBe(first);
    a.queueSuspect(first, hub.hub.find("a"), 1, 0);
    a.gossip(toB);
    const [datagram] = takeAll(hub.hub);
    hub.hub.deliver(b.index, fromA, datagram?.bytes ?? new Uint8Array(), 1);
    while (a.gossip(toB) > 0) takeAll(hub.hub);
    a.queueSuspect(hub.hub.find("b"), hub.hub.find("a"), 1, 0);
    hub.hub.release(first);
    hub.hub.release(first);
    expect(hub.hub.find("x")).toBe(0);
    expect(hub.hub.intern("y")).not.toBe(first);
    hub.drain();
    const reused = ["p", "q", "r"].map((name) => hub.hub.intern(name));
    expect(reused).toContain(first);
    expect(hub.hub.nameOf(first)).not.toBe("x");
  });

  it("of addresses give the address back", () => {
    setUp();
    const handle = hub.hub.internAddress(mapped(1, 2, 3, 4), 5678);
    const ip = new Uint8Array(16);
    expect(hub.hub.addressOf(handle, ip)).toBe(5678);
    expect(ip).toEqual(mapped(1, 2, 3, 4));
    expect(hub.hub.addressOf(0, ip)).toBe(0);
    expect(hub.hub.internAddress(new Uint8Array(4), 1)).toBe(0);
  });
});

describe("stream chunks", () => {
  it("open only with the context they were sealed with, and only as frames", () => {
    const { a, b } = setUp({ keyring: keyringOf(randomKey()) });
    const context = Uint8Array.of(1, 2, 3);
    const notAFrame = a.seal(new Uint8Array(32).fill(255), context);
    expect(b.open(notAFrame, context)).toBe(Counter.dropMalformed);
    expect(b.open(notAFrame, Uint8Array.of(1, 2, 4))).toBe(Counter.dropUnsealable);
    expect(b.open(new Uint8Array(), context)).toBe(Counter.dropTruncated);
    expect(hub.counter(b, Counter.framesRejected)).toBe(3);
  });
});
