import { randomBytes } from "node:crypto";
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { describe, expect, it, vi } from "vitest";
import { leastPackedBytes, packFrame, unpackFrame } from "../../src/io/compression.js";
import { StreamFault } from "../../src/io/stream_fault.js";
import { decodeFrame, encodeFrame, encodePacked, encodeTurn, packedIn } from "../../src/wire/frames.js";
import { Codec } from "../../src/wire/generated/wire/codec.js";
import { FrameKind } from "../../src/wire/generated/wire/frame-kind.js";
import { addon } from "../support/hub.js";
import {
  eventually,
  greet,
  host,
  listen,
  member,
  members,
  newStreams,
  none,
  request,
  syncHead,
  watchHandles,
} from "../support/stream_nodes.js";

watchHandles();

const syncFrame = [...encodeTurn(syncHead, members(200), none)][0] as Uint8Array;
const bombBytes = 256 * 1024 * 1024;

function brotli(bytes: Uint8Array, windowBits = 18): Uint8Array {
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN } = constants;
  return brotliCompressSync(bytes, { params: { [BROTLI_PARAM_QUALITY]: 2, [BROTLI_PARAM_LGWIN]: windowBits } });
}

async function faultOf(codec: number, packed: Uint8Array): Promise<string> {
  const error = await unpackFrame({ codec, packed }, 65_536).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(StreamFault);
  return `${(error as StreamFault).kind}: ${(error as StreamFault).message}`;
}

describe("a packed frame (M-062, M-185)", () => {
  // The short one at once, the long one on another thread.
  it.each([20, 600])("of %d members is shorter, sound, and unpacks to the same bytes", async (count) => {
    const frame = [...encodeTurn(syncHead, members(count), none)][0] as Uint8Array;
    const packed = await packFrame(frame);
    expect(packed.length).toBeLessThan(frame.length / 1.8);
    const inside = packedIn(packed);
    expect(inside?.codec).toBe(Codec.brotli);
    expect(Buffer.compare(await unpackFrame(inside!, frame.length), frame)).toBe(0);
  });

  it("is left plain when it is short, or when packing makes it no shorter", async () => {
    const short = [...encodeTurn(syncHead, [], new Uint8Array(leastPackedBytes - 200))][0]!;
    const noise = [...encodeTurn(syncHead, [], randomBytes(40_000))][0]!;
    expect(short.length).toBeLessThan(leastPackedBytes);
    expect([await packFrame(short), await packFrame(noise)]).toEqual([short, noise]);
    expect([packedIn(short), packedIn(noise)]).toEqual([null, null]);
  });

  it.each([0, 3_000])("that is a bomb is refused at the bound, in bounded memory (E-72), behind %d", async (noise) => {
    const bomb = brotli(Buffer.concat([randomBytes(noise), new Uint8Array(bombBytes - noise)]));
    expect([bomb.length < 65_536, brotliDecompressSync(bomb).length]).toEqual([true, bombBytes]);
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 10; i++)
      expect(await faultOf(Codec.brotli, bomb)).toMatch(/^oversized: .* beyond 65536 bytes$/);
    expect(process.memoryUsage.rss() - before).toBeLessThan(bombBytes / 8);
  });

  it.each([1_500, 5_000])("may be as long as the bound and no longer, be it %d", async (most) => {
    const of = (bytes: number) => ({ codec: Codec.brotli, packed: brotli(randomBytes(bytes)) });
    expect(await unpackFrame(of(most), most)).toHaveLength(most);
    await expect(unpackFrame(of(most + 1), most)).rejects.toThrow(`beyond ${most}`);
  });

  it.each([
    [8192, true],
    [8193, false],
  ])("of few bytes that grows to %d is unpacked on the spot: %s", async (bytes, isAtOnce) => {
    let isDone = false;
    const unpacking = unpackFrame({ codec: Codec.brotli, packed: brotli(new Uint8Array(bytes)) }, 65_536).then(
      (frame) => {
        isDone = true;
        return frame;
      },
    );
    for (let i = 0; i < 20; i++) await null;
    expect(isDone).toBe(isAtOnce);
    expect(await unpacking).toHaveLength(bytes);
  });

  it.each([10, 16, 17, 18, 19, 22, 24])(
    "that asks for a window of 2^%d bytes is opened up to ours only",
    async (bits) => {
      const packed = brotli(randomBytes(3_000), bits);
      if (bits <= 18) expect(await unpackFrame({ codec: Codec.brotli, packed }, 65_536)).toHaveLength(3_000);
      else expect(await faultOf(Codec.brotli, packed)).toMatch(/^oversized: .* window$/);
    },
  );

  it("that is cut, damaged, empty or of an unknown codec is refused", async () => {
    const packed = brotli(syncFrame);
    expect(await faultOf(Codec.brotli, packed.subarray(0, packed.length - 9))).toMatch(/^malformed/);
    expect(await faultOf(Codec.brotli, Buffer.concat([packed.subarray(0, 1), randomBytes(500)]))).toMatch(
      /^(mal|over)/,
    );
    expect(await faultOf(Codec.brotli, none)).toMatch(/^malformed/);
    expect(await faultOf(7, packed)).toBe("malformed: a frame packed with the unknown codec 7");
  });
});

