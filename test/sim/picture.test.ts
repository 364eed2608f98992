import { describe, expect, it } from "vitest";
import { type MeasureOptions, measureCrash, measureJoin, measureLeave } from "../../src/sim/measure.js";
import { drawPage } from "../../src/sim/picture/page.js";
import { chooseWave, knowersOf } from "../../src/sim/picture/wave.js";
import { levels, Recorder, type Recording } from "../../src/sim/recorder.js";
import { Simulation } from "../../src/sim/simulation.js";
import { Stage } from "../../src/sim/stage.js";
import { runSwarm } from "../../src/sim/swarm.js";
import type { ObservedChange } from "../../src/swim/observer.js";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";

const nodes = 12;
const dead: ObservedChange = {
  before: MemberState.alive,
  after: MemberState.dead,
  incarnation: 1,
  by: 0,
  evidence: Evidence.timeout,
};
const caption = { title: "crash", about: ["seed 3"], traceHash: "00ff", figures: [{ name: "all know", value: "1 s" }] };

function record(measure: (options: MeasureOptions) => unknown, count = nodes): Recording {
  const recorder = new Recorder(count);
  measure({ nodes: count, seed: 3, repeats: 1, recorder });
  return recorder.recording;
}

/** Three members that know each other, and what is made to happen to them. */
function stageOfThree(happen: (stage: Stage) => void): Recording {
  const recorder = new Recorder(3);
  const stage = new Stage({ nodes: 3, seed: 1, recorder });
  happen(stage);
  stage.close();
  return recorder.recording;
}

function heldAt(recording: Recording, member: string, atMs: number) {
  return recording.held[recording.members.indexOf(member)]?.findLast((held) => held.atMs <= atMs);
}

describe("the recorder", () => {
  it("writes down a crash when it happened, and when who held the member for dead", () => {
    const told: number[] = [];
    const recorder = new Recorder(nodes);
    const stage = new Stage({ nodes, seed: 3, recorder }, ({ kind, about, atMs }) => {
      if (kind === "fail" && about === "n4") told.push(atMs);
    });
    const crashedAtMs = stage.sim.nowMs;
    stage.follow(stage.sim.node("n4")!, "fail", 60_000, () => stage.sim.node("n4")!.close());
    stage.close();
    const { recording } = recorder;
    const facts = recording.facts.filter(({ atMs }) => atMs > 0);
    expect(facts).toEqual([{ atMs: crashedAtMs, fact: { kind: "close", node: "n4" } }]);
    expect(recording.waves).toMatchObject([{ kind: "crash", member: "n4", atMs: crashedAtMs, others: nodes - 1 }]);
    expect(recording.waves[0]?.learnt.map(({ atMs }) => atMs)).toEqual(told);
    const [first, last] = [told[0], told.at(-1)] as [number, number];
    expect(heldAt(recording, "n4", crashedAtMs)).toMatchObject({ alive: levels, suspect: 0, dead: 0, left: 0 });
    expect(heldAt(recording, "n4", first - 0.01)).toMatchObject({ dead: 0 });
    expect(heldAt(recording, "n4", first)?.dead).toBeGreaterThan(0);
    expect(heldAt(recording, "n4", last - 0.01)?.dead).toBeLessThan(levels);
    expect(heldAt(recording, "n4", last)).toMatchObject({ alive: 0, suspect: 0, dead: levels, left: 0 });
    expect(heldAt(recording, "n5", last)).toMatchObject({ alive: levels, dead: 0 });
  });

  it("asks those who run only, and takes what one thought with it when it goes", () => {
    const recorder = new Recorder(3);
    for (const node of ["a", "b", "c"]) recorder.happened(0, { kind: "start", node });
    recorder.acquainted(0);
    recorder.became(1000, "b", "c", dead, null);
    expect(heldAt(recorder.recording, "c", 1000)).toMatchObject({ alive: levels / 2, dead: levels / 2 });
    recorder.happened(2000, { kind: "close", node: "b" });
    expect(heldAt(recorder.recording, "c", 2000)).toMatchObject({ alive: levels, dead: 0 });
  });

  it("keeps what befalls machines and the network, but not how the cluster is taken apart", () => {
    const recording = stageOfThree(({ sim }) => {
      sim.node("n0")?.stall("stopped");
      sim.node("n0")?.resume();
      sim.network.cut("n1", "n2");
      sim.network.partition([["n0"], ["n1", "n2"]]);
      sim.network.heal();
      sim.node("n2")?.leave();
    });
    expect(recording.facts.filter(({ atMs }) => atMs > 0).map(({ fact }) => fact)).toEqual([
      { kind: "stall", node: "n0" },
      { kind: "resume", node: "n0" },
      { kind: "cut", from: "n1", to: "n2" },
      { kind: "partition", parts: 2 },
      { kind: "heal" },
      { kind: "leave", node: "n2" },
    ]);
    expect(recording.waves.map(({ kind, member }) => [kind, member])).toEqual([["leave", "n2"]]);
  });

  it("counts every datagram", () => {
    const recorder = new Recorder(3);
    const sim = new Simulation({ seed: 1, witness: recorder });
    for (const name of ["a", "b", "c"]) sim.open(name);
    for (const name of ["b", "c"]) sim.node(name)?.join("a");
    sim.run(3000);
    expect(recorder.recording.sent.reduce((sum, count) => sum + count, 0)).toBe(sim.datagrams);
    sim.close();
  });

  it.each<[string, (recorder?: Recorder) => { readonly traceHash: string }]>([
    ["a crash", (recorder) => measureCrash({ nodes, seed: 3, recorder })],
    ["a join", (recorder) => measureJoin({ nodes, seed: 3, recorder })],
    ["a swarm", (recorder) => runSwarm(6, nodes, recorder)],
  ])("changes nothing of %s", (_, live) => {
    expect(live(new Recorder(nodes))).toEqual(live());
  });
});

