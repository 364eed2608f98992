import { describe, expect, it, vi } from "vitest";
import { encodeFrame, encodeTurn } from "../../src/wire/frames.js";
import { FrameKind } from "../../src/wire/generated/wire/frame-kind.js";
import {
  eventually,
  failure,
  greet,
  host,
  listen,
  member,
  newStreams,
  none,
  syncHead,
  timeoutMs,
  watchHandles,
} from "../support/stream_nodes.js";

watchHandles();

const fingerprints = Uint32Array.of(1, 2, 0xffff_fffe);

/** An acceptor that lacks two of the records and has one. */
async function acceptorOf(options = {}) {
  const merge = vi.fn();
  const answer = { records: [member(1)], wanted: Uint32Array.of(2, 0xffff_fffe), merge };
  const onDigest = vi.fn(() => answer);
  return { merge, onDigest, ...(await listen({ handlers: { onDigest }, ...options })) };
}

function request(merge = () => [member(3)]) {
  return { salt: 0xfedc_ba98, fingerprints: () => fingerprints, merge: vi.fn(merge), timeoutMs };
}

describe("a comparison of views over TCP", () => {
  it("takes three turns: fingerprints, what is missing and what is wanted, and that", async () => {
    const { port, onDigest, merge } = await acceptorOf();
    const asked = request();
    await newStreams({ name: "wren" }).streams.reconcile(host, port, asked);
    expect(onDigest).toHaveBeenCalledExactlyOnceWith("wren", 0xfedc_ba98, fingerprints);
    expect(asked.merge).toHaveBeenCalledExactlyOnceWith("crow", [member(1)], Uint32Array.of(2, 0xffff_fffe));
    expect(merge).toHaveBeenCalledExactlyOnceWith([member(3)]);
  });

  it("carries as many fingerprints as a sync may have members, however small a message may be", async () => {
    const limits = { maxSyncRecords: 20_000, maxMessageBytes: 1 };
    const { port, onDigest } = await acceptorOf(limits);
    const many = Uint32Array.from({ length: 20_000 }, (_, i) => i * 3);
    const streams = newStreams(limits).streams;
    await streams.reconcile(host, port, { ...request(), fingerprints: () => many });
    expect(onDigest).toHaveBeenCalledExactlyOnceWith("crow", 0xfedc_ba98, many);
    const more = new Uint32Array(20_001);
    const error = await failure(streams.reconcile(host, port, { ...request(), fingerprints: () => more }));
    expect(error.message).toContain("a payload of more than 80000 bytes");
  });

  it("is refused by who does not compare, with the reason", async () => {
    const { port } = await listen();
    const error = await failure(newStreams().streams.reconcile(host, port, request()));
    expect([error.code, error.message]).toEqual(["TATTLER_STREAM_REFUSED", expect.stringContaining("no digests here")]);
  });

  it("rejects fingerprints that are no whole numbers, and a rest that is none", async () => {
    const { port, streams, merge } = await acceptorOf();
    const odd = await greet(port);
    const [frame] = [...encodeTurn({ ...syncHead, kind: FrameKind.digest }, [], Uint8Array.of(1, 2, 3))];
    odd.peer.socket.write(odd.seal(frame as Uint8Array, 0));
    await eventually(() => expect(streams.stats.rejectedMalformed).toBe(1));
    const wrong = await greet(port);
    wrong.peer.socket.write(wrong.seal(encodeFrame({ ...syncHead, kind: FrameKind.digest }), 0));
    await wrong.peer.until(40);
    wrong.peer.socket.write(wrong.seal([...encodeTurn(syncHead, [member(0)], none)][0] as Uint8Array, 1));
    await eventually(() => expect(streams.stats.rejectedMalformed).toBe(2));
    expect(merge).not.toHaveBeenCalled();
  });

  it.each([FrameKind.digestReply, FrameKind.digestFill])(
    "opens no exchange with its later turns (%d)",
    async (kind) => {
      const { port, streams } = await acceptorOf();
      const { peer, seal } = await greet(port);
      peer.socket.write(seal(encodeFrame({ ...syncHead, kind }), 0));
      await eventually(() => expect(streams.stats.rejectedMalformed).toBe(1));
    },
  );
});
