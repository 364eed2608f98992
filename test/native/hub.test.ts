import { spawnSync } from "node:child_process";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { RecordKind } from "../../src/wire/generated/wire/record-kind.js";
import { addon, backends, Counter, keyringOf, loopback6, randomKey, TestHub } from "../support/hub.js";
import { descriptors, fewAgain, threads } from "../support/nodes.js";

const keyring = keyringOf(randomKey());
let hub: TestHub | undefined;
afterEach(() => hub?.close());

for (const backend of backends) {
  describe(`the ${backend} back end`, () => {
    it("carries a ping and answers it without JavaScript", async () => {
      const h = (hub = new TestHub(backend));
      const [a, b] = [h.open("a", { keyring }), h.open("b", { keyring })];
      const before = h.hub.nowMs();
      expect(a.ping(h.addressOf(b), h.hub.find("b"), 77)).toBe(true);
      h.hub.flush();
      await h.until(() => h.received.length === 2, "a ping and its ack");
      const ping = h.received.find((record) => record.kind === RecordKind.ping);
      const ack = h.received.find((record) => record.kind === RecordKind.ack);
      expect(ping).toMatchObject({ endpoint: b.index, seq: 77, from: h.hub.find("a") });
      expect((ping?.flags ?? 0) & addon.layout.flagAnswered).not.toBe(0);
      expect(ack).toMatchObject({ endpoint: a.index, seq: 77, from: h.hub.find("b"), source: h.addressOf(b) });
      expect(h.counter(b, Counter.instantAcks)).toBe(1);
      expect(ack?.receivedAtMs).toBeGreaterThanOrEqual(before);
      expect(ack?.receivedAtMs).toBeLessThanOrEqual(h.hub.nowMs());
      expect(h.heardAtMs(a)).toBe(ack?.receivedAtMs);
    });

    it("leaves pings to JavaScript when the stall tolerance is 0", async () => {
      const h = (hub = new TestHub(backend));
      const [a, b] = [h.open("a"), h.open("b", { stallToleranceMs: 0 })];
      a.ping(h.addressOf(b), h.hub.find("b"), 5);
      h.hub.flush();
      await h.until(() => h.received.length === 1, "the ping");
      expect((h.received[0]?.flags ?? 0) & addon.layout.flagAnswered).toBe(0);
      expect(b.ack(h.received[0]?.source || h.addressOf(a), 5, true)).toBe(true);
      h.hub.flush();
      await h.until(() => h.received.length === 2, "the ack");
      expect(h.received[1]).toMatchObject({ kind: RecordKind.ack, endpoint: a.index, seq: 5 });
      expect(h.counter(b, Counter.instantAcks)).toBe(0);
    });

    it("stops answering once JavaScript has not drained for the stall tolerance", () => {
      const h = (hub = new TestHub(backend));
      h.autoDrain = false;
      const [a, b] = [h.open("a"), h.open("b", { stallToleranceMs: 30 })];
      const to = h.addressOf(b);
      const target = h.hub.find("b");
      // The event loop stays blocked throughout, so this thread looks hung to the I/O thread.
      const pingUntil = (isDone: () => boolean): void => {
        const end = h.hub.nowMs() + 10_000;
        while (!isDone()) {
          if (h.hub.nowMs() > end) throw new Error("the I/O thread did not get there");
          a.ping(to, target, 1);
          h.hub.flush();
        }
      };
      pingUntil(() => h.counter(b, Counter.instantAcks) > 0);
      pingUntil(() => h.counter(b, Counter.stalledPings) > 0);
      const answered = h.counter(b, Counter.instantAcks);
      pingUntil(() => h.counter(b, Counter.stalledPings) > 100);
      expect(h.counter(b, Counter.instantAcks)).toBe(answered);
    });

    it("ignores a ping that is meant for another name", async () => {
      const h = (hub = new TestHub(backend));
      const [a, b] = [h.open("a"), h.open("b")];
      a.ping(h.addressOf(b), h.hub.intern("c"), 1);
      h.hub.flush();
      await h.until(() => h.counter(b, Counter.dropWrongTarget) === 1, "the drop");
      expect(h.received).toHaveLength(0);
    });

    it("works over IPv6", async () => {
      const h = (hub = new TestHub(backend));
      const [a, b] = [h.open("a", { ip: loopback6 }), h.open("b", { ip: loopback6 })];
      a.ping(h.addressOf(b, loopback6), h.hub.find("b"), 9);
      h.hub.flush();
      await h.until(() => h.received.length === 2, "a ping and its ack");
      expect(h.received[0]?.kind).toBe(RecordKind.ping);
    });

    it("wakes JavaScript once for a burst", async () => {
      const h = (hub = new TestHub(backend));
      const [a, b] = [h.open("a"), h.open("b")];
      for (let i = 0; i < 500; i++) a.message(h.addressOf(b), Uint8Array.of(i & 255));
      h.hub.flush();
      await h.until(() => h.received.length === 500, "all messages");
      expect(h.wakes).toBeLessThan(100);
    });

    it.each([
      [false, 100],
      [true, 1],
    ])("wakes JavaScript for what it leaves, unless it comes back by itself (%s)", async (comesBack, wakes) => {
      const h = (hub = new TestHub(backend));
      [h.autoDrain, h.comesBack] = [false, comesBack];
      const [a, b] = [h.open("a"), h.open("b")];
      a.message(h.addressOf(b), Uint8Array.of(1));
      h.hub.flush();
      await h.until(() => h.wakes >= wakes, "the wake-ups");
      for (let round = 0; round < 50; round++) await new Promise((resolve) => setImmediate(resolve));
      expect([h.wakes > wakes, h.drain().length]).toEqual([!comesBack, 1]);
    });

    it("counts each datagram of a burst, whatever the system makes of it", async () => {
      const h = (hub = new TestHub(backend));
      const [a, b] = [h.open("a", { keyring }), h.open("b", { keyring })];
      const sizes = Array.from({ length: 300 }, (_, i) => (i % 100 === 99 ? 7 : 200));
      for (const size of sizes) a.message(h.addressOf(b), new Uint8Array(size));
      h.hub.flush();
      await h.until(() => h.received.length === 300, "all messages");
      expect(h.received.map(({ bytes }) => bytes.length)).toEqual(sizes);
      const [sent, received] = [h.counter(a, Counter.datagramsSent), h.counter(b, Counter.datagramsReceived)];
      expect([sent, received, h.counter(a, Counter.sendErrors)]).toEqual([300, 300, 0]);
      expect(h.counter(a, Counter.bytesSent)).toBe(h.counter(b, Counter.bytesReceived));
      expect(h.counter(b, Counter.bytesReceived)).toBeGreaterThan(300 * 40);
    });

    it("says until when it has drained the sockets, when asked", async () => {
      const h = (hub = new TestHub(backend));
      h.open("a");
      const asked = h.hub.nowMs();
      h.hub.requestDrain();
      await h.until(() => h.wakes > 0, "the wake-up");
      expect(h.hub.drainedThroughMs()).toBeGreaterThanOrEqual(asked);
    });

    it("does not claim to have drained what the ring had no room for", async () => {
      const h = (hub = new TestHub(backend, { records: 16, slabBytes: 4096 }));
      h.autoDrain = false;
      const [a, b] = [h.open("a"), h.open("b")];
      for (let i = 0; i < 100; i++) a.ping(h.addressOf(b), h.hub.find("b"), i);
      h.hub.flush();
      await h.until(() => h.counter(b, Counter.dropRingProbes) > 0, "drops");
      const through = h.hub.drainedThroughMs();
      h.drain();
      expect(h.received.length).toBeGreaterThan(0);
      expect(h.received.every((record) => record.receivedAtMs >= 0)).toBe(true);
      expect(through).toBeLessThan(h.hub.nowMs());
    });

    it("drops user messages before membership and membership before probes", async () => {
      const h = (hub = new TestHub(backend, { records: 64, slabBytes: 1 << 16 }));
      h.autoDrain = false;
      const [a, b] = [h.open("a"), h.open("b")];
      const to = h.addressOf(b);
      const send = (count: number, one: (i: number) => void): void => {
        for (let i = 0; i < count; i++) one(i);
        h.hub.flush();
      };
      send(80, () => a.message(to, Uint8Array.of(1)));
      await h.until(() => h.counter(b, Counter.dropRingMessages) > 0, "dropped messages");
      expect(h.counter(b, Counter.dropRingMembership)).toBe(0);
      send(40, (i) => {
        a.queueSuspect(h.hub.intern(`m${i}`), h.hub.find("a"), 1, 0);
        a.gossip(to);
      });
      await h.until(() => h.counter(b, Counter.dropRingMembership) > 0, "dropped membership");
      expect(h.counter(b, Counter.dropRingProbes)).toBe(0);
      send(1, () => a.ping(to, h.hub.find("b"), 4711));
      await h.until(() => h.counter(b, Counter.instantAcks) === 1, "an answered ping");
      h.drain();
      expect(h.received.some((record) => record.seq === 4711)).toBe(true);
    });

    it("tells a taken port and leaves nothing behind", () => {
      const h = (hub = new TestHub(backend));
      const a = h.open("a");
      const before = descriptors();
      expect(() => h.open("b", { port: a.port })).toThrow(/in use/);
      expect(descriptors()).toBe(before);
    });

    it("closes twice without leaving a thread or a descriptor", async () => {
      const before = { threads: threads(), descriptors: descriptors() };
      const h = new TestHub(backend);
      const a = h.open("a");
      h.open("b");
      a.close();
      a.close();
      expect(a.ping(1, 1, 1)).toBe(false);
      h.close();
      h.close();
      expect(descriptors()).toBe(before.descriptors);
      await fewAgain(before);
    });

    it("reuses an endpoint index only after the ring has forgotten it", async () => {
      const h = (hub = new TestHub(backend));
      h.autoDrain = false;
      const [a, b] = [h.open("a"), h.open("b")];
      a.message(h.addressOf(b), Uint8Array.of(1));
      h.hub.flush();
      await h.until(() => h.hub.poll() === 1, "the message");
      b.close();
      const c = h.open("c");
      expect(c.index).not.toBe(b.index);
      h.drain();
      expect(h.open("d").index).toBe(b.index);
    });
  });
}

