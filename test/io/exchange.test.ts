import { describe, expect, it } from "vitest";
import { receiveTurn } from "../../src/io/exchange.js";
import type { FrameSocket } from "../../src/io/frame_socket.js";
import { defaultStreamLimits } from "../../src/io/stream_limits.js";
import { encodeTurn } from "../../src/wire/frames.js";
import { cluster, members, none, syncHead } from "../support/stream_nodes.js";

describe("a turn of many frames", () => {
  it("that have all arrived is read with a pause after each, for timers and datagrams", async () => {
    const frames = [...encodeTurn(syncHead, members(2000), none)];
    expect(frames.length).toBeGreaterThan(4);
    let pauses = 0;
    const count = (): void => {
      pauses++;
      counting = setImmediate(count);
    };
    let counting = setImmediate(count);
    const stream = { receive: () => Promise.resolve(frames.shift()) } as unknown as FrameSocket;
    const expected = frames.length - 1;
    const { records } = await receiveTurn(stream, cluster, defaultStreamLimits);
    clearImmediate(counting);
    expect(records).toHaveLength(2000);
    expect(pauses).toBeGreaterThanOrEqual(expected);
  });
});
