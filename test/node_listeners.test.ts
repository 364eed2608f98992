import { describe, expect, it } from "vitest";
import type { GossipNode } from "../src/node.js";
import { bytes, closeAfterEach, letters, newCluster, text, until, Watch } from "./support/nodes.js";

closeAfterEach();

describe("a listener", () => {
  it("that throws reaches the error event, and the node goes on", async () => {
    const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
    a.on("message", () => {
      throw new Error("bad listener");
    });
    const watch = new Watch(a);
    await b.send("a", bytes("1"), { reliable: true });
    b.broadcast(bytes("2"));
    await until(() => watch.of("message").length === 2, "both messages");
    await until(() => watch.of("error").length === 2, "both errors");
    expect(watch.of("error").map(({ message }) => message)).toEqual(["bad listener", "bad listener"]);
    expect(a.memberCount).toBe(2);
  });

  it("that rejects reaches the error event as well", async () => {
    const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
    const watch = new Watch(a);
    a.on("message", async () => {
      throw new Error("late failure");
    });
    await b.send("a", bytes("1"), { reliable: true });
    await until(() => watch.of("error").length === 1, "the error");
    expect(watch.of("error")[0]?.message).toBe("late failure");
  });

  it("may broadcast, send, update and join from within, in order", async () => {
    const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
    const watch = new Watch(b);
    const order: string[] = [];
    const exchanges: Promise<unknown>[] = [];
    a.on("message", ({ payload }) => {
      order.push(`first ${text(payload)}`);
      a.broadcast(bytes(`echo ${text(payload)}`));
      a.updateMeta(text(payload));
      exchanges.push(a.send("b", bytes(`direct ${text(payload)}`), { reliable: true }), a.join([b.self.address]));
      expect(a.members).toHaveLength(2);
    });
    a.on("message", ({ payload }) => order.push(`second ${text(payload)}`));
    for (const one of ["x", "y"]) await b.send("a", bytes(one), { reliable: true });
    await until(() => watch.of("message").length === 4, "all answers");
    await until(() => text(b.member("a")?.meta ?? bytes("")) === "y", "the update");
    await Promise.all(exchanges);
    expect(order).toEqual(["first x", "second x", "first y", "second y"]);
    expect(new Set(watch.of("message").map(({ payload }) => text(payload)))).toEqual(
      new Set(["echo x", "direct x", "echo y", "direct y"]),
    );
  });

  it("may close the node, and hears nothing more", async () => {
    const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
    const heard: string[] = [];
    a.on("message", ({ payload }) => {
      heard.push(text(payload));
      void a.close();
    });
    for (let i = 0; i < 50; i++) await b.send("a", bytes(`${i}`));
    const watch = new Watch(b);
    await watch.until("fail a");
    await a.close();
    expect(heard).toHaveLength(1);
  });

  it("may leave and close on the first event", async () => {
    const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
    const watch = new Watch(b);
    a.on("message", () => void a.leave().then(() => a.close()));
    b.broadcast(bytes("go"));
    await watch.until("leave a");
    expect(watch.story(true)).toEqual(["leave a"]);
  });

  it("of one node may close another one of the same process", async () => {
    const nodes = await newCluster(letters(5));
    const [first, ...rest] = nodes as [GossipNode, ...GossipNode[]];
    const watch = new Watch(rest[3] as GossipNode);
    (rest[0] as GossipNode).on("message", () => {
      void rest[1]?.close();
      void rest[2]?.close();
    });
    first.broadcast(bytes("now"));
    await watch.until("fail n2");
    await watch.until("fail n3");
  });

  it("added with once hears one event, one taken away hears none", async () => {
    const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
    const heard: string[] = [];
    const never = (): unknown => heard.push("never");
    a.once("message", () => heard.push("once")).on("message", never);
    a.off("message", never);
    for (let i = 0; i < 3; i++) await b.send("a", bytes(`${i}`), { reliable: true });
    expect(heard).toEqual(["once"]);
  });
});
