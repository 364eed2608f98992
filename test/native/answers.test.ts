import { afterEach, describe, expect, it } from "vitest";
import type { Endpoint } from "../../src/wire/addon.js";
import { RecordKind } from "../../src/wire/generated/wire/record-kind.js";
import { addon, backends, Counter, keyringOf, mapped, randomKey, TestHub, takeAll } from "../support/hub.js";

let hub: TestHub | undefined;
afterEach(() => hub?.close());

const payload = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7) & 255);

for (const backend of backends) {
  describe(`the ack payload on the ${backend} back end (M-089)`, () => {
    it("is in every instant ack, as it was set last, and gone when it is taken away", async () => {
      const h = (hub = new TestHub(backend));
      const [a, b] = [h.open("a"), h.open("b")];
      for (const given of [payload(1), payload(256), payload(3), null]) {
        b.setAckPayload(given);
        h.received.length = 0;
        a.ping(h.addressOf(b), h.hub.find("b"), 7);
        h.hub.flush();
        const ack = () => h.received.find(({ kind }) => kind === RecordKind.ack);
        await h.until(() => ack() !== undefined, "the ack");
        expect(ack()?.seq).toBe(7);
        expect(ack()?.bytes).toEqual(given ?? new Uint8Array(0));
      }
    });

    it("changes while acks go out, and each ack has one or the other whole", async () => {
      const h = (hub = new TestHub(backend));
      const [a, b] = [h.open("a"), h.open("b")];
      const [low, high] = [new Uint8Array(200).fill(1), new Uint8Array(250).fill(2)];
      b.setAckPayload(low);
      const to = h.addressOf(b);
      for (let i = 0; i < 500; i++) {
        a.ping(to, h.hub.find("b"), i + 1);
        h.hub.flush();
        b.setAckPayload(i % 2 === 0 ? high : low);
        if (i % 20 === 0) await h.until(() => h.counter(b, Counter.instantAcks) > i - 20, "acks");
      }
      await h.until(() => h.received.filter(({ kind }) => kind === RecordKind.ack).length === 500, "all acks");
      for (const { kind, bytes } of h.received) {
        if (kind === RecordKind.ack) expect([low, high]).toContainEqual(bytes);
      }
    });
  });
}

for (const backend of backends) {
  it(`pings beyond the limit are not answered on the ${backend} back end, and counted`, async () => {
    const h = (hub = new TestHub(backend));
    const [a, b] = [h.open("a"), h.open("b", { pingsPerSecond: 1 })];
    const many = 200;
    for (let i = 0; i < many; i++) {
      a.ping(h.addressOf(b), h.hub.find("b"), i + 1);
      h.hub.flush();
    }
    const [answered, dropped] = [() => h.counter(b, Counter.instantAcks), () => h.counter(b, Counter.dropRateLimited)];
    await h.until(() => answered() + dropped() === many, "the fate of every ping");
    expect(answered()).toBeGreaterThanOrEqual(2);
    expect(dropped()).toBeGreaterThan(many / 2);
  });
}

/** Two endpoints of a manual hub. */
function pair(options: Parameters<TestHub["open"]>[1], other = options): [TestHub, Endpoint, Endpoint, number, number] {
  const h = (hub = new TestHub("manual"));
  const [a, b] = [h.open("a", options), h.open("b", other)];
  return [h, a, b, h.hub.internAddress(mapped(10, 0, 0, 1), 1), h.hub.internAddress(mapped(10, 0, 0, 2), 2)];
}

describe("an answer", () => {
  it("goes to where the datagram came from, whoever composed it and wherever that member lives (E-71)", () => {
    const [h, a, b, fromA, toB] = pair({});
    const elsewhere = h.hub.internAddress(mapped(10, 9, 9, 9), 9999);
    const into = new Uint8Array(2048);
    const info = new Uint32Array(3);
    for (const source of [fromA, elsewhere]) {
      a.ping(toB, h.hub.find("b"), 1);
      for (const { bytes } of takeAll(h.hub)) h.hub.deliver(b.index, source, bytes, 1);
      h.drain();
      expect(h.hub.takeOutgoing(into, info)).toBe(true);
      expect([info[0], info[1]]).toEqual([b.index, source]);
      expect(h.hub.takeOutgoing(into, info)).toBe(false);
    }
  });
});

describe("an ack that JavaScript sends", () => {
  it("carries the payload when it is our own, and not when it is passed on", () => {
    const [h, a, b, fromA, toB] = pair({});
    a.setAckPayload(payload(20));
    for (const isOwn of [true, false]) {
      a.ack(toB, 5, isOwn);
      for (const { bytes } of takeAll(h.hub)) h.hub.deliver(b.index, fromA, bytes, 1);
      expect(h.drain().map(({ bytes }) => bytes)).toEqual([isOwn ? payload(20) : new Uint8Array(0)]);
    }
  });

  it("stays within the datagram, payload, gossip and all", () => {
    const [h, a, , , toB] = pair({ datagramBytes: 512 });
    a.setAckPayload(payload(addon.layout.maxAckPayloadBytes));
    for (let i = 0; i < 50; i++) a.queueSuspect(h.hub.intern(`m${i}`), h.hub.find("a"), 1, 0);
    a.ack(toB, 5, true);
    expect(takeAll(h.hub).map(({ bytes }) => bytes.length <= 512)).toEqual([true]);
  });

  it("has no more payload than the limit", () => {
    const [, a] = pair({});
    expect(() => a.setAckPayload(payload(addon.layout.maxAckPayloadBytes + 1))).toThrow(/too long/);
  });
});

