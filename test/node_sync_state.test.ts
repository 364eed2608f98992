import { describe, expect, it } from "vitest";
import type { Delegates } from "../src/delegates.js";
import {
  allSee,
  bytes,
  closeAfterEach,
  errorOf,
  letters,
  newCluster,
  newNode,
  text,
  until,
  Watch,
} from "./support/nodes.js";

closeAfterEach();

const broken = (what: string) => (): never => {
  throw new Error(what);
};

describe("a delegate that throws is reported and changes nothing (M-084, M-087)", () => {
  it.each(["joiner", "joined"])("localState of the %s: no state is sent, the memberships merge", async (side) => {
    const merged: string[] = [];
    const bad: Delegates = { localState: broken("no state") };
    const good: Delegates = { mergeRemoteState: (state) => merged.push(text(state)) };
    const a = await newNode("a", {}, side === "joined" ? bad : good);
    const b = await newNode("b", {}, side === "joiner" ? bad : good);
    const watch = new Watch(side === "joined" ? a : b);
    await b.join([a.self.address]);
    await allSee([a, b], 2);
    await until(() => watch.of("error").length === 1, "the error");
    expect([watch.of("error")[0]?.message, merged]).toEqual(["no state", []]);
  });

  it.each([
    ["text", "not bytes", "TATTLER_ARGUMENT_INVALID"],
    ["null", null, "TATTLER_ARGUMENT_INVALID"],
    ["more than maxMessageBytes", new Uint8Array(1001), "TATTLER_MESSAGE_TOO_LARGE"],
  ])("localState that returns %s: the same", async (_, state, code) => {
    const merged: string[] = [];
    const a = await newNode("a", { maxMessageBytes: 1000 }, { localState: () => state as Uint8Array });
    const watch = new Watch(a);
    const b = await newNode("b", {}, { mergeRemoteState: (given) => merged.push(text(given)) });
    await b.join([a.self.address]);
    await allSee([a, b], 2);
    await until(() => watch.of("error").length === 1, "the error");
    expect([watch.of("error")[0], merged]).toMatchObject([{ code }, []]);
  });

  it.each(["joiner", "joined"])("mergeRemoteState of the %s: the join succeeds", async (side) => {
    const bad: Delegates = { mergeRemoteState: broken("no merge"), localState: () => bytes("x") };
    const good: Delegates = { localState: () => bytes("x") };
    const a = await newNode("a", {}, side === "joined" ? bad : good);
    const b = await newNode("b", {}, side === "joiner" ? bad : good);
    const watch = new Watch(side === "joined" ? a : b);
    expect((await b.join([a.self.address])).joined).toBe(1);
    await allSee([a, b], 2);
    await until(() => watch.of("error").length === 1, "the error");
    expect(watch.of("error")[0]?.message).toBe("no merge");
  });

  it.each(["joiner", "joined"])("allowMerge of the %s: neither end merges", async (side) => {
    const bad: Delegates = { allowMerge: broken("no judge") };
    const a = await newNode("a", {}, side === "joined" ? bad : {});
    const b = await newNode("b", {}, side === "joiner" ? bad : {});
    const watches = [new Watch(a), new Watch(b)];
    const error = await errorOf(() => b.join([a.self.address]));
    expect(error.cause).toMatchObject({ code: "TATTLER_JOIN_REFUSED" });
    const told = () => watches.flatMap((watch) => watch.of("error")).map(({ message }) => message);
    await until(() => told().length === 1, "the error");
    expect([told(), a.memberCount, b.memberCount, a.stats.syncsMerged, b.stats.syncsMerged]).toEqual([
      ["no judge"],
      1,
      1,
      0,
      0,
    ]);
    expect(watches.flatMap((watch) => watch.story())).toEqual([]);
  });

  it("allowAlive in a sync: the member it was asked about stays out, the others come in", async () => {
    const nodes = await newCluster(letters(3));
    const picky: Delegates = { allowAlive: ({ name }) => name !== "n1" || broken("no idea")() };
    const a = await newNode("a", {}, picky);
    const watch = new Watch(a);
    await a.join([nodes[0]?.self.address ?? ""]);
    await until(() => watch.of("error").length > 0, "the error");
    expect(a.members.map(({ name }) => name).sort()).toEqual(["a", "n0", "n2"]);
    expect(new Set(watch.of("error").map(({ message }) => message))).toEqual(new Set(["no idea"]));
  });
});

describe("two nodes (T-015)", () => {
  it("trade metadata, its update, 256 broadcasts, state and messages, both ways", async () => {
    const states: string[] = [];
    const stateful = (name: string): Delegates => ({
      localState: () => bytes(`state of ${name}`),
      mergeRemoteState: (state) => states.push(`${name}: ${text(state)}`),
    });
    const a = await newNode("a", { meta: "meta of a" }, stateful("a"));
    const b = await newNode("b", { meta: "meta of b" }, stateful("b"));
    const watches = [new Watch(a), new Watch(b)] as const;
    await b.join([a.self.address]);
    await allSee([a, b], 2);
    expect([a.member("b"), b.member("a")].map((member) => text(member?.meta ?? bytes("")))).toEqual([
      "meta of b",
      "meta of a",
    ]);
    expect(states.sort()).toEqual(["a: state of b", "b: state of a"]);
    b.updateMeta("new meta");
    await until(() => text(a.member("b")?.meta ?? bytes("")) === "new meta", "the update");
    for (let n = 0; n < 256; n++) a.broadcast(bytes(`broadcast ${n}`));
    await until(() => watches[1].of("message").length === 256, "256 broadcasts");
    expect(new Set(watches[1].of("message").map(({ payload }) => text(payload))).size).toBe(256);
    await a.send(b.self.address, bytes("to b"), { reliable: true });
    await b.send(a.self.address, bytes("to a"), { reliable: true });
    const last = (watch: Watch) =>
      watch
        .of("message")
        .map(({ payload }) => text(payload))
        .at(-1);
    await until(() => last(watches[0]) === "to a" && last(watches[1]) === "to b", "both messages");
  });
});

describe("a joiner learns who is gone (E-12, M-152)", () => {
  it("the dead and the left, each as what it is, without an event", async () => {
    const [a, b, c] = await newCluster(["a", "b", "c"], { gossipToTheDeadMs: 60_000 });
    const watch = new Watch(a!);
    await c!.leave();
    await c!.close();
    await b!.close();
    await watch.until("fail b");
    await watch.until("leave c");
    const late = await newNode("late", { gossipToTheDeadMs: 60_000 });
    const told = new Watch(late);
    await late.join([a!.self.address]);
    expect([late.member("b")?.state, late.member("c")?.state, late.memberCount]).toEqual(["dead", "left", 2]);
    await until(() => told.story().length > 0, "the join");
    expect(told.story()).toEqual(["join a"]);
  });
});
