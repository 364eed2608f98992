import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import type { Conflict, Delegates, Member, MemberClaim } from "../../src/delegates.js";
import { TattlerError } from "../../src/errors.js";
import { type SimEvent, Simulation } from "../../src/sim/index.js";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const root = fileURLToPath(new URL("../..", import.meta.url));

let sim: Simulation;
let events: SimEvent[];
afterEach(() => sim.close());

function begin(seed = 1): void {
  events = [];
  sim = new Simulation({ seed, observe: (event) => events.push(event) });
}

function errors(): [string, string][] {
  return events.flatMap((event) => (event.kind === "error" ? [[event.node, event.error.message] as const] : []));
}

/** Joins, and gives what came of it. */
function join(joiner: string, peer: string): Error | null | undefined {
  let end: Error | null | undefined;
  sim.node(joiner)?.join(peer, (error) => (end = error));
  sim.run(20_000, () => end !== undefined);
  return end;
}

function codeOf(error: unknown): string {
  return error instanceof TattlerError ? error.code : String(error);
}

describe("the example of the README", () => {
  it("runs as it is printed", () => {
    begin();
    const blocks =
      readFileSync(`${root}README.md`, "utf8").match(/(?<=```js\n)[^`]*mergeRemoteState[^`]*(?=```)/g) ?? [];
    expect(blocks.length).toBe(1);
    const options = { cwd: root, encoding: "utf8", input: blocks[0] as string } as const;
    const { status, stderr } = spawnSync(process.execPath, ["--input-type=module"], options);
    expect([status, stderr]).toEqual([0, ""]);
  });
});

describe("state that travels with syncs", () => {
  it("reaches both sides of a join, once the memberships are merged, and each periodic sync", () => {
    begin();
    const merged: string[] = [];
    const delegatesOf = (name: string): Delegates => ({
      localState: (isJoin) => bytes(`${name} ${isJoin}`),
      mergeRemoteState: (state, isJoin) => {
        merged.push(`${name} got ${new TextDecoder().decode(state)} ${isJoin} of ${sim.node(name)?.memberCount}`);
      },
    });
    for (const name of ["a", "b"]) sim.open(name, {}, { delegates: delegatesOf(name) });
    expect(join("b", "a")).toBeNull();
    expect(merged).toEqual(["a got b true true of 2", "b got a true true of 2"]);
    sim.run(65_000);
    expect(merged.slice(2)).toContain("a got b false false of 2");
  });

  it("is copied, so that its sender may go on using its buffer", () => {
    begin();
    const buffer = bytes("before");
    const got: string[] = [];
    sim.open("a", {}, { delegates: { mergeRemoteState: (state) => void got.push(new TextDecoder().decode(state)) } });
    sim.open("b", {}, { delegates: { localState: () => buffer } });
    sim.node("b")?.join("a");
    buffer.set(bytes("AFTER!"));
    sim.run(1000);
    expect(got).toEqual(["before"]);
  });
});

describe("vetoes", () => {
  it.each([
    ["of the joined member", "a", "a refused the join"],
    ["of the joiner", "b", "this node itself refused the join"],
  ])("%s keep a join from changing anything on either side (E-75)", (_, refuser, message) => {
    begin();
    const asked: string[] = [];
    const asks = (name: string): Delegates => ({
      allowMerge: (claims) => {
        asked.push(`${name}: ${claims.map((claim) => `${claim.name} ${claim.state} at ${claim.address}`)}`);
        return name === refuser ? "no" : undefined;
      },
    });
    sim.open("a", {}, { delegates: asks("a") });
    sim.open("b", {}, { delegates: asks("b") });
    const error = join("b", "a");
    expect([codeOf(error), error?.message]).toEqual(["TATTLER_JOIN_REFUSED", expect.stringContaining(message)]);
    sim.run(5000);
    expect(sim.nodes.map(({ memberCount }) => memberCount)).toEqual([1, 1]);
    expect(asked[0]).toBe("a: b alive at 10.0.0.2:7946");
    expect([errors(), events]).toEqual([[], []]);
  });

  it("that agree let a join through, merged on both ends", () => {
    begin();
    for (const name of ["a", "b"]) sim.open(name, {}, { delegates: { allowMerge: () => undefined } });
    expect(join("b", "a")).toBeNull();
    expect(sim.nodes.map(({ memberCount }) => memberCount)).toEqual([2, 2]);
  });

  it("of an alive keep a member out, by gossip and by sync, at those only who say so", () => {
    begin();
    const asked = new Set<string>();
    const allowAlive = ({ name }: MemberClaim): boolean => {
      asked.add(name);
      return name !== "c";
    };
    sim.open("a", {}, { delegates: { allowAlive } });
    for (const name of ["b", "c"]) sim.open(name);
    for (const name of ["b", "c"]) expect(join(name, "b" === name ? "a" : "b")).toBeNull();
    sim.run(60_000);
    expect(["a", "b", "c"].map((name) => sim.node(name)?.stateOf("c"))).toEqual([null, "alive", "alive"]);
    expect(asked).toContain("c");
  });

  it.each([true, false])("of a TCP ping: %s decides whether a member that UDP does not reach is kept", (allowed) => {
    begin();
    const asked = new Set<string>();
    const allowTcpPing = (name: string): boolean => {
      asked.add(name);
      return allowed;
    };
    for (const name of ["a", "b", "c"]) sim.open(name, {}, { delegates: { allowTcpPing } });
    for (const name of ["b", "c"]) join(name, "a");
    sim.run(2000);
    for (const name of ["a", "b"]) sim.network.setLink(name, "c", { lossRate: 1 });
    sim.run(20_000);
    expect(events.some(({ kind, about }) => kind === "suspect" && about === "c")).toBe(!allowed);
    expect(asked).toContain("c");
  });
});

