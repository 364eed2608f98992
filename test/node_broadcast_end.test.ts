import { describe, expect, it } from "vitest";
import type { GossipNode } from "../src/node.js";
import { bytes, closeAfterEach, newCluster, newNode, text, until, Watch } from "./support/nodes.js";

closeAfterEach();

async function pair(): Promise<[GossipNode, GossipNode, Watch]> {
  const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
  return [a, b, new Watch(b)];
}

describe("the end of a broadcast", () => {
  it("is `sent` once it has gone out as often as it should", async () => {
    const [a, , watch] = await pair();
    const broadcast = a.broadcast(bytes("news"));
    expect(await broadcast.finished).toBe("sent");
    expect(a.stats.messageDepth).toBe(0);
    await until(() => watch.of("message").length === 1, "the broadcast");
    expect(await broadcast.finished).toBe("sent"); // asked again, or only now
  });

  it("is known to one who asks late", async () => {
    const [a] = await pair();
    const broadcast = a.broadcast(bytes("news"));
    await until(() => a.stats.messageDepth === 0, "an empty queue");
    expect(await broadcast.finished).toBe("sent");
  });

  it("is `replaced` when a newer one takes its name, and the newer one arrives", async () => {
    const a = await newNode("a");
    const first = a.broadcast(bytes("1"), { replaces: "price" });
    const other = a.broadcast(bytes("other"), { replaces: "weight" });
    const second = a.broadcast(bytes("2"), { replaces: "price" });
    expect(await first.finished).toBe("replaced");
    expect(a.stats.messageDepth).toBe(2);
    const b = await newNode("b");
    const watch = new Watch(b);
    await b.join([a.self.address]);
    expect(await Promise.all([second.finished, other.finished])).toEqual(["sent", "sent"]);
    await until(() => watch.of("message").length === 2, "both");
    expect(
      watch
        .of("message")
        .map(({ payload }) => text(payload))
        .sort(),
    ).toEqual(["2", "other"]);
  });

  it("that was sent is not replaced by a later one of its name", async () => {
    const [a] = await pair();
    const first = a.broadcast(bytes("1"), { replaces: "price" });
    expect(await first.finished).toBe("sent");
    expect(await a.broadcast(bytes("2"), { replaces: "price" }).finished).toBe("sent");
    expect(await first.finished).toBe("sent");
  });

  it("is `pruned` when the queue is full, the oldest first, and only for those", async () => {
    const a = await newNode("a", { queueRecords: 16 });
    const broadcasts = Array.from({ length: 20 }, (_, i) => a.broadcast(bytes(`${i}`.padStart(2))));
    expect(await Promise.all(broadcasts.slice(0, 4).map(({ finished }) => finished))).toEqual(Array(4).fill("pruned"));
    expect(a.stats.messageDepth).toBe(16);
    await a.close();
    const rest = await Promise.all(broadcasts.slice(4).map(({ finished }) => finished));
    expect(rest).toEqual(Array(16).fill("closed"));
  });

  it("is told to each of ten thousand, exactly as they ended", async () => {
    const a = await newNode("a", { queueRecords: 1000 });
    const broadcasts = Array.from({ length: 10_000 }, () => a.broadcast(bytes("x")));
    await a.close();
    const ends = await Promise.all(broadcasts.map(({ finished }) => finished));
    expect(ends.filter((end) => end === "pruned")).toHaveLength(9000);
    expect(ends.slice(9000)).toEqual(Array(1000).fill("closed"));
  });
});

describe("broadcasts under load", () => {
  it("leave in the order they came, so that none waits for ever behind newer ones", async () => {
    const [a, , watch] = await pair();
    const first = a.broadcast(bytes("the first".padEnd(200)));
    let sent = 0;
    let isFirstSent = false;
    void first.finished.then(() => {
      isFirstSent = true;
    });
    // Ever more than the gossip carries, as long as the first has not gone.
    await until(() => {
      for (let i = 0; i < 20 && !isFirstSent; i++) a.broadcast(bytes(`flood ${sent++}`.padEnd(200)));
      return watch.of("message").some(({ payload }) => text(payload).startsWith("the first"));
    }, "the first broadcast");
  });
});
