import { beforeEach, describe, expect, it } from "vitest";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { Stage } from "../support/recorder.js";

const members = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i + 1}`);

/** Without ticks, so that only suspicions run; probeIntervalMs scales them all the same. */
const still = { gossipIntervalMs: 0, pushPullIntervalMs: 0 };

/** A core that sends its probes into nothing, hears somebody all the time and suspects "m1" since `nowMs`. */
function suspecting(count: number, changes = {}): Stage {
  const stage = new Stage({ ...still, probeIntervalMs: 0, ...changes }).started().knows(...members(count));
  stage.suspect("m1", "m2");
  stage.forget();
  return stage;
}

/** Milliseconds from now to the fail of "m1", with everything drained. */
function failsAfter(stage: Stage): number {
  const startMs = stage.nowMs;
  while (!stage.events().includes("fail m1")) stage.runTo(stage.swim.nextVerdict(stage.nowMs));
  return stage.nowMs - startMs;
}

describe("a suspicion runs out (M-113 to M-118, M-120, T-038)", () => {
  it.each([
    [[], 24_000],
    [["m3"], 11_381],
    [["m3", "m4"], 4000],
    [["m3", "m4", "m5"], 4000],
    [["m2", "m3", "m3"], 11_381],
  ])("in a LAN of ten after being confirmed by %j, %d ms", (confirmers, ms) => {
    const stage = suspecting(9);
    for (const from of confirmers) stage.suspect("m1", from);
    expect(failsAfter(stage)).toBe(ms);
  });

  it("later in a larger cluster, and at the least time in one too small for confirmations", () => {
    expect([2, 3, 9, 99].map((count) => failsAfter(suspecting(count)))).toEqual([4000, 24_000, 24_000, 48_000]);
  });

  it("and then the death is ours: spread, told with its evidence", () => {
    const stage = suspecting(2);
    stage.runTo(stage.nowMs + 3999.9);
    expect(stage.view("m1")).toBe("suspect 1");
    stage.runTo(stage.nowMs + 0.1);
    const [subject, from] = [stage.handle("m1"), stage.self];
    expect(stage.recorder.events).toEqual([
      { kind: "fail", member: subject, incarnation: 1, from, evidence: Evidence.expired },
    ]);
    expect(stage.recorder.take()).toEqual([
      { verb: "queueDeath", subject, from, incarnation: 1, evidence: Evidence.expired },
    ]);
  });

  it.each(["death", "farewell"])("not any more when others tell of a %s first", (kind) => {
    const stage = suspecting(9);
    if (kind === "death") stage.death("m1", "m3");
    else stage.farewell("m1");
    expect(stage.swim.nextVerdict(stage.nowMs)).toBe(Number.POSITIVE_INFINITY);
  });

  it("once, with the later accusations counted in (M-118)", () => {
    const stage = suspecting(9);
    stage.runTo(stage.nowMs + 10_000);
    stage.suspect("m1", "m3");
    stage.suspect("m1", "m4");
    stage.runTo(stage.nowMs + 30_000);
    expect([stage.events(), stage.view("m1")]).toEqual([["fail m1"], "dead 1"]);
  });

  it("in its whole time when it is of a later incarnation, whose refutation of the first we missed", () => {
    const stage = suspecting(9);
    stage.runTo(stage.nowMs + 20_000);
    stage.suspect("m1", "m2", 2);
    expect(failsAfter(stage)).toBe(24_000);
    expect(stage.view("m1")).toBe("dead 2");
  });

  it("with the accusers of its own incarnation only", () => {
    const stage = suspecting(9);
    for (const from of ["m2", "m3", "m4"]) stage.suspect("m1", from, 2);
    expect(failsAfter(stage)).toBe(4000);
    const other = suspecting(9);
    other.suspect("m1", "m3");
    other.suspect("m1", "m4", 2);
    expect(failsAfter(other)).toBe(24_000);
  });

  it("not when it was refuted, and a new one takes its whole time", () => {
    const stage = suspecting(9);
    stage.runTo(stage.nowMs + 20_000);
    stage.alive("m1", { incarnation: 2 });
    expect(stage.swim.nextVerdict(stage.nowMs)).toBe(Number.POSITIVE_INFINITY);
    stage.suspect("m1", "m2", 2);
    stage.events();
    expect(failsAfter(stage)).toBe(24_000);
  });

  it("in its time also on a node that does not probe and so has no interval to measure by", () => {
    const stage = new Stage({ ...still, probeIntervalMs: 0 }).started().knows("m1", "m2");
    stage.suspect("m1", "m2");
    stage.forget();
    expect(failsAfter(stage)).toBe(4000);
  });
});

describe("no verdict before drain (ARCHITECTURE 5.1)", () => {
  it("leaves a suspect alone while its refutation may wait unread", () => {
    const stage = suspecting(9);
    const startMs = stage.nowMs;
    stage.swim.advance(startMs + 60_000, startMs + 23_999);
    expect(stage.view("m1")).toBe("suspect 1");
    stage.alive("m1", { incarnation: 2 });
    stage.swim.advance(startMs + 60_000, startMs + 60_000);
    expect(stage.view("m1")).toBe("alive 2");
  });

  it("judges only the suspicions that ran out before the drain, not all that are due by now", () => {
    const stage = suspecting(9);
    const startMs = stage.nowMs;
    stage.nowMs += 5000;
    stage.suspect("m4", "m5");
    stage.swim.advance(startMs + 60_000, startMs + 24_000);
    expect([stage.view("m1"), stage.view("m4")]).toEqual(["dead 1", "suspect 1"]);
    stage.alive("m4", { incarnation: 2 });
    stage.swim.advance(startMs + 60_000, startMs + 60_000);
    expect(stage.view("m4")).toBe("alive 2");
  });

  it("keeps asking for the drain: the deadline stays in the past until then", () => {
    const stage = suspecting(9);
    const dueMs = stage.nowMs + 24_000;
    stage.swim.advance(dueMs + 50, dueMs - 1);
    expect(stage.swim.nextVerdict(dueMs + 50)).toBe(dueMs);
  });
});

describe("a deaf member's suspicions (ARCHITECTURE 5.2)", () => {
  let stage: Stage;
  let startMs: number;
  beforeEach(() => {
    stage = new Stage(still).started().knows(...members(9));
    // The first ping leaves, and nothing answers.
    stage.runTo(stage.nowMs + 1000);
    startMs = stage.nowMs;
    stage.forget();
  });

  const firstPingMs = (): number => startMs - 1000;

  it("stand still until it hears again, and then take the rest of their time", () => {
    stage.suspect("m1", "m2");
    stage.runTo(startMs + 40_000);
    expect([stage.view("m1"), stage.events()]).toEqual(["suspect 1", ["suspect m1"]]);
    stage.swim.handleHeard(stage.nowMs);
    const heardMs = stage.nowMs;
    // From here on it hears all the time, and every ping is answered after a millisecond.
    while (stage.view("m1") === "suspect 1") {
      for (const ping of stage.recorder.take("ping", "pingAndAccuse")) {
        stage.swim.handleAck(stage.nowMs, ping.target as number, ping.seq as number);
      }
      stage.swim.handleHeard(stage.nowMs);
      stage.runTo(stage.nowMs + 1);
    }
    const pings = 24;
    expect(stage.nowMs - heardMs).toBeGreaterThanOrEqual(24_000);
    expect(stage.nowMs - heardMs).toBeLessThanOrEqual(24_001 + pings);
  });

  it("wait even when they were due before it went deaf, but could not be judged for want of a drain", () => {
    const other = new Stage(still).started().knows(...members(9));
    other.suspect("m1", "m2");
    other.suspect("m1", "m3");
    other.suspect("m1", "m4");
    const dueMs = other.nowMs + 4000;
    // Pings are answered until the suspicion is due; the next one is not, and all the while nothing is drained.
    for (other.nowMs++; other.nowMs < dueMs + 2000; other.nowMs++) {
      other.swim.advance(other.nowMs, dueMs - 1000);
      for (const ping of other.recorder.take("ping", "pingAndAccuse")) {
        if (other.nowMs > dueMs + 100) continue;
        other.swim.handleAck(other.nowMs, ping.target as number, ping.seq as number);
        other.swim.handleHeard(other.nowMs);
      }
    }
    other.swim.advance(other.nowMs, other.nowMs);
    expect(other.view("m1")).toBe("suspect 1");
    other.swim.handleHeard(other.nowMs);
    other.swim.advance(other.nowMs, other.nowMs);
    expect(other.view("m1")).toBe("dead 1");
  });

  it("are raised against nobody for a minute, and then against the silent", () => {
    stage.runTo(firstPingMs() + 60_000);
    expect([stage.events(), stage.swim.stats().suspicionsRaised]).toEqual([[], 0]);
    expect(stage.swim.stats().inconclusiveProbes).toBeGreaterThan(5);
    stage.runTo(firstPingMs() + 120_000);
    expect(stage.swim.stats().suspicionsRaised).toBeGreaterThan(0);
  });

  it("run out in the end when all others are gone", () => {
    stage.runTo(startMs + 400_000);
    expect(stage.swim.stats()).toMatchObject({ alive: 1, suspect: 0, members: 1 });
  });
});

describe("a cluster of two", () => {
  it("finds the other's failure in seconds, though it then hears nobody", () => {
    const stage = new Stage(still).started().knows("m1");
    const startMs = stage.nowMs;
    stage.runTo(startMs + 10_000);
    expect(stage.events()).toEqual(["suspect m1", "fail m1"]);
  });
});
