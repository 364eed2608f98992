import { createSocket } from "node:dgram";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { DropMessage, ProbeMessage, StateMessage, SuspicionMessage } from "../src/io/diagnostics.js";
import type { GossipNode } from "../src/node.js";
import { type Line, Lines } from "./support/lines.js";
import { allSee, bytes, closeAfterEach, closeLater, newNode, sharedKey, until } from "./support/nodes.js";

closeAfterEach();
afterEach(() => vi.restoreAllMocks());

/** Nodes a, b and c that know each other; a logs. */
/** Refusals would make a death of every closed node before anybody is suspected for long. */
const byTimeouts = { refusedConfirmations: 0 } as const;

async function trio(options = {}): Promise<{ nodes: [GossipNode, GossipNode, GossipNode]; log: Lines }> {
  const log = new Lines();
  const a = await newNode("a", { ...byTimeouts, ...options, logger: log });
  const b = await newNode("b", { ...byTimeouts, ...options });
  const c = await newNode("c", { ...byTimeouts, ...options });
  await b.join([a.self.address]);
  await c.join([a.self.address]);
  await allSee([a, b, c], 3);
  return { nodes: [a, b, c], log };
}

/** Collects the messages of a channel that this node published. */
function hear<T extends { readonly node: string }>(channel: string, node: string): T[] {
  const messages: T[] = [];
  const listener = (message: unknown): void => {
    if ((message as T).node === node) messages.push(message as T);
  };
  subscribe(channel, listener);
  closeLater({ close: () => void unsubscribe(channel, listener) });
  return messages;
}

async function sendGarbage(to: GossipNode): Promise<void> {
  const [, host, port] = /^(.*):(\d+)$/.exec(to.self.address) as unknown as [string, string, string];
  const socket = createSocket("udp4");
  closeLater({ close: () => void socket.close() });
  await new Promise((resolve) => socket.send("x".repeat(64), Number(port), host, resolve));
}

describe("a node logs", () => {
  it("its life, and that of others", async () => {
    const { nodes, log } = await trio();
    const [a, b, c] = nodes;
    await b.leave();
    await until(() => a.member("b")?.state === "left", "the leave");
    await b.close();
    const address = c.self.address;
    await c.close();
    await until(() => a.member("c")?.state === "dead", "the death");
    await a.leave();
    await a.close();
    expect(log.lines[0]).toMatchObject({
      level: "info",
      event: "start",
      node: "a",
      isEncrypted: true,
      profile: "local",
    });
    const about = log.lines.filter(({ event }) => event.startsWith("member_"));
    const told = about.map(({ event, member }) => `${event} ${member}`);
    expect(told).toEqual(
      expect.arrayContaining(["member_join b", "member_join c", "member_leave b", "member_suspect c"]),
    );
    expect(log.of("member_fail")).toEqual([
      expect.objectContaining({ level: "warn", node: "a", member: "c", address, accusedBy: "a", evidence: "expired" }),
    ]);
    expect(log.of("accusation")[0]).toMatchObject({ member: "c", accusedBy: "a", evidence: "timeout" });
    expect(log.lines.slice(-2).map(({ event }) => event)).toEqual(["leave", "close"]);
    expect(log.lines.every(({ node, message }) => node === "a" && message.length > 0)).toBe(true);
  });

  it("joins with the fate of each address, and state syncs that fail, with a remedy", async () => {
    const log = new Lines();
    const quiet = { ...byTimeouts, probeIntervalMs: 0, pushPullIntervalMs: 100 };
    const a = await newNode("a", { ...quiet, logger: log });
    const b = await newNode("b", quiet);
    const gone = await newNode("gone", quiet);
    const nobody = gone.self.address;
    await gone.close();
    await a.join([b.self.address, nobody]);
    const peer = b.self.address;
    await b.close();
    await until(() => log.of("sync_failed").length > 0, "a failed sync");
    expect(log.of("join")).toEqual([expect.objectContaining({ level: "info", joined: 1, tried: 2, peers: ["b"] })]);
    const code = "TATTLER_STREAM_UNREACHABLE";
    const remedy = expect.stringMatching(/firewall/);
    expect(log.of("join_failed")).toEqual([expect.objectContaining({ level: "warn", address: nobody, code, remedy })]);
    expect(log.of("sync_failed")[0]).toMatchObject({ level: "warn", address: peer, code, remedy });
  });

  it("delegates that fail, and whom it refused to merge", async () => {
    const log = new Lines();
    const failing = {
      localState: () => {
        throw new Error("no state today");
      },
    };
    const a = await newNode("a", { logger: log }, { ...failing, allowMerge: () => "full" });
    a.on("error", () => {});
    const b = await newNode("b");
    await b.join([a.self.address]).catch(() => {});
    await a.join([b.self.address]).catch(() => {});
    await until(() => log.of("delegate_error").length > 0, "the error");
    expect(log.of("delegate_error")[0]).toMatchObject({ level: "error", err: { message: "no state today" } });
    expect(log.of("sync_refused")[0]).toMatchObject({ level: "warn", peer: "b", reason: "full" });
  });

  it("what it drops, and says the same on tattler:drop", async () => {
    const log = new Lines();
    const a = await newNode("a", { logger: log });
    const heard = hear<DropMessage>("tattler:drop", "a");
    await sendGarbage(a);
    await until(() => log.of("drops").length > 0, "the summary");
    expect(log.of("drops")).toEqual([expect.objectContaining({ level: "warn", drops: { dropMagic: 1 } })]);
    expect(heard).toEqual([{ node: "a", drops: { dropMagic: 1 } }]);
  });

  it("that another one claims a name", async () => {
    const { nodes, log } = await trio();
    const twin = await newNode("b");
    const first = nodes[1].self.address;
    await twin.join([nodes[0].self.address]).catch(() => {});
    await until(() => log.of("name_conflict").length > 0, "the conflict");
    const fields = { member: "b", address: first, claimedBy: twin.self.address };
    expect(log.of("name_conflict")).toEqual([expect.objectContaining({ level: "warn", ...fields })]);
  });

  it("neither keys nor payloads nor metadata", async () => {
    const { nodes, log } = await trio({ meta: "zebra-meta" });
    const [a, b, c] = nodes;
    const texts: string[] = [];
    for (const node of nodes) node.on("message", ({ payload }) => void texts.push(Buffer.from(payload).toString()));
    a.broadcast(bytes("zebra-broadcast"));
    await b.send("a", bytes("zebra-reliable"), { reliable: true });
    await a.send("b", bytes("zebra-datagram"));
    await until(() => texts.length >= 4, "all messages");
    await c.close();
    await until(() => a.member("c")?.state === "dead", "the death");
    const all = JSON.stringify(log.lines);
    expect(log.lines.length).toBeGreaterThan(6);
    expect(all).not.toContain("zebra");
    const key = Buffer.from(sharedKey);
    for (const secret of [key.toString("hex"), key.toString("base64"), [...key].join(",")])
      expect(all).not.toContain(secret);
  });

  it("nothing unless told to", async () => {
    const written = [vi.spyOn(process.stdout, "write"), vi.spyOn(process.stderr, "write")];
    const a = await newNode("a");
    const b = await newNode("b");
    await a.join([b.self.address]);
    await sendGarbage(a);
    await b.close();
    await until(() => a.member("b")?.state === "dead", "the death");
    await a.close();
    expect(written.flatMap((spy) => spy.mock.calls)).toEqual([]);
  });

  it("and goes on when its logger throws", async () => {
    let lines = 0;
    const fail = (): never => {
      lines++;
      throw new Error("full disk");
    };
    const logger = { trace: fail, debug: fail, info: fail, warn: fail, error: fail };
    const errors: Error[] = [];
    const a = await newNode("a", { logger });
    a.on("error", (error) => void errors.push(error));
    const b = await newNode("b");
    await b.join([a.self.address]);
    await b.close();
    await until(() => a.member("b")?.state === "dead", "the death");
    expect([lines > 3, errors]).toEqual([true, []]);
  });
});