describe("the limit of pings and ping requests", () => {
  const limited = { pingsPerSecond: 10 } as const;

  it("serves a burst of twice the rate, then the rate, to each source", () => {
    const [h, a, b, fromA, toB] = pair(limited);
    const served = (nowMs: number, source = fromA): number => {
      a.ping(toB, h.hub.find("b"), 1);
      for (const { bytes } of takeAll(h.hub)) h.hub.deliver(b.index, source, bytes, nowMs);
      return h.drain().filter(({ kind }) => kind === RecordKind.ping).length;
    };
    const many = (count: number, nowMs: number, source = fromA): number => {
      let sum = 0;
      for (let i = 0; i < count; i++) sum += served(nowMs, source);
      return sum;
    };
    expect(many(100, 1000)).toBe(20);
    expect(h.counter(b, Counter.dropRateLimited)).toBe(80);
    expect(many(100, 1500)).toBe(5);
    expect(many(5, 1500, h.hub.internAddress(mapped(10, 0, 0, 1), 2))).toBe(5);
    expect(many(100, 60_000)).toBe(20);
  });

  it("counts ping requests in, and leaves the rest of their datagrams alone", () => {
    const [h, a, b, fromA, toB] = pair(limited);
    const kinds: RecordKind[] = [];
    for (let i = 0; i < 30; i++) {
      a.queueSuspect(h.hub.intern(`m${i}`), h.hub.find("a"), 1, 0);
      a.pingRequest(toB, h.hub.find("b"), toB, i);
      for (const { bytes } of takeAll(h.hub)) h.hub.deliver(b.index, fromA, bytes, 1000);
      kinds.push(...h.drain().map(({ kind }) => kind));
    }
    expect(kinds.filter((kind) => kind === RecordKind.pingRequest)).toHaveLength(20);
    expect(kinds.filter((kind) => kind === RecordKind.suspect).length).toBeGreaterThanOrEqual(30);
    expect(h.counter(b, Counter.dropRateLimited)).toBe(10);
  });

  it("limits nothing when it is 0, and acks never", () => {
    const [h, a, b, fromA, toB] = pair({ pingsPerSecond: 0 });
    for (let i = 0; i < 1000; i++) {
      a.ping(toB, h.hub.find("b"), i);
      for (const { bytes } of takeAll(h.hub)) h.hub.deliver(b.index, fromA, bytes, 1);
      h.drain();
    }
    expect([h.counter(b, Counter.dropRateLimited), h.counter(b, Counter.recordsReceived)]).toEqual([0, 1000]);
  });
});

describe("the steps of a roll-out of encryption (M-188)", () => {
  const keyring = keyringOf(randomKey());
  const steps = {
    plain: { keyring: null, verify: true, encrypt: true },
    first: { keyring, verify: false, encrypt: false },
    second: { keyring, verify: false, encrypt: true },
    full: { keyring, verify: true, encrypt: true },
  } as const;
  type Step = keyof typeof steps;

  /** Whether a datagram, and a stream chunk, of one step are understood in the other. */
  function passes(from: Step, to: Step): [boolean, boolean] {
    const [h, a, b, fromA, toB] = pair({ keyring: steps[from].keyring }, { keyring: steps[to].keyring });
    a.setEncryption(steps[from].verify, steps[from].encrypt);
    b.setEncryption(steps[to].verify, steps[to].encrypt);
    a.message(toB, payload(3));
    const delivered = takeAll(h.hub).map(({ bytes }) => h.hub.deliver(b.index, fromA, bytes, 1));
    const chunk = a.seal(minimalFrame, new Uint8Array(8));
    const opened = b.open(chunk, new Uint8Array(8));
    h.close();
    return [delivered[0] === true, typeof opened !== "number"];
  }

  it.each([
    ["plain", "first"],
    ["first", "plain"],
    ["first", "first"],
    ["first", "second"],
    ["second", "first"],
    ["second", "second"],
    ["second", "full"],
    ["full", "second"],
    ["full", "full"],
  ] as const)("%s is understood by %s", (from, to) => {
    expect(passes(from, to)).toEqual([true, true]);
  });

  it.each([
    ["plain", "full"],
    ["full", "plain"],
    ["first", "full"],
    ["second", "plain"],
  ] as const)("%s is refused by %s", (from, to) => {
    expect(passes(from, to)).toEqual([false, false]);
  });
});

/** A root table of FlatBuffers without a field: the smallest Frame. */
const minimalFrame = Uint8Array.of(8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0);