describe("what a node tells", () => {
  it("is the round trip of a probe, in virtual time and with what the other put into its acks", () => {
    begin();
    const trips: [string, number, string][] = [];
    const onRoundTrip = (name: string, rttMs: number, payload: Uint8Array): void => {
      trips.push([name, Math.round(rttMs * 1000) / 1000, new TextDecoder().decode(payload)]);
    };
    sim.open("a", {}, { delegates: { onRoundTrip } });
    sim.open("b").endpoint.setAckPayload(bytes("zone 2"));
    join("b", "a");
    sim.run(3000);
    expect(trips.length).toBeGreaterThan(2);
    expect(new Set(trips.map((trip) => trip.join()))).toEqual(new Set(["b,0.4,zone 2"]));
  });

  it("is a conflict, with both addresses", () => {
    begin();
    const conflicts: Conflict[] = [];
    sim.open("a", {}, { delegates: { onConflict: (conflict) => conflicts.push(conflict) } });
    sim.open("b");
    join("b", "a");
    sim.node("b")?.close();
    sim.open("b", {}, { newAddress: true });
    sim.node("b")?.join("a");
    sim.run(500);
    expect(conflicts[0]).toEqual({ name: "b", address: "10.0.0.2:7946", claimedBy: "10.0.0.3:7946" });
  });

  it("are events, as a node with sockets tells them, until the listener is taken away", () => {
    begin();
    const told: unknown[] = [];
    const noteJoin = ({ name, address, state }: Member): void => void told.push(["join", name, address, state]);
    const a = sim.open("a").on("join", noteJoin);
    a.on("fail", ({ name, accusedBy, evidence }) => told.push(["fail", name, accusedBy, evidence]));
    a.on("message", ({ from, payload, direct }) => told.push([from, new TextDecoder().decode(payload), direct]));
    for (const name of ["b", "c"]) sim.open(name);
    join("b", "a");
    a.off("join", noteJoin);
    join("c", "a");
    sim.run(1000);
    sim.node("b")?.broadcast(bytes("hello"));
    sim.run(1000);
    sim.node("c")?.close();
    sim.run(20_000);
    expect(told).toEqual([
      ["join", "b", "10.0.0.2:7946", "alive"],
      ["b", "hello", false],
      ["fail", "c", expect.stringMatching(/^[ab]$/), expect.stringMatching(/^(expired|timeout)$/)],
    ]);
    expect(a.member("c")).toMatchObject({ name: "c", state: "dead", protocol: { current: 1 } });
    expect(a.member("nobody")).toBeUndefined();
  });
});