describe("refused datagrams", () => {
  it("are reported with the address that refused, on Linux", async () => {
    const h = (hub = new TestHub("linux"));
    const [a, gone] = [h.open("a"), h.open("gone")];
    const address = h.addressOf(gone);
    gone.close();
    a.ping(address, h.hub.intern("gone"), 1);
    h.hub.flush();
    await h.until(() => h.received.length > 0, "the refusal");
    expect(h.received[0]).toMatchObject({ kind: RecordKind.refused, endpoint: a.index, source: address });
    expect(h.counter(a, Counter.refusals)).toBe(1);
  });

  for (const backend of backends) {
    it(`cost nobody else a datagram with the ${backend} back end`, async () => {
      const h = (hub = new TestHub(backend));
      const [a, b, gone] = [h.open("a"), h.open("b"), h.open("gone")];
      const [toB, toGone] = [h.addressOf(b), h.addressOf(gone)];
      gone.close();
      for (let i = 0; i < 200; i++) {
        a.message(toGone, Uint8Array.of(0));
        a.message(toB, Uint8Array.of(i));
      }
      h.hub.flush();
      const arrived = (): number => h.received.filter((record) => record.kind === RecordKind.message).length;
      await h.until(() => arrived() === 200, "all messages to the living");
      expect(h.counter(a, Counter.sendErrors)).toBe(0);
    });
  }
});