describe("a sync", () => {
  it("of 2,000 members takes less than half the bytes, both ways", async () => {
    const records = members(2_000);
    const acceptor = await listen({ handlers: { onSync: () => ({ records, userState: none }) } });
    const dialer = newStreams().streams;
    const reply = await dialer.sync(host, acceptor.port, request({ records: () => records, join: true }));
    expect(reply.records).toEqual(records);
    for (const { stats } of [dialer, acceptor.streams]) expect(stats.bytesSaved).toBeGreaterThan(stats.bytesOut);
  });

  it.each([
    ["the dialer", { compression: false }, {}],
    ["the acceptor", {}, { compression: false }],
  ])("is plain both ways when %s has compression off", async (_, dialerOptions, acceptorOptions) => {
    const records = members(500);
    const acceptor = await listen({ ...acceptorOptions, handlers: { onSync: () => ({ records, userState: none }) } });
    const dialer = newStreams(dialerOptions).streams;
    const reply = await dialer.sync(host, acceptor.port, request({ records: () => records }));
    expect(reply.records).toEqual(records);
    expect([dialer.stats.bytesSaved, acceptor.streams.stats.bytesSaved]).toEqual([0, 0]);
  });

  it("goes plain to a peer whose hello offers no codec", async () => {
    const records = members(200);
    const { port } = await listen({ handlers: { onSync: () => ({ records, userState: none }) } });
    const { peer, seal, reply } = await greet(port);
    peer.socket.write(seal(encodeFrame(syncHead), 0));
    await peer.closed;
    const frame = decodeFrame(reply() as Uint8Array, { maxMembers: 200, maxMetaBytes: 512 });
    expect(frame).toMatchObject({ kind: FrameKind.syncReply, members: records });
  });

  it("is the only thing that is packed: a message is not", async () => {
    const { port } = await listen();
    const { streams } = newStreams();
    await streams.sendMessage(host, port, new Uint8Array(40_000), { timeoutMs: 5_000 });
    expect(streams.stats.bytesSaved).toBe(0);
  });
});

describe("a peer", () => {
  /** What the acceptor says to one frame, and its counters. */
  async function answerTo(frame: Uint8Array, options = {}) {
    const onSync = vi.fn();
    const { port, streams } = await listen({ handlers: { onSync }, ...options });
    const { peer, seal, reply } = await greet(port);
    peer.socket.write(seal(frame, 0));
    await peer.closed;
    expect(onSync).not.toHaveBeenCalled();
    const answer = decodeFrame(reply() as Uint8Array, { maxMembers: 0, maxMetaBytes: 0 });
    expect(answer).toMatchObject({ kind: FrameKind.error });
    return { reason: (answer as { reason: string }).reason, stats: streams.stats };
  }

  it("that sends a bomb is told so, and counted (E-72)", async () => {
    const { reason, stats } = await answerTo(encodePacked(Codec.brotli, brotli(new Uint8Array(bombBytes))));
    expect([reason, stats.rejectedOversized]).toEqual(["a packed frame that grows beyond 65792 bytes", 1]);
  });

  it("that packs what is packed is refused: nothing nests", async () => {
    const twice = encodePacked(Codec.brotli, brotli(encodePacked(Codec.brotli, brotli(syncFrame))));
    const { reason, stats } = await answerTo(twice);
    expect([reason, stats.rejectedMalformed]).toEqual(["a packed frame where a plain one is due", 1]);
  });

  it("that packs what is no frame is refused", async () => {
    const verify = vi.spyOn((await listen()).sealer.constructor.prototype, "verify").mockReturnValue(false);
    const { reason, stats } = await answerTo(encodePacked(Codec.brotli, brotli(randomBytes(2_000))));
    verify.mockRestore();
    expect([reason, stats.rejectedMalformed]).toEqual(["what was packed is not a frame", 1]);
  });

  it("that packs although we offered nothing is refused", async () => {
    const { reason, stats } = await answerTo(await packFrame(syncFrame), { compression: false });
    expect([reason, stats.rejectedMalformed]).toEqual(["a packed frame, which we did not offer to open", 1]);
  });

  it("pays for what it unpacks to, as if it had sent it plain", async () => {
    const { port, streams } = await listen({ maxExchangeBytes: 100_000 });
    const { peer, seal } = await greet(port);
    const frames = [...encodeTurn(syncHead, members(2_000), none)];
    const packed = await Promise.all(frames.map(packFrame));
    expect(packed.reduce((sum, frame) => sum + frame.length, 0)).toBeLessThan(100_000);
    peer.socket.write(Buffer.concat(packed.map((frame, index) => seal(frame, index))));
    await peer.closed;
    await eventually(() => expect(streams.stats.rejectedOversized).toBe(1));
  });
});

describe("the native verifier", () => {
  it("tells frames from other bytes", () => {
    const memory = { ring: new ArrayBuffer(64 * 64), slab: new ArrayBuffer(65_536) };
    const shared = { counters: new ArrayBuffer(8 * addon.layout.countersPerEndpoint), heard: new ArrayBuffer(8) };
    const sizes = { maxEndpoints: 1, transmitBytes: 65_536, maxDatagramBytes: 1_400, poison: false };
    const hub = new addon.Hub({ backend: "manual", ...memory, ...shared, ...sizes }, () => {});
    const tuning = {
      stallToleranceMs: 0,
      pingsPerSecond: 0,
      datagramBytes: 1_400,
      retransmitMult: 4,
      queueRecords: 16,
      messageShare: 0,
    };
    const base = { ip: new Uint8Array(16), port: 1, self: hub.intern("a"), cluster: "c", keyring: null };
    const endpoint = hub.open({ ...base, ...tuning });
    const frame = [...encodeTurn(syncHead, [member(1)], none)][0] as Uint8Array;
    expect([frame, syncFrame].map((one) => endpoint.verifyFrame(one))).toEqual([true, true]);
    const bad = [none, randomBytes(3), new Uint8Array(500).fill(255), frame.subarray(0, 60)];
    expect(bad.map((one) => endpoint.verifyFrame(one))).toEqual([false, false, false, false]);
    hub.close();
  });
});
