import { describe, expect, it } from "vitest";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { type Call, recordOf, Stage } from "../support/recorder.js";

const quiet = { probeIntervalMs: 0, gossipIntervalMs: 0, pushPullIntervalMs: 0, digestSyncIntervalMs: 1000 };
const others = Array.from({ length: 12 }, (_, i) => `m${i + 1}`);
type Digest = readonly [number, number];

function ready(changes = {}): Stage {
  return new Stage({ ...quiet, ...changes }).started().knows(...others);
}

function digestOf(stage: Stage): Digest {
  stage.swim.flush(stage.nowMs);
  return stage.recorder.digest;
}

/** What a ping of m1 with this digest makes us send. */
function sentTo(stage: Stage, [low, high]: Digest, from = "m1"): Call[] {
  stage.recorder.take();
  stage.swim.handleDigest(stage.nowMs, stage.handle(from), low, high);
  return stage.recorder.take();
}

describe("a peer whose digest was ours a moment ago", () => {
  it("is told what it missed, each as it is now, and compares nothing", () => {
    const stage = ready();
    const before = digestOf(stage);
    stage.alive("m3", { incarnation: 2, meta: Uint8Array.of(7) });
    stage.farewell("m4");
    stage.death("m5", "m6");
    stage.alive("m20");
    const sent = sentTo(stage, before);
    const to = stage.addressOf("m1");
    const of = (name: string) => ({ to, subject: stage.handle(name) });
    const alive = { verb: "tellAlive", incarnation: 1, meta: [] };
    const told = [
      { ...alive, ...of("m20"), address: stage.addressOf("m20") },
      { verb: "tellDeath", ...of("m5"), from: stage.self, incarnation: 1, evidence: Evidence.hearsay },
      { verb: "tellDeath", ...of("m4"), from: stage.handle("m4"), incarnation: 1, evidence: Evidence.farewell },
      { ...alive, ...of("m3"), address: stage.addressOf("m3"), incarnation: 2, meta: [7] },
    ];
    expect(sent).toEqual(told);
    expect(stage.swim.stats()).toMatchObject({ caughtUp: 4, reconciliations: 0 });
  });

  it("is told only what changed after that", () => {
    const stage = ready();
    stage.alive("m3", { incarnation: 2 });
    const between = digestOf(stage);
    stage.alive("m4", { incarnation: 2 });
    stage.alive("m4", { incarnation: 3 });
    expect(sentTo(stage, between)).toMatchObject([{ verb: "tellAlive", subject: stage.handle("m4"), incarnation: 3 }]);
    expect(sentTo(stage, digestOf(stage))).toEqual([]);
  });

  it("is told of a member once, that is suspected too, as alive", () => {
    const stage = ready();
    const before = digestOf(stage);
    stage.alive("m3", { incarnation: 2 });
    stage.suspect("m3", "m4", 2);
    expect(sentTo(stage, before)).toMatchObject([{ verb: "tellAlive", subject: stage.handle("m3"), incarnation: 2 }]);
  });

  it.each([
    [
      "more than four members have changed",
      (stage: Stage) => ["m3", "m4", "m5", "m6", "m7"].map((m) => stage.farewell(m)),
    ],
    ["we never were what it is", (stage: Stage) => stage.swim.flush(stage.nowMs)],
    [
      "more has changed than is remembered",
      (stage: Stage) => {
        for (let incarnation = 2; incarnation < 20; incarnation++) stage.alive("m3", { incarnation });
      },
    ],
  ])("compares views when %s", (why, change) => {
    const stage = ready();
    const [low, high] = digestOf(stage);
    change(stage);
    const theirs: Digest = why.startsWith("we never") ? [low ^ 1, high] : [low, high];
    expect(sentTo(stage, theirs).map(({ verb }) => verb)).toEqual(["reconcile"]);
  });

  it("compares views about a death that gossip no longer tells: it is only suspected then", () => {
    const stage = ready();
    const before = digestOf(stage);
    stage.death("m5", "m6");
    stage.nowMs += 5000;
    expect(sentTo(stage, before).map(({ verb }) => verb)).toEqual(["tellDeath"]);
    stage.nowMs += 1;
    expect(sentTo(stage, before).map(({ verb }) => verb)).toEqual(["reconcile"]);
  });

  it("is told nothing of whom we know as gone from hearsay only, nor when digests are off", () => {
    const stage = ready();
    const before = digestOf(stage);
    stage.sync("m1", recordOf("m30", { state: MemberState.dead }));
    stage.alive("m3", { incarnation: 2 });
    expect(sentTo(stage, before).map(({ subject }) => subject)).toEqual([stage.handle("m3")]);
    const off = ready({ digestSyncIntervalMs: 0 });
    off.alive("m3", { incarnation: 2 });
    expect(sentTo(off, before)).toEqual([]);
  });

  it("has to be a live member, and not ourselves", () => {
    const stage = ready();
    stage.death("m1", "m2");
    const before = digestOf(stage);
    stage.alive("m3", { incarnation: 2 });
    for (const from of ["m1", "self", "nobody"]) expect(sentTo(stage, before, from)).toEqual([]);
  });
});
