import { describe, expect, it } from "vitest";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { type Call, recordOf, Stage } from "../support/recorder.js";

const members = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i + 1}`);

/** Runs to `toMs` and returns the calls of a kind with the times they were made at. */
function timed(stage: Stage, toMs: number, ...verbs: string[]): (Call & { atMs: number })[] {
  const calls: (Call & { atMs: number })[] = [];
  while (stage.swim.nextDeadline(stage.nowMs) <= toMs) {
    stage.runTo(Math.max(stage.nowMs, stage.swim.nextDeadline(stage.nowMs)));
    for (const call of stage.recorder.take(...verbs)) calls.push({ ...call, atMs: stage.nowMs });
  }
  stage.runTo(toMs);
  return calls;
}

describe("the periodic tasks", () => {
  it("start at random points of their first interval (M-101)", () => {
    const firsts = (verb: string): number[] =>
      Array.from({ length: 40 }, (_, seed) => {
        const stage = new Stage({}, seed).started().knows("m1", "m2", "m3");
        stage.recorder.queued.add(stage.self);
        return timed(stage, 40_000, verb)[0]?.atMs ?? 0;
      });
    for (const [verb, intervalMs] of [
      ["ping", 1000],
      ["gossip", 200],
      ["sync", 30_000],
    ] as const) {
      const shares = firsts(verb).map((atMs) => (atMs - 1000) / intervalMs);
      expect([Math.min(...shares) >= 0, Math.max(...shares) < 1]).toEqual([true, true]);
      expect([Math.min(...shares) < 0.2, Math.max(...shares) > 0.8]).toEqual([true, true]);
    }
  });

  it("come at their intervals, as long as probes are answered", () => {
    const stage = new Stage().started().knows("m1", "m2", "m3");
    stage.recorder.queued.add(stage.self);
    const pings: number[] = [];
    for (let i = 0; i < 20; i++) {
      const [ping] = timed(stage, stage.swim.nextDeadline(stage.nowMs), "ping");
      if (ping === undefined) continue;
      pings.push(ping.atMs);
      stage.swim.handleAck(stage.nowMs, ping.target as number, ping.seq as number);
    }
    expect(pings.length).toBeGreaterThan(2);
    expect(new Set(pings.slice(1).map((atMs, i) => Math.round(atMs - pings[i]!)))).toEqual(new Set([1000]));
    const gossips = [...new Set(timed(stage, stage.nowMs + 2000, "gossip").map((call) => call.atMs))];
    expect(gossips.slice(1).map((atMs, i) => Math.round(atMs - gossips[i]!))).toEqual(Array(9).fill(200));
  });

  it("do not run when their interval is 0", () => {
    const stage = new Stage({ probeIntervalMs: 0, gossipIntervalMs: 0, pushPullIntervalMs: 0 });
    stage.swim.start(1000);
    expect(stage.swim.nextDeadline(1000)).toBe(Number.POSITIVE_INFINITY);
  });

  it("do not run when probes are off, but for one that forgets the gone in their place (M-175)", () => {
    const stage = new Stage({ probeIntervalMs: 0, gossipIntervalMs: 0, pushPullIntervalMs: 0 }).started();
    stage.knows("m1", "m2", "m3");
    expect(stage.swim.nextDeadline(stage.nowMs)).toBe(Number.POSITIVE_INFINITY);
    stage.death("m1", "m3");
    stage.farewell("m2");
    stage.runTo(stage.nowMs + 30_000);
    expect([stage.view("m1"), stage.view("m2")]).toEqual(["dead 1", "left 1"]);
    stage.runTo(stage.nowMs + 10_000);
    expect(["m1", "m2", "m3"].map((name) => stage.view(name))).toEqual(["unknown", "unknown", "alive 1"]);
    expect(stage.swim.nextDeadline(stage.nowMs)).toBe(Number.POSITIVE_INFINITY);
    expect(stage.heldAfterStop()).toEqual([]);
  });

  it("do not forget a node that is itself leaving", () => {
    const stage = new Stage({ probeIntervalMs: 0 }).started().knows("m1");
    stage.swim.leave(stage.nowMs);
    stage.runTo(stage.nowMs + 120_000);
    expect(stage.view("self")).toBe("left 1");
  });

  it("forget the gone on a node that does not probe, too", () => {
    const stage = new Stage({ probeIntervalMs: 0 }).started().knows("m1", "m2", "m3");
    stage.death("m1", "m2");
    stage.farewell("m2");
    stage.runTo(stage.nowMs + 30_000);
    expect([stage.view("m1"), stage.view("m2")]).toEqual(["dead 1", "left 1"]);
    stage.runTo(stage.nowMs + 11_000);
    expect([stage.view("m1"), stage.view("m2"), stage.view("m3")]).toEqual(["unknown", "unknown", "alive 1"]);
  });

  it("tell by how late they run that we are slow (ARCHITECTURE 5.4)", () => {
    const stage = new Stage({ probeIntervalMs: 0 }).started().knows("m1", "m2");
    stage.runTo(10_000);
    expect(stage.swim.stats().health).toBe(0);
    stage.swim.advance(12_000, 12_000);
    expect(stage.swim.stats().health).toBeGreaterThanOrEqual(3);
  });

  it("skip what they missed in a stall instead of making up for it", () => {
    const stage = new Stage().started().knows("m1", "m2", "m3");
    stage.recorder.queued.add(stage.self);
    stage.swim.advance(100_000, 100_000);
    const verbs = stage.recorder.take().map((call) => call.verb);
    expect(verbs.filter((verb) => verb === "ping").length).toBe(1);
    expect(verbs.filter((verb) => verb === "gossip").length).toBe(3);
    expect(verbs.filter((verb) => verb === "sync").length).toBe(1);
  });

  it("are the same for the same seed, and others for another", () => {
    const trace = (seed: number): string => {
      const stage = new Stage({}, seed).started().knows(...members(10));
      stage.recorder.queued.add(stage.self);
      stage.runTo(60_000);
      return JSON.stringify(stage.recorder.take());
    };
    expect(trace(1)).toBe(trace(1));
    expect(trace(1)).not.toBe(trace(2));
  });

  it("never promise a deadline that then has nothing to do", () => {
    const stage = new Stage().started().knows(...members(5));
    stage.suspect("m1", "m2");
    for (let turn = 0; turn < 2000; turn++) {
      const atMs = stage.swim.nextDeadline(stage.nowMs);
      expect(atMs).toBeGreaterThanOrEqual(stage.nowMs);
      stage.swim.advance(atMs, atMs);
      expect(stage.swim.nextDeadline(atMs)).toBeGreaterThan(atMs);
      stage.nowMs = atMs;
      if (turn % 7 === 0) stage.swim.handleHeard(atMs);
    }
  });
});

describe("gossip targets (M-134, T-040)", () => {
  function targetsOf(stage: Stage): Set<unknown> {
    stage.recorder.queued.add(stage.self);
    stage.recorder.take();
    const seen = new Set<unknown>();
    for (const call of timed(stage, stage.nowMs + 5000, "gossip")) seen.add(call.to);
    return seen;
  }

  // Without probes nobody is forgotten, nor suspected.
  const quiet = { probeIntervalMs: 0, pushPullIntervalMs: 0 };

  it("are the alive, the suspects and the recently dead, never the left and never ourselves", () => {
    const stage = new Stage(quiet).started().knows(...members(6));
    stage.suspect("m2", "m1");
    stage.death("m3", "m1");
    stage.farewell("m4");
    const expected = ["m1", "m2", "m3", "m5", "m6"].map((name) => stage.addressOf(name));
    expect(targetsOf(stage)).toEqual(new Set(expected));
  });

  it("are no longer the dead when gossipToTheDeadMs is over", () => {
    const stage = new Stage({ ...quiet, gossipToTheDeadMs: 10_000 }).started().knows("m1", "m2");
    stage.death("m2", "m1");
    const died = stage.nowMs;
    stage.runTo(died + 4000);
    expect(targetsOf(stage).has(stage.addressOf("m2"))).toBe(true);
    stage.runTo(died + 10_001);
    expect(targetsOf(stage)).toEqual(new Set([stage.addressOf("m1")]));
  });

  it("are as many a round as gossipNodes, all different", () => {
    const stage = new Stage({ ...quiet, gossipNodes: 4 }).started().knows(...members(30));
    stage.recorder.queued.add(stage.self);
    stage.recorder.take();
    stage.runTo(stage.swim.nextDeadline(stage.nowMs));
    const to = stage.recorder.take("gossip").map((call) => call.to);
    expect([to.length, new Set(to).size]).toEqual([4, 4]);
  });

  it("are nobody when there is nothing to say, but for user messages", () => {
    const stage = new Stage(quiet).started().knows("m1", "m2");
    expect(timed(stage, 5000, "gossip")).toEqual([]);
    stage.recorder.messages = 1;
    expect(timed(stage, 6000, "gossip").length).toBeGreaterThan(5);
  });

  it("are no more in this round once the queue is empty, but more when a datagram was dropped", () => {
    const stage = new Stage({ ...quiet, gossipNodes: 3 }).started().knows(...members(5));
    stage.recorder.queued.add(stage.self);
    stage.recorder.recordsPerGossip = 0;
    stage.runTo(stage.swim.nextDeadline(stage.nowMs));
    expect(stage.recorder.take("gossip").length).toBe(1);
    stage.recorder.sends = false;
    stage.runTo(stage.swim.nextDeadline(stage.nowMs));
    expect(stage.recorder.take("gossip").length).toBe(3);
  });
});

describe("state syncs (M-150)", () => {
  it("go to one random member that is alive, never a suspect, a dead or a left one", () => {
    const stage = new Stage({ probeIntervalMs: 0, gossipIntervalMs: 0 }).started().knows(...members(6));
    stage.suspect("m1", "m6");
    stage.death("m2", "m6");
    stage.farewell("m3");
    // The suspicion must not run out, nor matter.
    stage.alive("m1", { incarnation: 2 });
    stage.suspect("m1", "m6", 2);
    const peers = new Set<unknown>();
    for (let seed = 0; seed < 60; seed++) {
      const [call] = stage.recorder.take("sync");
      peers.add(call?.member);
      stage.runTo(stage.swim.nextDeadline(stage.nowMs));
    }
    peers.delete(undefined);
    const others = ["m4", "m5", "m6"].map((name) => stage.handle(name));
    expect([...peers].sort()).toEqual(others.sort());
  });

  it("come more seldom in a larger cluster", () => {
    const stage = new Stage({ probeIntervalMs: 0, gossipIntervalMs: 0 }).started().knows(...members(64));
    const [first, second] = timed(stage, 250_000, "sync");
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBe(90_000);
  });

  it("wait longer when the cluster grew before the first, so that not all who joined together sync", () => {
    const firstOf = (others: number, seed: number): number => {
      const stage = new Stage({ probeIntervalMs: 0, gossipIntervalMs: 0 }, seed).started().knows(...members(others));
      const [first] = timed(stage, 250_000, "sync");
      return (first?.atMs ?? 0) - 1000;
    };
    for (const seed of [1, 2, 3, 4]) expect(firstOf(64, seed)).toBeCloseTo(3 * firstOf(8, seed), 6);
  });

  it("keep their time when the cluster shrinks", () => {
    const stage = new Stage({ probeIntervalMs: 0, gossipIntervalMs: 0 }).started().knows(...members(64));
    const [first] = timed(stage, 90_000, "sync");
    for (const name of members(60)) stage.farewell(name);
    const [second] = timed(stage, 250_000, "sync");
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBe(90_000);
  });
});

describe("a probe tick and the probe in flight (M-100)", () => {
  function unanswered(): { stage: Stage; sentMs: number } {
    const stage = new Stage({ gossipIntervalMs: 0, pushPullIntervalMs: 0 }).started().knows("m1", "m2", "m3", "m4");
    const [ping] = timed(stage, 2000, "ping");
    return { stage, sentMs: ping?.atMs ?? 0 };
  }

  it("probes never overlap: while health makes one last longer, ticks are skipped", () => {
    const stage = new Stage({ gossipIntervalMs: 0 }).started().knows(...members(8));
    for (let incarnation = 1; incarnation <= 3; incarnation++) stage.suspect("self", "m1", incarnation);
    expect(stage.swim.stats().health).toBe(3);
    const pings = timed(stage, 30_000, "ping", "pingAndAccuse").map((call) => call.atMs);
    const gaps = pings.slice(1).map((atMs, i) => Math.round(atMs - pings[i]!));
    expect(gaps[0]).toBe(4000);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(4000);
  });

  it("a tick that finds a verdict waiting for the drain comes right after it, not an interval later", () => {
    const { stage, sentMs } = unanswered();
    stage.runTo(sentMs + 999);
    stage.swim.handleHeard(stage.nowMs);
    stage.recorder.take();
    // The I/O thread says 3 ms later that it has emptied the sockets.
    stage.swim.advance(sentMs + 1000, sentMs + 998);
    expect([stage.recorder.take(), stage.swim.stats().failedProbes]).toEqual([[], 0]);
    stage.swim.advance(sentMs + 1003, sentMs + 1002);
    expect(stage.swim.stats()).toMatchObject({ failedProbes: 1, probes: 2 });
  });
});

describe("what arrived", () => {
  it("is answered: pings that the I/O thread has not answered", () => {
    const stage = new Stage().started().knows("m1");
    stage.swim.handlePing(stage.nowMs, stage.handle("m1"), stage.addressOf("m1"), 77, true);
    expect(stage.recorder.take()).toEqual([]);
    stage.swim.handlePing(stage.nowMs, stage.handle("m1"), stage.addressOf("m1"), 77, false);
    expect(stage.recorder.take()).toEqual([{ verb: "ack", to: stage.addressOf("m1"), seq: 77, isOwn: true }]);
  });

  it("shares sequence numbers between probes and errands, so that an ack belongs to one of them", () => {
    const stage = new Stage({ gossipIntervalMs: 0 }).started().knows("m1", "m2", "m3");
    const seqs: unknown[] = [];
    for (let i = 0; i < 5; i++) {
      const [from, to] = [stage.addressOf("m1"), stage.addressOf("m2")];
      stage.swim.handlePingRequest(stage.nowMs, from, stage.handle("m2"), to, 9);
      seqs.push(...timed(stage, stage.nowMs + 1000, "ping", "pingAndAccuse").map((call) => call.seq));
      seqs.push(...stage.recorder.take("ping").map((call) => call.seq));
    }
    expect(seqs.length).toBeGreaterThan(4);
    expect(new Set(seqs).size).toBe(seqs.length);
  });

  it("is passed on: the ack of an errand", () => {
    const stage = new Stage().started().knows("m1", "m2");
    stage.swim.handlePingRequest(stage.nowMs, stage.addressOf("m1"), stage.handle("m2"), stage.addressOf("m2"), 9);
    const [ping] = stage.recorder.take();
    expect(stage.swim.handleAck(stage.nowMs, stage.handle("m2"), ping?.seq as number)).toBe(-1);
    expect(stage.recorder.take()).toEqual([{ verb: "ack", to: stage.addressOf("m1"), seq: 9, isOwn: false }]);
    expect(stage.heldAfterStop()).toEqual([]);
  });

  it("is refused: a request to ping a member elsewhere than we know it, or a stranger (E-71)", () => {
    const stage = new Stage().started().knows("m1", "m2");
    const requester = stage.addressOf("m1");
    stage.swim.handlePingRequest(stage.nowMs, requester, stage.handle("m2"), stage.addressOf("m3"), 9);
    stage.swim.handlePingRequest(stage.nowMs, requester, stage.handle("m9"), stage.addressOf("m9"), 10);
    const nack = (seq: number) => ({ verb: "nack", to: requester, seq });
    expect(stage.recorder.take()).toEqual([nack(9), nack(10)]);
    expect(stage.swim.stats().errandsRefused).toBe(2);
  });

  it("ends a probe: acks by datagram and by stream", () => {
    for (const way of ["datagram", "stream"]) {
      const stage = new Stage().started().knows("m1", "m2");
      let ping: Call | undefined;
      while (ping === undefined) {
        stage.runTo(stage.swim.nextDeadline(stage.nowMs));
        [ping] = stage.recorder.take("ping");
      }
      const [target, seq, sentMs] = [ping.target as number, ping.seq as number, stage.nowMs];
      if (way === "stream") stage.swim.handleStreamAck(sentMs + 1, seq);
      else expect(stage.swim.handleAck(sentMs + 0.5, target, seq)).toBeCloseTo(0.5);
      stage.swim.handleHeard(sentMs + 1);
      stage.swim.advance(sentMs + 1500, sentMs + 1500);
      expect(stage.swim.stats().failedProbes).toBe(0);
    }
  });

  it("spares our health: the nacks of the helpers", () => {
    const stage = new Stage({ gossipIntervalMs: 0 }).started().knows("m1", "m2", "m3");
    const [ping] = timed(stage, 2000, "ping");
    const [seq, sentMs] = [ping?.seq as number, ping?.atMs as number];
    stage.runTo(sentMs + 600);
    for (const name of ["m1", "m2", "m3"]) {
      stage.swim.handleHeard(stage.nowMs);
      stage.swim.handleNack(stage.nowMs, stage.handle(name), seq);
    }
    stage.runTo(sentMs + 1001);
    expect(stage.swim.stats()).toMatchObject({ failedProbes: 1, health: 0 });
  });

  it("counts refusals, and asks helpers about the probed member at once", () => {
    const stage = new Stage({ gossipIntervalMs: 0 }).started().knows("m1", "m2", "m3");
    const [ping] = timed(stage, 2000, "ping");
    stage.swim.handleRefused(stage.nowMs, ping?.to as number);
    stage.swim.handleRefused(stage.nowMs, 9999);
    expect(stage.recorder.take("pingRequest").length).toBe(2);
    expect(stage.swim.stats().refusals).toBe(2);
  });
});

describe("a stop", () => {
  it("gives every reference back, whatever was going on, and has no deadline but those of nobody", () => {
    const stage = new Stage().started().knows(...members(20));
    stage.recorder.queued.add(stage.self);
    stage.runTo(10_000);
    stage.suspect("m1", "m2");
    stage.sync("m3", recordOf("m30", { incarnation: 2 }), recordOf("m31", { incarnation: 2, state: 2 }));
    stage.swim.handlePingRequest(stage.nowMs, stage.addressOf("m4"), stage.handle("m5"), stage.addressOf("m5"), 1);
    expect(stage.heldAfterStop()).toEqual([]);
  });
});

describe("the counters", () => {
  it("say what was raised, refuted and is known", () => {
    const stage = new Stage().started().knows(...members(5));
    stage.suspect("m1", "m5", 1, Evidence.refused);
    stage.death("m2", "m5");
    stage.farewell("m3");
    stage.suspect("self", "m5", 1);
    expect(stage.swim.stats()).toMatchObject({
      members: 4,
      alive: 3,
      suspect: 1,
      dead: 1,
      left: 1,
      health: 1,
      suspicionsRaised: 1,
      refutations: 1,
      probes: 0,
      errandsRefused: 0,
    });
  });
});