describe("a delegate that fails", () => {
  it("by throwing is an error event, and changes nothing", () => {
    begin();
    const fail = (what: string) => (): never => {
      throw new Error(`${what} failed`);
    };
    const heard: string[] = [];
    const delegates = { localState: fail("localState"), mergeRemoteState: fail("mergeRemoteState") };
    sim.open("a", {}, { delegates }).on("error", ({ message }) => heard.push(message));
    sim.open("b", {}, { delegates: { localState: () => bytes("state"), mergeRemoteState: fail("unasked") } });
    expect(join("b", "a")).toBeNull();
    expect(sim.nodes.map(({ memberCount }) => memberCount)).toEqual([2, 2]);
    expect(errors()).toEqual([
      ["a", "localState failed"],
      ["a", "mergeRemoteState failed"],
    ]);
    expect(heard).toEqual(["localState failed", "mergeRemoteState failed"]);
  });

  it("by throwing refuses a join or a member, and lets a TCP ping through", () => {
    begin();
    const fail = (): never => {
      throw new Error("oh");
    };
    sim.open("a", {}, { delegates: { allowMerge: fail } });
    sim.open("b", {}, { delegates: { allowAlive: fail } });
    expect(codeOf(join("b", "a"))).toBe("TATTLER_JOIN_REFUSED");
    sim.node("b")?.join("a");
    sim.open("c");
    join("c", "b");
    expect([sim.node("c")?.memberCount, sim.node("b")?.memberCount]).toEqual([2, 1]);
    expect(new Set(errors().map(([node, message]) => `${node} ${message}`))).toEqual(new Set(["a oh", "b oh"]));
  });

  it("by throwing in a listener is told once, also when that one listens for errors", () => {
    begin();
    const fail = (text: string) => (): never => {
      throw new Error(text);
    };
    sim.open("a").on("join", fail("at a join")).on("error", fail("at an error"));
    sim.open("b");
    join("b", "a");
    expect(errors()).toEqual([
      ["a", "at a join"],
      ["a", "at an error"],
    ]);
  });

  it("by returning a promise has failed, whether it was asked or told", () => {
    begin();
    const later = async (): Promise<never> => {
      throw new Error("too late");
    };
    const delegates = { localState: later, allowAlive: later, mergeRemoteState: later } as unknown as Delegates;
    sim.open("a", {}, { delegates }).on("message", later);
    sim.open("b", {}, { delegates: { localState: () => bytes("state") } });
    join("b", "a");
    sim.node("b")?.broadcast(bytes("x"));
    sim.run(1000);
    expect(sim.node("a")?.memberCount).toBe(1);
    const problem = "it returned a promise; do all of it before returning";
    expect(new Set(errors().map(([node, message]) => `${node} ${message}`))).toEqual(
      new Set(
        ["allowAlive", "localState", "mergeRemoteState", "listener of message"].map(
          (name) => `a argument ${name}: ${problem}`,
        ),
      ),
    );
  });

  it("is not called once its node is closed", () => {
    begin();
    let merges = 0;
    const node = sim.open("a", {}, { delegates: { mergeRemoteState: () => void merges++, allowAlive: () => true } });
    node.on("join", () => node.close());
    sim.open("b", {}, { delegates: { localState: () => bytes("state") } });
    expect(join("b", "a")).toBeNull();
    sim.run(5000);
    expect([merges, errors()]).toEqual([0, []]);
  });
});

describe("a run with delegates", () => {
  /** A cluster that loses datagrams and is cut in two, with a counter at every node. */
  function life(seed: number, delegatesOf: (name: string, log: string[]) => Delegates): [string, string[]] {
    begin(seed);
    const log: string[] = [];
    sim.network.lossRate = 0.05;
    const names = ["a", "b", "c", "d", "e"];
    for (const name of names) sim.open(name, {}, { delegates: delegatesOf(name, log) });
    for (const name of names.slice(1)) sim.node(name)?.join("a");
    sim.run(20_000);
    sim.network.partition([
      ["a", "b"],
      ["c", "d"],
    ]);
    sim.run(40_000);
    sim.network.heal();
    sim.run(60_000);
    const { hash } = sim.trace;
    sim.close();
    return [hash, log];
  }

  const counting = (name: string, log: string[]): Delegates => ({
    localState: (isJoin) => bytes(`${name} ${isJoin} ${log.length}`),
    mergeRemoteState: (state) => void log.push(`${sim.nowMs} ${name} ${new TextDecoder().decode(state)}`),
    allowMerge: (claims) => void log.push(`${sim.nowMs} ${name} ${claims.length}`),
    onRoundTrip: (member, rttMs) => void log.push(`${sim.nowMs} ${name} ${member} ${rttMs}`),
  });

  it("is the same run for the same seed, to the last call, and another for another", () => {
    const first = life(3, counting);
    expect(life(3, counting)).toEqual(first);
    expect(first[1].length).toBeGreaterThan(100);
    expect(life(4, counting)).not.toEqual(first);
  });

  it("is the run without them, as long as they agree to everything", () => {
    const agreeing = { allowAlive: () => true, allowTcpPing: () => true };
    expect(life(3, () => agreeing)[0]).toBe(life(3, () => ({}))[0]);
    const trading = { localState: () => bytes("x"), mergeRemoteState: () => {} };
    expect(life(3, () => ({ ...agreeing, ...trading }))[0]).toBe(life(3, () => trading)[0]);
  });
});
