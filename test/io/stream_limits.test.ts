import { describe, expect, it } from "vitest";
import { encodeTurn } from "../../src/wire/frames.js";
import { FrameKind } from "../../src/wire/generated/wire/frame-kind.js";
import {
  eventually,
  failure,
  greet,
  host,
  listen,
  members,
  newStreams,
  none,
  request,
  syncHead,
  timeoutMs,
  watchHandles,
} from "../support/stream_nodes.js";

watchHandles();

describe("the limit of one peer's streams (M-155, E-73)", () => {
  it("closes one more of that IP unread, and serves it again when one has ended", async () => {
    const acceptor = await listen({ maxStreams: 10, maxStreamsPerPeer: 2 });
    const { streams } = newStreams();
    const first = await greet(acceptor.port);
    await greet(acceptor.port);
    expect((await failure(streams.sync(host, acceptor.port, request()))).code).toBe("TATTLER_STREAM_BUSY");
    expect(acceptor.streams.stats).toMatchObject({ rejectedPeerLimit: 1, rejectedLimit: 0, accepted: 2 });
    first.peer.socket.destroy();
    await eventually(async () => expect((await streams.sync(host, acceptor.port, request())).peer).toBe("crow"));
  });

  it("leaves room for others", async () => {
    const acceptor = await listen({ host: "::", maxStreams: 10, maxStreamsPerPeer: 1 } as object);
    await greet(acceptor.port);
    const { streams } = newStreams();
    expect((await failure(streams.sync(host, acceptor.port, request()))).code).toBe("TATTLER_STREAM_BUSY");
    // Another loopback address is another peer.
    expect((await streams.sync("::1", acceptor.port, request())).peer).toBe("crow");
  });

  it("counts down to nothing", async () => {
    const acceptor = await listen({ maxStreamsPerPeer: 1 });
    const { streams } = newStreams();
    for (let round = 0; round < 20; round++) {
      await eventually(() => streams.sendMessage(host, acceptor.port, none, { timeoutMs }));
    }
  });
});

describe("a header that announces much and sends little (E-73)", () => {
  const streamsCount = 60;

  it("costs little: 60 streams that each promise the longest chunk", async () => {
    const acceptor = await listen({ streamTimeoutMs: 60_000 });
    const before = process.memoryUsage();
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32LE(65_792);
    for (let i = 0; i < streamsCount; i++) (await greet(acceptor.port)).peer.socket.write(prefix);
    await eventually(() => expect(acceptor.streams.stats.bytesIn).toBe(streamsCount * 36));
    const { arrayBuffers, external } = process.memoryUsage();
    expect(Math.max(arrayBuffers - before.arrayBuffers, external - before.external)).toBeLessThan(
      (streamsCount * 65_792) / 2,
    );
    expect(acceptor.streams.stats.accepted).toBe(streamsCount);
  });

  it("of members is refused by their number, before one is read", async () => {
    const acceptor = await listen({ maxSyncRecords: 100 });
    const { peer, seal } = await greet(acceptor.port);
    const frame = [...encodeTurn(syncHead, members(101), none)][0] as Uint8Array;
    peer.socket.write(seal(frame, 0));
    await peer.closed;
    expect(acceptor.streams.stats.rejectedOversized).toBe(1);
  });

  it("of a payload is refused as soon as it passes the limit, not at its end", async () => {
    const acceptor = await listen({ maxMessageBytes: 60_000 });
    const { peer, seal } = await greet(acceptor.port);
    const head = { ...syncHead, kind: FrameKind.message };
    const frames = [...encodeTurn(head, [], new Uint8Array(1_000_000))];
    // Two of twenty-one: the turn never ends.
    peer.socket.write(Buffer.concat(frames.slice(0, 2).map((frame, index) => seal(frame, index))));
    await eventually(() => expect(acceptor.streams.stats.rejectedOversized).toBe(1));
    peer.socket.destroy();
  });
});