describe("the addon", () => {
  const script = `
    const addon = require("node-gyp-build")(process.cwd());
    const { layout } = addon;
    const memory = { ring: new ArrayBuffer(1024 * layout.recordWords * 4), slab: new ArrayBuffer(1 << 20),
      counters: new ArrayBuffer(8 * layout.countersPerEndpoint * 8), heard: new ArrayBuffer(64) };
    const hub = new addon.Hub({ backend: "linux", ...memory, maxEndpoints: 8, transmitBytes: 1 << 20,
      maxDatagramBytes: 65535, poison: false }, () => {});
    const ip = new Uint8Array(16); ip.set([255, 255, 127, 0, 0, 1], 10);
    const e = hub.open({ ip, port: 0, self: hub.intern("w"), cluster: "c", keyring: null,
      stallToleranceMs: 5000, pingsPerSecond: 0,
      datagramBytes: 1400, retransmitMult: 4, queueRecords: 100, messageShare: 0.25 });
    const to = hub.internAddress(ip, e.port);
    for (let i = 0; i < 1000; i++) e.message(to, new Uint8Array(100));
    hub.flush();
  `;

  it("works in a worker, also when the worker is terminated while open", async () => {
    const before = threads();
    for (let i = 0; i < 5; i++) {
      const worker = new Worker(`${script}; require("node:worker_threads").parentPort.postMessage("up")`, {
        eval: true,
      });
      const failed = new Promise<never>((_, reject) => worker.once("error", reject));
      await Promise.race([new Promise((resolve) => worker.once("message", resolve)), failed]);
      await worker.terminate();
    }
    expect(threads()).toBeLessThanOrEqual(before + 4); // libuv may have grown its own pool
  });

  it("keeps the process while a hub is open and lets it end once closed", () => {
    const run = (code: string) => spawnSync(process.execPath, ["-e", code], { timeout: 30_000 });
    expect(run(`${script}; hub.close()`).status).toBe(0);
    expect(run(`${script}; process.exit(7)`).status).toBe(7);
    const open = spawnSync(process.execPath, ["-e", script], { timeout: 1000 });
    expect(open.signal).toBe("SIGTERM");
  });
});
