import { afterEach, describe, expect, it } from "vitest";
import type { Endpoint } from "../../src/wire/addon.js";
import { RecordKind } from "../../src/wire/generated/wire/record-kind.js";
import { addon, Counter, keyringOf, mapped, randomKey, TestHub, takeAll } from "../support/hub.js";

const key = randomKey();
let hub: TestHub;
afterEach(() => hub.close());

/** Two endpoints of a manual hub; `hub` is the network between them. */
function pair(options: Parameters<TestHub["open"]>[1] = {}, other = options): [Endpoint, Endpoint, number, number] {
  hub = new TestHub("manual");
  const a = hub.open("a", options);
  const b = hub.open("b", other);
  return [a, b, hub.hub.internAddress(mapped(10, 0, 0, 1), 1), hub.hub.internAddress(mapped(10, 0, 0, 2), 2)];
}

function onlyDatagram(): Uint8Array {
  const all = takeAll(hub.hub);
  expect(all).toHaveLength(1);
  return (all[0] as { bytes: Uint8Array }).bytes;
}

/** A sealed message from a to b. */
function sealedMessage(a: Endpoint, to: number, payload = Uint8Array.of(1, 2, 3)): Uint8Array {
  expect(a.message(to, payload)).toBe(true);
  return onlyDatagram();
}

