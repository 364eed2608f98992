import { randomBytes } from "node:crypto";
import { describe, expect, it, vi } from "vitest";
import { decodeFrame, encodeFrame, encodeTurn } from "../../src/wire/frames.js";
import { FrameKind } from "../../src/wire/generated/wire/frame-kind.js";
import {
  clusterTag,
  eventually,
  failure,
  greet,
  host,
  listen,
  members,
  newStreams,
  none,
  pingFrame,
  rawServer,
  request,
  syncHead,
  timeoutMs,
  twoFrames,
  watchHandles,
} from "../support/stream_nodes.js";
import { helloOf, RawPeer } from "../support/stream_peer.js";

watchHandles();

describe("a peer that is not of us", () => {
  it("with another key gets no answer, and the dialer learns the likely cause", async () => {
    const onSync = vi.fn();
    const acceptor = await listen({ key: "another", handlers: { onSync } });
    const error = await failure(
      newStreams().streams.sync(host, acceptor.port, request({ records: () => members(2_000), join: true })),
    );
    expect(error.code).toBe("TATTLER_STREAM_CLOSED");
    expect(error.remedy).toMatch(/key mismatch.*cluster name mismatch/s);
    expect(onSync).not.toHaveBeenCalled();
    expect(acceptor.streams.stats).toMatchObject({ rejectedSeal: 1, bytesOut: 32 });
  });

  it("of another cluster is told apart by its hello", async () => {
    const acceptor = await listen({ cluster: "test", clusterTag: 7 });
    const error = await failure(newStreams().streams.sync(host, acceptor.port, request()));
    expect(error.code).toBe("TATTLER_CLUSTER_MISMATCH");
    await eventually(() => expect(acceptor.streams.stats.rejectedCluster).toBe(1));
    expect(acceptor.streams.stats.bytesOut).toBe(32);
  });

  it("of another cluster with the same tag cannot open or be opened", async () => {
    const acceptor = await listen({ cluster: "test" });
    const error = await failure(newStreams().streams.sync(host, acceptor.port, request()));
    expect(error.code).toBe("TATTLER_STREAM_CLOSED");
    expect(acceptor.streams.stats.rejectedSeal).toBe(1);
  });

  it("that names another cluster inside a sealed frame is rejected", async () => {
    const acceptor = await listen();
    const { peer, seal } = await greet(acceptor.port);
    peer.socket.write(seal(encodeFrame({ ...syncHead, cluster: "test" }), 0));
    await eventually(() => expect(acceptor.streams.stats.rejectedCluster).toBe(1));
    peer.socket.destroy();
  });

  it("that sends garbage is closed and counted", async () => {
    const acceptor = await listen();
    const peer = await RawPeer.dial(acceptor.port);
    peer.socket.write("GET / HTTP/1.1\r\nHost: example\r\n\r\n");
    await peer.closed;
    expect(acceptor.streams.stats.rejectedHello).toBe(1);
  });

  it.each([
    ["an unknown version", 4, 2],
    ["a reserved byte that is set", 6, 1],
    ["a wrong magic", 0, 0x41],
  ])("with %s in its hello is rejected", async (_, offset, value) => {
    const acceptor = await listen();
    const peer = await RawPeer.dial(acceptor.port);
    const hello = helloOf(clusterTag, randomBytes(20));
    hello[offset] = value;
    peer.socket.write(hello);
    await peer.closed;
    expect(acceptor.streams.stats.rejectedHello).toBe(1);
  });

  it("that answers our hello with garbage is no tattler node", async () => {
    const port = await rawServer((peer) => peer.socket.write("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"));
    const error = await failure(newStreams().streams.sync(host, port, request()));
    expect(error.code).toBe("TATTLER_STREAM_HELLO");
    expect(error.remedy).toContain("check the port");
  });

  it("cannot bring the listener down with random bytes after a good hello", async () => {
    const acceptor = await listen();
    for (let round = 0; round < 50; round++) {
      const { peer } = await greet(acceptor.port);
      peer.socket.end(randomBytes(round * 7));
      await peer.closed;
    }
    const { stats } = acceptor.streams;
    await eventually(() =>
      expect(stats.rejectedOversized + stats.rejectedSeal + stats.closedEarly + stats.rejectedMalformed).toBe(50),
    );
    expect(await newStreams().streams.ping(host, acceptor.port, "crow", 1, timeoutMs)).toBe(true);
  });
});

