import { describe, expect, it } from "vitest";
import { Random } from "../../src/random.js";
import { ProbeEnd } from "../../src/swim/observer.js";
import { Quarantine } from "../../src/swim/quarantine.js";
import { Roster } from "../../src/swim/roster.js";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { type Call, ipOf, Recorder, recordOf, Stage } from "../support/recorder.js";

const second = 1000;

/** A quarantine of 30 s among 100 members, and two probes a second. */
class Scene {
  nowMs = 0;
  readonly quarantine: Quarantine;
  /** Another one each time. */
  #target = 1000;

  constructor({ members = 100, quarantineMs = 30 * second, probeIntervalMs = second } = {}) {
    const { directory } = new Recorder();
    const roster = new Roster(directory, new Random(1));
    for (let i = 0; i < members; i++) {
      const address = directory.internAddress(ipOf(i), 7946);
      roster.add(directory.intern(`m${i}`), address, MemberState.alive, 1, 0);
    }
    this.quarantine = new Quarantine({ quarantineMs, probeIntervalMs }, roster);
  }

  /** Lets time pass in which every probe ends like this; how often that ended the quarantine. */
  pass(seconds: number, how: ProbeEnd): number {
    let ended = 0;
    for (let i = 0; i < 2 * seconds; i++) {
      this.nowMs += second / 2;
      if (this.quarantine.handleProbe(this.nowMs, how, this.#target++)) ended++;
    }
    return ended;
  }

  accused(by: number, evidence: Evidence = Evidence.timeout): boolean {
    return this.quarantine.handleAccused(this.nowMs, by, evidence);
  }

  /** Deaf for a while, as long as it takes to be declared dead, and then told of it. */
  flap(): boolean {
    this.pass(20, ProbeEnd.inconclusive);
    this.pass(1, ProbeEnd.direct);
    return this.accused(1);
  }
}

describe("a member that was deaf and declared dead", () => {
  it("refutes the first time, and concedes the second within five minutes", () => {
    const scene = new Scene();
    expect(scene.flap()).toBe(false);
    scene.pass(19, ProbeEnd.direct);
    expect([scene.flap(), scene.quarantine.isOn, scene.quarantine.entered]).toEqual([true, true, 1]);
  });

  it("refutes every time when that is rare", () => {
    const scene = new Scene();
    for (let i = 0; i < 3; i++) {
      expect(scene.flap()).toBe(false);
      scene.pass(300, ProbeEnd.direct);
    }
  });

  it("counts one deafness once, however many tell of its end", () => {
    const scene = new Scene();
    scene.flap();
    for (let by = 1; by <= 4; by++) expect(scene.accused(by)).toBe(false);
  });

  it.each([
    ["a deafness too short for a verdict", 2, 1],
    ["an accusation long after it", 20, 11],
  ])("does not count %s", (_what, deafSeconds, afterSeconds) => {
    const scene = new Scene();
    for (let i = 0; i < 3; i++) {
      scene.pass(deafSeconds, ProbeEnd.inconclusive);
      scene.pass(afterSeconds, ProbeEnd.direct);
      expect(scene.accused(1)).toBe(false);
    }
  });
});

describe("a member whom many accuse", () => {
  const accusedBy = (scene: Scene, accusers: number): boolean => {
    let isConceded = false;
    for (let by = 1; by <= accusers; by++) {
      scene.pass(2, ProbeEnd.failed);
      isConceded = scene.accused(by);
    }
    return isConceded;
  };

  it("concedes at the fifth accuser in half a minute, while its own probes fail", () => {
    expect(accusedBy(new Scene(), 4)).toBe(false);
    expect(accusedBy(new Scene(), 5)).toBe(true);
  });

  it("refutes while its own probes are answered", () => {
    const scene = new Scene();
    for (let by = 1; by <= 20; by++) {
      scene.pass(1, ProbeEnd.direct);
      expect(scene.accused(by)).toBe(false);
    }
  });

  it("refutes the same accuser again and again, and those of long ago", () => {
    const scene = new Scene();
    for (let i = 0; i < 20; i++) expect(accusedBy(scene, 2)).toBe(false);
    const slow = new Scene();
    for (let by = 1; by <= 20; by++) {
      slow.pass(8, ProbeEnd.failed);
      expect(slow.accused(by)).toBe(false);
    }
  });

  it("refutes where everybody is accused: the network is at fault", () => {
    const scene = new Scene();
    for (let i = 0; i < 150; i++) scene.quarantine.noteRefutation(scene.nowMs);
    expect(accusedBy(scene, 6)).toBe(false);
    expect(accusedBy(scene, 12)).toBe(true);
  });

  it("comes back although some of those whom it probes again and again have died meanwhile", () => {
    const scene = new Scene();
    expect(accusedBy(scene, 5)).toBe(true);
    let isOver = false;
    for (let i = 0; i < 200 && !isOver; i++) {
      scene.nowMs += second / 2;
      const [target, how] =
        i % 2 === 0 ? [200, ProbeEnd.failed] : [i % 60, i % 3 === 0 ? ProbeEnd.failed : ProbeEnd.direct];
      isOver = scene.quarantine.handleProbe(scene.nowMs, how, target);
    }
    expect(isOver).toBe(true);
  });

  it("needs but half of the others in a small cluster", () => {
    const scene = new Scene({ members: 5 });
    scene.pass(10, ProbeEnd.failed);
    expect([scene.accused(1), scene.accused(2)]).toEqual([false, true]);
  });

  it.each([{ quarantineMs: 0 }, { probeIntervalMs: 0 }])("never concedes with %j", (options) => {
    const scene = new Scene(options);
    expect(accusedBy(scene, 20)).toBe(false);
    expect([scene.flap(), scene.flap()]).toEqual([false, false]);
  });

  it("does not count who repeats what others say", () => {
    const scene = new Scene();
    scene.pass(20, ProbeEnd.failed);
    for (let by = 1; by <= 9; by++) expect(scene.accused(by, Evidence.hearsay)).toBe(false);
  });

  it("does not count accusers whom it does not know", () => {
    const scene = new Scene();
    scene.pass(20, ProbeEnd.failed);
    for (let i = 0; i < 9; i++) expect(scene.accused(0)).toBe(false);
  });
});

describe("the end of a quarantine", () => {
  function twiceDeaf(): Scene {
    const scene = new Scene();
    scene.flap();
    expect(scene.flap()).toBe(true);
    return scene;
  }

  it("comes once links were good for its whole time", () => {
    const scene = twiceDeaf();
    // Half of the last twenty probes were deaf: five seconds until they are not.
    expect(scene.pass(28, ProbeEnd.direct)).toBe(0);
    expect([scene.pass(10, ProbeEnd.direct), scene.quarantine.isOn]).toEqual([1, false]);
    expect(scene.quarantine.endedAtMs).toBeGreaterThan(30 * second);
  });

  it("does not come while bad links interrupt the good ones, for hours", () => {
    const scene = twiceDeaf();
    for (let i = 0; i < 100; i++) {
      expect(scene.pass(20, ProbeEnd.direct)).toBe(0);
      expect(scene.pass(20, ProbeEnd.inconclusive)).toBe(0);
    }
    expect([scene.quarantine.isOn, scene.quarantine.entered]).toEqual([true, 1]);
  });

  it("is put off, not begun anew, while a little less than half of the probes is answered", () => {
    const scene = twiceDeaf();
    const fromMs = scene.nowMs;
    const { direct, failed } = ProbeEnd;
    for (let round = 1; scene.quarantine.isOn; round++) {
      expect(round).toBeLessThan(10);
      scene.pass(12, direct);
      for (let i = 0; i < 30; i++) scene.pass(0.5, i % 5 < 2 ? direct : failed);
    }
    expect(scene.nowMs - fromMs).toBeGreaterThan(50 * second);
  });

  it("is begun anew after links of which less than a third is good", () => {
    const scene = twiceDeaf();
    for (let round = 0; round < 10; round++) {
      expect(scene.pass(12, ProbeEnd.direct)).toBe(0);
      for (let i = 0; i < 40; i++) expect(scene.pass(0.5, i % 10 < 3 ? ProbeEnd.direct : ProbeEnd.failed)).toBe(0);
    }
  });

  it("takes twice as long each time, up to sixteen times the first, until an hour of peace", () => {
    const scene = new Scene();
    const outSeconds = (): number => {
      scene.flap();
      while (!scene.quarantine.isOn) scene.flap();
      const fromMs = scene.nowMs;
      while (scene.pass(1, ProbeEnd.direct) === 0);
      return Math.round((scene.nowMs - fromMs) / second);
    };
    const took = Array.from({ length: 6 }, outSeconds);
    const longer = took.map((seconds) => Math.round(seconds / 30));
    expect(longer).toEqual([1, 2, 4, 8, 16, 16]);
    scene.pass(3600, ProbeEnd.direct);
    expect(Math.round(outSeconds() / 30)).toBe(1);
  });
});

describe("a node in quarantine", () => {
  const names = Array.from({ length: 9 }, (_, i) => `m${i}`);

  /** Accused to its face by so many, while nothing answers its probes. */
  function quarantined(options = {}, meanwhile: (stage: Stage) => void = () => {}): Stage {
    const stage = new Stage({ quarantineMs: 30 * second, ...options }).started().knows(...names);
    meanwhile(stage);
    for (let i = 0; i < 20; i++) stage.swim.quarantine.handleProbe(stage.nowMs, ProbeEnd.failed, 1000 + i);
    for (const name of names.slice(0, 4)) stage.suspect("self", name, stage.swim.selfIncarnation);
    stage.forget();
    stage.suspect("self", "m4", stage.swim.selfIncarnation);
    return stage;
  }

  /** Whoever is pinged answers, for so long; what the node says of itself meanwhile. */
  function answerProbes(stage: Stage, seconds: number): Call[] {
    const announced: Call[] = [];
    for (let i = 0; i < 10 * seconds; i++) {
      stage.runTo(stage.nowMs + second / 10);
      const calls = stage.recorder.take("ping", "queueAlive");
      announced.push(...calls.filter(({ verb }) => verb === "queueAlive"));
      for (const { verb, target, seq } of calls) {
        if (verb !== "ping") continue;
        stage.swim.handleHeard(stage.nowMs);
        stage.swim.handleAck(stage.nowMs, target as number, seq as number);
      }
    }
    return announced;
  }

  it.each([
    ["not", "refute as many accusations", () => ({}), false],
    ["all the same", "have new metadata", (i: number) => ({ meta: Uint8Array.of(i) }), true],
  ])("is what it becomes %s where others %s", (_how, _what, details, isOn) => {
    const stage = quarantined({}, (one) => {
      for (const name of names) for (let i = 2; i < 5; i++) one.alive(name, { incarnation: i, ...details(i) });
    });
    expect(stage.swim.quarantine.isOn).toBe(isOn);
  });

  it("passes the last accusation on as a verdict instead of refuting it", () => {
    const stage = quarantined();
    const [self, from] = ["self", "m4"].map((name) => stage.handle(name));
    const evidence = Evidence.conceded;
    expect(stage.recorder.take("queueDeath", "queueAlive")).toEqual([
      { verb: "queueDeath", subject: self, from, incarnation: 5, evidence },
    ]);
    expect(stage.recorder.urgent).toContain(self);
    expect(stage.swim.stats()).toMatchObject({ refutations: 4, quarantines: 1, quarantined: 1 });
  });

  it("neither refutes nor judges, says nothing new of itself, and tells syncs that it is dead, and no more", () => {
    const stage = quarantined();
    stage.forget();
    stage.death("self", "m5", stage.swim.selfIncarnation);
    stage.swim.updateMeta(stage.nowMs, Uint8Array.of(1));
    stage.alive("self", { incarnation: 9 });
    stage.suspect("m6", "m7");
    stage.forget();
    stage.runTo(stage.nowMs + 100 * second);
    expect(stage.recorder.take("queueAlive", "queueDeath", "queueSuspect")).toEqual([]);
    expect(stage.view("m6")).toBe("suspect 1");
    const meta = Uint8Array.of(1);
    expect(stage.swim.sync.localRecords()).toEqual([
      recordOf("self", { incarnation: 5, state: MemberState.dead, meta }),
    ]);
  });

  it("takes no refusal for evidence, and compares views with nobody", () => {
    const stage = quarantined({ digestSyncIntervalMs: 1000 });
    stage.forget();
    stage.swim.handleRefused(stage.nowMs, stage.addressOf("m6"));
    stage.swim.handleDigest(stage.nowMs, stage.handle("m7"), 1, 2);
    expect([stage.view("m6"), stage.recorder.take()]).toEqual(["alive 1", []]);
  });

  it("says that it is back, with all that is new, once its links are good", () => {
    const stage = quarantined();
    stage.swim.updateMeta(stage.nowMs, Uint8Array.of(1));
    stage.forget();
    const announced = answerProbes(stage, 60);
    expect(announced).toMatchObject([{ incarnation: 6, meta: [1] }]);
    expect(stage.recorder.urgent.at(-1)).toBe(stage.self);
    expect(stage.swim.stats()).toMatchObject({ quarantines: 1, quarantined: 0 });
  });

  it("gives whom it still suspects the time to refute when it is back", () => {
    const stage = quarantined({ suspicionMinMs: 2 * second });
    for (const name of ["m6", "m7"]) stage.suspect(name, "m8");
    while (stage.swim.quarantine.isOn) answerProbes(stage, 0.1);
    answerProbes(stage, 1.8);
    expect([stage.view("m6"), stage.view("m7")]).toEqual(["suspect 1", "suspect 1"]);
    stage.alive("m6", { incarnation: 2 });
    answerProbes(stage, 2);
    expect([stage.view("m6"), stage.view("m7")]).toEqual(["alive 2", "dead 1"]);
  });

  it("can leave, and then says what it says of itself then", () => {
    const stage = quarantined();
    stage.forget();
    stage.swim.leave(stage.nowMs);
    expect(stage.recorder.take("queueDeath")).toMatchObject([{ evidence: Evidence.farewell }]);
    expect(stage.swim.sync.localRecords().find(({ name }) => name === "self")?.state).toBe(MemberState.left);
  });
});