describe("the wave of news", () => {
  it("reaches all, each once and after its teller, in time", () => {
    for (const measure of [measureCrash, measureLeave, measureJoin]) {
      const wave = chooseWave(record(measure, 30))!;
      const knowers = knowersOf(wave);
      expect(new Set(knowers.map(({ who }) => who)).size).toBe(29);
      expect([knowers.length, wave.others]).toEqual([29, 29]);
      for (const [i, { afterMs, hop, teller }] of knowers.entries()) {
        expect(afterMs).toBeGreaterThanOrEqual(knowers[i - 1]?.afterMs ?? 0);
        if (teller === null) expect(hop).toBeLessThanOrEqual(1);
        if (teller === null) continue;
        expect(teller).toBeLessThan(i);
        expect(knowers[teller]!.afterMs).toBeLessThan(afterMs);
        expect(hop).toBe(knowers[teller]!.hop + 1);
      }
      expect(knowers.filter(({ teller }) => teller !== null).length).toBeGreaterThan(15);
    }
  });

  it("of a leave begins at its member, of a crash at those who found out", () => {
    expect(knowersOf(chooseWave(record(measureLeave))!)[0]).toMatchObject({ hop: 1, teller: null });
    expect(knowersOf(chooseWave(record(measureCrash))!)[0]).toMatchObject({ hop: 0, teller: null });
  });

  it("prefers what befell a member to joins, then what most were told", () => {
    const wave = (kind: "crash" | "join", member: string, count: number) => {
      const learnt = Array.from({ length: count }, (_, i) => ({ atMs: i, who: `n${i}`, from: null }));
      return { kind, member, atMs: 0, others: 9, learnt };
    };
    const base = record(measureCrash);
    const waves = [wave("join", "a", 9), wave("crash", "b", 2), wave("crash", "c", 4), wave("crash", "d", 3)];
    expect(chooseWave({ ...base, waves })?.member).toBe("c");
    expect(chooseWave({ ...base, waves: waves.slice(0, 1) })?.member).toBe("a");
    expect(chooseWave({ ...base, waves: [] })).toBeNull();
  });

  it("does not wait for those who crash as well, nor tell history to those who come later", () => {
    const recorder = new Recorder(5);
    for (const node of ["a", "b", "c", "d"]) recorder.happened(0, { kind: "start", node });
    recorder.acquainted(0);
    for (const node of ["c", "d"]) recorder.happened(1000, { kind: "close", node });
    recorder.became(1500, "a", "c", dead, null);
    recorder.happened(2000, { kind: "start", node: "e" });
    recorder.became(2500, "e", "c", dead, "a");
    const [wave] = recorder.recording.waves;
    expect(wave).toMatchObject({ member: "c", others: 2, learnt: [{ atMs: 1500, who: "a", from: null }] });
  });
});

describe("the page", () => {
  it("is the same for the same run", () => {
    expect(drawPage(record(measureCrash), caption)).toBe(drawPage(record(measureCrash), caption));
  });

  it("needs nothing from outside, and forbids it", () => {
    const page = drawPage(record(measureCrash), caption);
    expect(page).not.toMatch(/\b(?:https?|file|data):|\burl\(|@import|<(?:link|img|iframe)|\b(?:src|href)=/i);
    expect(page).toContain("default-src 'none'");
  });

  it("shows what is asked of it, and keys for what it shows only", () => {
    const page = drawPage(record(measureCrash), caption);
    for (const text of ["seed 3", "00ff", "all know", "crashed, at ", "found out itself"]) expect(page).toContain(text);
    const legend = page.slice(page.indexOf('<p class="legend">'), page.indexOf("</p>", page.indexOf('legend">')));
    expect(legend).toMatch(/alive.*dead.*crash.*not running/s);
    expect(legend).not.toMatch(/left|stalled|restart/);
  });

  it("escapes names in markup and in the data that its script reads", () => {
    const hostile = "</script><b>&";
    const recorder = new Recorder(3);
    const sim = new Simulation({ seed: 1, witness: recorder });
    for (const name of ["a", "b", hostile]) sim.open(name);
    for (const name of ["b", hostile]) sim.node(name)?.join("a");
    sim.run(3000);
    sim.node(hostile)?.close();
    sim.run(60_000, () => sim.node("a")?.stateOf(hostile) === "dead" && sim.node("b")?.stateOf(hostile) === "dead");
    recorder.end(sim.nowMs);
    sim.close();
    const page = drawPage(recorder.recording, { ...caption, title: "<i>" });
    expect(page).not.toMatch(/<b>&|<i>/);
    expect(page.match(/<\/script>/g)).toHaveLength(2);
    expect(page).toContain("that &lt;/script&gt;&lt;b&gt;&amp; crashed");
    const data = page.match(/<script type="application\/json" id="data">(.*)<\/script>/)?.[1] ?? "";
    expect((JSON.parse(data) as { rows: [string][] }).rows.map(([name]) => name)).toEqual(["a", "b", hostile]);
  });

  it("stays small when members are many and much goes on", () => {
    const members = Array.from({ length: 2000 }, (_, i) => `n${i}`);
    const held = members.map((_, i) => {
      return Array.from({ length: 900 }, (_, k) => ({
        atMs: 10 * k + (i % 10),
        alive: k % 64,
        suspect: k % 2,
        dead: k % 3,
        left: 0,
      }));
    });
    const page = drawPage({ members, held, facts: [], waves: [], sent: [], endMs: 9000, isFormed: false }, caption);
    expect(page.length).toBeLessThan(2_000_000);
    expect(page).toContain("7 members a row");
    expect(page).toContain("Nothing befell a member");
  });
});