describe("a chunk", () => {
  const cases: [string, (seal: (frame: Uint8Array, index: number, direction?: 0 | 1) => Buffer) => Buffer[]][] = [
    [
      "replayed",
      (seal) => {
        const first = seal(twoFrames()[0], 0);
        return [first, first];
      },
    ],
    [
      "out of order",
      (seal) => {
        const [a, b] = twoFrames();
        return [seal(b, 1), seal(a, 0)];
      },
    ],
    ["left out", (seal) => [seal(twoFrames()[1], 1)]],
    ["of the other direction", (seal) => [seal(pingFrame, 0, 1)]],
    [
      "with a bit flipped",
      (seal) => {
        const chunk = seal(pingFrame, 0);
        chunk[40]! ^= 1;
        return [chunk];
      },
    ],
  ];
  it.each(cases)("that is %s ends the exchange in silence", async (_, chunks) => {
    const onMessage = vi.fn();
    const acceptor = await listen({ handlers: { onMessage } });
    const { peer, seal } = await greet(acceptor.port);
    peer.socket.write(Buffer.concat(chunks(seal)));
    await peer.closed;
    expect(acceptor.streams.stats.rejectedSeal).toBe(1);
    expect(peer.received).toHaveLength(32);
    expect(onMessage).not.toHaveBeenCalled();
  });

  it("in its place is accepted, as the hand-made peer makes it", async () => {
    const onMessage = vi.fn();
    const acceptor = await listen({ handlers: { onMessage } });
    const { peer, seal, reply } = await greet(acceptor.port);
    peer.socket.write(Buffer.concat(twoFrames().map((frame, index) => seal(frame, index))));
    await peer.closed;
    expect(onMessage).toHaveBeenCalledOnce();
    const frame = decodeFrame(reply() as Uint8Array, { maxMembers: 0, maxMetaBytes: 0 });
    expect(frame).toMatchObject({ kind: FrameKind.receipt, source: "crow", last: true });
  });

  it("recorded in one exchange is worth nothing in another, although the thief repeats the challenge", async () => {
    const onPing = vi.fn(() => true);
    const acceptor = await listen({ handlers: { onPing } });
    const challenge = randomBytes(20);
    const first = await greet(acceptor.port, challenge);
    const recorded = first.seal(pingFrame, 0);
    first.peer.socket.write(recorded);
    await first.peer.closed;
    expect(onPing).toHaveBeenCalledOnce();
    const second = await greet(acceptor.port, challenge);
    second.peer.socket.write(recorded);
    await second.peer.closed;
    expect(onPing).toHaveBeenCalledOnce();
    expect(acceptor.streams.stats.rejectedSeal).toBe(1);
  });

  it("reflected to its dialer does not open", async () => {
    const port = await rawServer((peer) => peer.socket.pipe(peer.socket));
    const error = await failure(newStreams().streams.sync(host, port, request()));
    expect(error.code).toBe("TATTLER_STREAM_UNSEALED");
    expect(error.message).toContain("dropUnsealable");
  });

  it.each([
    ["4 GiB", 0xffffffff, "rejectedOversized"],
    ["one byte too long", 65_793, "rejectedOversized"],
    ["empty", 0, "rejectedMalformed"],
  ] as const)("whose length says %s is not waited for", async (_, length, counter) => {
    const acceptor = await listen({ streamTimeoutMs: 60_000 });
    const { peer } = await greet(acceptor.port);
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32LE(length);
    peer.socket.write(prefix);
    await peer.closed;
    expect(acceptor.streams.stats).toMatchObject({ [counter]: 1, bytesIn: 36 });
    expect(peer.received).toHaveLength(32);
  });

  it("cut short by the end of the connection is counted", async () => {
    const acceptor = await listen();
    const { peer, seal } = await greet(acceptor.port);
    peer.socket.end(seal(pingFrame, 0).subarray(0, 20));
    await peer.closed;
    await eventually(() => expect(acceptor.streams.stats.closedEarly).toBe(1));
  });

  it("of a kind that opens no exchange is refused", async () => {
    const acceptor = await listen();
    const { peer, seal, reply } = await greet(acceptor.port);
    peer.socket.write(seal(encodeFrame({ ...syncHead, kind: FrameKind.receipt }), 0));
    await peer.closed;
    expect(decodeFrame(reply() as Uint8Array, { maxMembers: 0, maxMetaBytes: 0 })).toMatchObject({
      kind: FrameKind.error,
      reason: "a receipt opens no exchange",
    });
    expect(acceptor.streams.stats.rejectedMalformed).toBe(1);
  });

  it("that changes kind or sender within a turn is refused", async () => {
    const acceptor = await listen();
    for (const change of [{ kind: FrameKind.syncRequest }, { source: "owl" }]) {
      const { peer, seal, reply } = await greet(acceptor.port);
      const second = encodeFrame({ ...syncHead, kind: FrameKind.message, ...change });
      peer.socket.write(Buffer.concat([seal(twoFrames()[0], 0), seal(second, 1)]));
      await peer.closed;
      expect(decodeFrame(reply() as Uint8Array, { maxMembers: 0, maxMetaBytes: 0 })).toMatchObject({
        kind: FrameKind.error,
      });
    }
    expect(acceptor.streams.stats.rejectedMalformed).toBe(2);
  });

  it.each([
    [
      "members in a message",
      [...encodeTurn({ ...syncHead, kind: FrameKind.message }, members(1), none)],
      /^members in/,
    ],
    [
      "a payload in a ping",
      [...encodeTurn({ ...syncHead, kind: FrameKind.ping, target: "crow" }, [], Uint8Array.of(1))],
      /^a payload in/,
    ],
  ])("with %s is refused", async (_, [frame], reason) => {
    const acceptor = await listen();
    const { peer, seal, reply } = await greet(acceptor.port);
    peer.socket.write(seal(frame!, 0));
    await peer.closed;
    expect(decodeFrame(reply() as Uint8Array, { maxMembers: 0, maxMetaBytes: 0 })).toMatchObject({
      kind: FrameKind.error,
      reason: expect.stringMatching(reason),
    });
    expect(acceptor.streams.stats.rejectedMalformed).toBe(1);
  });

  it("over the exchange's total ends it", async () => {
    const acceptor = await listen({ maxExchangeBytes: 100_000 });
    const error = await failure(
      newStreams().streams.sendMessage(host, acceptor.port, new Uint8Array(200_000), { timeoutMs }),
    );
    expect(error.code).toBe("TATTLER_STREAM_CLOSED");
    expect(acceptor.streams.stats.rejectedOversized).toBe(1);
  });
});

