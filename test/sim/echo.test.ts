import { describe, expect, it } from "vitest";
import { Simulation } from "../../src/sim/simulation.js";

const nodes = 12;
const restarts = 120;
const restartEveryMs = 500;

/** Members restart for a minute after some broadcasts: messages still to be sent then, and copies that came twice. */
function liveAndRestart(): { readonly waiting: number; readonly twice: number } {
  const got = new Map<string, number>();
  const lives = new Map<string, number>();
  let twice = 0;
  const sim = new Simulation({
    seed: 3,
    observe: (event) => {
      if (event.kind !== "message") return;
      const copy = `${event.node}/${lives.get(event.node)} ${event.payload.subarray(0, 2)}`;
      const times = (got.get(copy) ?? 0) + 1;
      got.set(copy, times);
      if (times > 1) twice++;
    },
  });
  for (let i = 0; i < nodes; i++) sim.open(`n${i}`, {});
  for (const node of sim.nodes.slice(1)) node.join("n0");
  sim.run(3000);
  // Of one of them a datagram is full, so that it takes a while until all have had their turn.
  for (let i = 0; i < 60; i++) sim.nodes[i % nodes]?.broadcast(new Uint8Array(1000).fill(i));
  for (let i = 0; i < restarts; i++) {
    const name = `n${1 + (i % (nodes - 1))}`;
    sim.node(name)?.close({ refuses: true });
    lives.set(name, (lives.get(name) ?? 0) + 1);
    const node = sim.open(name, {});
    node.join("n0");
    sim.run(restartEveryMs);
    node.broadcast(Uint8Array.of(100 + i, 0));
  }
  sim.run(5000);
  const waiting = sim.nodes.reduce((sum, { endpoint }) => sum + endpoint.messageDepth(), 0);
  sim.close();
  return { waiting, twice };
}

describe("broadcasts where members restart all the time", () => {
  it("are not kept in circulation by those who have just started and know no copy for one", () => {
    expect(liveAndRestart()).toEqual({ waiting: 0, twice: 0 });
  });
});