describe("datagrams", () => {
  for (const bytes of [16, 24, 32]) {
    it(`travel sealed with AES-${bytes * 8}-GCM`, () => {
      const keyring = keyringOf(randomKey(bytes));
      const [a, b, fromA, toB] = pair({ keyring });
      const datagram = sealedMessage(a, toB, Buffer.from("a secret of the cluster"));
      expect(Buffer.from(datagram).includes("secret")).toBe(false);
      expect(hub.hub.deliver(b.index, fromA, datagram, 1)).toBe(true);
      const [record] = hub.drain();
      expect(record?.kind).toBe(RecordKind.message);
      expect(Buffer.from(record?.bytes ?? []).toString()).toBe("a secret of the cluster");
      expect(record?.from).toBe(hub.hub.find("a"));
    });
  }

  it("travel with a checksum when there is no key", () => {
    const [a, b, fromA, toB] = pair();
    const datagram = sealedMessage(a, toB);
    expect(hub.hub.deliver(b.index, fromA, datagram, 1)).toBe(true);
    expect(hub.drain()[0]?.bytes).toEqual(Uint8Array.of(1, 2, 3));
  });

  it("are refused and counted when any single bit is flipped", () => {
    for (const keyring of [keyringOf(key), null]) {
      const [a, b, fromA, toB] = pair({ keyring });
      const datagram = sealedMessage(a, toB);
      for (let bit = 0; bit < datagram.length * 8; bit++) {
        const broken = datagram.slice();
        broken[bit >> 3] = (broken[bit >> 3] as number) ^ (1 << (bit & 7));
        expect(hub.hub.deliver(b.index, fromA, broken, 1), `bit ${bit}`).toBe(false);
      }
      expect(hub.hub.poll()).toBe(0);
      expect(drops(b)).toBe(datagram.length * 8);
      hub.close();
    }
  });

  it("are refused and counted at every truncation", () => {
    const [a, b, fromA, toB] = pair({ keyring: keyringOf(key) });
    const datagram = sealedMessage(a, toB);
    for (let length = 0; length < datagram.length; length++) {
      expect(hub.hub.deliver(b.index, fromA, datagram.subarray(0, length), 1)).toBe(false);
    }
    expect(drops(b)).toBe(datagram.length);
  });

  it("are accepted once and then counted as replays", () => {
    const [a, b, fromA, toB] = pair({ keyring: keyringOf(key) });
    const datagram = sealedMessage(a, toB);
    expect(hub.hub.deliver(b.index, fromA, datagram, 1)).toBe(true);
    expect(hub.hub.deliver(b.index, fromA, datagram, 1)).toBe(false);
    expect(hub.counter(b, Counter.dropReplay)).toBe(1);
  });

  it("never use a nonce twice", () => {
    const [a, , , toB] = pair({ keyring: keyringOf(key) });
    const nonces = new Set<string>();
    for (let i = 0; i < 1000; i++) {
      nonces.add(Buffer.from(sealedMessage(a, toB).subarray(12, 24)).toString("hex"));
    }
    for (let i = 0; i < 1000; i++) {
      nonces.add(Buffer.from(a.seal(Uint8Array.of(1), Uint8Array.of()).subarray(12, 24)).toString("hex"));
    }
    expect(nonces.size).toBe(2000);
  });

  const refusals: [string, object, object, Counter][] = [
    ["another cluster", { cluster: "one" }, { cluster: "two" }, Counter.dropCluster],
    [
      "a key that is not installed",
      { keyring: keyringOf(randomKey()) },
      { keyring: keyringOf(key) },
      Counter.dropUnknownKey,
    ],
    ["a plain sender at a node with keys", { keyring: null }, { keyring: keyringOf(key) }, Counter.dropPlaintext],
    ["a sealing sender at a node without keys", { keyring: keyringOf(key) }, { keyring: null }, Counter.dropSealed],
  ];
  for (const [what, sender, receiver, counter] of refusals) {
    it(`from ${what} are dropped under a counter of their own`, () => {
      const [a, b, fromA, toB] = pair(sender, receiver);
      expect(hub.hub.deliver(b.index, fromA, sealedMessage(a, toB), 1)).toBe(false);
      expect(hub.counter(b, counter)).toBe(1);
      expect(drops(b)).toBe(1);
    });
  }

  it("of our own that come back are dropped", () => {
    const [a, , fromA, toB] = pair({ keyring: keyringOf(key) });
    expect(hub.hub.deliver(a.index, fromA, sealedMessage(a, toB), 1)).toBe(false);
    expect(hub.counter(a, Counter.dropOwn)).toBe(1);
  });

  it("open with any installed key while keys rotate", () => {
    const next = randomKey();
    const ringA = keyringOf(key);
    const ringB = keyringOf(key);
    const [a, b, fromA, toB] = pair({ keyring: ringA }, { keyring: ringB });
    const arrives = (): boolean => hub.hub.deliver(b.index, fromA, sealedMessage(a, toB), 1);
    expect(arrives()).toBe(true);
    const nextId = ringA.add(next);
    ringB.add(next);
    expect(arrives()).toBe(true);
    expect(ringA.use(nextId)).toBe(true);
    expect(arrives()).toBe(true);
    const [, oldId = 0] = ringA.ids();
    expect(ringB.use(nextId) && ringB.remove(oldId)).toBe(true);
    expect(arrives()).toBe(true);
    expect(ringA.use(oldId)).toBe(true);
    expect(arrives()).toBe(false);
    expect(hub.counter(b, Counter.dropUnknownKey)).toBe(1);
  });

  it("that are valid FlatBuffers of nonsense never verify as a packet", () => {
    const [, b] = pair();
    let seed = 1;
    const random = (): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) >>> 8;
    for (let i = 0; i < 20_000; i++) {
      const body = Uint8Array.from({ length: random() % 200 }, () => random() & 0xff);
      hub.hub.parse(b.index, body, 1);
      hub.hub.consume(hub.hub.poll());
    }
    expect(hub.hub.poll()).toBe(0);
  });
});

describe("keys", () => {
  it("of a wrong length are refused", () => {
    hub = new TestHub("manual");
    for (const bytes of [0, 1, 15, 17, 31, 33]) {
      expect(() => new addon.Keyring().add(new Uint8Array(bytes))).toThrow("16, 24 or 32");
    }
  });

  it("keep their primary first and refuse to lose it", () => {
    hub = new TestHub("manual");
    const ring = keyringOf(key);
    const [first = 0] = ring.ids();
    const second = ring.add(randomKey());
    expect(ring.ids()).toEqual([first, second]);
    expect(ring.remove(first)).toBe(false);
    expect(ring.use(12345)).toBe(false);
    expect(ring.use(second)).toBe(true);
    expect(ring.ids()).toEqual([second, first]);
    expect(ring.remove(first)).toBe(true);
    expect(ring.remove(first)).toBe(false);
    expect(ring.ids()).toEqual([second]);
  });
});

/** Everything the endpoint refused. */
function drops(endpoint: Endpoint): number {
  let sum = 0;
  for (let counter = Counter.dropTruncated; counter <= Counter.dropMalformed; counter++) {
    sum += hub.counter(endpoint, counter);
  }
  return sum + hub.counter(endpoint, Counter.dropOwn);
}