describe("a deadline", () => {
  it("ends a dial to a listener that never says hello (T-012)", async () => {
    const port = await rawServer(() => {});
    const started = performance.now();
    const error = await failure(newStreams().streams.sync(host, port, request({ timeoutMs: 60, join: true })));
    expect(error.code).toBe("TATTLER_STREAM_TIMEOUT");
    expect(error.message).toContain("60 ms");
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it("ends an exchange with a peer that greets and then never answers", async () => {
    const port = await rawServer((peer) => peer.socket.write(helloOf(clusterTag, randomBytes(20))));
    const { streams } = newStreams();
    const error = await failure(streams.sync(host, port, request({ timeoutMs: 60 })));
    expect(error.code).toBe("TATTLER_STREAM_TIMEOUT");
    expect(streams.stats.timedOut).toBe(1);
  });

  it("of a peer that ran out is told from a peer that cannot open what we sent", async () => {
    const helloTimeoutMs = 200;
    const port = await rawServer((peer) => {
      peer.socket.write(helloOf(clusterTag, randomBytes(20)));
      const sinceMs = performance.now();
      const isOver = (): void => expect(performance.now()).toBeGreaterThan(sinceMs + helloTimeoutMs);
      void peer.until(33).then(() => eventually(isOver).then(() => peer.socket.resetAndDestroy()));
    });
    const { streams } = newStreams({ helloTimeoutMs });
    const error = await failure(streams.sync(host, port, request()));
    expect(error.code).toBe("TATTLER_STREAM_TIMEOUT");
    expect(error.message).toMatch(/gave up after \d+ ms, read ECONNRESET/);
    expect(error.remedy).toContain("load");
  });

  it("ends a large turn whose reader has stopped reading", async () => {
    const port = await rawServer((peer) => {
      peer.socket.write(helloOf(clusterTag, randomBytes(20)));
      void peer.until(32).then(() => peer.socket.pause());
    });
    const payload = new Uint8Array(64 * 1024 * 1024);
    const { streams } = newStreams({ maxMessageBytes: payload.length });
    const error = await failure(streams.sendMessage(host, port, payload, { timeoutMs: 300 }));
    expect(error.code).toBe("TATTLER_STREAM_TIMEOUT");
    expect(streams.stats.bytesOut).toBeLessThan(payload.length);
  });

  it("closes an inbound connection that never says hello", async () => {
    const acceptor = await listen({ helloTimeoutMs: 40, streamTimeoutMs: 60_000 });
    const peer = await RawPeer.dial(acceptor.port);
    await peer.closed;
    expect(acceptor.streams.stats.timedOut).toBe(1);
  });

  it("that passed in one long turn of this thread counts only after what had come is read", async () => {
    const acceptor = await listen({ helloTimeoutMs: 1_000, streamTimeoutMs: 60_000 });
    const peer = await RawPeer.dial(acceptor.port);
    await peer.until(32);
    peer.socket.write(helloOf(clusterTag, randomBytes(20)));
    const sinceMs = performance.now();
    while (performance.now() < sinceMs + 1_100);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(acceptor.streams.stats.timedOut).toBe(0);
    peer.socket.destroy();
    await eventually(() => expect(acceptor.streams.stats.closedEarly).toBe(1));
  });

  it("for the hello does not end an exchange that has passed it", async () => {
    const onSync = async () => {
      const asked = performance.now();
      await eventually(() => expect(performance.now()).toBeGreaterThan(asked + 250));
      return { records: [], userState: none };
    };
    const acceptor = await listen({ helloTimeoutMs: 200, handlers: { onSync } });
    expect((await newStreams().streams.sync(host, acceptor.port, request())).peer).toBe("crow");
  });

  it("leaves no timer behind when the exchange was in time", async () => {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const acceptor = await listen();
    const { streams } = newStreams();
    const before = timers();
    for (let round = 0; round < 20; round++) await streams.sync(host, acceptor.port, request());
    await eventually(() => expect(timers()).toBeLessThan(before + 10));
  });

  it("closes an inbound connection that stalls in its turn, however slowly it drips", async () => {
    const acceptor = await listen({ helloTimeoutMs: 60_000, streamTimeoutMs: 2_500 });
    const { peer, seal } = await greet(acceptor.port);
    const chunk = seal(twoFrames()[0], 0);
    let sent = 0;
    const drip = setInterval(() => peer.socket.write(chunk.subarray(sent, ++sent)), 5);
    await peer.closed;
    clearInterval(drip);
    expect(acceptor.streams.stats.timedOut).toBe(1);
    expect(sent).toBeGreaterThan(3);
  });

  it("also ends an exchange whose handler never answers", async () => {
    const acceptor = await listen({ streamTimeoutMs: 300, handlers: { onSync: () => new Promise(() => {}) } });
    const error = await failure(newStreams().streams.sync(host, acceptor.port, request()));
    expect(error.code).toBe("TATTLER_STREAM_CLOSED");
  });
});

describe("the limit of connections", () => {
  it("closes one more unread, and serves again when there is room", async () => {
    const acceptor = await listen({ maxStreams: 2 });
    const { streams } = newStreams();
    const first = await greet(acceptor.port);
    await greet(acceptor.port);
    const error = await failure(streams.sync(host, acceptor.port, request()));
    expect(error.code).toBe("TATTLER_STREAM_BUSY");
    expect(acceptor.streams.stats).toMatchObject({ rejectedLimit: 1, accepted: 2 });
    first.peer.socket.destroy();
    await eventually(async () => expect((await streams.sync(host, acceptor.port, request())).peer).toBe("crow"));
  });
});