describe("diagnostics channels", () => {
  it("show a death from the probe to the verdict, told apart by node", async () => {
    const { nodes } = await trio();
    const [a, b, c] = nodes;
    const probes = hear<ProbeMessage>("tattler:probe", "a");
    const suspicions = hear<SuspicionMessage>("tattler:suspicion", "a");
    const states = hear<StateMessage>("tattler:state", "a");
    const others = hear<StateMessage>("tattler:state", "b");
    // Late gossip is a sign of poor health, which answered probes take back.
    const isAnswered = ({ how, health }: ProbeMessage): boolean => how === "direct" && health === 0;
    await until(() => probes.some(isAnswered), "a probe answered to one in good health");
    await c.close();
    await until(() => [a, b].every((node) => node.member("c")?.state === "dead"), "the death");
    const answered = probes.find(isAnswered);
    expect(answered).toEqual({
      node: "a",
      member: expect.stringMatching(/^[bc]$/),
      how: "direct",
      rttMs: expect.any(Number),
      health: 0,
    });
    expect(answered?.rttMs).toBeGreaterThan(0);
    expect(suspicions[0]).toMatchObject({ member: "c", kind: "suspected", confirmations: 0 });
    expect(suspicions[0]?.timeoutMs).toBeGreaterThan(0);
    const path = ({ from, to, why }: StateMessage): string => `${from} > ${to} ${why}`;
    expect(states.filter(({ member }) => member === "c").map(path)).toEqual([
      "alive > suspect timeout",
      "suspect > dead expired",
    ]);
    expect(others.filter(({ member, to }) => member === "c" && to === "dead")).toHaveLength(1);
  });
});

describe("events say why", () => {
  it("a member is suspected, or was declared dead, and by whom", async () => {
    const { nodes } = await trio();
    const [a, b, c] = nodes;
    const told: Line[] = [];
    for (const event of ["suspect", "fail"] as const) {
      a.on(
        event,
        ({ name, accusedBy, evidence }) => void told.push({ level: "info", message: name, event, accusedBy, evidence }),
      );
    }
    await c.close();
    await until(() => [a, b].every((node) => node.member("c")?.state === "dead"), "the death");
    const by = expect.stringMatching(/^[ab]$/);
    expect(told).toEqual([
      expect.objectContaining({ event: "suspect", message: "c", accusedBy: by, evidence: "timeout" }),
      expect.objectContaining({ event: "fail", message: "c", accusedBy: by, evidence: "expired" }),
    ]);
  });
});
