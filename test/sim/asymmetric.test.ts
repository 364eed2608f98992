import { describe, expect, it } from "vitest";
import type { SimEvent, Simulation } from "../../src/sim/simulation.js";
import { Stage } from "../../src/sim/stage.js";

const second = 1000;
const sick = "n7";
const quiet: ReadonlySet<string> = new Set(["suspect", "update"]);

/** 40 members of which one cannot hear well, and what the others are told of whom. */
function stageWith(options = {}): { sim: Simulation; told: string[]; wronged: Set<string> } {
  const told: string[] = [];
  const wronged = new Set<string>();
  const note = ({ node, kind, about }: SimEvent): void => {
    if (node === "n0" && about === sick && !quiet.has(kind)) told.push(kind);
    if (node !== sick && kind === "fail" && about !== sick) wronged.add(about);
  };
  const { sim } = new Stage({ nodes: 40, seed: 3, options }, note);
  return { sim, told, wronged };
}

function deafen(sim: Simulation, isDeaf: boolean): void {
  for (const { name } of sim.nodes) {
    if (isDeaf) sim.network.cut(name, sick);
    else sim.network.mend(name, sick);
  }
}

describe("members that all lose one datagram in five, and have no TCP to ask by", () => {
  it("accuse each other all the time, but none takes itself for the one at fault", () => {
    const told = new Map<string, number>();
    const note = ({ kind }: SimEvent): void => void told.set(kind, (told.get(kind) ?? 0) + 1);
    const { sim } = new Stage({ nodes: 150, seed: 1, lossRate: 0.2, options: { tcpPing: false } }, note);
    sim.run(25 * second);
    const quarantines = sim.nodes.reduce((sum, { swim }) => sum + swim.stats().quarantines, 0);
    expect([quarantines, told.get("fail") ?? 0]).toEqual([0, 0]);
    expect(told.get("suspect")).toBeGreaterThan(1000);
    sim.close();
  });
});

describe("a member whose links fail one way (Rapid, section 7)", () => {
  it("is kept out once it flips a second time, harms nobody, and comes back when its links stay good", () => {
    const { sim, told, wronged } = stageWith();
    for (let i = 0; i < 5; i++) {
      for (const isDeaf of [true, false]) {
        deafen(sim, isDeaf);
        sim.run(20 * second);
      }
    }
    expect(told).toEqual(["fail", "recover", "fail"]);
    expect(sim.run(60 * second, () => sim.nodes.every(({ memberCount }) => memberCount === 40))).toBe(true);
    // n0 has forgotten it meanwhile.
    expect([told.at(-1), [...wronged]]).toEqual(["join", []]);
    sim.close();
  });

  it("lets nobody join through it meanwhile: whoever did would know nobody and be known to nobody", () => {
    const { sim } = stageWith();
    for (let i = 0; i < 2; i++) {
      deafen(sim, true);
      sim.run(20 * second);
      deafen(sim, false);
      sim.run(10 * second);
    }
    expect(sim.node(sick)?.swim.quarantine.isOn).toBe(true);
    const newcomer = sim.open("newcomer");
    const ends: (Error | null)[] = [];
    newcomer.join(sick, (error) => ends.push(error));
    sim.run(second);
    expect(ends).toEqual([expect.objectContaining({ code: "TATTLER_JOIN_REFUSED" })]);
    expect(ends[0]?.message).toMatch(/in quarantine/);
    newcomer.join("n0", (error) => ends.push(error));
    sim.run(second);
    expect([ends.at(-1), newcomer.memberCount]).toEqual([null, 40]);
    sim.close();
  });

  it("flips for ever without a quarantine", () => {
    const { sim, told } = stageWith({ quarantineMs: 0 });
    for (let i = 0; i < 3; i++) {
      for (const isDeaf of [true, false]) {
        deafen(sim, isDeaf);
        sim.run(20 * second);
      }
    }
    expect(told).toEqual(["fail", "recover", "fail", "recover", "fail", "recover"]);
    sim.close();
  });

  it("is removed when four of five datagrams to it get lost, and stays out for as long", () => {
    const { sim, told, wronged } = stageWith({ tcpPing: false });
    sim.network.setLossTo(sick, 0.8);
    sim.run(300 * second);
    expect([told, [...wronged], sim.node(sick)?.swim.stats().quarantines]).toEqual([["fail"], [], 1]);
    sim.network.heal();
    expect(sim.run(60 * second, () => sim.nodes.every(({ memberCount }) => memberCount === 40))).toBe(true);
    sim.close();
  });

  it("is nobody where the whole network loses half of everything", () => {
    const { sim } = stageWith({ tcpPing: false });
    sim.network.lossRate = 0.5;
    sim.run(120 * second);
    expect(sim.nodes.filter(({ swim }) => swim.stats().quarantines > 0).map(({ name }) => name)).toEqual([]);
    sim.close();
  });
});
