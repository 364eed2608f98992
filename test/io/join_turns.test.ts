import { describe, expect, it, vi } from "vitest";
import { decodeFrame, encodeFrame, encodeTurn, type FrameHead } from "../../src/wire/frames.js";
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
  request,
  syncHead,
  watchHandles,
} from "../support/stream_nodes.js";

watchHandles();

const joinHead: FrameHead = { ...syncHead, join: true };

/** An acceptor that counts its merges. */
async function acceptorOf(options = {}) {
  const merge = vi.fn();
  const answer = { records: [member(1)], userState: none, merge };
  return { merge, ...(await listen({ handlers: { onSync: () => answer }, ...options })) };
}

/** A joiner made by hand that has our reply and owes the third turn. */
async function unconfirmed(port: number) {
  const joiner = await greet(port);
  joiner.peer.socket.write(joiner.seal([...encodeTurn(joinHead, [member(0)], none)][0]!, 0));
  await joiner.peer.until(40);
  return joiner;
}

describe("the third turn of a join (E-75, M-087)", () => {
  it("comes before the acceptor merges, and the join resolves after", async () => {
    const order: string[] = [];
    const merge = () => void order.push("merged there");
    const { port } = await listen({ handlers: { onSync: () => ({ records: [], userState: none, merge }) } });
    const vet = () => {
      order.push("asked here");
      return null;
    };
    await newStreams().streams.sync(host, port, request({ join: true, vet }));
    order.push("joined");
    expect(order).toEqual(["asked here", "merged there", "joined"]);
  });

  it("with a veto merges nothing; both ends count it, and the joiner's error gives the reason", async () => {
    const { merge, port, streams } = await acceptorOf();
    const joiner = newStreams().streams;
    const error = await failure(joiner.sync(host, port, request({ join: true, vet: () => "not with them" })));
    expect(error.code).toBe("TATTLER_JOIN_REFUSED");
    expect(error.message).toContain("this node itself refused the join, remote error: not with them");
    await eventually(() => expect(streams.stats.joinsUnconfirmed).toBe(1));
    expect(merge).not.toHaveBeenCalled();
    expect([joiner.stats.refused, streams.stats.rejectedMalformed, streams.stats.closedEarly]).toEqual([1, 0, 0]);
  });

  it("that never comes merges nothing, and the wait is bounded", async () => {
    const { merge, port, streams } = await acceptorOf({ streamTimeoutMs: 2_500 });
    const { peer } = await unconfirmed(port);
    await peer.closed;
    expect(streams.stats).toMatchObject({ joinsUnconfirmed: 1, timedOut: 1 });
    expect(merge).not.toHaveBeenCalled();
  });

  it("of a joiner that goes away merges nothing", async () => {
    const { merge, port, streams } = await acceptorOf();
    (await unconfirmed(port)).peer.socket.destroy();
    await eventually(() => expect(streams.stats).toMatchObject({ joinsUnconfirmed: 1, closedEarly: 1 }));
    expect(merge).not.toHaveBeenCalled();
  });

  it.each([
    ["another kind", { kind: FrameKind.receipt }],
    ["another sender", { kind: FrameKind.confirm, source: "owl" }],
  ])("of %s is refused and merges nothing", async (_, change) => {
    const { merge, port, streams } = await acceptorOf();
    const { peer, seal } = await unconfirmed(port);
    peer.socket.write(seal(encodeFrame({ ...joinHead, ...change }), 1));
    await peer.closed;
    expect(streams.stats).toMatchObject({ joinsUnconfirmed: 1, rejectedMalformed: 1 });
    expect(merge).not.toHaveBeenCalled();
  });

  it("made by hand is a confirm, and merges", async () => {
    const { merge, port, streams } = await acceptorOf();
    const { peer, seal } = await unconfirmed(port);
    peer.socket.write(seal(encodeFrame({ ...joinHead, kind: FrameKind.confirm }), 1));
    await peer.closed;
    expect(merge).toHaveBeenCalledOnce();
    expect(streams.stats.joinsUnconfirmed).toBe(0);
  });

  it("opens no exchange of its own", async () => {
    const { merge, port, streams } = await acceptorOf();
    const { peer, seal, reply } = await greet(port);
    peer.socket.write(seal(encodeFrame({ ...joinHead, kind: FrameKind.confirm }), 0));
    await peer.closed;
    const frame = decodeFrame(reply() as Uint8Array, { maxMembers: 0, maxMetaBytes: 0 });
    expect(frame).toMatchObject({ kind: FrameKind.error, reason: "a confirm opens no exchange" });
    expect([merge.mock.calls, streams.stats.rejectedMalformed]).toEqual([[], 1]);
  });

  it("has no place in a plain sync, which asks nobody and merges at once", async () => {
    const { merge, port } = await acceptorOf();
    const vet = vi.fn(() => "no");
    await newStreams().streams.sync(host, port, request({ vet }));
    expect([vet.mock.calls, merge.mock.calls]).toEqual([[], [[]]]);
  });
});
